"""What the caller hears: sentences wait here and leave at the speed of speech, never far ahead of the caller's ear.

One task writes to the stream's socket. One reply is live; others may be prepared, and wait until they are played or
dropped. Only a little audio (`lead_ms`) is out of our hands, so a reply that is paused is quiet, and one that is
stopped is stopped. When it is, its track is thrown away whole: a producer that is still at work writes into nothing,
and no sound of a dead reply can follow the `clear`. How much was heard is told by our clock, or by the ear itself where
it says how far it is.

An aside is a short sound outside of any reply. It stands between two marks of its own.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Protocol

from bot.audio.forms import TELEPHONE, Form
from bot.audio.frames import FRAME_MS
from bot.conversation.events import Event, ReplyEnded, SentenceSent, SentenceStarted
from bot.conversation.talk import mark_name
from bot.track import Begin, End, Over, Track

LEAD_MS = 160
"""Audio that may wait at Twilio: so long a paused reply is still heard."""

BUNDLE_MS = 2 * FRAME_MS
"""Audio in one message, at most."""

TOLD_EVERY_MS = 200
"""How much of a reply is sent between two `AudioSent`."""

MOST_UNPLAYED_MS = 1_500
"""An ear that has not played so much gets no more: its line, or its player, has stalled."""

LOOK_AGAIN_S = 0.05

SHORTEST_WAIT_S = 0.001
"""The clock of uvloop's timers counts whole milliseconds: a shorter wait would be over at once, and begin again."""


class Stream(Protocol):
    """What builds the messages of a line; an empty one is not sent."""

    def media(self, sound: bytes, sentence: str = "", /) -> str: ...
    def mark(self, name: str, /) -> str: ...
    def clear(self) -> str: ...


