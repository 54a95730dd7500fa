"""What a caller does in a call, as a list of steps.

A script is a list of steps; as JSON, a list of objects:

    {"say": ["jia-um", 900, "jia-lunch"]}                          utterances by name, pauses in ms between them
    {"tell": ["jia-lunch"], "times": 3}                            wait for the bot, say it; again when it was lost
    {"wait_for_bot": {"quiet_ms": 800, "timeout_ms": 20000}}       until the bot has said something and is done
    {"wait_ms": 500}
    {"press": "1"}
    {"barge_in": ["jia-interrupt"], "after_ms": 700}               speak when the bot has been speaking for so long
    {"murmur": ["jia-yes"], "after_ms": 700}                       the same, without wanting the floor
    {"burst": "cough", "ms": 1200, "after_ms": 700, "snr_db": 0}   a noise over the bot; "from_ms" of its recording
    {"noise": "street", "snr_db": 10}                              from here on; {"noise": null} ends it
    {"network": {"loss": 0.01, "hold_ms": 400}}                    from here on: frames lost, frames arriving in bunches
    {"gap_ms": 10000}                                              no message of Twilio's arrives for so long
    {"silent_ms": 10000}                                           nothing is carried for so long, either way
    {"send": "not json"}                                           this text, as it is, on the media socket
    {"drop": "reset"}                                              the socket goes, or "close"; the caller stays
    {"hang_up": "stop"}                                            "stop" then close; "close" without stop; "reset"

Must not know who plays it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bot.lab.utterances import FIXTURES

BOT_TIMEOUT_MS = 20_000
OVER_BOT_TIMEOUT_MS = 5_000


class ScriptError(Exception):
    """A script that cannot be played."""


@dataclass(frozen=True, slots=True)
class Say:
    """Speak utterances (by name), with pauses in ms between them."""

    parts: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Tell:
    """Wait until the bot is done, speak, and wait until it begins to answer, as somebody who wants to be understood.

    What the line broke under before an answer began, or what got no answer, is said again: `times` in all. With
    `over_ms` the bot is not heard out, but interrupted when it has spoken for so long.
    """

    parts: tuple[str | int, ...]
    times: int = 3
    over_ms: int | None = None
    quiet_ms: int = 800
    timeout_ms: int = BOT_TIMEOUT_MS


@dataclass(frozen=True, slots=True)
class BargeIn:
    """Speak when the bot has been speaking for `after_ms`."""

    parts: tuple[str | int, ...]
    after_ms: int = 700
    timeout_ms: int = BOT_TIMEOUT_MS


@dataclass(frozen=True, slots=True)
class Murmur:
    """Speak as `BargeIn` does, but as a listener does: it is no turn, and the bot should go on."""

    parts: tuple[str | int, ...]
    after_ms: int = 700
    timeout_ms: int = OVER_BOT_TIMEOUT_MS


@dataclass(frozen=True, slots=True)
class Burst:
    """`ms` of a noise, from `from_ms` of its recording on, when the bot has been speaking for `after_ms`."""

    kind: str
    ms: int = 1000
    from_ms: int = 0
    snr_db: float = 5.0
    after_ms: int = 700
    timeout_ms: int = OVER_BOT_TIMEOUT_MS


@dataclass(frozen=True, slots=True)
class WaitForBot:
    """Wait until the bot has said something and has been quiet, with nothing left to play, for `quiet_ms`.

    Given up after `timeout_ms` of waiting, the time while the bot speaks not counted.
    """

    quiet_ms: int = 800
    timeout_ms: int = BOT_TIMEOUT_MS


@dataclass(frozen=True, slots=True)
class Wait:
    """Say nothing for `ms`."""

    ms: int


@dataclass(frozen=True, slots=True)
class Press:
    """Press a key."""

    digit: str


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise around the caller from here on; None ends it."""

    kind: str | None
    snr_db: float = 10.0


