"""A telephone line of a load: as `line.Line`, for hundreds of them on one core.

The caller and what Twilio plays are those of the single call (`caller.Caller`, `playback.Playback`). The socket is
shaken hands with as Twilio does, and then spoken by hand: a client's frame is masked with zeros, which costs a server
the same as any other mask. Nothing is recorded, and nothing is noted but what a load is about. Whoever drives it calls
`tick` every 20 ms. It must not know how many others there are.
"""

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from websockets.asyncio.client import ClientConnection

from bot.audio.frames import FRAME_MS
from bot.lab import messages
from bot.lab.acts import Act, GaveUpWaiting, SaidFrame, TurnBegan, TurnEnded
from bot.lab.caller import Caller
from bot.lab.inspection import Clear, Inspector, Label, Sound
from bot.lab.level import is_audible
from bot.lab.line import FIRST_TIMESTAMP_MS
from bot.lab.playback import Playback, Tick
from bot.lab.script import HangUp

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
_NO_MASK = bytes(4)
_MEDIA = (
    b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d","timestamp":"%d",'
    b'"payload":"%s"},"streamSid":"%s"}'
)
"""As `messages.media` makes it."""

_payload = lru_cache(maxsize=50_000)(b64encode)
"""All lines say the same frames."""


@dataclass(slots=True)
class Heard:
    """What one line saw. Latencies from the caller's last voiced frame to the bot's first audible one, in ms."""

    voice_to_voice_ms: list[int] = field(default_factory=list)
    unanswered: int = 0
    gaps_ms: list[int] = field(default_factory=list)
    """Silence in the middle of a piece of a reply: more of it was to be heard, and was not there."""
    breaches: list[str] = field(default_factory=list)
    close_code: int | None = None
    told: list[str] = field(default_factory=list)
    """What the caller has said to its end."""

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """How many turns were answered and not answered so far, how many gaps there were, and how many breaches."""
        return len(self.voice_to_voice_ms), self.unanswered, len(self.gaps_ms), len(self.breaches)


