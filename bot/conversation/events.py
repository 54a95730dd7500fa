"""What can happen in a talk.

Every event is a fact that some shell saw; none says what to do about it. Times are the call clock: milliseconds of
the sound that has come (on a telephone `media.timestamp`). The core gets `now` beside each event, so an event carries a
time only when it happened earlier.
"""

from dataclasses import dataclass
from enum import StrEnum

from bot.conversation.habit import UNKNOWN, PauseHabit
from bot.conversation.snapshot import Snapshot


class SttLoss(StrEnum):
    """Why there is no recogniser."""

    FULL = "full"
    UNREACHABLE = "unreachable"


class Timer(StrEnum):
    """What a deadline on the call clock is for."""

    FINAL = "final"
    """The answer to a `Finalize` is overdue."""
    TURN = "turn"
    """The caller has been silent long enough for the turn to be over."""
    MARK = "mark"
    """The mark behind the last thing said is overdue."""
    SILENCE = "silence"
    """The caller has said nothing for long."""
    CALL = "call"
    """The call is as long as a call may be."""
    PREPARE = "prepare"
    """The reply has to be begun now if it is to be ready when the turn is over."""
    PROBATION = "probation"
    """What made the bot pause has brought no word."""
    FILLER = "filler"
    """The answer takes so long that the caller should hear that it is coming."""
    HANDOVER = "handover"
    """The call has to be handed over now, whoever is speaking."""


@dataclass(frozen=True, slots=True)
class TurnBefore:
    """Turn `turn` as it was kept: what was said (None: nothing, as before the first), and what was heard since."""

    turn: int
    said: str | None = None
    heard: str | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """What was kept of a call before this stream of it: its turns in order, and where the talk was, if that is known.

    `next_turn` is the number of the next turn.
    """

    turns: tuple[TurnBefore, ...] = ()
    next_turn: int = 0
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The media stream has begun. `habit` is what is known of the caller's pauses.

    `before` is there when the call goes on: an earlier stream of it broke, was handed over, or died with its process.
    """

    first_time: bool
    habit: PauseHabit = UNKNOWN
    before: Before | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """A frame of the caller's audio went by: deadlines are looked at."""


@dataclass(frozen=True, slots=True)
class Due:
    """A deadline has passed. The machine makes this event for itself when it looks at its deadlines."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """VAD: the caller speaks, since `at_ms`."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechPaused:
    """VAD's SOFT stop: quiet for 200 ms; the last voiced frame ended at `at_ms`. May be taken back."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """VAD: the SOFT stop is taken back; the caller speaks on."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """VAD's STOP: quiet for 260 to 280 ms; the last voiced frame ended at `at_ms`."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Interim:
    """The recogniser's text of utterance `utterance` so far; it replaces the one before."""

    utterance: tuple[int, int]
    text: str


@dataclass(frozen=True, slots=True)
class Final:
    """The recogniser's last word on `utterance` = (number of the connection, `seq` on it)."""

    utterance: tuple[int, int]
    text: str


@dataclass(frozen=True, slots=True)
class SttReady:
    """The recogniser's socket is open (again)."""


@dataclass(frozen=True, slots=True)
class SttLost:
    """The recogniser cannot be had, after all tries."""

    loss: SttLoss


@dataclass(frozen=True, slots=True)
class SttPace:
    """How long this process's recogniser takes from `Finalize` to the final: the 95th percentile, in ms."""

    final_p95_ms: int


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The caller pressed a key: one of 0-9, *, #."""

    digit: str


@dataclass(frozen=True, slots=True)
class TurnTyped:
    """The person has typed a turn."""

    text: str


@dataclass(frozen=True, slots=True)
class StopPressed:
    """The person has pressed a button: the bot is to be quiet."""


@dataclass(frozen=True, slots=True)
class SentenceMade:
    """Sentence `index` of reply `reply` is known; nothing of it was sent yet."""

    reply: int
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class FirstToken:
    """The model has begun to answer as reply `reply`."""

    reply: int


@dataclass(frozen=True, slots=True)
class FirstAudio:
    """The first sound of reply `reply` is made; it may have to wait."""

    reply: int


@dataclass(frozen=True, slots=True)
class SentenceStarted:
    """The first frame of sentence `index` of reply `reply` was sent; `ahead_ms` of other sound is heard before it."""

    reply: int
    index: int
    ahead_ms: int = 0


@dataclass(frozen=True, slots=True)
class AudioSent:
    """`sent_ms` of sentence `index` were sent, of which the last `ahead_ms` at most are not played yet.

    Told every 200 ms while a reply is fed, and when it is paused. `audio_ms` is the sentence's whole length, if known.
    """

    reply: int
    index: int
    sent_ms: int
    ahead_ms: int
    audio_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SentenceSent:
    """All of sentence `index` was sent, its mark behind it; it lasts `audio_ms`."""

    reply: int
    index: int
    audio_ms: int


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """No more sentences of `reply` will come. With none before it, nothing could be said."""

    reply: int


@dataclass(frozen=True, slots=True)
class MarkEchoed:
    """The line gave back the mark behind sentence `index`: played, or cleared."""

    reply: int
    index: int


@dataclass(frozen=True, slots=True)
class EntryWritten:
    """The day as an entry, the answer to `WriteEntry` number `draft`."""

    draft: int
    title: str
    body: str
    mood: str


@dataclass(frozen=True, slots=True)
class CallerGone:
    """The stream ended, by `stop` or a socket that broke, and the recogniser has given its last final."""


@dataclass(frozen=True, slots=True)
class Draining:
    """The process is going away: finish the sentence, and hand the call over."""


Event = (
    CallStarted
    | Tick
    | Due
    | SpeechStarted
    | SpeechPaused
    | SpeechResumed
    | SpeechStopped
    | Interim
    | Final
    | SttReady
    | SttLost
    | SttPace
    | KeyPressed
    | TurnTyped
    | StopPressed
    | SentenceMade
    | FirstToken
    | FirstAudio
    | SentenceStarted
    | AudioSent
    | SentenceSent
    | ReplyEnded
    | MarkEchoed
    | EntryWritten
    | CallerGone
    | Draining
)
