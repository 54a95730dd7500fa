"""Who has the floor, and what both sides of a talk have under way: the state that the actions of turn-taking share.

`turns.py` says which action runs when; the actions are in `listening.py`, `preparing.py`, `speaking.py`,
`probation.py`, `by_hand.py`, `closing.py` and `handover.py`. Here is what more than one of them needs: ending a turn,
carrying out a move of the dialogue, taking a reply back. It knows no clock but the `now_ms` that it is given.
"""

from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple

from bot.conversation.bots_replies import BotsReplies
from bot.conversation.commands import (
    ChangeManner,
    ForgetTurn,
    KeepEntry,
    KeepSaid,
    KeepStage,
    Play,
    ReopenDay,
    Reply,
    Say,
    StopSpeaking,
    WriteEntry,
)
from bot.conversation.dialogue import Dialogue
from bot.conversation.endpointing import FILLER_AFTER_MS, learn, turn_wait_ms
from bot.conversation.events import Final, Interim, Timer
from bot.conversation.habit import PauseHabit
from bot.conversation.korean import normalise
from bot.conversation.moves import Move
from bot.conversation.sentence_ends import ending
from bot.conversation.snapshot import Snapshot, Stage
from bot.conversation.talk_lines import TELEPHONE, TalkLine
from bot.conversation.utterances import Utterances
from bot.conversation.waterfall import Stopwatch

SILENCE_MS = (8_000, 12_000, 10_000)
"""Silence before the first prompt (8 s), the second (20 s), and the goodbye (30 s), each after the one before."""

SAME_TURN_MS = 500
"""A caller who goes on this soon after the reply began has not yielded the turn."""

NOISE_GRACE_MS = 1_000
"""After a noise without words, the least time before the next prompt."""


class State(StrEnum):
    """Who has the floor."""

    GREETING = "greeting"
    LISTENING = "listening"
    ENDPOINTING = "endpointing"
    THINKING = "thinking"
    SPEAKING = "speaking"
    PROBATION = "probation"
    CLOSING = "closing"
    LEAVING = "leaving"
    CLOSED = "closed"


class Undo(NamedTuple):
    """How it was before a turn was answered, for a caller who goes on before anything of the answer was heard."""

    reply: int
    dialogue: Dialogue
    broken_off: tuple[str, ...]


class PassedOver(NamedTuple):
    """What was said over the bot, which went on all the same."""

    text: str
    at_ms: int


