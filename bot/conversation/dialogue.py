"""What a caller's words and keys mean at each stage of a diary call.

The dialogue knows words and not time: `turns.py` tells it what the caller said and when there was nothing to hear, and
gets a `Move` back. Wishes that have nothing to do with the stage (again, slower, louder, wait, off the record, the
whole day) are granted at every one, before the model is asked.
"""

from dataclasses import dataclass, field, replace

from bot.conversation.answers import answer, says_goodbye
from bot.conversation.clauses import clause
from bot.conversation.commands import Manner
from bot.conversation.intents import (
    Intent,
    IntentKind,
    end_with_reason,
    ends_with,
    intent,
    is_impatience,
    is_mere_lead,
    is_patience,
    is_remark,
    is_topic,
    may_tell,
    puts_right,
)
from bot.conversation.korean import is_backchannel, is_filler, is_polite, normalise
from bot.conversation.lines import LINES
from bot.conversation.moves import LISTEN, Move
from bot.conversation.snapshot import Snapshot, Stage
from bot.conversation.stages import Stages
from bot.conversation.texts import table
from bot.conversation.told import Told, is_content, is_passing, is_sound, tells_of_day

PATIENCE_MS = 60_000
"""How long a caller who asked to be waited for is left alone."""

NOTICE = LINES.greeting_first[1]
"""What the first greeting says of what is written down, and how it is removed."""

_PACES = (0.8, 0.7)
_GAINS_DB = (6.0, 10.0)
_SHORT_SPEECH_WORDS = 3
_MOST_WISHES = 8
_SAVES = tuple(table("dialogue")["saves"])
_UNSURE = frozenset(table("dialogue")["unsure"])
_CANCELS = frozenset(table("dialogue")["cancels"])
_KEYS = {"1": IntentKind.APPROVE, "2": IntentKind.CORRECT, "3": IntentKind.DISCARD}
_ENDS = (IntentKind.FINISH, IntentKind.FAREWELL)
_DECISIONS = (*_KEYS.values(), *_ENDS)
_AGAIN = (IntentKind.REPEAT, IntentKind.SLOWER, IntentKind.LOUDER)
_IS_BACK = (IntentKind.APPROVE, IntentKind.GREETING, IntentKind.REPEAT)


