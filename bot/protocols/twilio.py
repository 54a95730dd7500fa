"""Twilio Media Streams, from the app's side of the socket: text frames in, events out; audio in, text frames out.

Must not know sockets, clocks, or what is talked about.

The rules of this file
----------------------
One `MediaStream` belongs to one socket. Twilio's messages come in this order:

    connected     once, first; has no streamSid
    start         once; names the stream, the call, the format of the audio and our own <Parameter>s
    media dtmf mark   any number, in any order
    stop          at most once; a socket may also close, or break, without it

and the order is kept by the table `_NEXT`: a pair of state and event that is not in it is the peer's fault. The one
looseness is that `start` is taken without `connected`, on which nothing depends.

We may send `media`, `mark` and `clear`, only between `start` and `stop`, since each must carry the streamSid. Twilio is
strict there: a message with a missing, extra or misspelt field is dropped with a warning that only its console shows
(31951), and the caller hears nothing. So what goes out is built here, whole, from checked values, and nowhere else.

What comes in is read loosely. Numbers may be numbers or strings (Twilio sends "timestamp": "155"). Unknown events are
`Ignored`, unknown fields are not looked at. `sequenceNumber` and `chunk` are not read at all: the stream is ordered by
the socket, gaps are told by `timestamp`, and that is no multiple of 20 and does not begin at 0.

An echoed mark means that all before it was played *or cleared*; telling the two apart is not this file's business.

Errors are of two kinds. `RemoteProtocolError`: the peer broke the rules; the message has no effect, and the stream goes
on as if it had not come. `LocalProtocolError`: we misused the object; there is a bug to mend.

Source: Twilio's page "Media Streams - WebSocket messages", and captured traffic where the page says nothing.
"""

from base64 import b64encode
from dataclasses import dataclass
from enum import Enum, auto
from typing import Annotated, Literal

import msgspec

from bot.audio.frames import MULAW_FRAME_BYTES, MULAW_HZ
from bot.errors import LocalProtocolError, RemoteProtocolError

LONGEST_MESSAGE_CHARS = 64 * 1024
KEYS = frozenset("0123456789*#")


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket is Twilio's. Nothing may be sent yet."""


@dataclass(frozen=True, slots=True)
class Started:
    """The stream has begun; `parameters` are the <Parameter>s of our TwiML."""

    stream_sid: str
    call_sid: str
    account_sid: str
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class Media:
    """Audio of the caller: µ-law at 8 kHz, 160 B as a rule. `at_ms` is `media.timestamp`, never less than the last."""

    at_ms: int
    mulaw: bytes


@dataclass(frozen=True, slots=True)
class KeyDown:
    """The caller pressed a key: one of 0-9, *, #."""

    digit: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark of ours came back: what was sent before it was played, or cleared."""

    name: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The stream is over: the caller hung up, or the call was moved elsewhere."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message that means nothing to us and breaks nothing; `why` holds nothing that was said."""

    why: str


Inbound = Connected | Started | Media | KeyDown | Mark | Stopped | Ignored


class _State(Enum):
    NEW = auto()
    CONNECTED = auto()
    STREAMING = auto()
    STOPPED = auto()


_NEXT: dict[tuple[_State, str], _State] = {
    (_State.NEW, "connected"): _State.CONNECTED,
    (_State.NEW, "start"): _State.STREAMING,
    (_State.CONNECTED, "start"): _State.STREAMING,
    (_State.STREAMING, "media"): _State.STREAMING,
    (_State.STREAMING, "dtmf"): _State.STREAMING,
    (_State.STREAMING, "mark"): _State.STREAMING,
    (_State.STREAMING, "stop"): _State.STOPPED,
}
_KNOWN_EVENTS = frozenset(event for _, event in _NEXT)

_Sid = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9]{1,64}\Z")]
_Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=24 * 3_600_000)]


class _Format(msgspec.Struct, rename="camel"):
    encoding: str = "audio/x-mulaw"
    sample_rate: int = MULAW_HZ
    channels: int = 1


class _Start(msgspec.Struct, rename="camel"):
    call_sid: _Sid
    stream_sid: _Sid | None = None
    account_sid: str = ""
    media_format: _Format = msgspec.field(default_factory=_Format)
    custom_parameters: dict[str, str] = {}


class _Media(msgspec.Struct):
    timestamp: _Milliseconds
    payload: bytes
    track: str = "inbound"


class _Key(msgspec.Struct):
    digit: str | int


class _Label(msgspec.Struct):
    name: str


class _Message(msgspec.Struct, rename="camel"):
    event: str
    stream_sid: _Sid | None = None
    start: _Start | None = None
    media: _Media | None = None
    dtmf: _Key | None = None
    mark: _Label | None = None


class _EventOnly(msgspec.Struct):
    event: str


_decode_message = msgspec.json.Decoder(_Message, strict=False).decode
_decode_event = msgspec.json.Decoder(_EventOnly).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)


