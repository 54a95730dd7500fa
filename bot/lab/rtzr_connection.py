"""One connection of the RTZR stand-in: the handshake, the messages both ways, and what goes wrong on purpose.

The WebSocket is spoken by `websockets`' sans-IO half, so that a connection can also break off in the middle. What is
heard is the `Ear`'s; who may connect is the server's.
"""

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from bot.lab.hearing import Ear, Heard
from bot.lab.hearing_by_heart import EarByHeart
from bot.lab.matching import Library
from bot.lab.rtzr_behaviour import (
    Close,
    ConnectionReport,
    Faults,
    Freeze,
    FreezeAt,
    Profile,
    Report,
    error_body,
    unknown_parameters,
)
from bot.lab.rtzr_messages import is_finalize, message_of

STREAMING_PATH = "/v1/transcribe:streaming"
PARTIAL_BEFORE_FINAL_S = 0.005
CLOSING_S = 2.0
Outgoing = tuple[float, str | int | None]  # when; a message, a close code, or None: break off


@dataclass(slots=True)
class House:
    """What all connections of a stand-in share."""

    library: Library
    profile: Profile
    faults: Faults
    report: Report = field(default_factory=Report)
    ear: Callable[..., Ear | EarByHeart] = Ear
    """Made with what `hearing.Ear` takes."""