@dataclass(slots=True)
class Dialogue(Stages):
    """One call's talk, from the greeting to the goodbye."""

    notice: str = ""
    """What a first caller has to be told and has not heard yet."""
    manner: Manner = field(default_factory=Manner)
    """How the caller wants to be spoken to."""
    _held: bool = False  # the caller broke the read-back off, to be waited for

    def begin(self, *, first_time: bool) -> Move:
        """Greet."""
        if first_time:
            self.notice = NOTICE
        return Move(say=LINES.greeting_first if first_time else LINES.greeting_again)

    def noted(self) -> Snapshot:
        """All that another process needs to go on from here."""
        return self.told.noted_in(
            Snapshot(
                stage=self.stage,
                reopenable=self.reopenable,
                entry=self.entry,
                entry_stands=self.entry_stands,
                draft=self.draft,
                silences=self.silences,
                held=self._held,
                discarded=self._discarded,
                day_discarded=self._day_discarded,
                why=self.why,
                notice=self.notice,
                pace=self.manner.pace,
                gain_db=self.manner.gain_db,
            )
        )

    def go_on_from(self, noted: Snapshot) -> None:
        """Be where another process was."""
        self.stage, self.reopenable, self.told = noted.stage, noted.reopenable, Told.of(noted)
        self.entry, self.entry_stands, self.draft = noted.entry, noted.entry_stands, noted.draft
        self.silences, self._held = noted.silences, noted.held
        self._discarded, self._day_discarded, self.why = noted.discarded, noted.day_discarded, noted.why
        self.notice, self.manner = noted.notice, Manner(noted.pace, noted.gain_db)

    def turn(self, text: str, *, interrupted: bool) -> Move:
        """The caller has said `text`; `interrupted`: while the bot was speaking."""
        self.silences = 0
        if interrupted and (self.passes(text) or is_filler(text)):
            return Move(go_on=True)
        found = intent(text)
        wish, rest = (found.kind, found.rest) if found else (None, "")
        held, self._held = self._held, False
        if held and self.entry and (wish in _IS_BACK or (wish is None and not is_content(text))):
            return self.read_back(self.entry)
        if found and (granted := self._grant(found, text, interrupted=interrupted)):
            return granted
        match self.stage:
            case Stage.TALK | Stage.GOODBYE:
                return self._talk(text, wish, rest)
            case Stage.WRITING:
                return self._writing(text, wish, rest)
            case Stage.APPROVAL:
                return self._approval(text, wish, rest)
            case Stage.CORRECTION:
                return self._correction(text, wish, rest)

    def passes(self, text: str) -> bool:
        """Whether `text`, said while the bot speaks, is no turn of the caller's: the bot goes on."""
        wish = _wish(text)
        if self.stage is Stage.APPROVAL and wish is IntentKind.APPROVE and not is_sound(text):
            return False
        if self.stage is Stage.GOODBYE and wish is IntentKind.FAREWELL:
            return True
        return is_passing(text) or wish is IntentKind.GREETING

    def speculates(self, text: str, *, interrupted: bool) -> tuple[str, ...] | None:
        """What would be said before the model's answer, if the turn ended with `text`; None: no model would answer."""
        move = self.copy().turn(text, interrupted=interrupted)
        return move.say if move.ask_model else None

    def knows_key(self, digit: str) -> bool:
        """Whether the key means something at this stage: * again, # finish, 1 keep, 2 correct, 3 discard."""
        match digit:
            case "*":
                return True
            case "#":
                return self.stage in (Stage.TALK, Stage.APPROVAL, Stage.CORRECTION)
            case _:
                return digit in _KEYS and self.stage in (Stage.APPROVAL, Stage.CORRECTION)

    def key(self, digit: str) -> Move:
        """The caller pressed a key that `knows_key` knows."""
        self.silences, self._held = 0, False
        match digit:
            case "*":
                return self._again()
            case "#":
                return self._finish() if self.stage is Stage.TALK else self._leave_unconfirmed()
            case _:
                return self._decide(_KEYS[digit])

    def removes(self, text: str) -> Move | None:
        """What follows when `text`, said over any goodbye, asks not to keep something; None: it does not."""
        found = intent(text)
        match found:
            case Intent(IntentKind.DISCARD) if self.can_discard:
                return self.discard()
            case Intent(IntentKind.FORGET_DAY) if not self._day_discarded:
                return self.discard(whole_day=True)
            case Intent(IntentKind.OFF_RECORD) if not self._may_mean_another(found):
                left = self._left(found)
                gone = self._meant(found, text, left)
                if gone or left:
                    self._leave(left)
                    return replace(self._off_record_at_goodbye(gone), left=left)
        return None

    def reopens(self, text: str) -> bool:
        """Whether `text`, said while the goodbye is spoken, is real talk; if so, the talk goes on."""
        if not self.reopenable or _agrees(text):
            return False
        found = intent(text)
        wish = found.kind if found else None
        asks_which = found is not None and wish is IntentKind.OFF_RECORD and self._may_mean_another(found)
        if not (is_content(text) or wish in (IntentKind.WAIT, *_AGAIN) or asks_which or _corrects(text, wish)):
            return False
        if wish not in _AGAIN:
            self.stage = Stage.TALK
        return True

    def notes(self, text: str) -> bool:
        """Whether `text`, said while a goodbye is spoken that nothing cancels, belongs to the day; then it is taken."""
        found = intent(text)
        told = text if is_content(text) or not found else self._left(found)
        if not self.can_discard or not is_content(told) or _agrees(text):
            return False
        self.told.add(told)
        return True

    def _grant(self, found: Intent, text: str, *, interrupted: bool) -> Move | None:
        """Grant a wish that has nothing to do with the stage."""
        match found.kind:
            case IntentKind.REPEAT:
                return self._again()
            case IntentKind.SLOWER:
                pace = next((pace for pace in _PACES if pace < self.manner.pace), self.manner.pace)
                self.manner = replace(self.manner, pace=pace)
                return replace(self._again(), say=LINES.slower, manner=self.manner)
            case IntentKind.LOUDER:
                gain_db = next((gain_db for gain_db in _GAINS_DB if gain_db > self.manner.gain_db), self.manner.gain_db)
                self.manner = replace(self.manner, gain_db=gain_db)
                return replace(self._again(), say=LINES.louder, manner=self.manner)
            case IntentKind.WAIT:
                self._held = interrupted and self.stage is Stage.APPROVAL
                if self.stage is Stage.WRITING:
                    self.stage = Stage.TALK
                return Move(say=LINES.waiting, patience_ms=PATIENCE_MS)
            case IntentKind.OFF_RECORD | IntentKind.DISCARD if self._may_mean_another(found, interrupted=interrupted):
                return self._ask_which(found, text)
            case IntentKind.OFF_RECORD:
                return self._take_off_record(found, text)
            case IntentKind.DISCARD if found.points and self.stage in (Stage.TALK, Stage.GOODBYE):
                return self._take_off_record(found, text)
            case IntentKind.FORGET_DAY if self.stage in (Stage.TALK, Stage.GOODBYE):
                return self._forget_so_far(LINES.forgotten_day, whole_day=True)
            case IntentKind.FORGET_DAY:
                return self.discard(whole_day=True)
            case _:
                return None

    def _again(self) -> Move:
        return Move(again=True, hang_up=self.why if self.stage is Stage.GOODBYE else None)

    def _may_mean_another(self, found: Intent, *, interrupted: bool = False) -> bool:
        """Whether a wish means something that was told, and not surely which: that is not guessed."""
        if named := self._named(found):
            return bool(self.told.texts or self._left(found)) and not self.told.about(named)
        says_what = found.last or found.kind is not IntentKind.OFF_RECORD
        unclear = interrupted if found.points else not says_what
        of_the_reading = self.stage is Stage.APPROVAL and unclear
        return of_the_reading and len(self.told.texts) > 1 and not _tells_before(found)

    def _named(self, found: Intent) -> tuple[str, ...]:
        """What names the objects of a wish, also before a pointer."""
        of_told = self.stage not in (Stage.TALK, Stage.GOODBYE)
        return (found.before,) if found.points and is_topic(found.before, of_told=of_told) else found.about

    def _take_off_record(self, found: Intent, text: str) -> Move:
        left = self._left(found)
        gone = self._meant(found, text, left)
        self._leave(left)
        return replace(self._off_record(gone, left=left), left=left)

    def _ask_which(self, found: Intent, text: str) -> Move:
        named, left = self._named(found), self._left(found)
        self._leave(left)
        move = self.write() if left and self.stage not in (Stage.TALK, Stage.GOODBYE) else Move()
        return replace(move, say=LINES.off_record_which, off_record=(text,) if named and not left else (), left=left)

    def _left(self, found: Intent) -> str:
        """What was told beside a wish that does not mean it; empty when that is nothing for a diary."""
        corrects = found.left and _wish(found.left) is IntentKind.CORRECT
        means_what_follows = not found.about and not found.before
        if not self.told.texts and (corrects or means_what_follows):
            return ""
        return found.left if is_content(found.left) else ""

    def _leave(self, left: str) -> None:
        """Take what was told beside a wish; a correction of what is gone is nothing any more."""
        rest = correction.rest if left and (correction := intent(left)) else ""
        if left and (self.said or not rest):
            decides = self.stage in (Stage.APPROVAL, Stage.CORRECTION)
            self._take(left, rest or (left if decides else ""))

    def _meant(self, found: Intent, text: str, left: str) -> tuple[str, ...]:
        """Take back what is to be off the record: what is named, what stands before the wish, else what was told last.

        What follows the wish goes, too, but for what is `left`. A wish that comes first may mean either, as may one
        with a remark before it (쪽팔려 이건 적지 마), so neither is kept.
        """
        own = () if left else (text,)
        if named := self._named(found):
            return (*own, *self.told.take_back_about(named))
        gone = own if _tells(found.before) or _tells(found.rest) else ()
        if not _tells_before(found) and (last := self.told.take_back()):
            gone = (*gone, last)
        return gone

    def _take(self, text: str, rest: str) -> None:
        """The caller told this; with `rest`, that corrects what was told before."""
        if rest and self.said:
            self.told.correct(rest)
        else:
            self.told.add(text)

    def _talk(self, text: str, wish: IntentKind | None, rest: str) -> Move:
        ends = says_goodbye(text) if wish is None else wish in _ENDS and not may_tell(text)
        saves = wish is IntentKind.APPROVE and any(word in normalise(text) for word in _SAVES)
        if ends or saves or (not self.said and end_with_reason(text)):
            return self._finish()
        self.stage = Stage.TALK
        if wish is IntentKind.DISCARD:
            return self._forget_so_far(LINES.forgotten) if self.said else Move(say=LINES.nothing_to_forget)
        if wish is IntentKind.GREETING and not self.said:
            return Move(say=LINES.greeted_back)
        if tells_of_day(text):
            self._take(text, rest if puts_right(rest) else "")
        elif self.entry_is_current and _corrects(text, wish):
            return self._correct("")
        if wish is None and ends_with(text):
            return self._finish()
        return Move(say=(self.notice,) if self.notice else (), ask_model=True)

    def _writing(self, text: str, wish: IntentKind | None, rest: str) -> Move:
        if wish is IntentKind.DISCARD:
            return self.discard()
        if _corrects(text, wish) and not rest:
            self.stage = Stage.TALK
            return Move(say=LINES.ask_correction)
        if is_impatience(text):
            return Move(say=LINES.still_writing)
        if not is_content(text) or is_patience(text):
            return LISTEN
        self._take(text, rest or (text if puts_right(text) else ""))
        return self.write()

    def _approval(self, text: str, wish: IntentKind | None, rest: str) -> Move:
        if _asks_back(text):
            return Move(say=LINES.ask_approval_again)
        if decision := _decision(text, wish, rest):
            return self._leave_unconfirmed() if decision in _ENDS else self._decide(decision)
        if is_filler(text) or is_backchannel(text) or is_polite(text):
            return LISTEN
        if rest:
            return self._correct(rest)
        tells = clause(text) is not None or len(text.split()) > _SHORT_SPEECH_WORDS or puts_right(text)
        if is_content(text) and tells:
            return self._correct(text)
        return Move(say=LINES.ask_approval_again)

    def _correction(self, text: str, wish: IntentKind | None, rest: str) -> Move:
        if _asks_back(text):
            return self._correct("")
        if is_filler(text) or is_sound(text):
            return LISTEN
        if normalise(text) in _UNSURE:
            return self._correct("")
        if normalise(text) in _CANCELS:
            self.stage = Stage.APPROVAL
            return Move(say=LINES.ask_approval_again)
        if decision := _decision(text, wish, rest):
            return self._leave_unconfirmed() if decision in _ENDS else self._decide(decision)
        return self._correct(rest or (text if is_content(text) else ""))

    def _decide(self, wish: IntentKind) -> Move:
        match wish:
            case IntentKind.APPROVE:
                return self._approve()
            case IntentKind.DISCARD:
                return self.discard()
            case _:
                return self._correct("")


