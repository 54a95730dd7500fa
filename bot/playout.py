"""What the caller hears: sentences wait here and leave at the speed of speech, never far ahead of the caller's ear.

One task writes to the stream's socket. At most `LEAD_MS` of audio is out of our hands, so a reply that is stopped is
stopped. When it is, its queue is thrown away whole: a producer that is still at work writes into nothing, and no sound
of a dead reply can follow the `clear`.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass

from bot.audio.frames import FRAME_MS, MULAW_FRAME_BYTES
from bot.conversation.events import Event, ReplyEnded, SentenceSent, SentenceStarted
from bot.conversation.talk import mark_name
from bot.protocols.twilio import MediaStream

LEAD_MS = 200
"""Audio that may wait at Twilio."""

BUNDLE_MS = 2 * FRAME_MS
"""Audio in one message, at most."""

BUNDLE_BYTES = BUNDLE_MS // FRAME_MS * MULAW_FRAME_BYTES

QUEUE_BYTES = 60_000 // FRAME_MS * MULAW_FRAME_BYTES
"""A minute of audio that may wait here; then the voice waits."""


@dataclass(frozen=True, slots=True)
class _Begin:
    index: int


@dataclass(frozen=True, slots=True)
class _End:
    index: int
    audio_ms: int


@dataclass(frozen=True, slots=True)
class _Over:
    reply: int


_Item = bytes | _Begin | _End | _Over


class Playout:
    """The one writer of a media stream."""

    def __init__(
        self,
        stream: MediaStream,
        send: Callable[[str], Awaitable[None]],
        emit: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._send = send
        self._emit = emit
        self._clock = clock
        self._live: int | None = None
        self._queue: deque[_Item] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False
        self._clear_due = False
        self._sent_since_clear = False
        self._plays_until = 0.0

    def begin(self, reply: int) -> None:
        """From now on `reply` is the one that may be heard."""
        if self._closed:
            return
        self._live = reply
        self._queue = deque()
        self._queued_bytes = 0
        self._room.set()

    async def sentence(self, reply: int, index: int, frames: AsyncIterable[bytes]) -> None:
        """Queue a sentence as its audio comes, a mark behind it; returns early once `reply` is not the live one."""
        size = 0
        async for chunk in frames:
            if not size:
                self._put(reply, _Begin(index))
            size += len(chunk)
            while self._live == reply and self._queued_bytes > QUEUE_BYTES:
                self._room.clear()
                await self._room.wait()
            if not self._put(reply, chunk):
                return
        if size:
            self._put(reply, _End(index, size // MULAW_FRAME_BYTES * FRAME_MS))

    def end(self, reply: int) -> None:
        """No more sentences of `reply` will come."""
        self._put(reply, _Over(reply))

    def stop(self, reply: int) -> None:
        """Throw away what waits of `reply`, here and at Twilio."""
        if self._live != reply:
            return
        self._live = None
        self._queue = deque()
        self._queued_bytes = 0
        self._clear_due = self._sent_since_clear
        self._room.set()
        self._wake.set()

    def close(self) -> None:
        """The stream is over: write nothing more, and let every producer go."""
        self._closed = True
        self._live = None
        self._room.set()
        self._wake.set()

    async def run(self) -> None:
        """Write until `close`; ConnectionError when the socket is gone."""
        while not self._closed:
            if self._clear_due:
                self._clear_due = self._sent_since_clear = False
                self._plays_until = 0.0
                await self._send(self._stream.clear())
            too_early_s = self._plays_until - self._clock() - (LEAD_MS - BUNDLE_MS) / 1000
            if not self._queue or (isinstance(self._queue[0], bytes) and too_early_s > 0):
                await self._sleep(too_early_s if self._queue else None)
                continue
            await self._write(self._queue.popleft())

    async def _write(self, item: _Item) -> None:
        reply = self._live
        if reply is None:
            return
        match item:
            case bytes():
                await self._write_audio(item)
            case _Begin(index):
                self._emit(SentenceStarted(reply, index))
            case _End(index, audio_ms):
                await self._send(self._stream.mark(mark_name(reply, index)))
                if self._live == reply:
                    self._emit(SentenceSent(reply, index, audio_ms))
            case _Over():
                self._emit(ReplyEnded(reply))

    async def _write_audio(self, chunk: bytes) -> None:
        if len(chunk) > BUNDLE_BYTES:
            self._queue.appendleft(chunk[BUNDLE_BYTES:])
            chunk = chunk[:BUNDLE_BYTES]
        self._queued_bytes -= len(chunk)
        if self._queued_bytes <= QUEUE_BYTES:
            self._room.set()
        self._plays_until = max(self._plays_until, self._clock()) + len(chunk) / MULAW_FRAME_BYTES * FRAME_MS / 1000
        self._sent_since_clear = True
        await self._send(self._stream.media(chunk))

    def _put(self, reply: int, item: _Item) -> bool:
        if self._live != reply:
            return False
        self._queue.append(item)
        if isinstance(item, bytes):
            self._queued_bytes += len(item)
        self._wake.set()
        return True

    async def _sleep(self, seconds: float | None) -> None:
        """Wait until something is put or stopped, for `seconds` at most."""
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
