"""What a caller does, act by act: `caller.py` yields it, and `line.py`, `tape.py` and `witness.py` match on it.

Everything between two `SaidFrame`s happens at once. Must not know why a caller does it, or sockets.
"""

from dataclasses import dataclass

from bot.audio.frames import MULAW_FRAME_BYTES, MULAW_SILENCE
from bot.lab.script import Drop, HangUp, Press, Send, Silent

SILENT_FRAME = MULAW_SILENCE * MULAW_FRAME_BYTES


@dataclass(frozen=True, slots=True)
class SaidFrame:
    """20 ms of the caller's line; None when the frame never arrives. `voiced`: some of the caller's speech is in it.

    `held`: it arrives together with the next frame, and with all that are held before it.
    """

    mulaw: bytes | None
    voiced: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class TurnBegan:
    """The caller begins to say this, made of these utterances and pauses."""

    text: str
    parts: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class PauseBegan:
    """The caller pauses in the middle of a turn."""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The caller is done with it."""


@dataclass(frozen=True, slots=True)
class DisturbanceBegan:
    """The caller makes a sound over the bot, and does not want the floor."""

    what: str


@dataclass(frozen=True, slots=True)
class DisturbanceEnded:
    """It is over."""


@dataclass(frozen=True, slots=True)
class SaidAgain:
    """The caller has to tell something once more: it did not arrive, or nobody answered."""


@dataclass(frozen=True, slots=True)
class GaveUpWaiting:
    """The bot was waited for in vain."""


Act = (
    SaidFrame
    | Press
    | Silent
    | Send
    | Drop
    | HangUp
    | TurnBegan
    | PauseBegan
    | TurnEnded
    | DisturbanceBegan
    | DisturbanceEnded
    | SaidAgain
    | GaveUpWaiting
)