@dataclass(frozen=True, slots=True)
class Network:
    """From here on this share of the frames never arrives, and the frames of every `hold_ms` arrive all at once."""

    loss: float = 0.0
    hold_ms: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """No frame arrives for `ms`; what was said meanwhile is lost."""

    ms: int


@dataclass(frozen=True, slots=True)
class Silent:
    """For `ms` the stream that is open carries nothing, either way, and does not close: Twilio's 31924 looks so."""

    ms: int


@dataclass(frozen=True, slots=True)
class Send:
    """A message on the media socket as it is: text, or bytes in a binary frame."""

    message: str | bytes


@dataclass(frozen=True, slots=True)
class Drop:
    """The media socket goes; the caller stays on the line."""

    how: Literal["close", "reset"] = "reset"


@dataclass(frozen=True, slots=True)
class HangUp:
    """The caller hangs up: `stop` and close, close without `stop`, or a TCP reset."""

    how: Literal["stop", "close", "reset"] = "stop"


Step = (
    Say
    | Tell
    | BargeIn
    | Murmur
    | Burst
    | WaitForBot
    | Wait
    | Press
    | Noise
    | Network
    | Gap
    | Silent
    | Send
    | Drop
    | HangUp
)


def script_names(fixtures: Path = FIXTURES) -> list[str]:
    """The scripts of `fixtures/calls`; a name with a point is what was recorded of one."""
    return sorted(path.stem for path in (fixtures / "calls").glob("*.json") if "." not in path.stem)


def load_script(name_or_path: str, fixtures: Path = FIXTURES) -> list[Step]:
    """A script of `fixtures/calls` by name, or any other by path. ScriptError when it is none."""
    path = Path(name_or_path)
    if path.suffix != ".json":
        path = fixtures / "calls" / f"{name_or_path}.json"
    try:
        return script(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise ScriptError(f"no script {name_or_path}: {error}") from error


def script(rows: Iterable[Mapping[str, Any] | Step]) -> list[Step]:
    """Steps from their JSON form; what is a step already stays as it is. ScriptError names a bad row."""
    return [_step(row) if isinstance(row, Mapping) else row for row in rows]


def _step(row: Mapping[str, Any]) -> Step:
    match row:
        case {"say": [*parts], **rest} if not rest:
            return Say(tuple(parts))
        case {"tell": [*parts], **rest} if set(rest) <= {"times", "over_ms", "quiet_ms", "timeout_ms"}:
            return Tell(tuple(parts), **rest)
        case {"barge_in": [*parts], **rest} if set(rest) <= {"after_ms", "timeout_ms"}:
            return BargeIn(tuple(parts), **rest)
        case {"murmur": [*parts], **rest} if set(rest) <= {"after_ms", "timeout_ms"}:
            return Murmur(tuple(parts), **rest)
        case {"burst": str(kind), **rest} if set(rest) <= {"ms", "from_ms", "snr_db", "after_ms", "timeout_ms"}:
            return Burst(kind, **rest)
        case {"wait_for_bot": dict(options), **rest} if not rest and set(options) <= {"quiet_ms", "timeout_ms"}:
            return WaitForBot(**options)
        case {"wait_ms": int(ms), **rest} if not rest:
            return Wait(ms)
        case {"press": str(digit), **rest} if not rest and digit in tuple("0123456789*#"):
            return Press(digit)
        case {"noise": str() | None as kind, **rest} if set(rest) <= {"snr_db"}:
            return Noise(kind, **rest)
        case {"network": dict(options), **rest} if not rest and set(options) <= {"loss", "hold_ms"}:
            return Network(**options)
        case {"gap_ms": int(ms), **rest} if not rest:
            return Gap(ms)
        case {"silent_ms": int(ms), **rest} if not rest:
            return Silent(ms)
        case {"send": str(message), **rest} if not rest:
            return Send(message)
        case {"drop": "close" | "reset" as how, **rest} if not rest:
            return Drop(how)
        case {"hang_up": "stop" | "close" | "reset" as how, **rest} if not rest:
            return HangUp(how)
        case _:
            raise ScriptError(f"no step of a script: {dict(row)}")
