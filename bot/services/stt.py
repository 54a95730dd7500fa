"""The recogniser of a call: one RTZR socket, kept open from the first frame to the last.

`SttStream.run` opens it, sends the audio in order, tells what was heard as events, and opens another when this one
breaks. Opening one takes about 80 ms; keeping it is what `SttStats` counts as saved. How messages look is the
protocol's (`bot.protocols.rtzr`); what the events mean is the talk's. Nothing that was said, and no token, is logged.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Literal

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from bot.conversation.events import Event, Final, Interim, SttLoss, SttLost, SttPace, SttReady
from bot.errors import RecogniserError, RecogniserFull, RemoteProtocolError
from bot.protocols import rtzr
from bot.services.stt_outbox import FINALIZE, Outbox
from bot.services.stt_stats import FinalPace, SttStats, Unanswered
from bot.services.stt_token import RecogniserRefused, Token, Tokens
from bot.settings import RtzrSettings

log = logging.getLogger(__name__)

PCM_BYTES_PER_MS = 32
BUNDLE_BYTES = 100 * PCM_BYTES_PER_MS
URGENT_BYTES = 40 * PCM_BYTES_PER_MS  # … while words are expected: a later interim is a later answer
KEPT_BYTES = 40_000 * PCM_BYTES_PER_MS  # 40 s: more than the longest utterance and every try to reconnect
DELAYS_S = (0.0, 0.3, 0.6, 1.2)  # before the tries to open a socket
HEALTHY_S = 10.0  # a socket that lived so long, or brought a transcript, was of use
DRAIN_S = 2.0
OPEN_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0
PING_INTERVAL_S = 15.0
PING_TIMEOUT_S = 10.0

Journal = Callable[[Literal["in", "out"], str | bytes], None]
Emit = Callable[[Event], None]


class Recogniser:
    """The recogniser's account, one per process."""

    def __init__(self, settings: RtzrSettings, *, tokens: Tokens | None = None) -> None:
        """`tokens` replaces the cache, for tests with a clock of their own."""
        self._url = rtzr.streaming_url(settings.api_url)
        self._tokens = tokens or Tokens(settings)
        self.pace = FinalPace()

    def stream(self, emit: Emit, *, name: str = "recogniser", journal: Journal | None = None) -> "SttStream":
        """Return the recogniser of one call, `name` in the log; events go to `emit`, text messages to `journal`."""
        return SttStream(self, emit, name=name, journal=journal)

    async def close(self) -> None:
        """Close what the process keeps open."""
        await self._tokens.close()

    async def connect(self, stats: SttStats) -> ClientConnection:
        """Open a socket, with a new token when the one at hand is not taken.

        RecogniserError: not now; RecogniserFull: no channel; RecogniserRefused: never.
        """
        before = self._tokens.authentications
        try:
            token = await self._tokens.get()
            try:
                return await self._handshake(token, stats)
            except InvalidStatus as error:
                if error.response.status_code != 401:
                    raise
            self._tokens.reject(token)
            return await self._handshake(await self._tokens.get(), stats)
        except InvalidStatus as error:
            raise _refusal(error) from error
        except (OSError, WebSocketException) as error:
            raise RecogniserError(f"no socket: {type(error).__name__}") from error
        finally:
            stats.authentications += self._tokens.authentications - before

    async def _handshake(self, token: Token, stats: SttStats) -> ClientConnection:
        now = asyncio.get_running_loop().time
        began_s = now()
        socket = await connect(
            self._url,
            additional_headers={"Authorization": f"Bearer {token.text}"},
            compression=None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
        )
        stats.sockets += 1
        stats.connect_ms += (now() - began_s) * 1000
        return socket


def _refusal(error: InvalidStatus) -> RecogniserError:
    status = error.response.status_code
    try:
        body = json.loads(error.response.body)
        code = body.get("code", "") if isinstance(body, dict) else ""
    except ValueError:
        code = ""
    why = f"handshake: HTTP {status}" + (f" {code}" if isinstance(code, str) and code.isalnum() else "")
    if status == 429:
        return RecogniserFull(why)
    return RecogniserRefused(why) if 400 <= status < 500 else RecogniserError(why)


