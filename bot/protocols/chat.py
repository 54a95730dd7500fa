"""The text chat on the wire, without the wire: one message up, five kinds of event down; JSON, the same for both doors.

A client sends `{"type": "message", "message_id": uuid, "content": text, "session_id"?: id}`. Sessions are made here:
the id is one that a `stream_start` told, or "new", or it is absent (null), and then the session is the one that the
socket is in, or that its address names with `?session_id=`, or else a new one. A session that is not the person's own,
or that nobody used for half an hour, is a WS-002: the connection lives, and "new" begins another.

The same `message_id` with the same content is answered once, and from then on with the same answer; an answer that
broke off is made anew, from its `stream_start`. With another content it is a WS-002.

The answer to a message is one of these, all with its `message_id`:

    stream_start  stream_token…  stream_sources  stream_end
    stream_start  stream_token…  stream_error
    stream_error

`stream_error` has no `message_id` (null) when the message had none that could be read. Its `reason` is one of `Fault`,
and finer than its `error_code`: at `unknown_session`, and at no other, a client forgets its session. Events of two
messages may be mixed on one socket. Knows no sockets, clocks or diaries; what is said to a person is in
bot/texts/chat.toml.
"""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec

from bot.conversation import texts
from bot.errors import RemoteProtocolError

MOST_LETTERS = 10_000
NEW_SESSION, NO_SESSION = "new", "-"
_FIELDS = ("message_id", "content", "session_id", "type")
_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\Z"
_SESSION_ID = r"^[0-9a-zA-Z_-]{1,64}\Z"
_MessageId = Annotated[str, msgspec.Meta(pattern=_UUID)]


class Fault(StrEnum):
    """What can go wrong; each has its code, message and solutions in bot/texts/chat.toml."""

    NOT_JSON = "not_json"
    NOT_A_MESSAGE = "not_a_message"
    BAD_MESSAGE_ID = "bad_message_id"
    BAD_CONTENT = "bad_content"
    BAD_SESSION_ID = "bad_session_id"
    UNKNOWN_SESSION = "unknown_session"
    OTHER_CONTENT = "other_content"
    SIGNED_OUT = "signed_out"
    NOT_OURS = "not_ours"
    NOT_READY = "not_ready"
    INTERNAL = "internal"
    MODEL_FAILED = "model_failed"
    TOO_SLOW = "too_slow"
    LINE_FULL = "line_full"
    TOO_OFTEN = "too_often"
    SEARCH_FAILED = "search_failed"


class Message(msgspec.Struct, frozen=True):
    """What a person asks; `content` has a letter at least, `message_id` is as the client spells it."""

    type: Literal["message"]
    message_id: _MessageId
    content: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_LETTERS, pattern=r"\S")]
    session_id: Annotated[str, msgspec.Meta(pattern=_SESSION_ID)] | None = None


def named_session(address: str | None) -> str | None:
    """The session that an address names; for what can be the id of none, a name that nobody has."""
    if not address:
        return None
    return address if re.fullmatch(_SESSION_ID, address) else NO_SESSION


class BadMessage(RemoteProtocolError):
    """A message that breaks the protocol; `message_id` is None when it had none."""

    def __init__(self, fault: Fault, message_id: str | None = None) -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.message_id = message_id


class Metadata(msgspec.Struct, frozen=True):
    """Where a source is from: the day it is about (ISO 8601), its id in the diary, and what it is."""

    date: str
    id: str
    kind: str


class Source(msgspec.Struct, frozen=True):
    """What an answer used; `score` is from 0 to 1."""

    title: str
    content: str
    score: float
    metadata: Metadata


class StreamStart(msgspec.Struct, frozen=True, tag_field="type", tag="stream_start"):
    """An answer begins; `timestamp` is UTC."""

    message_id: str
    session_id: str
    timestamp: datetime


class StreamToken(msgspec.Struct, frozen=True, tag_field="type", tag="stream_token"):
    """A piece of its text; `index` counts from 0."""

    message_id: str
    token: str
    index: int


class StreamSources(msgspec.Struct, frozen=True, tag_field="type", tag="stream_sources"):
    """What it used, in the order of use; may be empty."""

    message_id: str
    sources: list[Source]


class StreamEnd(msgspec.Struct, frozen=True, tag_field="type", tag="stream_end"):
    """It is whole. `total_tokens` is the number of its `stream_token` events."""

    message_id: str
    total_tokens: int
    processing_time_ms: int


class StreamError(msgspec.Struct, frozen=True, tag_field="type", tag="stream_error"):
    """There is no answer, or no more of it: `message` says so to a person, `solutions` what they can do."""

    message_id: str | None
    error_code: str
    message: str
    solutions: list[str]
    reason: Fault


Event = StreamStart | StreamToken | StreamSources | StreamEnd | StreamError

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Message)
_NAMES: dict[type[Event], str] = {
    StreamStart: "stream_start",
    StreamToken: "stream_token",
    StreamSources: "stream_sources",
    StreamEnd: "stream_end",
    StreamError: "stream_error",
}


def parse(text: str | bytes) -> Message:
    """Read a message; BadMessage says which of the rules it breaks."""
    try:
        return _decoder.decode(text)
    except msgspec.ValidationError as error:
        raise BadMessage(_fault_of(str(error)), _message_id_of(text)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(Fault.NOT_JSON) from error


def failure(fault: Fault, message_id: str | None) -> StreamError:
    """The event that tells a person what went wrong."""
    told = texts.table("chat")["faults"][fault.value]
    return StreamError(message_id, told["code"], told["message"], list(told["solutions"]), fault)


def encode(event: Event) -> str:
    """One event as the text of a WebSocket message."""
    return _encoder.encode(event).decode()


def encode_sse(event: Event) -> bytes:
    """The same event as a server-sent event, whose name is its type. Source: WHATWG HTML, "Server-sent events"."""
    return f"event: {_NAMES[type(event)]}\ndata: ".encode() + _encoder.encode(event) + b"\n\n"


def _fault_of(error: str) -> Fault:
    """Which field a ValidationError is about: it names a missing one in backticks, a wrong one by its path."""
    for name in _FIELDS:
        if f"`$.{name}`" in error or f"field `{name}`" in error:
            return {
                "message_id": Fault.BAD_MESSAGE_ID,
                "content": Fault.BAD_CONTENT,
                "session_id": Fault.BAD_SESSION_ID,
            }.get(name, Fault.NOT_A_MESSAGE)
    return Fault.NOT_A_MESSAGE


class _WithId(msgspec.Struct):
    message_id: Any = None


def _message_id_of(text: str | bytes) -> str | None:
    try:
        found = msgspec.json.decode(text, type=_WithId).message_id
    except (msgspec.MsgspecError, RecursionError):
        return None
    return found if isinstance(found, str) and re.fullmatch(_UUID, found) else None
