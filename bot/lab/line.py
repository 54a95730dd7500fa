"""One media stream of the Twilio stand-in: the caller's frames go out 50 times a second, the app's audio is played.

Must not know webhooks or TwiML. Every step is due at a fixed time after `start`; a step that is late is made up for at
once, so frames bunch as they do on a real line and the timeline never drifts.
"""

import asyncio
import json
import random
from base64 import b64encode
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from enum import Enum, auto
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from bot.audio.frames import FRAME_MS
from bot.lab import messages
from bot.lab.acts import Act, SaidFrame
from bot.lab.caller import Ear
from bot.lab.inspection import Clear, Inspector, Label, Sound
from bot.lab.loopback import reset
from bot.lab.playback import NOTHING, Playback
from bot.lab.report import CallReport
from bot.lab.script import Drop, HangUp, Press, Send, Silent
from bot.lab.witness import Witness

FIRST_TIMESTAMP_MS = 155
JITTER_MS = 2
BEFORE_START_S = 0.02
STUCK_S = 5.0
"""How long an app may leave its socket unread, once all buffers are full."""
CLEAN_CLOSES = frozenset({1000, 1001, 1008, 1012})

Record = Callable[[dict[str, Any]], None]


class StreamEnd(Enum):
    """How a stream ended."""

    APP_CLOSED = auto()
    BROKEN = auto()
    DROPPED = auto()
    HUNG_UP = auto()
    REFUSED = auto()