class SttStream:
    """The recogniser of one call. `push`, `finalize` and `end` never wait and never fail."""

    def __init__(self, recogniser: Recogniser, emit: Emit, *, name: str, journal: Journal | None = None) -> None:
        self._recogniser = recogniser
        self._name = name
        self._emit = emit
        self._journal = journal
        self._outbox = Outbox(most_bytes=KEPT_BYTES, bytes_per_ms=PCM_BYTES_PER_MS)
        self._wake = asyncio.Event()
        self._ending = False
        self._bundle = BUNDLE_BYTES
        self._limit: asyncio.Timeout | None = None
        self._connection = 0
        self._session = rtzr.Session()
        self._tries = 0
        self._short_lived = 0  # sockets in a row that closed before they were of use
        self._seen: set[int] = set()
        self._unanswered = Unanswered(0)
        self._told_p95_ms: int | None = None
        self.stats = SttStats()

    def push(self, pcm: bytes, *, urgent: bool = False) -> None:
        """Send audio: whole samples of 16 kHz PCM, in small bundles when it is `urgent`.

        What can't be sent yet is kept, the last `KEPT_BYTES` of it.
        """
        if self._ending:
            return
        self._outbox.push(pcm)
        self._bundle = URGENT_BYTES if urgent else BUNDLE_BYTES
        if self._outbox.unsent_bytes >= self._bundle:
            self._wake.set()

    def finalize(self) -> None:
        """End the utterance behind all audio so far. There may be no answer."""
        if not self._ending:
            self._outbox.mark()
            self._wake.set()

    def end(self) -> None:
        """End the stream: what waits is sent, finals that come within `DRAIN_S` are told, `run` returns."""
        if self._ending:
            return
        self._ending = True
        self._wake.set()
        self._set_limit()

    async def run(self) -> None:
        """Be the recogniser until `end`, or until none can be had (then `SttLost` was told)."""
        try:
            async with asyncio.timeout(None) as self._limit:
                if self._ending:
                    self._set_limit()
                while (socket := await self._open()) is not None:
                    if await self._serve(socket):
                        break
        except TimeoutError:
            if not self._ending:
                raise
        finally:
            self._limit = None
            self.stats.dropped_bytes = self._outbox.dropped_bytes
            log.info("%s: %s", self._name, self.stats.line())

    def _set_limit(self) -> None:
        if self._limit is not None:
            # With no socket and nothing to say there is nothing to wait for.
            needed = self._connection > 0 or not self._outbox.empty
            self._limit.reschedule(asyncio.get_running_loop().time() + (DRAIN_S if needed else 0.0))

    async def _open(self) -> ClientConnection | None:
        """Open the next socket; None when it cannot be had."""
        while self._tries < len(DELAYS_S):
            await asyncio.sleep(DELAYS_S[self._tries])
            self._tries += 1
            try:
                return await self._recogniser.connect(self.stats)
            except RecogniserFull as error:
                log.warning("%s: no channel (%s)", self._name, error)
                if not self._ending:
                    self._emit(SttLost(SttLoss.FULL))
                return None
            except RecogniserRefused as error:
                log.error("%s: refused (%s)", self._name, error)
                break
            except RecogniserError as error:
                log.warning("%s: try %d of %d failed (%s)", self._name, self._tries, len(DELAYS_S), error)
        if not self._ending:
            self._emit(SttLost(SttLoss.UNREACHABLE))
        return None

    async def _serve(self, socket: ClientConnection) -> bool:
        """Talk on one socket until it closes; return whether that was the end of the stream."""
        now = asyncio.get_running_loop().time
        opened_s = now()
        self._connection += 1
        self._session = rtzr.Session()
        self._seen.clear()
        self._outbox.rewind()
        self._unanswered = Unanswered(self._outbox.unsent_bytes / PCM_BYTES_PER_MS)
        self._wake.set()
        try:
            self._emit(SttReady())
            self._tell_pace()
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self._write(socket))
                await self._read(socket)
                writing.cancel()
        finally:
            await socket.close()
        healthy = bool(self._seen) or now() - opened_s >= HEALTHY_S
        self._short_lived = 0 if healthy else self._short_lived + 1
        self._tries = max(self._short_lived - 1, 0)
        if not self._session.ended:
            log.warning("%s: socket %d closed on its own (%s)", self._name, self._connection, socket.close_code)
        return self._session.ended

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for message in socket:
                self._receive(message)
        except ConnectionClosed:
            pass  # the code is told by `_serve`

    def _receive(self, message: str | bytes) -> None:
        if self._journal and isinstance(message, str):
            self._journal("in", message)
        try:
            inbound = self._session.receive(message)
        except RemoteProtocolError as error:
            self.stats.faults += 1
            log.warning("%s: a message that is none (%s)", self._name, error)
            return
        match inbound:
            case rtzr.Interim(seq=seq, text=text):
                self._heard(seq)
                self.stats.interims += 1
                self._emit(Interim((self._connection, seq), text))
            case rtzr.Final(seq=seq, text=text):
                self._heard(seq)
                self.stats.finals += 1
                self._settle(inbound)
                self._emit(Final((self._connection, seq), text))
            case rtzr.ServerFault():
                self.stats.faults += 1
                log.warning("%s: it reports an error", self._name)
            case rtzr.Ignored():
                pass

    def _settle(self, final: rtzr.Final) -> None:
        end_ms = final.end_ms if final.duration_ms else None
        self._outbox.settled(final.start_ms, end_ms)
        if end_ms is None:
            return
        if (answer_ms := self._unanswered.answered(end_ms, _now_ms())) is not None:
            self._recogniser.pace.add(answer_ms)
            self._tell_pace()

    def _tell_pace(self) -> None:
        if (p95_ms := self._recogniser.pace.news(self._told_p95_ms)) is not None:
            self._told_p95_ms = p95_ms
            self._emit(SttPace(p95_ms))

    def _heard(self, seq: int) -> None:
        if seq not in self._seen:
            self.stats.utterances += 1
            self.stats.reused += bool(self._seen)
            self._seen.add(seq)

    async def _write(self, socket: ClientConnection) -> None:
        try:
            while not self._session.ended:
                await self._wake.wait()
                self._wake.clear()
                await self._send_what_waits(socket)
                if self._ending and self._outbox.empty:
                    self.stats.eos += 1
                    await self._send_text(socket, self._session.eos())
        except ConnectionClosed:
            pass  # the reader sees it too

    async def _send_what_waits(self, socket: ClientConnection) -> None:
        """Send whole bundles; what is less waits for more, but not when an utterance or the stream ends."""
        while self._ending or self._outbox.mark_waits or self._outbox.unsent_bytes >= self._bundle:
            item = self._outbox.take(BUNDLE_BYTES)
            if item is None:
                return
            if isinstance(item, bytes):
                await socket.send(self._session.audio(item))
            elif item is FINALIZE:
                self.stats.finalizes += 1
                self._unanswered.finalized(self._outbox.sent_ms, _now_ms())
                await self._send_text(socket, self._session.finalize())

    async def _send_text(self, socket: ClientConnection, message: str) -> None:
        if self._journal:
            self._journal("out", message)
        await socket.send(message)


def _now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000
