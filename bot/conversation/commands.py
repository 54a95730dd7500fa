"""What a talk may ask of the shells. The core decides; `call.py` carries out, in order."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from bot.conversation.habit import PauseHabit
from bot.conversation.snapshot import Snapshot, Written
from bot.conversation.waterfall import Waterfall


class Mood(StrEnum):
    """The moods an entry can have."""

    JOY = "기쁨"
    CALM = "평온"
    GRATITUDE = "감사"
    EXCITEMENT = "설렘"
    PRIDE = "뿌듯함"
    TIRED = "피곤"
    SAD = "슬픔"
    ANGRY = "화남"
    ANXIOUS = "불안"
    LONELY = "외로움"
    ORDINARY = "보통"


class Status(StrEnum):
    """What became of an entry."""

    DRAFT = "draft"
    APPROVED = "approved"
    UNCONFIRMED = "unconfirmed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One thing said in the talk: by the caller, or by the bot as far as it was heard."""

    who: Literal["caller", "bot"]
    text: str


@dataclass(frozen=True, slots=True)
class Manner:
    """How the bot speaks: `pace` 1.0 is its own, 0.8 is slower; `gain_db` makes it louder."""

    pace: float = 1.0
    gain_db: float = 0.0


@dataclass(frozen=True, slots=True)
class Recognise:
    """Give 16 kHz PCM of the caller to the recogniser, at once if it is `urgent`: words are expected.

    Then it counts as voice, too: what of it has no final is sent again, and no word at all shows a deaf recogniser.
    """

    pcm: bytes
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Finalize:
    """Tell the recogniser that the utterance is over."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Have the model answer `history`, whose last exchange is the caller's; speak it as `reply`, behind `lead`."""

    reply: int
    history: tuple[Exchange, ...]
    lead: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Say:
    """Speak these sentences as reply `reply`."""

    reply: int
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prepare:
    """As `Reply`, but let nothing of it be heard before `Play`: the caller may not be done, and it may be dropped."""

    reply: int
    history: tuple[Exchange, ...]
    lead: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Play:
    """Let the prepared reply `reply` be heard from now on."""

    reply: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Feed no more of reply `reply`, and keep all of it. What waits at Twilio runs dry; `AudioSent` tells how far."""

    reply: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with reply `reply` from the very frame at which it paused."""

    reply: int


@dataclass(frozen=True, slots=True)
class Interject:
    """Say a short sound of listening from the cache, outside of any reply; it takes no turn and is no history."""

    text: str


@dataclass(frozen=True, slots=True)
class ChangeManner:
    """From the next thing said on, speak like this."""

    manner: Manner


@dataclass(frozen=True, slots=True)
class StopSpeaking:
    """Cancel reply `reply`, prepared or live: no more of it is made or sent, what waits at the ear is cleared.

    `heard` is what was heard of it.
    """

    reply: int
    heard: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class KeepSaid:
    """Commit what the caller said in turn `turn` (from 0), between two times of the call clock."""

    turn: int
    text: str
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class KeepHeard:
    """Commit all that the caller has heard since turn `turn` (-1: the greeting), in place of what was kept before."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class KeepWaterfall:
    """Commit when what happened between the end of turn `turn` and the first sound of its answer."""

    turn: int
    waterfall: Waterfall


@dataclass(frozen=True, slots=True)
class KeepHabit:
    """Commit what was learned of the caller's pauses, for the next call."""

    habit: PauseHabit


@dataclass(frozen=True, slots=True)
class WriteEntry:
    """Write the day as an entry from what was said, with the corrections since; answered by `EntryWritten`."""

    draft: int
    said: tuple[str, ...]
    corrections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeepEntry:
    """Commit the entry that was written last, maybe by another process, with this status."""

    status: Status
    entry: Written | None = None


@dataclass(frozen=True, slots=True)
class ForgetDay:
    """Remove what was said in this call, and its entry, from the store; `for_good`: and keep nothing after it.

    `whole_day`: also what was said in the caller's other calls of the same day, and their entries.
    """

    for_good: bool
    whole_day: bool = False


@dataclass(frozen=True, slots=True)
class ForgetTurn:
    """Remove turn `turn` of this call from the store: what was said, what was answered, and the entry that held it."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReopenDay:
    """More was told than the entry holds that is kept: until the next one it is provisional, and not approved."""


@dataclass(frozen=True, slots=True)
class KeepStage:
    """Commit where the talk is, in place of what was kept before: another process may have to go on from there."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class HandOver:
    """Close the stream and not the call: another process goes on with it. The stage was kept before."""


@dataclass(frozen=True, slots=True)
class RecordRest:
    """Close the stream and have the rest of the call recorded: no recogniser can be had, as was said to the caller."""

    why: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call."""

    why: str


Command = (
    Recognise
    | Finalize
    | Reply
    | Say
    | Prepare
    | Play
    | Pause
    | Resume
    | Interject
    | ChangeManner
    | StopSpeaking
    | KeepSaid
    | KeepHeard
    | KeepWaterfall
    | KeepHabit
    | WriteEntry
    | KeepEntry
    | ForgetDay
    | ForgetTurn
    | ReopenDay
    | KeepStage
    | HandOver
    | RecordRest
    | HangUp
)