class Line:
    """One stream over one open socket, for a caller whose acts and ear outlive it."""

    def __init__(
        self,
        ws: ClientConnection,
        acts: Generator[Act, None, None],
        ear: Ear,
        report: CallReport,
        *,
        stream_sid: str,
        account_sid: str,
        parameters: Mapping[str, str],
        echo_marks: bool = True,
        record: Record | None = None,
    ) -> None:
        self._ws = ws
        self._acts = acts
        self._report = report
        self._sids: dict[str, Any] = {"account_sid": account_sid, "call_sid": report.call_sid, "stream_sid": stream_sid}
        self._parameters = parameters
        self._echo_marks = echo_marks
        self._record = record
        self._inspector = Inspector(stream_sid, report.breach)
        self._playback = Playback()
        self._jitter = random.Random(stream_sid)
        self._sequence = 0
        self._chunk = 0
        self._witness = Witness(report, ear)
        self._started_s = 0.0
        self._silent_until_s = 0.0
        self._over = False

    def go_silent(self, seconds: float) -> None:
        """Carry nothing for so long, either way, on a socket that stays open; what comes meanwhile is lost."""
        self._report.note("carrier silent", f"{seconds:g} s")
        self._report.sounds.broke(self._report.clock_ms())
        self._silent_until_s = asyncio.get_running_loop().time() + seconds

    @property
    def _is_silent(self) -> bool:
        return asyncio.get_running_loop().time() < self._silent_until_s

    async def run(self) -> StreamEnd:
        """Stream until one of the two sides ends it."""
        self._started_s = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(self._read())
            try:
                end = await self._stream()
            except ConnectionClosed:
                end = None
            except TimeoutError:
                self._report.breach("the app does not read its socket")
                reset(self._ws.transport)
                end = StreamEnd.BROKEN
            if end is None:
                await reader
                end = self._closed_by_app()
            self._over = True
        return end

    async def _stream(self) -> StreamEnd | None:
        await self._send(messages.connected())
        await asyncio.sleep(BEFORE_START_S)
        self._started_s = asyncio.get_running_loop().time()
        self._inspector.streaming = True
        await self._send_numbered(messages.start(parameters=self._parameters, **self._sids))
        self._report.note("start", self._sids["stream_sid"])
        arriving: list[tuple[int, bytes]] = []
        held = False
        frame = 0
        while not self._over:
            await self._until(frame)
            if not held:
                for at, mulaw in arriving:
                    await self._send_frame(mulaw, at)
                arriving.clear()
            tick = NOTHING if self._is_silent else self._playback.tick()
            await self._echo(tick.echoed)
            self._witness.hear(tick, idle=self._playback.is_idle)
            said = await self._next_frame()
            if isinstance(said, StreamEnd):
                return said
            held = said.held
            if said.mulaw is not None and not self._is_silent:
                arriving.append((frame, said.mulaw))
            self._witness.say(said, tick)
            frame += 1
        return None

    async def _until(self, frame: int) -> None:
        loop = asyncio.get_running_loop()
        due_s = self._started_s + frame * FRAME_MS / 1000
        await asyncio.sleep(max(due_s - loop.time(), 0))
        self._report.late_ms = max(self._report.late_ms, round((loop.time() - due_s) * 1000))

    async def _next_frame(self) -> SaidFrame | StreamEnd:
        """Carry out what takes the caller no time, up to the next 20 ms of sound or the end of the stream."""
        for act in self._acts:
            self._witness.act(act)
            match act:
                case SaidFrame():
                    return act
                case Press(digit):
                    self._report.note("pressed", digit)
                    await self._send_numbered(messages.dtmf(digit, stream_sid=self._sids["stream_sid"]))
                case Silent(ms):
                    self.go_silent(ms / 1000)
                case Send(message):
                    await self._send(message)
                case Drop(how):
                    self._report.note("socket dropped", how)
                    await self._leave(how)
                    return StreamEnd.DROPPED
                case HangUp(how):
                    self._report.note("caller hung up", how)
                    await self._leave(how)
                    return StreamEnd.HUNG_UP
        return StreamEnd.HUNG_UP

    async def _read(self) -> None:
        try:
            async for message in self._ws:
                if not self._over:
                    await self._take(message)
        except ConnectionClosed:
            pass
        finally:
            self._over = True

    async def _take(self, message: str | bytes) -> None:
        self._keep("out", message)
        if self._is_silent:
            return
        match self._inspector.read(message):
            case Sound(mulaw):
                self._playback.media(mulaw)
                self._report.most_ahead_ms = max(self._report.most_ahead_ms, self._playback.queued_ms)
            case Label(name):
                marks = self._playback.mark(name)
                self._witness.passed(marks)
                await self._echo(marks)
            case Clear():
                dropped_ms = self._playback.queued_ms
                marks = self._playback.clear()
                self._witness.cleared(dropped_ms, marks)
                await self._echo(marks)

    def _closed_by_app(self) -> StreamEnd:
        close = self._ws.protocol.close_rcvd
        code = 1006 if close is None else close.code
        self._report.close_codes.append(code)
        self._report.note("app closed", str(code))
        if code not in CLEAN_CLOSES:
            self._report.breach(f"the app closed the socket with {code}")
        if not self._is_silent and (unheard_ms := self._playback.audible_ms_left()):
            self._report.breach(f"cut off: the app closed the socket with {unheard_ms} ms of speech unheard")
        return StreamEnd.BROKEN if close is None else StreamEnd.APP_CLOSED

    async def _leave(self, how: str) -> None:
        self._over = True
        with suppress(ConnectionClosed):
            if how == "stop":
                await self._send_numbered(messages.stop(**self._sids))
        if how == "reset":
            reset(self._ws.transport)
        else:
            await self._ws.close(1000)

    async def _echo(self, names: tuple[str, ...]) -> None:
        for name in names:
            self._report.marks.append(name)
            if self._echo_marks:
                await self._send_numbered(messages.mark(name, stream_sid=self._sids["stream_sid"]))

    async def _send_frame(self, mulaw: bytes, frame: int) -> None:
        self._chunk += 1
        timestamp_ms = FIRST_TIMESTAMP_MS + frame * FRAME_MS
        if frame:
            timestamp_ms += self._jitter.randint(-JITTER_MS, JITTER_MS)
        sid = self._sids["stream_sid"]
        await self._send_numbered(messages.media(mulaw, timestamp_ms, chunk=self._chunk, stream_sid=sid))

    async def _send_numbered(self, message: dict[str, Any]) -> None:
        self._sequence += 1
        await self._send(message | {"sequenceNumber": str(self._sequence)})

    async def _send(self, message: dict[str, Any] | str | bytes) -> None:
        self._keep("in", message)
        if isinstance(message, dict):
            message = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        async with asyncio.timeout(STUCK_S):
            await self._ws.send(message)

    def _keep(self, direction: str, message: dict[str, Any] | str | bytes) -> None:
        if self._record is None:
            return
        at_ms = round((asyncio.get_running_loop().time() - self._started_s) * 1000)
        kept: Any = message
        if isinstance(message, bytes):
            kept = {"binary": b64encode(message).decode()}
        elif isinstance(message, str):
            with suppress(ValueError):
                kept = json.loads(message)
        self._record({"call_sid": self._sids["call_sid"], "at_ms": at_ms, "direction": direction, "message": kept})