class Floor(BotsReplies):
    """The state of one call's turn-taking."""

    def __init__(self, dialogue: Dialogue, max_call_ms: int, line: TalkLine = TELEPHONE) -> None:
        super().__init__(dialogue)
        self.line = line
        self.state = State.GREETING
        self.max_call_ms = max_call_ms
        self.tries = 0
        self.broken_off: tuple[str, ...] = ()
        """What the caller did not let the bot finish."""
        self.hang_up: str | None = None
        self.record = False
        self.goodbye_said_ms: int | None = None
        self.reopened_turn: str | None = None
        self.undo: Undo | None = None
        self.utterances = Utterances()
        self.talking = self.stopped = self.noisy = False
        self.turn_from_ms = self.voiced_until_ms = 0
        self.caller_pause: tuple[str, int] | None = None
        """What was said before it, and its length in ms: to be learned from if the caller goes on."""
        self.silence_at_ms = 0
        self.patience_ms = 0
        self.paused_in: State | None = None
        self.voice_from_ms = 0
        self.passed_over: PassedOver | None = None
        self.interjected_ms: int | None = None
        self.interjections = 0
        self.stopwatch = Stopwatch()
        self.answer_reply: int | None = None
        self.habit = PauseHabit()
        self.habit_before = self.habit
        self.final_p95_ms: int | None = None
        self.behind_ms = 0
        """How far the call clock is behind the wall, and will soon be put forward: sound comes late, in one go."""
        self.spent_ms = 0
        """How long the call has lasted on its streams before."""
        self.last_reply: int | None = None
        """The process is going away, and no reply after this one is begun."""
        self.cut_off = False
        """The caller was in the middle of something when the stream ended."""
        self.left: tuple[str, ...] | None = None
        """What was not heard when the stream ended."""
        self.kept = Snapshot()

    # ── the caller's turn ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def text(self) -> str:
        """What the turn reads so far."""
        return " ".join(part for part in (self.reopened_turn, self.utterances.text) if part)

    def take_text(self, event: Interim | Final, now_ms: int) -> None:
        """Take what was recognised; with the last final none is waited for any more."""
        self.utterances.take(event, now_ms)
        if isinstance(event, Final):
            self.stopwatch.final_at_ms = now_ms
            if not self.utterances.interim_open:
                self.forget(Timer.FINAL)

    def wait_for_turn(self) -> None:
        self.due[Timer.TURN] = self.voiced_until_ms + turn_wait_ms(self.utterances.text, self.habit)

    def goes_on(self, at_ms: int) -> None:
        """A voice at `at_ms`, in the same turn: with words, so long is a pause of this caller's."""
        if self.stopped and self.text:
            self.caller_pause = (self.text, at_ms - self.voiced_until_ms)
        self.stopped = False

    def learn_pause(self) -> None:
        """The caller has gone on after a pause, and has said something."""
        if self.caller_pause:
            self.habit = learn(self.habit, *self.caller_pause)
            self.caller_pause = None

    def turn_over_if_known(self, now_ms: int) -> State:
        """End the turn if the silence is long enough and no text is missing."""
        waiting = self.due.get(Timer.TURN, 0) > now_ms or Timer.FINAL in self.due
        if not self.stopped or waiting:
            return State.ENDPOINTING
        self.forget(Timer.TURN, Timer.PREPARE)
        if text := self.end_turn(self.voiced_until_ms):
            return self.answer(text, now_ms)
        if self.broken_off:
            return self.carry_out(Move(go_on=True), now_ms)
        return self.listen(now_ms, at_ms=max(self.silence_at_ms, now_ms + NOISE_GRACE_MS))

    def words_without_voice(self, now_ms: int) -> State:
        """There are words, and the VAD is quiet: the turn ends unless there is more."""
        self.stopped, self.voiced_until_ms = True, now_ms
        self.forget(Timer.SILENCE)
        self.wait_for_turn()
        return State.ENDPOINTING

    def end_turn(self, until_ms: int, said: str = "") -> str:
        """Close the turn, which reads `said` or what was recognised; give its text, empty if no word was said."""
        text = said or " ".join(part for part in (self.reopened_turn, self.utterances.end_turn()) if part)
        if not text:
            return ""
        same_turn, self.reopened_turn = self.reopened_turn is not None, None
        self.tries = self.patience_ms = 0
        self.caller_pause = None
        self.stopwatch.ended(until_ms, ending(text))
        self.out.append(self.transcript.said(text, self.turn_from_ms, until_ms, same_turn=same_turn))
        return text

    def answer(self, text: str, now_ms: int) -> State:
        self.stopwatch.over_at_ms = now_ms
        before, broken_off = self.dialogue.copy(), self.broken_off
        move = self.dialogue.turn(text, interrupted=bool(self.broken_off))
        state = self.carry_out(move, now_ms)
        self.answer_reply = self.ledger.reply if self.ledger else None
        if self.ledger and not (move.forget or move.keep or move.off_record or move.left):
            self.undo = Undo(self.ledger.reply, before, broken_off)
        return state

    def listen(self, now_ms: int, *, at_ms: int | None = None) -> State:
        """Give the floor to the caller, who is spoken to again after a silence, or at `at_ms`."""
        if move := self.dialogue.spoken():
            return self.carry_out(move, now_ms)
        self.stopped = False
        if at_ms is None:
            self.expect_silence(now_ms)
        else:
            self.silence_at_ms = at_ms
        self.due[Timer.SILENCE] = self.silence_at_ms
        return State.LISTENING

    def expect_silence(self, now_ms: int) -> None:
        """From now on the caller may be silent for so long."""
        self.silence_at_ms = now_ms + max(SILENCE_MS[min(self.dialogue.silences, 2)], self.patience_ms)

    # ── what the dialogue wants ──────────────────────────────────────────────────────────────────────────────────

    def carry_out(self, move: Move, now_ms: int) -> State:
        """Turn a move of the dialogue into commands; give the state that it leads to."""
        self.settle(move)
        if move.write:
            said, corrections = tuple(self.dialogue.said), tuple(self.dialogue.corrections)
            self.out.append(WriteEntry(self.dialogue.draft, said, corrections))
        self.hang_up, self.goodbye_said_ms = move.hang_up, None
        self.record = move.record and self.line.can_record
        sentences = move.say
        if move.go_on:
            sentences = self.broken_off
        elif move.again:
            sentences = (*move.say, *self.last_said)
        self.broken_off = ()
        sentences = self.line.worded(sentences)
        if move.ask_model:
            self.ask_model(sentences, now_ms)
        elif sentences:
            self.owes_answer = False
            ledger = self.new_reply(sentences, repeats=move.again or bool(move.patience_ms))
            self.out.append(Say(ledger.reply, sentences))
        else:
            self.drop_prepared()
            return self.listen(now_ms)
        return State.CLOSING if move.hang_up else State.THINKING

    def settle(self, move: Move) -> None:
        if move.manner:
            self.out.append(ChangeManner(move.manner))
        if move.patience_ms:
            self.patience_ms = move.patience_ms
        if move.forget:
            self.transcript.forget()
            self.last_said = ()
            self.out.append(move.forget)
        if move.left:
            self.transcript.reword(move.left)
            for at, command in enumerate(self.out):
                if isinstance(command, KeepSaid) and command.turn == self.transcript.turn:
                    self.out[at] = replace(command, text=move.left)
        for text in move.off_record:
            self.last_said = ()
            if removed := self.transcript.take_off_record(text):
                self.forget_turn(removed)
        if move.keep:
            self.out.append(KeepEntry(move.keep, self.dialogue.entry))

    def forget_turn(self, removed: ForgetTurn) -> None:
        """Forget before the wish itself is kept: a crash between the two must not bring the turn back."""
        kept = [command for command in self.out if isinstance(command, KeepSaid)]
        self.out = [command for command in self.out if command not in kept]
        self.out += [removed, *(command for command in kept if command.turn != removed.turn)]

    # ── the bot's reply ──────────────────────────────────────────────────────────────────────────────────────────

    def ask_model(self, lead: tuple[str, ...], now_ms: int) -> None:
        """Answer the last thing said, with what was prepared if it answers just that."""
        self.due[Timer.FILLER] = now_ms + FILLER_AFTER_MS
        self.owes_answer = True
        ready, text = self.prepared, self.transcript.history[-1].text
        if ready and ready.lead == lead and normalise(ready.text) == normalise(text):
            self.prepared, self.ledger = None, ready.ledger
            self.ledger.turn, self.stopwatch.prepared = self.transcript.turn, True
            self.forget(Timer.SILENCE, Timer.TURN, Timer.FINAL, Timer.PREPARE)
            self.out.append(Play(ready.ledger.reply))
            return
        ledger = self.new_reply(lead)
        self.out.append(Reply(ledger.reply, tuple(self.transcript.history), lead))

    def take_back_reply(self, now_ms: int) -> bool:
        """Stop the live reply. True: nothing of it was heard, so the caller's turn goes on where it was."""
        if (ledger := self.ledger) is None:
            return False
        self.out.append(StopSpeaking(ledger.reply, ledger.heard(now_ms)))
        began_ms = ledger.started_ms
        spoken_until_ms = now_ms if self.paused_at_ms is None else self.paused_at_ms
        unheard = began_ms is None or (not ledger.any_heard and spoken_until_ms - began_ms < SAME_TURN_MS)
        if unheard and self.undo and self.undo.reply == ledger.reply:
            if self.undo.dialogue.manner != self.dialogue.manner:
                self.out.append(ChangeManner(self.undo.dialogue.manner))
            kept = self.dialogue
            self.dialogue = replace(self.undo.dialogue, draft=kept.draft, entry_stands=kept.entry_stands)
            self.broken_off = self.undo.broken_off
            self.reopened_turn = self.transcript.take_back()
            self.owes_answer = False
            self.drop_ledger()
            # Before the turn that grew: whoever finds only that one takes it up as a whole.
            self.keep_stage(now_ms)
            return True
        self.broken_off = ledger.unheard
        self.close_ledger(ledger, now_ms)
        return False

    # ── for who goes on with the call ────────────────────────────────────────────────────────────────────────────

    @property
    def is_draining(self) -> bool:
        """The process is going away."""
        return self.last_reply is not None

    @property
    def unheard(self) -> tuple[str, ...]:
        """What the next process is to say. The rest of what the caller broke off is not, but for the read-back."""
        if self.owes_answer or self.record:
            return ()
        if self.left is not None:
            return self.left
        if self.ledger:
            return self.ledger.unheard
        return self.broken_off if self.dialogue.stage is Stage.APPROVAL else ()

    def keep_stage(self, now_ms: int, *, handed_over: bool = False) -> None:
        """Have where the talk is kept, if it has changed."""
        self.reopen_if_behind()
        snapshot = replace(
            self.dialogue.noted(),
            handed_over=handed_over,
            turn=self.transcript.turn - (self.reopened_turn is not None),
            answered=not self.owes_answer,
            unheard=self.unheard,
            last_said=self.last_said,
            patience_ms=self.patience_ms,
            spent_ms=self.spent_ms + now_ms,
        )
        if snapshot != self.kept:
            self.kept = snapshot
            self.out.append(KeepStage(snapshot))

    def reopen_if_behind(self) -> None:
        """An entry that does not hold all is void before more is kept: no crash between the two may let it stand."""
        if self.dialogue.falls_behind():
            self.out.insert(0, ReopenDay())
