"""Turn-taking: when the bot speaks, when it listens, and when a turn is over.

The rules of this file
----------------------
One machine per call. `step(event, now_ms)` takes a fact and the time of the call clock, and gives the commands that
follow. It never waits, and it knows no clock but `now_ms`: a deadline is a number that is compared with it, so a
recorded call played at any speed gives the same answer.

The table below is the whole of it: a row says in which state which event is listened to, what is done, and into which
states that may lead. An event without a row changes nothing. Every action gives the next state, and a state that its
row does not name is a bug of ours and raises `LocalProtocolError`.

    GREETING      the greeting is on its way or being heard
    LISTENING     the caller has the floor, talking or not
    ENDPOINTING   the caller has fallen silent: are they done?
    THINKING      the turn is the bot's; no sound of its reply was sent yet
    SPEAKING      the caller hears the reply
    CLOSING       the goodbye is on its way or being heard
    CLOSED        nothing happens any more

(PROBATION, where a sound of the caller's only pauses the reply, comes between SPEAKING and LISTENING.)

A turn ends when three things are known: the VAD's STOP, the wait that `endpointing.py` gives for what was said, and
the last final (or that none will come). Several finals of one turn are joined. A final that never comes is replaced by
its interim; when it then comes after all, its utterance is already used and it is dropped.

Where noise keeps the VAD talking for ever, words decide alone: when no new one has come for long enough, the turn is
over, and until the VAD hears speech begin anew, words alone break in.

The turn is given back when the caller goes on: before the reply is heard, both parts are one turn and one exchange;
afterwards the reply is cut to what the ledger knows to be heard. If what broke the reply off was no word, the reply
goes on with the sentence that was cut.

Invariants, tested as properties: one live reply at most; every reply that was begun is ended or stopped; history holds
of the bot only what was heard; CLOSED absorbs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bot.conversation import listening, speaking
from bot.conversation.commands import Command, Exchange
from bot.conversation.dialogue import Dialogue
from bot.conversation.events import (
    CallerGone,
    CallStarted,
    Draining,
    Due,
    EntryWritten,
    Event,
    Final,
    Interim,
    KeyPressed,
    MarkEchoed,
    ReplyEnded,
    SentenceMade,
    SentenceSent,
    SentenceStarted,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    SttLost,
    Timer,
)
from bot.conversation.floor import Floor, State
from bot.errors import LocalProtocolError


@dataclass(frozen=True, slots=True)
class Row:
    """What is done, and which states it may lead to."""

    action: Callable[..., State]
    leads_to: frozenset[State]


def _row(action: Callable[..., State], *leads_to: State) -> Row:
    return Row(action, frozenset(leads_to))


_G, _L, _E, _T, _S, _B, _X = State
TABLE: dict[tuple[State, type[Event] | Timer], Row] = {
    (_G, CallStarted): _row(speaking.call_started, _G),
    (_L, SpeechStarted): _row(listening.speech_started, _L),
    (_L, SpeechResumed): _row(listening.speech_resumed, _L),
    (_L, SpeechPaused): _row(listening.speech_paused, _E),
    (_L, Interim): _row(listening.text, _L),
    (_L, Final): _row(listening.text, _L, _E),
    (_L, KeyPressed): _row(listening.key, _L, _T, _B),
    (_L, EntryWritten): _row(speaking.entry_written, _L, _T, _B),
    (_L, Timer.TURN): _row(listening.words_ran_out, _L, _T, _B),
    (_L, Timer.SILENCE): _row(speaking.silent_for_long, _T, _B),
    (_E, SpeechStarted): _row(listening.speech_started, _L),
    (_E, SpeechResumed): _row(listening.speech_resumed, _L),
    (_E, SpeechStopped): _row(listening.speech_stopped, _E, _L, _T, _B),
    (_E, Interim): _row(listening.text_at_the_end, _E, _L, _T, _B),
    (_E, Final): _row(listening.text_at_the_end, _E, _L, _T, _B),
    (_E, KeyPressed): _row(listening.key, _E, _L, _T, _B),
    (_E, EntryWritten): _row(speaking.entry_written, _E),
    (_E, Timer.FINAL): _row(listening.final_overdue, _E, _L, _T, _B),
    (_E, Timer.TURN): _row(listening.wait_over, _E, _L, _T, _B),
    (_T, SentenceStarted): _row(speaking.sentence_started, _T, _S),
    (_B, SentenceStarted): _row(speaking.sentence_started, _B),
    (_G, SentenceStarted): _row(speaking.sentence_started, _G),
    (_S, SentenceStarted): _row(speaking.sentence_started, _S),
    (_T, EntryWritten): _row(speaking.entry_written, _T),
    (_S, EntryWritten): _row(speaking.entry_written, _S),
    (_B, Draining): _row(speaking.drain_at_goodbye, _B),
    (_B, SpeechStarted): _row(listening.voice_at_goodbye, _B),
    (_B, SpeechResumed): _row(listening.voice_at_goodbye, _B),
    (_B, SpeechPaused): _row(listening.voice_at_goodbye, _B),
    (_B, Interim): _row(listening.interim_at_goodbye, _B),
    (_B, Final): _row(listening.words_at_goodbye, _B, _L, _E, _X),
    (_B, Timer.TURN): _row(listening.waited_at_goodbye, _B, _E, _X),
    (_B, KeyPressed): _row(listening.key_at_goodbye, _B),
}
for _state in (_G, _T, _S, _B):
    _after = (_B, _X) if _state is _B else (_L, _T, _B)
    TABLE[_state, SentenceMade] = _row(speaking.sentence_made, _state)
    TABLE[_state, SentenceSent] = _row(speaking.sentence_sent, _state)
    TABLE[_state, MarkEchoed] = _row(speaking.mark_echoed, _state, *_after)
    TABLE[_state, ReplyEnded] = _row(speaking.reply_ended, _state, *_after)
    TABLE[_state, Timer.MARK] = _row(speaking.mark_overdue, _state, *_after)
for _state in (_G, _T, _S):
    TABLE[_state, SpeechStarted] = _row(listening.broke_in, _L)
    TABLE[_state, Interim] = _row(listening.words_broke_in, _state, _L)
    TABLE[_state, Final] = _row(listening.words_broke_in, _state, _E)
    TABLE[_state, KeyPressed] = _row(listening.key, _state, _L, _T, _B)
for _state in (_G, _L, _E, _T, _S, _B):
    TABLE[_state, Timer.CALL] = _row(speaking.time_is_up, _state, _B)
for _state in (_G, _L, _E, _T, _S):
    TABLE[_state, SttLost] = _row(speaking.stt_lost, _B)
    TABLE[_state, Draining] = _row(speaking.drain, _B)
for _state in (_G, _L, _E, _T, _S, _B):
    TABLE[_state, CallerGone] = _row(speaking.caller_gone, _X)


class Turns:
    """The turn-taking of one call; a call may last `max_call_ms`."""

    def __init__(self, dialogue: Dialogue | None = None, *, max_call_ms: int = 30 * 60_000) -> None:
        self._floor = Floor(dialogue or Dialogue(), max_call_ms)

    @property
    def state(self) -> State:
        """Who has the floor."""
        return self._floor.state

    @property
    def dialogue(self) -> Dialogue:
        """What the talk is about."""
        return self._floor.dialogue

    @property
    def history(self) -> tuple[Exchange, ...]:
        """The talk so far: what was said, and what was heard."""
        return tuple(self._floor.history)

    def step(self, event: Event, now_ms: int) -> list[Command]:
        """Take `event` at `now_ms` of the call clock; give what is to be done, in order."""
        for due in self._deadlines_passed(now_ms):
            self._take(due, now_ms)
        self._take(event, now_ms)
        out, self._floor.out = self._floor.out, []
        return out

    def _deadlines_passed(self, now_ms: int) -> Iterator[Due]:
        deadlines = self._floor.due
        while passed := [(at, timer) for timer, at in deadlines.items() if at <= now_ms]:
            _, timer = min(passed)
            del deadlines[timer]
            yield Due(timer)

    def _take(self, event: Event, now_ms: int) -> None:
        floor = self._floor
        key = event.timer if isinstance(event, Due) else type(event)
        if (row := TABLE.get((floor.state, key))) is None:
            return
        state = row.action(floor, event, now_ms)
        if state not in row.leads_to:
            raise LocalProtocolError(f"{floor.state} + {key} may not lead to {state}")
        floor.state = state
