"""The bot's replies: the one that is being heard, the one that is prepared, and what becomes of them.

It knows the ledger of each, and neither the caller's turn nor why something is said.
"""

from dataclasses import dataclass

from bot.conversation.commands import Command, Pause, Resume, StopSpeaking
from bot.conversation.dialogue import Dialogue
from bot.conversation.endpointing import PROBATION_MS
from bot.conversation.events import Timer
from bot.conversation.heard import Ledger
from bot.conversation.transcript import Transcript

MOST_FALSE_ALARMS = 3
"""After so many noises in one reply no voice pauses it any more; words alone do."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The reply that is being made to `text`, which may not be all of the turn; `lead` is said before it."""

    text: str
    lead: tuple[str, ...]
    ledger: Ledger


class BotsReplies:
    """What the bot says in one call. `out` gathers the commands of a step, `due` the deadlines by purpose."""

    def __init__(self, dialogue: Dialogue) -> None:
        self.dialogue = dialogue
        self.transcript = Transcript()
        self.out: list[Command] = []
        self.due: dict[Timer, int] = {}
        self.replies = 0
        self.ledger: Ledger | None = None
        self.prepared: Prepared | None = None
        self.last_said: tuple[str, ...] = ()
        self.paused_at_ms: int | None = None
        self.is_held = False
        """The live reply has paused behind a sentence, for the process is going away."""
        self.owes_answer = False
        """The model's answer to the last turn is asked for, and nothing of it was heard yet."""

    def forget(self, *timers: Timer) -> None:
        for timer in timers:
            self.due.pop(timer, None)

    def new_reply(self, sentences: tuple[str, ...], *, repeats: bool = False) -> Ledger:
        self.drop_prepared()
        self.forget(Timer.SILENCE, Timer.TURN, Timer.FINAL, Timer.PREPARE)
        self.ledger = self.open_ledger(sentences, repeats=repeats)
        return self.ledger

    def open_ledger(self, sentences: tuple[str, ...], *, repeats: bool = False) -> Ledger:
        self.replies += 1
        ledger = Ledger(self.replies, self.transcript.turn, repeats)
        for index, sentence in enumerate(sentences):
            ledger.made(index, sentence)
        return ledger

    def drop_prepared(self) -> None:
        if self.prepared:
            self.out.append(StopSpeaking(self.prepared.ledger.reply))
            self.prepared = None

    def live(self, reply: int) -> Ledger | None:
        return self.ledger if self.ledger and self.ledger.reply == reply else None

    def in_the_making(self, reply: int) -> Ledger | None:
        """The ledger of a reply that is live or prepared."""
        ahead = self.prepared.ledger if self.prepared else None
        return ahead if ahead and ahead.reply == reply else self.live(reply)

    def drop_ledger(self) -> None:
        self.ledger = self.paused_at_ms = None
        self.is_held = False
        self.forget(Timer.MARK, Timer.FILLER, Timer.PROBATION)

    def close_ledger(self, ledger: Ledger, now_ms: int) -> None:
        self.drop_ledger()
        self.owes_answer = False
        if heard := ledger.heard(now_ms):
            self.tick_off_notice(heard)
            if kept := self.transcript.heard(ledger.turn, heard):
                self.out.append(kept)
        if ledger.begun and not ledger.repeats:
            self.last_said = ledger.sentences or self.last_said

    def hear(self, ledger: Ledger) -> None:
        """One more piece of a reply was heard: kept at once, for a process may die in the middle of a reply."""
        if heard := ledger.heard_whole:
            self.owes_answer = False
            self.tick_off_notice(heard)
            if kept := self.transcript.hearing(ledger.turn, heard):
                self.out.append(kept)

    def tick_off_notice(self, heard: str) -> None:
        """What a first caller has to be told need not be said again once it was heard."""
        if self.dialogue.notice in heard:
            self.dialogue.notice = ""

    def stop_reply(self, now_ms: int) -> None:
        self.drop_prepared()
        if self.ledger:
            self.out.append(StopSpeaking(self.ledger.reply, self.ledger.heard(now_ms)))
            self.close_ledger(self.ledger, now_ms)

    def pause_reply(self, now_ms: int) -> bool:
        """Stop feeding the live reply, and wait for words; False: noise has paused it too often."""
        if self.ledger is None or self.ledger.false_alarms >= MOST_FALSE_ALARMS:
            return False
        self.paused_at_ms = now_ms
        self.due[Timer.PROBATION] = now_ms + PROBATION_MS
        if not self.is_held:
            self.out.append(Pause(self.ledger.reply))
        return True

    def resume_reply(self, now_ms: int, *, after_words: bool) -> None:
        """Go on with the live reply where it paused, if it did."""
        self.forget(Timer.PROBATION)
        if self.ledger and self.paused_at_ms is not None:
            if Timer.MARK in self.due:
                self.due[Timer.MARK] += now_ms - self.paused_at_ms
            if not self.is_held:
                self.out.append(Resume(self.ledger.reply))
            self.ledger.false_alarms += not after_words
        self.paused_at_ms = None