class Connection:
    """One WebSocket connection, from its handshake on."""

    def __init__(
        self,
        house: House,
        refusal: Callable[[Request, dict[str, str]], int | None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """`refusal` gives the status with which a handshake with these parameters is refused, if it is."""
        self._house = house
        self._refusal = refusal
        self._reader = reader
        self._writer = writer
        self._protocol = ServerProtocol(max_size=2**22)
        self._now = asyncio.get_running_loop().time
        self._outgoing: asyncio.Queue[Outgoing] = asyncio.Queue()
        self._last_due = 0.0
        self._message = bytearray()
        self._is_text = False
        self._close_at: Close | None = None
        self._freeze_at: FreezeAt | None = None
        self._frozen: Freeze | None = None
        self._times_frozen = house.faults.times_frozen
        self._idle: asyncio.Timeout | None = None

    async def run(self, head: bytes) -> None:
        """Shake hands, then recognise until it is closed."""
        self._protocol.receive_data(head)
        request = next((event for event in self._protocol.events_received() if isinstance(event, Request)), None)
        if request is None:
            return self._flush()
        parameters = dict(parse_qsl(urlsplit(request.path).query, keep_blank_values=True))
        response = self._protocol.accept(request)
        report = self._house.report
        if urlsplit(request.path).path != STREAMING_PATH:
            response = self._protocol.reject(404, "")
        elif response.status_code == 101 and (status := self._refusal(request, parameters)) is not None:
            report.refused.append(status)
            response = self._protocol.reject(status, json.dumps(error_body(status)))
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = "application/json"
        accepted = response.status_code == 101
        report.channels_open += accepted
        try:
            await asyncio.sleep(self._house.profile.open_ms / 1000)
            self._protocol.send_response(response)
            self._flush()
            if accepted:
                await self._recognise(parameters)
        finally:
            if accepted:
                self._give_channel_back(report)

    def _give_channel_back(self, report: Report) -> None:
        def back() -> None:
            report.channels_open -= 1

        if lingers_s := self._house.faults.channel_lingers_s:
            asyncio.get_running_loop().call_later(lingers_s, back)
        else:
            back()

    async def _recognise(self, parameters: dict[str, str]) -> None:
        self._report = ConnectionReport(len(self._house.report.connections) + 1, parameters)
        self._report.breaches += [f"unknown parameter {name}" for name in unknown_parameters(parameters)]
        self._house.report.connections.append(self._report)
        if self._house.faults.closes:
            self._close_at = self._house.faults.closes.pop(0)
        if self._house.faults.freezes:
            self._freeze_at = self._house.faults.freezes.pop(0)
        self._ear = self._house.ear(
            self._house.library,
            sample_rate_hz=int(parameters["sample_rate"]),
            encoding=parameters["encoding"],
            epd_time_s=float(parameters.get("epd_time", 0.8)),
            max_utter_s=float(parameters.get("max_utter_duration", 12)),
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(self._send())
                await self._read()
                sending.cancel()
        finally:
            self._report.open = False

    async def _read(self) -> None:
        """Take frames until the other side is gone."""
        try:
            async with asyncio.timeout(self._house.profile.idle_close_s) as self._idle:
                await self._read_on()
        except TimeoutError:
            if self._frozen:
                return await self._read_on()
            self._close(1000)
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_S):
                    await self._read_on()

    async def _read_on(self) -> None:
        with suppress(ConnectionError):
            while data := await self._reader.read(65_536):
                self._take(data)
                if self._frozen is Freeze.BLOCKED:
                    await self._block()
                if self._protocol.state is State.CLOSED:
                    return

    def _freeze_if_due(self) -> None:
        if self._frozen:
            return
        at = self._freeze_at
        if self._times_frozen != self._house.faults.times_frozen:
            self._frozen = Freeze.SILENT
        elif at and self._ear.audio_ms >= at.after_ms and self._report.finalizes >= at.after_finalizes:
            self._frozen = at.how
        self._report.frozen = self._frozen

    async def _block(self) -> None:
        """Read nothing any more."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    def _take(self, data: bytes) -> None:
        self._freeze_if_due()
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                if event.opcode is not Opcode.CONT:
                    self._is_text = event.opcode is Opcode.TEXT
                self._message += event.data
                if event.fin:
                    message, self._message = bytes(self._message), bytearray()
                    self._freeze_if_due()
                    if not self._frozen:
                        self._text(message) if self._is_text else self._audio(message)
        self._flush()

    def _audio(self, audio: bytes) -> None:
        if self._report.eos:
            self._breach("audio after EOS")
            return
        if not audio:
            self._breach("an empty audio frame")
        if self._report.parameters["encoding"] == "LINEAR16" and len(audio) % 2:
            self._breach(f"an odd number of audio bytes: {len(audio)}")
        if self._idle is not None and not self._idle.expired():
            self._idle.reschedule(self._now() + self._house.profile.idle_close_s)
        for heard in self._ear.push(audio):
            self._tell(heard)
        self._report.audio_s = self._ear.audio_ms / 1000
        self._close_if_due()

    def _close_if_due(self) -> None:
        at, seen = self._close_at, self._report
        if at is None or self._ear.audio_ms < at.after_ms:
            return
        if seen.finalizes >= at.after_finalizes and seen.finals >= at.after_finals:
            self._close_at = None
            self._queue(at.code)

    def _text(self, message: bytes) -> None:
        text = message.decode("utf-8", "replace")
        if self._report.eos:
            self._breach("EOS twice" if text == "EOS" else f"text after EOS: {text[:40]!r}")
            return
        if text == "EOS":
            self._report.eos += 1
            self._end_utterance()
            self._queue(1000)
        elif is_finalize(text):
            self._report.finalizes += 1
            self._close_if_due()
            self._end_utterance()
        else:
            self._breach(f"an unknown text frame: {text[:40]!r}")

    def _end_utterance(self) -> None:
        for heard in self._ear.finalize():
            race = heard.final and self._house.faults.epd_races > 0
            self._house.faults.epd_races -= race
            self._tell(heard, after_ms=0.0 if race else None)

    def _tell(self, heard: Heard, after_ms: float | None = None) -> None:
        faults = self._house.faults
        if not heard.final:
            self._report.interims += 1
            self._queue(message_of(heard, final=False))
            return
        if faults.lost_finals > 0:
            faults.lost_finals -= 1
            self._queue(1011)
            return
        if faults.empty_finals > 0:
            faults.empty_finals -= 1
            heard = Heard(heard.seq, heard.start_ms, heard.duration_ms, True, ())
        delay_ms = self._house.profile.final_ms if after_ms is None else after_ms
        if faults.slow_finals > 0:
            faults.slow_finals -= 1
            delay_ms = faults.slow_final_ms
        self._report.finals += 1
        self._report.utterances.append(heard.text)
        if heard.words:
            self._queue(message_of(heard, final=False), delay_ms / 1000 - PARTIAL_BEFORE_FINAL_S)
        self._queue(message_of(heard, final=True), delay_ms / 1000)
        self._close_if_due()

    def _queue(self, what: str | int | None, delay_s: float = 0.0) -> None:
        """Send in `delay_s`, and never before what was queued earlier."""
        self._last_due = max(self._last_due, self._now() + delay_s)
        self._outgoing.put_nowait((self._last_due, what))

    async def _send(self) -> None:
        while True:
            due, what = await self._outgoing.get()
            if (wait := due - self._now()) > 0:
                await asyncio.sleep(wait)
            self._freeze_if_due()
            if self._frozen:
                continue
            if isinstance(what, str):
                if self._protocol.state is State.OPEN:
                    self._protocol.send_text(what.encode())
                    self._flush()
            elif what is None:
                self._writer.transport.abort()
                return
            else:
                self._close(what)
                return

    def _close(self, code: int) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code)
            self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if self._frozen in (Freeze.SILENT, Freeze.BLOCKED):
                continue
            if data:
                self._writer.write(data)
            elif self._writer.can_write_eof() and not self._writer.is_closing():
                self._writer.write_eof()

    def _breach(self, what: str) -> None:
        self._report.breaches.append(what)