class LoadSocket(asyncio.Protocol):
    """A client's WebSocket after its handshake; `take` gets each text message."""

    def __init__(self, transport: asyncio.Transport, take: Callable[[bytes], None]) -> None:
        self.close_code: int | None = None
        self._transport = transport
        self._take = take
        self._waiting = b""

    @classmethod
    def over(cls, ws: ClientConnection, take: Callable[[bytes], None]) -> "LoadSocket":
        """Take a connection over from `websockets`, on which nothing has come yet."""
        assert isinstance(ws.transport, asyncio.Transport)
        socket = cls(ws.transport, take)
        ws.transport.set_protocol(socket)
        return socket

    def send(self, text: bytes, opcode: int = TEXT) -> None:
        """Send a message in one frame."""
        size = len(text)
        if self.close_code is not None:
            return
        head = (0x80 | size).to_bytes() if size < 126 else b"\xfe" + size.to_bytes(2)
        self._transport.write((0x80 | opcode).to_bytes() + head + _NO_MASK + text)

    def close(self) -> None:
        """Close it, as one who hangs up."""
        self.send((1000).to_bytes(2), CLOSE)
        self._end(1000)

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        for opcode, content in self._frames(data):
            if opcode == TEXT:
                self._take(content)
            elif opcode == PING:
                self.send(content, PONG)
            elif opcode == CLOSE:
                self._end(int.from_bytes(content[:2]) or 1005)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._end(1006)

    def _end(self, code: int) -> None:
        if self.close_code is None:
            self.close_code = code
            self._transport.close()

    def _frames(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The whole frames so far; a server masks none, and divides none as short as ours."""
        data = self._waiting + data
        at, end = 0, len(data)
        while end - at >= 2:
            size, begins = data[at + 1], at + 2
            if size >= 126:
                begins += 2 if size == 126 else 8
                if begins > end:
                    break
                size = int.from_bytes(data[at + 2 : begins])
            if begins + size > end:
                break
            yield data[at] & 0xF, data[begins : begins + size]
            at = begins + size
        self._waiting = data[at:]


class LoadLine:
    """One stream of one call."""

    def __init__(
        self, ws: ClientConnection, caller: Caller, *, sids: dict[str, Any], parameters: dict[str, str]
    ) -> None:
        self.heard = Heard()
        self.is_over = False
        self.call_sid: str = sids["call_sid"]
        self._sids = sids
        self._stream = sids["stream_sid"].encode()
        self._caller = caller
        self._acts: Generator[Act, None, None] = caller.acts()
        self._playback = Playback()
        self._inspector = Inspector(sids["stream_sid"], self.heard.breaches.append)
        self._inspector.streaming = True
        self._socket = LoadSocket.over(ws, self._take)
        self._sequence = self._frame = 0
        self._said: bytes | None = None
        self._spoke_at: int | None = None
        self._voiced_at = 0
        self._is_in_vain = False
        self._says = ""
        self._dry = 0
        self._is_between = True
        self._send(messages.connected())
        self._send_numbered(messages.start(parameters=parameters, **sids))

    def tick(self) -> None:
        """20 ms of both directions."""
        if self._socket.close_code is not None:
            self.heard.close_code, self.is_over = self._socket.close_code, True
            return
        self._carry()
        tick = self._playback.tick()
        for name in tick.echoed:
            self._echo(name)
        self._listen(tick)
        for act in self._acts:
            match act:
                case SaidFrame():
                    self._say(act)
                    return
                case TurnBegan(text):
                    self._spoke_at, self._is_in_vain, self._says = None, False, text
                case TurnEnded():
                    self._spoke_at = self._voiced_at
                    self.heard.told.append(self._says)
                case GaveUpWaiting():
                    # Who was not answered waits once more before the next turn.
                    self.heard.unanswered += not self._is_in_vain
                    self._is_in_vain = True
                case HangUp():
                    break
        self.hang_up()

    def hang_up(self) -> None:
        """End the stream, as Twilio does when the caller is gone."""
        if not self.is_over:
            self._send_numbered(messages.stop(**self._sids))
            self._socket.close()
            self.heard.close_code, self.is_over = 1000, True

    def _listen(self, tick: Tick) -> None:
        audible = tick.was_sent and not tick.is_aside and is_audible(tick.frame)
        self._caller.ear.listen(audible, self._playback.is_idle)
        if audible and self._spoke_at is not None and self._caller.ear.heard:
            self.heard.voice_to_voice_ms.append((self._frame - self._spoke_at) * FRAME_MS)
            self._spoke_at = None
        if tick.echoed:
            self._is_between, self._dry = True, 0
        if not tick.was_sent:
            self._dry += not self._is_between
            return
        if self._dry:
            self.heard.gaps_ms.append(self._dry * FRAME_MS)
        self._is_between, self._dry = False, 0

    def _say(self, said: SaidFrame) -> None:
        self._frame += 1
        if said.voiced:
            self._voiced_at = self._frame
        self._said = said.mulaw

    def _carry(self) -> None:
        """Send what was said in the last 20 ms: only now is it whole."""
        if self._said is None:
            return
        self._sequence += 1
        at_ms = FIRST_TIMESTAMP_MS + self._frame * FRAME_MS
        self._socket.send(_MEDIA % (self._sequence, self._frame, at_ms, _payload(self._said), self._stream))

    def _take(self, message: bytes) -> None:
        match self._inspector.read(message.decode()):
            case Sound(mulaw):
                self._playback.media(mulaw)
            case Label(name):
                for passed in self._playback.mark(name):
                    self._echo(passed)
                    self._is_between, self._dry = True, 0
            case Clear():
                for dropped in self._playback.clear():
                    self._echo(dropped)
                self._is_between, self._dry = True, 0

    def _echo(self, name: str) -> None:
        self._send_numbered(messages.mark(name, stream_sid=self._sids["stream_sid"]))

    def _send_numbered(self, message: dict[str, Any]) -> None:
        self._sequence += 1
        self._send(message | {"sequenceNumber": str(self._sequence)})

    def _send(self, message: dict[str, Any]) -> None:
        self._socket.send(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode())
