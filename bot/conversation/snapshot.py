"""Where a call is, in writing: what another process needs to go on with the talk in the same stage.

It holds nothing that was forgotten, and not the talk itself: what was said and heard is kept turn by turn. Every field
has a default, and what a release does not know it passes over, so that old and new ones can read each other.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec


class Stage(StrEnum):
    """Where the talk is."""

    TALK = "talk"
    WRITING = "writing"
    APPROVAL = "approval"
    CORRECTION = "correction"
    GOODBYE = "goodbye"


@dataclass(frozen=True, slots=True)
class Part:
    """Something that was told, or that corrects the entry."""

    text: str
    corrects: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """The entry that was written last, as draft number `draft`."""

    draft: int
    title: str
    body: str
    mood: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One call between two steps."""

    handed_over: bool = False
    """The stream was closed at the end of a sentence and every word was kept; else it may have broken in the middle."""
    turn: int = -1
    """The last turn that the rest of this knows of; a later one was said and not taken up."""
    answered: bool = True
    """The caller has heard a sentence of the answer to that turn."""
    unheard: tuple[str, ...] = ()
    """What the bot was going to say and was not heard to its end."""
    last_said: tuple[str, ...] = ()
    """What the bot says again when it is asked to."""
    stage: Stage = Stage.TALK
    reopenable: bool = False
    parts: tuple[Part, ...] = ()
    changes: int = 0
    drafted: int = 0
    settled: int = 0
    entry: Written | None = None
    entry_stands: bool = False
    """An entry is kept that holds all that was told."""
    draft: int = 0
    silences: int = 0
    held: bool = False
    """The caller broke the read-back off, to be waited for."""
    patience_ms: int = 0
    """The caller asked to be waited for so long."""
    discarded: bool = False
    day_discarded: bool = False
    why: str = ""
    """Why the goodbye is said."""
    notice: str = ""
    """What a first caller has to be told and has not heard yet."""
    pace: float = 1.0
    gain_db: float = 0.0
    spent_ms: int = field(default=0, compare=False)
    """How long the call has lasted on all its streams."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Snapshot)


def encode(snapshot: Snapshot) -> str:
    """Write it as JSON."""
    return _encoder.encode(snapshot).decode()


def decode(text: str) -> Snapshot | None:
    """Read what `encode` wrote; None: it is no snapshot that this release can read."""
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, ValueError):
        return None
