"""The stages of a diary call and the ways between them: talk → writing → read-back → approval → goodbye.

It knows what was told and what became of it, and neither words of the caller (`dialogue.py`) nor time (`turns.py`).
"""

from dataclasses import dataclass, field, replace
from typing import Self

from bot.conversation.commands import ForgetDay, Status
from bot.conversation.events import EntryWritten, SttLoss
from bot.conversation.korean import split_sentences
from bot.conversation.lines import LINES, Sentences
from bot.conversation.moves import Move
from bot.conversation.snapshot import Stage, Written
from bot.conversation.texts import table
from bot.conversation.told import Told

_TITLE: str = table("dialogue")["title"]


@dataclass(slots=True)
class Stages:
    """Where one call is, what was told in it, and what the bot does at each step."""

    stage: Stage = Stage.TALK
    reopenable: bool = False
    """Whether words can still cancel the goodbye."""
    told: Told = field(default_factory=Told)
    entry: Written | None = None
    entry_stands: bool = False
    """An entry was kept, and nothing has been told since that it does not hold."""
    draft: int = 0
    silences: int = 0
    """How many prompts the caller has left unanswered."""
    _discarded: bool = False
    _day_discarded: bool = False
    why: str = ""

    def copy(self) -> Self:
        """A copy that later turns leave alone."""
        return replace(self, told=self.told.copy())

    @property
    def said(self) -> list[str]:
        """What the caller has told, one utterance each."""
        return self.told.said

    @property
    def corrections(self) -> list[str]:
        """What corrects the entry."""
        return self.told.corrections

    @property
    def unsettled(self) -> bool:
        """Something was said that no decision of the caller has settled."""
        return self.told.unsettled

    @property
    def entry_is_current(self) -> bool:
        """The entry that was written last holds all that was said."""
        return self.entry is not None and self.entry.draft == self.draft and self.told.is_drafted

    @property
    def can_discard(self) -> bool:
        """Whether there may be something left to discard."""
        return not self._discarded

    def written(self, entry: EntryWritten) -> Move | None:
        """The entry is there; None: it is not the one that was asked for last."""
        if entry.draft != self.draft or self.stage is not Stage.WRITING:
            return None
        self.entry = Written(entry.draft, entry.title, entry.body, entry.mood)
        self.entry_stands = bool(entry.body)
        return Move(keep=Status.DRAFT)

    def falls_behind(self) -> bool:
        """Whether something has just been told that the entry that was kept does not hold."""
        if not self.entry_stands or self.entry_is_current:
            return False
        self.entry_stands = False
        return True

    def spoken(self) -> Move | None:
        """The bot has said what it had to say; None: it listens now."""
        if self.stage is Stage.WRITING and self.entry and self.entry.draft == self.draft:
            if not self.entry.body:
                return self._goodbye(LINES.goodbye_nothing, "nothing said", reopenable=True)
            self.stage = Stage.APPROVAL
            return self.read_back(self.entry)
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

    def stt_lost(self, loss: SttLoss) -> Move:
        """The caller cannot be understood any more: what is said from now on is recorded, and written down later."""
        self.reopenable = False
        if loss is SttLoss.FULL:
            line = LINES.stt_full if self.said else LINES.stt_full_nothing
        else:
            line = LINES.stt_lost if self.said else LINES.stt_lost_nothing
        return Move(say=line, hang_up=f"recogniser {loss}", record=True)

    def discard(self, *, whole_day: bool = False) -> Move:
        """The caller wants nothing to be kept of this call, or of the whole day, at whatever stage."""
        self._forget()
        self._discarded, self._day_discarded = True, self._day_discarded or whole_day
        return self._goodbye(LINES.goodbye_discarded, "discarded", forget=ForgetDay(for_good=True, whole_day=whole_day))

    def _forget_so_far(self, line: Sentences, *, whole_day: bool = False) -> Move:
        """Nothing of what was said is kept, and the talk goes on."""
        self.stage = Stage.TALK
        self._forget()
        return Move(forget=ForgetDay(for_good=False, whole_day=whole_day), say=line)

    def _forget(self) -> None:
        self.told.clear()
        self.entry, self.entry_stands = None, False

    def _off_record(self, gone: tuple[str, ...], *, left: str) -> Move:
        """What the texts `gone` told is kept nowhere; an entry that may hold it is written anew with what is `left`."""
        if not gone and not left:
            return Move(say=LINES.off_record_nothing)
        self.entry, self.entry_stands = None, False
        self.told.unsettle()
        if self.stage in (Stage.TALK, Stage.GOODBYE):
            self.stage = Stage.TALK
            return Move(say=LINES.off_record, off_record=gone)
        if self.said:
            return replace(self.write(), say=LINES.off_record_rewriting, off_record=gone)
        goodbye = self._goodbye((*LINES.off_record, *LINES.goodbye_nothing), "nothing said", reopenable=True)
        return replace(goodbye, off_record=gone)

    def _off_record_at_goodbye(self, gone: tuple[str, ...]) -> Move:
        """As `_off_record`; what was only now said was not noted, so an entry without it stands."""
        if not self.told.is_drafted:
            self.entry = None
        goodbye = self._goodbye(LINES.goodbye_off_record, "off the record", reopenable=self.reopenable)
        return replace(goodbye, off_record=gone)

    def _finish(self) -> Move:
        """The caller has told everything: it is written down, unless there is nothing new to write."""
        if not self.said:
            return self._goodbye(LINES.goodbye_nothing, "nothing said", reopenable=True)
        if not self.unsettled:
            return self._goodbye(LINES.goodbye_plain, "approved", reopenable=True)
        return self.write()

    def write(self) -> Move:
        """An entry of all that was told is to be written, as a new draft."""
        self.stage = Stage.WRITING
        self.draft += 1
        self.told.drafted()
        return Move(write=True, say=LINES.writing)

    def read_back(self, entry: Written) -> Move:
        """Read the entry to the caller, and ask for a decision."""
        intro = LINES.corrected_intro if self.corrections and entry.draft > 1 else LINES.read_back_intro
        title = _TITLE.format(title=entry.title)
        return Move(say=(*intro, title, *split_sentences(entry.body), *LINES.ask_approval))

    def _approve(self) -> Move:
        self.told.settle()
        return self._goodbye(LINES.goodbye_kept, "approved", keep=Status.APPROVED, reopenable=True)

    def _correct(self, how: str) -> Move:
        """Write the entry anew; with `how` empty, ask first."""
        if how:
            self.told.correct(how)
            return self.write()
        self.stage = Stage.CORRECTION
        return Move(say=LINES.ask_correction)

    def _leave_unconfirmed(self) -> Move:
        return self._goodbye(LINES.goodbye_unconfirmed, "unconfirmed")

    def _goodbye_line(self) -> Sentences:
        if not self.said:
            return LINES.goodbye_plain
        return LINES.goodbye_unconfirmed if self.stage is Stage.APPROVAL else LINES.goodbye_silence

    def _goodbye(
        self,
        line: Sentences,
        why: str,
        *,
        keep: Status | None = None,
        forget: ForgetDay | None = None,
        reopenable: bool = False,
    ) -> Move:
        self.stage, self.reopenable, self.why = Stage.GOODBYE, reopenable, why
        return Move(say=line, keep=keep, forget=forget, hang_up=why)