def _decision(text: str, wish: IntentKind | None, rest: str) -> IntentKind | None:
    """What the caller decides of the entry with the whole of `text`."""
    return wish if wish in _DECISIONS and not rest else answer(text)


def _corrects(text: str, wish: IntentKind | None) -> bool:
    """Whether `text` says that the entry is to be corrected, in more than 아니."""
    return wish is IntentKind.CORRECT and not is_mere_lead(text)


def _agrees(text: str) -> bool:
    """Whether `text`, said over a goodbye, is nothing but approval or another goodbye."""
    return answer(text) in (IntentKind.APPROVE, *_ENDS)


def _asks_back(text: str) -> bool:
    """Whether `text` approves of nothing, but has not understood: 네?"""
    return text.rstrip().endswith("?") and is_mere_lead(text)


def _tells_before(found: Intent) -> bool:
    """Whether what stands before a wish is what it means."""
    return _tells(found.before) and not is_remark(found.before)


def _tells(text: str) -> bool:
    """Whether `text` tells something, maybe with the wish not to keep it; one of very many wishes surely does."""
    for _ in range(_MOST_WISHES):
        found = intent(text)
        if not found or found.kind is not IntentKind.OFF_RECORD:
            return is_content(text)
        if _tells(found.before):
            return True
        text = found.rest
    return True


def _wish(text: str) -> IntentKind | None:
    found = intent(text)
    return found.kind if found else None
