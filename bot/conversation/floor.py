"""Who has the floor, and what both sides of a talk have under way: the state that the actions of turn-taking share.

`turns.py` says which action runs when; `listening.py` and `speaking.py` are the actions. Here is what more than one of
them needs: beginning and stopping a reply, ending a turn, carrying out a move of the dialogue, going away. It knows no
clock but the `now_ms` that it is given.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

from bot.conversation.commands import (
    CloseDay,
    Command,
    Exchange,
    HangUp,
    KeepEntry,
    KeepHeard,
    KeepSaid,
    ReopenDay,
    Reply,
    Say,
    Status,
    StopSpeaking,
    WriteEntry,
)
from bot.conversation.dialogue import Dialogue, Move
from bot.conversation.endpointing import FIRST_FINAL_WAIT_MS, turn_wait_ms
from bot.conversation.events import Timer
from bot.conversation.heard import Ledger
from bot.conversation.utterances import Utterances

SILENCE_MS = (8_000, 12_000, 10_000)
"""Silence before the first prompt (8 s), the second (20 s), and the goodbye (30 s), each after the one before."""

SAME_TURN_MS = 500
"""A caller who goes on this soon after the reply began has not yielded the turn."""

NOISE_GRACE_MS = 1_000
"""After a noise without words, the least time before the next prompt."""


LAST_WORDS_MS = 15_000
"""So long after the goodbye a caller may still be saying something; noise keeps no line open for longer."""


class State(StrEnum):
    """Who has the floor."""

    GREETING = "greeting"
    LISTENING = "listening"
    ENDPOINTING = "endpointing"
    THINKING = "thinking"
    SPEAKING = "speaking"
    CLOSING = "closing"
    CLOSED = "closed"


class Floor:
    """The state of one call's turn-taking. `out` gathers the commands of a step, `due` the deadlines by purpose."""

    def __init__(self, dialogue: Dialogue, max_call_ms: int) -> None:
        self.state = State.GREETING
        self.dialogue = dialogue
        self.history: list[Exchange] = []
        self.max_call_ms = max_call_ms
        self.out: list[Command] = []
        self.due: dict[Timer, int] = {}
        self.replies = 0
        self.ledger: Ledger | None = None
        self.last_said: tuple[str, ...] = ()
        self.broken_off: tuple[str, ...] = ()
        self.hang_up: str | None = None
        self.goodbye_said_ms: int | None = None
        self.turn = -1
        self.heard_turn = -1
        self.heard = ""
        self.reopened_turn: str | None = None
        self.undo: tuple[int, Dialogue, tuple[str, ...]] | None = None
        self.utterances = Utterances()
        self.talking = False
        self.stopped = False
        self.noisy = False
        self.turn_from_ms = 0
        self.voiced_until_ms = 0
        self.silence_at_ms = 0

    def forget(self, *timers: Timer) -> None:
        for timer in timers:
            self.due.pop(timer, None)

    def wait_for_turn(self) -> None:
        self.due[Timer.TURN] = self.voiced_until_ms + turn_wait_ms(self.utterances.text)

    def turn_over_if_known(self, now_ms: int) -> State:
        """End the turn if the silence is long enough and no text is missing."""
        waiting = self.due.get(Timer.TURN, 0) > now_ms or Timer.FINAL in self.due
        if not self.stopped or waiting:
            return State.ENDPOINTING
        self.forget(Timer.TURN)
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

    def end_turn(self, until_ms: int) -> str:
        """Close the turn; give its text, empty if no word was said."""
        text = " ".join(part for part in (self.reopened_turn, self.utterances.end_turn()) if part)
        if not text:
            return ""
        if self.reopened_turn is None:
            self.turn += 1
        self.reopened_turn = None
        self.out.append(KeepSaid(self.turn, text, self.turn_from_ms, until_ms))
        self.history.append(Exchange("caller", text))
        return text

    def answer(self, text: str, now_ms: int) -> State:
        before, broken_off = self.dialogue.copy(), self.broken_off
        move = self.dialogue.turn(text, interrupted=bool(self.broken_off))
        state = self.carry_out(move, now_ms)
        if self.ledger and not move.forget and not move.keep:
            self.undo = (self.ledger.reply, before, broken_off)
        return state

    def listen(self, now_ms: int, *, at_ms: int | None = None) -> State:
        """Give the floor to the caller, who is spoken to again after a silence, or at `at_ms`."""
        if move := self.dialogue.spoken():
            return self.carry_out(move, now_ms)
        self.stopped = False
        self.silence_at_ms = at_ms or now_ms + SILENCE_MS[min(self.dialogue.silences, 2)]
        self.due[Timer.SILENCE] = self.silence_at_ms
        return State.LISTENING

    def carry_out(self, move: Move, now_ms: int) -> State:
        """Turn a move of the dialogue into commands; give the state that it leads to."""
        self.settle(move)
        if move.write:
            said, corrections = tuple(self.dialogue.said), tuple(self.dialogue.corrections)
            self.out.append(WriteEntry(self.dialogue.draft, said, corrections))
        self.hang_up, self.goodbye_said_ms = move.hang_up, None
        sentences = move.say
        if move.go_on:
            sentences = self.broken_off
        elif move.again:
            sentences = self.last_said
        self.broken_off = ()
        if move.ask_model:
            ledger = self.new_reply(sentences)
            self.out.append(Reply(ledger.reply, tuple(self.history), sentences))
        elif sentences:
            ledger = self.new_reply(sentences)
            self.out.append(Say(ledger.reply, sentences))
        else:
            return self.listen(now_ms)
        return State.CLOSING if move.hang_up else State.THINKING

    def settle(self, move: Move) -> None:
        if move.forget:
            self.history.clear()
            self.out.append(move.forget)
        if move.keep:
            self.out.append(KeepEntry(move.keep))

    def new_reply(self, sentences: tuple[str, ...]) -> Ledger:
        self.forget(Timer.SILENCE, Timer.TURN, Timer.FINAL)
        self.replies += 1
        self.ledger = Ledger(self.replies, self.turn)
        for index, sentence in enumerate(sentences):
            self.ledger.made(index, sentence)
        return self.ledger

    def live(self, reply: int) -> Ledger | None:
        return self.ledger if self.ledger and self.ledger.reply == reply else None

    def spoken_if_done(self, ledger: Ledger, now_ms: int) -> State:
        if not ledger.done:
            return self.state
        self.close_ledger(ledger)
        if self.state is State.CLOSING:
            self.goodbye_said_ms = now_ms
            return self.hung_up_if_said(now_ms)
        return self.listen(now_ms)

    def hung_up_if_said(self, now_ms: int) -> State:
        """Hang up when the goodbye was heard to its end, and not on a caller who is saying something."""
        if self.goodbye_said_ms is None:
            return State.CLOSING
        waited = now_ms - self.goodbye_said_ms >= LAST_WORDS_MS
        if not waited and (self.talking or self.utterances.interim_open):
            self.due.setdefault(Timer.TURN, now_ms + FIRST_FINAL_WAIT_MS)
            return State.CLOSING
        return self.hung_up(self.hang_up or "goodbye")

    def close_ledger(self, ledger: Ledger) -> None:
        self.ledger = None
        self.forget(Timer.MARK)
        if ledger.heard:
            if self.dialogue.notice in ledger.heard:
                self.dialogue.notice = ""
            self.history.append(Exchange("bot", ledger.heard))
            if ledger.turn != self.heard_turn:
                self.heard_turn, self.heard = ledger.turn, ""
            self.heard = f"{self.heard} {ledger.heard}".strip()
            self.out.append(KeepHeard(ledger.turn, self.heard))
        self.last_said = ledger.sentences or self.last_said

    def stop_reply(self) -> None:
        if self.ledger:
            self.out.append(StopSpeaking(self.ledger.reply))
            self.close_ledger(self.ledger)

    def take_back_reply(self, now_ms: int) -> bool:
        """Stop the live reply. True: nothing of it was heard, so the caller's turn goes on where it was."""
        if (ledger := self.ledger) is None:
            return False
        self.out.append(StopSpeaking(ledger.reply))
        unheard = ledger.started_ms is None or (not ledger.heard and now_ms - ledger.started_ms < SAME_TURN_MS)
        if unheard and self.undo and self.undo[0] == ledger.reply:
            self.dialogue = replace(self.undo[1], draft=self.dialogue.draft)
            self.broken_off = self.undo[2]
            self.reopened_turn = self.history.pop().text
            self.ledger = None
            self.forget(Timer.MARK)
            return True
        self.broken_off = ledger.unheard
        self.close_ledger(ledger)
        return False

    def keep_what_was_begun(self, now_ms: int) -> Move | None:
        """Words of a turn that never ended are words all the same; give the wish that they may hold, to be settled."""
        self.talking = False
        if text := self.end_turn(now_ms):
            return self.dialogue.turn(text, interrupted=bool(self.broken_off))
        return None

    def close_with(self, farewell: Callable[[], Move], now_ms: int) -> State:
        if said := self.keep_what_was_begun(now_ms):
            self.settle(said)
        self.stop_reply()
        return self.carry_out(farewell(), now_ms)

    def hung_up(self, why: str) -> State:
        dialogue = self.dialogue
        self.due.clear()
        if dialogue.unsettled and dialogue.was_settled:
            self.out.append(ReopenDay())
        if dialogue.unsettled and dialogue.entry_is_current:
            self.out.append(KeepEntry(Status.UNCONFIRMED))
        elif dialogue.unsettled:
            self.out.append(CloseDay(tuple(dialogue.said), tuple(dialogue.corrections)))
        self.out.append(HangUp(why))
        return State.CLOSED
