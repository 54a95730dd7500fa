"""One socket of a call's recogniser, from its handshake to its close.

It sends what the feed gives, in order, tells what comes in, and asks after a server that owes an answer. What a
transcript means to the call, and whether there is another socket after this one, is the stream's (`stt.py`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Literal

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from bot.errors import RemoteProtocolError
from bot.protocols import rtzr
from bot.services.stt_feed import PCM_BYTES_PER_MS, Feed, Pacer
from bot.services.stt_outbox import FINALIZE
from bot.services.stt_stats import SttStats, Unanswered
from bot.services.stt_watch import Watch

log = logging.getLogger(__name__)

Journal = Callable[[Literal["in", "out"], str | bytes], None]

LOOK_EVERY_S = 0.1
PONG_S = 0.8
"""So soon a server that is there answers a ping, which waits behind no more than `stt_feed.AT_ONCE_MS` of audio."""
WRITE_S = 0.8
"""So soon it takes what is sent to it."""


class Broken(StrEnum):
    """How a socket ended."""

    CLOSED = "closed on its own"
    DEAD = "answers nothing"
    DEAF = "understands nothing"
    DONE = "closed at the end"


class Link:
    """One socket."""

    def __init__(
        self,
        socket: ClientConnection,
        feed: Feed,
        stats: SttStats,
        told: Callable[[rtzr.Interim | rtzr.Final], None],
        replace: Callable[[], Awaitable[bool]],
        *,
        name: str,
        journal: Journal | None,
    ) -> None:
        """`told` gets what was recognised; `replace` returns whether one that is deaf is to be given up."""
        self._socket = socket
        self._feed = feed
        self._outbox = feed.outbox
        self._stats = stats
        self._told = told
        self._replace = replace
        self._name = name
        self._journal = journal
        self._session = rtzr.Session()
        self._pacer = Pacer()
        self._watch = Watch()
        self._broken: Broken | None = None
        self._voice_noted_ms = 0.0
        self._last_heard_s: float | None = None
        self._now_s = asyncio.get_running_loop().time
        self._heard: set[int] = set()  # the utterances
        self.unanswered = Unanswered(self._outbox.unsent_bytes / PCM_BYTES_PER_MS)
        self.open_ms: int | None = None  # where the utterance begins that has an interim and no final

    @property
    def close_code(self) -> int | None:
        """How the other end closed."""
        return self._socket.close_code

    @property
    def was_alive(self) -> bool:
        """Whether the other end has said anything since the handshake."""
        return self._last_heard_s is not None

    @property
    def is_deaf(self) -> bool:
        """Whether another socket should be tried."""
        return self._watch.is_deaf(self._now_s())

    async def run(self) -> Broken:
        """Talk until the socket closes or is given up."""
        async with asyncio.TaskGroup() as tasks:
            others = [tasks.create_task(self._write()), tasks.create_task(self._look_after())]
            await self._read()
            for other in others:
                other.cancel()
        if self._broken is None:
            in_order = self._session.ended and self._socket.close_code == 1000
            self._broken = Broken.DONE if in_order else Broken.CLOSED
        return self._broken

    def _give_up(self, why: Broken) -> None:
        self._broken = self._broken or why
        self._socket.transport.abort()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                self._receive(message)
        except ConnectionClosed:
            pass  # `run` tells how

    def _receive(self, message: str | bytes) -> None:
        if self._journal and isinstance(message, str):
            self._journal("in", message)
        self._alive()
        try:
            inbound = self._session.receive(message)
        except RemoteProtocolError as error:
            self._stats.faults += 1
            log.warning("%s: a message that is none (%s)", self._name, error)
            return
        match inbound:
            case rtzr.Interim() | rtzr.Final():
                is_final = isinstance(inbound, rtzr.Final)
                self._watch.text(self._now_s(), final=is_final)
                self._count(inbound.seq)
                self.open_ms = None if is_final else inbound.start_ms
                self._told(inbound)
            case rtzr.ServerFault():
                self._stats.faults += 1
                log.warning("%s: it reports an error", self._name)
            case rtzr.Ignored():
                pass

    def _count(self, seq: int) -> None:
        if seq not in self._heard:
            self._stats.utterances += 1
            self._stats.reused += bool(self._heard)
            self._heard.add(seq)

    def _alive(self) -> None:
        self._last_heard_s = self._now_s()
        self._watch.alive(self._last_heard_s)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _write(self) -> None:
        try:
            while (item := await self._feed.next()) is not None:
                if isinstance(item, bytes):
                    await self._send_audio(item)
                elif item is FINALIZE:
                    self._stats.finalizes += 1
                    self.unanswered.finalized(self._outbox.sent_ms, self._now_s() * 1000)
                    await self._send(self._session.finalize())
                    self._watch.finalized(self._now_s())
            self._stats.eos += 1
            await self._send(self._session.eos())
            self._watch.finalized(self._now_s())
        except ConnectionClosed:
            pass  # the reader sees it too
        except TimeoutError:
            self._give_up(Broken.DEAD)

    async def _send_audio(self, pcm: bytes) -> None:
        voice_ms = self._outbox.voice_sent_ms - self._voice_noted_ms
        self._voice_noted_ms += voice_ms
        await self._send(self._session.audio(pcm))
        now_s, audio_ms = self._now_s(), len(pcm) / PCM_BYTES_PER_MS
        self._watch.sent(audio_ms, voice_ms, now_s)
        if (wait_s := self._pacer.sent(audio_ms, now_s)) > 0:
            await asyncio.sleep(wait_s)

    async def _send(self, message: str | bytes) -> None:
        if self._journal and isinstance(message, str):
            self._journal("out", message)
        async with asyncio.timeout(WRITE_S):
            await self._socket.send(message)

    # ── is it still there? ───────────────────────────────────────────────────────────────────────────────────────

    async def _look_after(self) -> None:
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                if self._watch.waits(self._now_s()) and not await self._answers():
                    self._give_up(Broken.DEAD)
                    return
                if self.is_deaf and await self._replace():
                    self._give_up(Broken.DEAF)
                    return
        except ConnectionClosed:
            pass  # the reader sees it too

    async def _answers(self) -> bool:
        """Ask for a sign of life. A message that comes meanwhile is one."""
        asked_s = self._now_s()
        try:
            async with asyncio.timeout(PONG_S):
                await (await self._socket.ping())
        except TimeoutError:
            return self._last_heard_s is not None and self._last_heard_s >= asked_s
        self._alive()
        return True