class Playout:
    """The one writer of a media stream."""

    def __init__(
        self,
        stream: Stream,
        send: Callable[[str], Awaitable[None]],
        emit: Callable[[Event], None],
        *,
        form: Form = TELEPHONE,
        lead_ms: int = LEAD_MS,
        unplayed_ms: Callable[[], int | None] = lambda: None,
    ) -> None:
        """`lead_ms` of audio may be ahead of the ear; `unplayed_ms` is what the ear itself tells, if it does."""
        self._stream = stream
        self._send = send
        self._emit = emit
        self._form = form
        self._lead_ms = lead_ms
        self._unplayed_ms = unplayed_ms
        self._bundle_bytes = BUNDLE_MS // FRAME_MS * form.frame_bytes
        self._notes: deque[str] = deque()
        self._live: Track | None = None
        self._prepared: dict[int, Track] = {}
        self._aside: deque[str | bytes] = deque()
        self._asides = 0
        self._aside_name = ""
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False
        self._plays_until = 0.0

    # ── which reply may be heard ─────────────────────────────────────────────────────────────────────────────────

    def begin(self, reply: int) -> None:
        """From now on `reply` is the one that may be heard."""
        self._go_live(Track(reply, self._form))

    def prepare(self, reply: int) -> None:
        """Take in what is made of `reply`, and hold it until `play`."""
        if not self._closed:
            self._prepared[reply] = Track(reply, self._form)

    def play(self, reply: int) -> None:
        """From now on the prepared `reply` is the one that may be heard; nothing happens when it was dropped."""
        if track := self._prepared.pop(reply, None):
            self._go_live(track)

    def pause(self, reply: int) -> None:
        """Hold the sound of `reply` back from the very next frame, and tell how much of it was sent."""
        if (track := self._find(reply)) and not track.is_paused:
            track.is_paused = True
            # A mark, sound, a mark: once the first is sent, the last must be.
            begun = len(self._aside) in (1, 2)
            self._aside = deque([self._aside[-1]] if begun else [])
            self._tell_progress(track)

    def resume(self, reply: int) -> None:
        """Go on with `reply` from the frame at which it paused."""
        if track := self._find(reply):
            track.is_paused = False
            self._wake.set()

    def stop(self, reply: int) -> None:
        """Throw away what waits of `reply`: here, and when it is live, at Twilio, with any aside."""
        if (track := self._find(reply)) is None:
            return
        if track is self._live:
            self._live = None
            self._aside.clear()
            if track.index is not None or self._ahead_s() > 0:
                self._plays_until = 0.0
                self.note(self._stream.clear())
        self._prepared.pop(reply, None)
        self._drop(track)

    def interject(self, frames: bytes) -> None:
        """Send whole frames outside of any reply, unless a reply is being heard or another aside waits."""
        speaking = self._live is not None and self._live.index is not None and not self._live.is_over
        if speaking or self._aside:
            return
        name = f"aside:{self._asides}"
        self._asides += 1
        self._aside_name = name
        self._aside.extend((name, frames, f"{name}:end"))
        self._wake.set()

    def note(self, message: str) -> None:
        """Send a message that is no sound, before any more sound."""
        if not self._closed:
            self._notes.append(message)
            self._wake.set()

    def ear_told(self) -> None:
        """The ear has told how far it is: so is everybody who has to know."""
        if self._live:
            self._tell_progress(self._live)

    def close(self) -> None:
        """The stream is over: write nothing more, and let every producer go."""
        self._closed = True
        for track in (self._live, *self._prepared.values()):
            self._drop(track)
        self._live = None
        self._prepared.clear()
        self._aside.clear()

    # ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────

    async def sentence(self, reply: int, index: int, frames: AsyncIterable[bytes]) -> None:
        """Queue a sentence as its audio comes, a mark behind it; returns early once `reply` is dropped."""
        if (track := self._find(reply)) is None:
            return
        async for chunk in frames:
            while track.is_full and not track.is_dropped:
                self._room.clear()
                await self._room.wait()
            if track.is_dropped:
                return
            track.add(index, chunk)
            self._wake.set()
        track.finish(index)
        self._wake.set()

    def end(self, reply: int) -> None:
        """No more sentences of `reply` will come."""
        if track := self._find(reply):
            track.end()
            self._wake.set()

    # ── the writer ───────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Write until `close`; ConnectionError when the socket is gone."""
        while not self._closed:
            if self._notes:
                await self._send(self._notes.popleft())
                continue
            wait_s = self._wait_s()
            if wait_s is None or wait_s > 0:
                await self._sleep(wait_s)
            elif self._aside:
                await self._write_aside(self._aside.popleft())
            elif self._live:
                await self._write(self._live)
        while self._notes:
            await self._send(self._notes.popleft())

    def _wait_s(self) -> float | None:
        """How long the next thing has to wait; None: there is none."""
        early_s = round(self._ahead_s() - (self._lead_ms - BUNDLE_MS) / 1000, 6)
        if (self._unplayed_ms() or 0) > MOST_UNPLAYED_MS:
            early_s = max(early_s, LOOK_AGAIN_S)
        if self._aside:
            return early_s
        if self._live is None or not self._live.is_ready:
            return None
        return early_s if self._live.next_is_sound else 0.0

    async def _write(self, track: Track) -> None:
        item = track.take(self._bundle_bytes)
        match item:
            case bytes():
                assert track.index is not None
                await self._write_audio(item, mark_name(track.reply, track.index), track)
            case Begin(index):
                self._emit(SentenceStarted(track.reply, index, self._ahead_ms()))
            case End(index, audio_ms):
                await self._write_mark(mark_name(track.reply, index))
                if not track.is_dropped:
                    self._emit(SentenceSent(track.reply, index, audio_ms))
            case Over():
                self._emit(ReplyEnded(track.reply))

    async def _write_aside(self, item: str | bytes) -> None:
        if isinstance(item, str):
            await self._write_mark(item)
            return
        if len(item) > self._bundle_bytes:
            self._aside.appendleft(item[self._bundle_bytes :])
        await self._write_audio(item[: self._bundle_bytes], self._aside_name)

    async def _write_mark(self, name: str) -> None:
        if message := self._stream.mark(name):
            await self._send(message)

    async def _write_audio(self, chunk: bytes, sentence: str, track: Track | None = None) -> None:
        self._room.set()
        self._plays_until = max(self._plays_until, time.monotonic()) + len(chunk) / self._form.bytes_per_s
        message = self._stream.media(chunk, sentence)
        if track and track.untold_ms >= TOLD_EVERY_MS:
            self._tell_progress(track)
        await self._send(message)

    # ── small things ─────────────────────────────────────────────────────────────────────────────────────────────

    def _go_live(self, track: Track) -> None:
        if self._closed:
            return
        self._drop(self._live)
        self._live = track
        self._wake.set()

    def _find(self, reply: int) -> Track | None:
        if self._live and self._live.reply == reply:
            return self._live
        return self._prepared.get(reply)

    def _drop(self, track: Track | None) -> None:
        """Let its producer go, and have the writer look again."""
        if track:
            track.is_dropped = True
        self._room.set()
        self._wake.set()

    def _tell_progress(self, track: Track) -> None:
        if sent := track.progress(self._ahead_ms()):
            self._emit(sent)

    def _ahead_s(self) -> float:
        return self._plays_until - time.monotonic()

    def _ahead_ms(self) -> int:
        told_ms = self._unplayed_ms()
        return max(0, round(self._ahead_s() * 1000)) if told_ms is None else told_ms

    async def _sleep(self, seconds: float | None) -> None:
        """Wait until something is put or stopped, for `seconds` at most."""
        self._wake.clear()
        # 25 times a second from each call that is spoken to: `asyncio.timeout` would throw an exception each time.
        loop = asyncio.get_running_loop()
        alarm = None if seconds is None else loop.call_later(max(seconds, SHORTEST_WAIT_S), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if alarm:
                alarm.cancel()
