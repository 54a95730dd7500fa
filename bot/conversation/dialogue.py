"""The stages of a diary call, and what is said at each: greeting → talk → read-back → approval → goodbye.

The dialogue knows words and not time: `turns.py` tells it what the caller said and when there was nothing to hear, and
gets a `Move` back. What counts as the day is decided here: commands, greetings and mere 네 or 음 are no part of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from bot.conversation.commands import ForgetDay, Status
from bot.conversation.events import EntryWritten, SttLoss
from bot.conversation.intents import IntentKind, intent
from bot.conversation.korean import is_backchannel, is_filler, is_polite, normalise, split_sentences
from bot.conversation.lines import LINES, Line


class Stage(StrEnum):
    """Where the talk is."""

    TALK = "talk"
    WRITING = "writing"
    APPROVAL = "approval"
    CORRECTION = "correction"
    GOODBYE = "goodbye"


@dataclass(frozen=True, slots=True)
class Move:
    """What the bot does next. With nothing set, it listens."""

    say: tuple[str, ...] = ()
    ask_model: bool = False
    """Have the model answer, behind what is to be said."""
    go_on: bool = False
    """Say what the caller broke off and has not heard."""
    again: bool = False
    """Say the last thing once more."""
    write: bool = False
    keep: Status | None = None
    forget: ForgetDay | None = None
    hang_up: str | None = None
    """Say it as the last thing, then hang up, for this reason."""


NOTICE = slice(1, 2)
"""Where the first greeting says what is written down, and how it is removed."""

_LISTEN = Move()
_SOUNDS = frozenset("네예넵응웅음어아")
_SHORT_SPEECH_WORDS = 3
_KEYS = {"1": IntentKind.APPROVE, "2": IntentKind.CORRECT, "3": IntentKind.DISCARD}


@dataclass(slots=True)
class Dialogue:
    """One call's talk, from the greeting to the goodbye."""

    stage: Stage = Stage.TALK
    reopenable: bool = False
    """Whether words can still cancel the goodbye."""
    said: list[str] = field(default_factory=list)
    corrections: list[str] = field(default_factory=list)
    entry: EntryWritten | None = None
    draft: int = 0
    _drafted: tuple[int, int] = (0, 0)
    _settled: tuple[int, int] = (0, 0)
    notice: str = ""
    """What a first caller has to be told and has not heard yet."""
    silences: int = 0
    """How many prompts the caller has left unanswered."""
    _misunderstood: int = 0
    _forgotten: bool = False

    def begin(self, *, first_time: bool, said_before: tuple[str, ...]) -> Move:
        """Greet; after a dropped line, go on where the talk was."""
        self.said, self.corrections = day_of_turns(said_before)
        if said_before:
            return Move(say=LINES.resumed)
        if first_time:
            self.notice = " ".join(LINES.greeting_first[NOTICE])
        return Move(say=LINES.greeting_first if first_time else LINES.greeting_again)

    def turn(self, text: str, *, interrupted: bool) -> Move:
        """The caller has said `text`; `interrupted`: while the bot was speaking."""
        self.silences = 0
        found = intent(text)
        wish, rest = (found.kind, found.rest) if found else (None, "")
        approves = self.stage is Stage.APPROVAL and wish is IntentKind.APPROVE and not _is_sound(text)
        if interrupted and (is_backchannel(text) or wish is IntentKind.GREETING) and not approves:
            return Move(go_on=True)
        if wish is IntentKind.REPEAT:
            return Move(again=True)
        match self.stage:
            case Stage.TALK | Stage.GOODBYE:
                return self._talk(text, wish)
            case Stage.WRITING:
                if wish is IntentKind.DISCARD:
                    return self._decide(wish, "")
                if _is_content(text):
                    self.said.append(text)
                    return self._write()
                return _LISTEN
            case Stage.APPROVAL:
                return self._approval(text, wish, rest)
            case Stage.CORRECTION:
                if is_filler(text) or _is_sound(text):
                    return _LISTEN
                if wish is IntentKind.APPROVE or wish is IntentKind.DISCARD:
                    return self._decide(wish, "")
                if wish is IntentKind.FINISH or wish is IntentKind.FAREWELL:
                    return self._goodbye(LINES.goodbye_unconfirmed, "unconfirmed")
                return self._decide(IntentKind.CORRECT, rest or text)

    def knows_key(self, digit: str) -> bool:
        """Whether the key means something at this stage: * again, # finish, 1 keep, 2 correct, 3 discard."""
        match digit:
            case "*":
                return True
            case "#":
                return self.stage is Stage.TALK
            case _:
                return digit in _KEYS and self.stage in (Stage.APPROVAL, Stage.CORRECTION)

    def key(self, digit: str) -> Move:
        """The caller pressed a key that `knows_key` knows."""
        self.silences = 0
        match digit:
            case "*":
                return Move(again=True)
            case "#":
                return self._talk("", IntentKind.FINISH)
            case _:
                return self._decide(_KEYS[digit], "")

    def written(self, entry: EntryWritten) -> Move | None:
        """The entry is there; None: it is not the one that was asked for last."""
        if entry.draft != self.draft or self.stage is not Stage.WRITING:
            return None
        self.entry = entry
        return Move(keep=Status.DRAFT)

    def spoken(self) -> Move | None:
        """The bot has said what it had to say; None: it listens now."""
        if self.stage is Stage.WRITING and self.entry and self.entry.draft == self.draft:
            if not self.entry.body:
                return self._goodbye(LINES.goodbye_nothing, "nothing said", reopenable=True)
            self.stage = Stage.APPROVAL
            self._misunderstood = 0
            intro = LINES.corrected_intro if self.corrections else LINES.read_back_intro
            title, body = f"제목, {self.entry.title}.", split_sentences(self.entry.body)
            return Move(say=(*intro, title, *body, *LINES.ask_approval))
        return None

    def silence(self) -> Move:
        """The caller has said nothing for long: a prompt, a gentler one, goodbye."""
        self.silences += 1
        if self.silences > 2:
            return self._goodbye(self._goodbye_line(), "silence", reopenable=True)
        match self.stage:
            case Stage.WRITING:
                return Move(say=LINES.still_writing)
            case Stage.APPROVAL:
                return Move(say=LINES.approval_silence)
            case Stage.CORRECTION:
                return Move(say=LINES.correction_silence)
            case _:
                return Move(say=LINES.silence_first if self.silences == 1 else LINES.silence_second)

    def time_is_up(self) -> Move:
        """The call is as long as a call may be."""
        return self._goodbye(LINES.goodbye_time, "time is up")

    def draining(self) -> Move:
        """The process is going away."""
        return self._goodbye(LINES.goodbye_draining, "draining")

    def stt_lost(self, loss: SttLoss) -> Move:
        """The caller cannot be understood any more."""
        if loss is SttLoss.FULL:
            line = LINES.stt_full if self.said else LINES.stt_full_nothing
        else:
            line = LINES.stt_lost if self.said else LINES.stt_lost_nothing
        return self._goodbye(line, f"recogniser {loss}")

    def discard(self) -> Move:
        """The caller wants nothing of the day to be kept, at whatever stage."""
        return self._decide(IntentKind.DISCARD, "")

    def discards(self, text: str) -> bool:
        """Whether `text`, said while the goodbye is spoken, asks to keep nothing."""
        found = intent(text)
        return found is not None and found.kind is IntentKind.DISCARD and self.can_discard

    @property
    def can_discard(self) -> bool:
        """Whether there may be something left to discard."""
        return not self._forgotten

    def reopens(self, text: str) -> bool:
        """Whether `text`, said while the goodbye is spoken, is real talk; if so, the talk goes on."""
        if not self.reopenable or not _is_content(text):
            return False
        self.stage = Stage.TALK
        return True

    def notes(self, text: str) -> bool:
        """Whether `text`, said while a goodbye is spoken that nothing cancels, belongs to the day; then it is taken."""
        if self._forgotten or not _is_content(text):
            return False
        self.said.append(text)
        return True

    def copy(self) -> "Dialogue":
        """A copy that later turns leave alone."""
        return replace(self, said=list(self.said), corrections=list(self.corrections))

    @property
    def unsettled(self) -> bool:
        """Something was said that no decision of the caller has settled."""
        return bool(self.said) and self._settled != self._size

    @property
    def was_settled(self) -> bool:
        """The caller approved of the day before saying more."""
        return self._settled != (0, 0)

    @property
    def entry_is_current(self) -> bool:
        """The entry that was written last holds all that was said."""
        return self.entry is not None and self.entry.draft == self.draft and self._drafted == self._size

    @property
    def _size(self) -> tuple[int, int]:
        return len(self.said), len(self.corrections)

    def _talk(self, text: str, wish: IntentKind | None) -> Move:
        if wish is IntentKind.DISCARD:
            self.stage = Stage.TALK
            if not self.said:
                return Move(say=LINES.nothing_to_forget)
            self._forget()
            return Move(forget=ForgetDay(for_good=False), say=LINES.forgotten)
        if wish in (IntentKind.FINISH, IntentKind.FAREWELL):
            return self._write() if self.said else self._goodbye(LINES.goodbye_nothing, "nothing said", reopenable=True)
        self.stage = Stage.TALK
        if wish is IntentKind.GREETING and not self.said:
            return Move(say=LINES.greeted_back)
        if _is_content(text):
            self.said.append(text)
        return Move(say=(self.notice,) if self.notice else (), ask_model=True)

    def _write(self) -> Move:
        self.stage = Stage.WRITING
        self.draft += 1
        self._drafted = self._size
        return Move(write=True, say=LINES.writing)

    def _approval(self, text: str, wish: IntentKind | None, rest: str) -> Move:
        if wish is None and (is_filler(text) or is_backchannel(text) or is_polite(text)):
            return _LISTEN
        if wish is IntentKind.APPROVE or wish is IntentKind.CORRECT or wish is IntentKind.DISCARD:
            return self._decide(wish, rest)
        if wish in (IntentKind.FINISH, IntentKind.FAREWELL):
            return self._goodbye(LINES.goodbye_unconfirmed, "unconfirmed")
        self._misunderstood += 1
        if self._misunderstood > 1 or len(text.split()) > _SHORT_SPEECH_WORDS:
            return self._decide(IntentKind.CORRECT, text)
        return Move(say=LINES.ask_approval_again)

    def _decide(self, wish: IntentKind, rest: str) -> Move:
        if wish is IntentKind.APPROVE:
            self._settled = self._size
            return self._goodbye(LINES.goodbye_kept, "approved", keep=Status.APPROVED, reopenable=True)
        if wish is IntentKind.DISCARD:
            self._forget()
            self._forgotten = True
            return self._goodbye(LINES.goodbye_discarded, "discarded", forget=ForgetDay(for_good=True))
        if rest:
            self.corrections.append(rest)
            return self._write()
        self.stage = Stage.CORRECTION
        return Move(say=LINES.ask_correction)

    def _forget(self) -> None:
        self.said.clear()
        self.corrections.clear()
        self.entry = None
        self._drafted = self._settled = self._size

    def _goodbye_line(self) -> Line:
        if not self.said:
            return LINES.goodbye_plain
        return LINES.goodbye_unconfirmed if self.stage is Stage.APPROVAL else LINES.goodbye_silence

    def _goodbye(
        self,
        line: Line,
        why: str,
        *,
        keep: Status | None = None,
        forget: ForgetDay | None = None,
        reopenable: bool = False,
    ) -> Move:
        self.stage = Stage.GOODBYE
        self.reopenable = reopenable
        return Move(say=line, keep=keep, forget=forget, hang_up=why)


def day_of_turns(said: Iterable[str]) -> tuple[list[str], list[str]]:
    """What of the turns of a call belongs into its diary, and what corrects it."""
    told, corrections = [], []
    for text in said:
        found = intent(text)
        if found and found.kind is IntentKind.CORRECT and found.rest:
            corrections.append(found.rest)
        elif _is_content(text):
            told.append(text)
    return told, corrections


def _is_sound(text: str) -> bool:
    """Whether `text` is no word that could approve of anything, only a sign of listening."""
    return set(normalise(text)) <= _SOUNDS


def _is_content(text: str) -> bool:
    """Whether `text` belongs into a diary, and is not a mere sound, greeting or command."""
    found = intent(text)
    if not text or is_filler(text) or is_backchannel(text) or is_polite(text):
        return False
    return found is None or bool(found.rest)
