"""The messages of a talk in a browser: what a client may send, and what it is answered with.

Must not know in which order they come, or what they are for: that is `browser.py`. What comes in is read exactly: every
type must fit, and no field may be there that is not known, since a misspelt one would be passed over in silence.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Literal, NoReturn

import msgspec

from bot.audio.forms import WIDE
from bot.audio.frames import PCM_HZ
from bot.audio.resample import HIGHEST_HZ, LOWEST_HZ
from bot.conversation.texts import table
from bot.errors import RemoteProtocolError

LONGEST_MESSAGE_CHARS = 48 * 1024
LONGEST_TEXT = 1_000

_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\Z"
_SENTENCE = r"^(aside:)?[0-9]{1,9}(:[0-9]{1,9})?\Z"
_PLACE = re.compile(r"`\$\.?([A-Za-z.]{0,40})`|field `([A-Za-z]{0,40})`")


class Fault(StrEnum):
    """What can be wrong; each has its sentence in bot/texts/browser.toml."""

    INVALID_JSON = "INVALID_JSON"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    INVALID_MESSAGE = "INVALID_MESSAGE"
    INVALID_AUDIO = "INVALID_AUDIO"
    TOO_LONG = "TOO_LONG"
    TOO_FAST = "TOO_FAST"
    WRONG_ORDER = "WRONG_ORDER"
    NO_SESSION = "NO_SESSION"
    NO_INIT = "NO_INIT"
    SIGNED_OUT = "SIGNED_OUT"
    TOO_MANY = "TOO_MANY"
    NO_PLACE = "NO_PLACE"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    RECOGNISER_UNAVAILABLE = "RECOGNISER_UNAVAILABLE"
    TOO_MANY_FAULTS = "TOO_MANY_FAULTS"


_CAN_BE_TRIED_AGAIN = frozenset(
    {
        Fault.NO_SESSION,
        Fault.NO_INIT,
        Fault.TOO_MANY,
        Fault.NO_PLACE,
        Fault.STORE_UNAVAILABLE,
        Fault.RECOGNISER_UNAVAILABLE,
    }
)


class BadMessage(RemoteProtocolError):
    """A message that breaks the protocol; `where` is the field that does, if it is one."""

    def __init__(self, fault: Fault, where: str = "") -> None:
        super().__init__(f"{fault} {where}".strip())
        self.fault = fault
        self.where = where


# ── what comes in ────────────────────────────────────────────────────────────────────────────────────────────────────

_Rate = Annotated[int, msgspec.Meta(ge=LOWEST_HZ, le=HIGHEST_HZ)]
_Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=3_600_000)]


class Config(msgspec.Struct, rename="camel", frozen=True, forbid_unknown_fields=True):
    """How the client speaks: `auto` is Korean; `sample_rate` in Hz is that of what it sends."""

    language: Annotated[str, msgspec.Meta(pattern=r"^(auto|[a-z]{2,3})\Z")] = "auto"
    use_whisper: bool = False
    sample_rate: _Rate = PCM_HZ


class Heard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The page has played `ms` of a sentence, and all sentences before it whole."""

    sentence: Annotated[str, msgspec.Meta(pattern=_SENTENCE)]
    ms: _Milliseconds


class Init(msgspec.Struct, tag="init", rename="camel", frozen=True, forbid_unknown_fields=True):
    """The client wants to talk, or with `session_id` to go on with a talk."""

    config: Config
    session_id: Annotated[str, msgspec.Meta(pattern=_UUID)] | None = None


class Audio(msgspec.Struct, tag="audio", frozen=True, forbid_unknown_fields=True):
    """Sound of the person, and what they have heard."""

    audio: bytes
    heard: Heard | None = None


class Text(msgspec.Struct, tag="text", frozen=True, forbid_unknown_fields=True):
    """A turn that is typed."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_TEXT, pattern=r"\S")]


class Stop(msgspec.Struct, tag="interrupt", frozen=True, forbid_unknown_fields=True):
    """The person has pressed stop."""

    heard: Heard | None = None


class End(msgspec.Struct, tag="end", frozen=True, forbid_unknown_fields=True):
    """The talk is over."""


FromClient = Init | Audio | Text | Stop | End
_decode: Callable[[str], FromClient] = msgspec.json.Decoder(FromClient).decode


# ── what goes out ────────────────────────────────────────────────────────────────────────────────────────────────────


class ConnectedTo(msgspec.Struct, tag="connected", rename="camel"):
    """The talk has begun, or goes on; `sample_rate` in Hz is that of the bot's sound."""

    session_id: str
    resumed: bool
    sample_rate: int = WIDE.rate_hz


class Transcript(msgspec.Struct, tag="transcript"):
    """What was said so far, or with `final` for good."""

    speaker: Literal["user", "bot"]
    text: str
    final: bool


class Sounds(msgspec.Struct, tag="audio", omit_defaults=True):
    """Sound of the bot; with the first of a sentence comes what it says."""

    audio: bytes
    sentence: str
    text: str = ""


class Interrupted(msgspec.Struct, tag="interrupted"):
    """What was not played yet is to be dropped; so much was heard of what the bot was saying."""

    heard: str


class Failure(msgspec.Struct, tag="error"):
    """Something is wrong."""

    code: str
    message: str
    retry: bool


encode = msgspec.json.Encoder().encode


def failure(fault: Fault, where: str = "") -> str:
    """The message that tells what is wrong; with `retry` the same may go well later, or with a new init."""
    said = table("browser")["faults"][fault].format(where=where or "?")
    return encode(Failure(fault.value, said, fault in _CAN_BE_TRIED_AGAIN)).decode()


def transcript(speaker: Literal["user", "bot"], text: str, *, final: bool) -> str:
    """The message with what was said so far, or with `final` for good."""
    return encode(Transcript(speaker, text, final)).decode()


def parse(message: str | bytes) -> FromClient:
    """Read one message, a text frame of the socket. BadMessage."""
    if isinstance(message, bytes):
        raise BadMessage(Fault.INVALID_JSON)
    if len(message) > LONGEST_MESSAGE_CHARS:
        raise BadMessage(Fault.TOO_LONG)
    try:
        return _decode(message)
    except msgspec.ValidationError as error:
        _refuse(str(error))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise BadMessage(Fault.INVALID_JSON) from None


def _refuse(reason: str) -> NoReturn:
    """BadMessage for a message that is JSON; only the name of a field is taken from what msgspec says."""
    found = _PLACE.search(reason)
    where = (found[1] or found[2] or "") if found else ""
    if where == "type":
        raise BadMessage(Fault.UNKNOWN_TYPE)
    if where == "audio" and "base64" in reason:
        raise BadMessage(Fault.INVALID_AUDIO, where)
    raise BadMessage(Fault.INVALID_MESSAGE, where)