class MediaStream:
    """One media stream, over one socket."""

    def __init__(self) -> None:
        self.stream_sid: str | None = None
        """Twilio's name of the stream; None before `start`."""
        self._state = _State.NEW
        self._at_ms = 0
        self._head = ""

    def receive(self, message: str | bytes) -> Inbound:
        """Read one message from the socket (str for a text frame, bytes for a binary one).

        RemoteProtocolError, without any effect on the stream, for what is not a Media Streams message, or comes out of
        order, or belongs to another stream.
        """
        if isinstance(message, bytes):
            raise RemoteProtocolError("a binary frame")
        if len(message) > LONGEST_MESSAGE_CHARS:
            raise RemoteProtocolError(f"a message of {len(message)} characters")
        try:
            parsed = _decode_message(message)
        except _UNREADABLE:
            return _unknown_event(message)
        event = parsed.event
        if event not in _KNOWN_EVENTS:
            return Ignored("unknown event")
        state = _NEXT.get((self._state, event))
        if state is None:
            raise RemoteProtocolError(f"{event} while {self._state.name}")
        if self.stream_sid is not None and parsed.stream_sid is not None and parsed.stream_sid != self.stream_sid:
            raise RemoteProtocolError(f"{event} of another stream")
        inbound = self._media(parsed.media) if event == "media" else self._other(parsed)
        self._state = state
        return inbound

    def media(self, mulaw: bytes, sentence: str = "") -> str:
        """The message that plays this audio after all that was sent before: whole frames of 160 B of µ-law.

        Twilio is told by marks which `sentence` it is.
        """
        if not mulaw or len(mulaw) % MULAW_FRAME_BYTES:
            raise LocalProtocolError(
                f"audio goes out in whole frames of {MULAW_FRAME_BYTES} bytes, not {len(mulaw)} bytes"
            )
        payload = b64encode(mulaw).decode("ascii")
        return f'{self._sendable("media")},"media":{{"payload":"{payload}"}}}}'

    def mark(self, name: str) -> str:
        """The message that makes Twilio give back `name` when all audio sent before was played or cleared."""
        if not name:
            raise LocalProtocolError("a mark without a name")
        return f'{self._sendable("mark")},"mark":{{"name":{_quoted(name)}}}}}'

    def clear(self) -> str:
        """The message that drops all audio not yet played; every pending mark is then echoed."""
        return self._sendable("clear") + "}"

    def _sendable(self, event: Literal["media", "mark", "clear"]) -> str:
        if self._state is not _State.STREAMING:
            raise LocalProtocolError(f"{event} sent while {self._state.name}")
        return f'{{"event":"{event}",{self._head}'

    def _media(self, media: _Media | None) -> Inbound:
        if media is None:
            raise RemoteProtocolError("media without its contents")
        if media.track != "inbound":
            return Ignored("audio of another track")
        if not media.payload:
            return Ignored("empty payload")
        self._at_ms = max(self._at_ms, media.timestamp)
        return Media(self._at_ms, media.payload)

    def _other(self, message: _Message) -> Inbound:
        match message:
            case _Message(event="connected"):
                return Connected()
            case _Message(event="start", start=_Start() as start):
                return self._start(start, message.stream_sid)
            case _Message(event="dtmf", dtmf=_Key(digit=digit)):
                return KeyDown(str(digit)) if str(digit) in KEYS else Ignored("no key of a telephone")
            case _Message(event="mark", mark=_Label(name=name)):
                return Mark(name)
            case _Message(event="stop"):
                return Stopped()
            case _:
                raise RemoteProtocolError(f"{message.event} without its contents")

    def _start(self, start: _Start, outer_sid: str | None) -> Started:
        stream_sid = start.stream_sid or outer_sid
        if stream_sid is None or outer_sid not in (None, stream_sid):
            raise RemoteProtocolError("start does not say which stream")
        if start.media_format != _Format():
            raise RemoteProtocolError("audio other than µ-law at 8 kHz, one channel")
        self.stream_sid = stream_sid
        self._head = f'"streamSid":{_quoted(stream_sid)}'
        return Started(stream_sid, start.call_sid, start.account_sid, dict(start.custom_parameters))


def _quoted(text: str) -> str:
    try:
        return msgspec.json.encode(text).decode("utf-8")
    except UnicodeEncodeError as error:
        raise LocalProtocolError("text that is no Unicode") from error


def _unknown_event(message: str) -> Ignored:
    """What could not be read as a message of ours: tolerated if it is an object with an event that we do not know."""
    try:
        event = _decode_event(message).event
    except _UNREADABLE as error:
        raise RemoteProtocolError("not a Media Streams message") from error
    if event in _KNOWN_EVENTS:
        raise RemoteProtocolError(f"a malformed {event}")
    return Ignored("unknown event")
