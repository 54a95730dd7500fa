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
    PROBATION     a voice over the bot has made it pause: is it a caller who wants to speak?
    CLOSING       the goodbye is on its way or being heard
    LEAVING       the call is handed over; words that come late are kept
    CLOSED        nothing happens any more

A turn ends when three things are known: the VAD's STOP, the wait that `endpointing.py` gives for how its text ends, and
the last final (or that none will come). Several finals of one turn are joined. A final that never comes is replaced by
its interim; when it then comes after all, its utterance is already used and it is dropped.

The reply is begun before that (`preparing.py`), and has no effect unless the turn ends with the words that it answers.

Where noise keeps the VAD talking for ever, words decide alone: when no new one has come for long enough, the turn is
over, and until the VAD hears speech begin anew, words alone break in.

A voice over the bot only pauses it (`probation.py`); what it says decides. Before the reply is heard, real words take
the turn back: both parts are one turn and one exchange. Afterwards they cut the reply to what the ledger knows to be
heard. If what broke the reply off was no word after all, the reply goes on with the piece that was cut.

After every step in which it changed, where the talk is is kept (`snapshot.py`), so that another process can go on with
it (`resuming.py`). A process that goes away finishes the sentence, begins no other, and hands over (`handover.py`).

Invariants, tested as properties: one live and one prepared reply at most; every reply that was begun is ended or
stopped; history holds of the bot only what was heard; a talk that is taken up knows every turn once; CLOSED absorbs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bot.conversation import by_hand, closing, handover, listening, preparing, probation, speaking
from bot.conversation.commands import Command, Exchange
from bot.conversation.dialogue import Dialogue
from bot.conversation.events import (
    AudioSent,
    CallerGone,
    CallStarted,
    Draining,
    Due,
    EntryWritten,
    Event,
    Final,
    FirstAudio,
    FirstToken,
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
    StopPressed,
    SttLost,
    SttPace,
    Tick,
    Timer,
    TurnTyped,
)
from bot.conversation.floor import Floor, State
from bot.conversation.talk_lines import TELEPHONE, TalkLine
from bot.errors import LocalProtocolError


@dataclass(frozen=True, slots=True)
class Row:
    """What is done, and which states it may lead to."""

    action: Callable[..., State]
    leads_to: frozenset[State]


def _row(action: Callable[..., State], *leads_to: State) -> Row:
    return Row(action, frozenset(leads_to))


_G, _L, _E, _T, _S, _P, _B, _H, _X = State
"""In the order above: B says goodbye, H hands over, X is closed."""
_OPEN = (_G, _L, _E, _T, _S, _P, _B)
_ASK = (_L, _T, _B)
"""What may follow a turn that is over: nothing was said, an answer, a goodbye."""

TABLE: dict[tuple[State, type[Event] | Timer], Row] = {
    (_G, CallStarted): _row(speaking.call_started, _G, _T, _B),
    (_L, SpeechStarted): _row(listening.speech_started, _L),
    (_L, SpeechResumed): _row(listening.speech_resumed, _L),
    (_L, SpeechPaused): _row(listening.speech_paused, _E),
    (_L, Interim): _row(listening.text, _L),
    (_L, Final): _row(listening.text, _L, _E),
    (_L, KeyPressed): _row(listening.key, *_ASK),
    (_L, EntryWritten): _row(speaking.entry_written, *_ASK),
    (_L, Timer.TURN): _row(listening.words_ran_out, *_ASK),
    (_L, Timer.SILENCE): _row(speaking.silent_for_long, _T, _B),
    (_E, SpeechStarted): _row(listening.speech_started, _L),
    (_E, SpeechResumed): _row(listening.speech_resumed, _L),
    (_E, SpeechStopped): _row(listening.speech_stopped, _E, *_ASK),
    (_E, Interim): _row(listening.text_at_the_end, _E, *_ASK),
    (_E, Final): _row(listening.text_at_the_end, _E, *_ASK),
    (_E, KeyPressed): _row(listening.key, _E, *_ASK),
    (_E, EntryWritten): _row(speaking.entry_written, _E),
    (_E, Timer.PREPARE): _row(preparing.time_to_prepare, _E),
    (_E, Timer.FINAL): _row(listening.final_overdue, _E, *_ASK),
    (_E, Timer.TURN): _row(listening.wait_over, _E, *_ASK),
    (_T, SentenceStarted): _row(speaking.sentence_started, _T, _S),
    (_T, Timer.FILLER): _row(speaking.takes_long, _T),
    (_P, SpeechStarted): _row(probation.voice_again, _P),
    (_P, SpeechResumed): _row(probation.voice_again, _P),
    (_P, SpeechPaused): _row(probation.voice_paused, _P),
    (_P, SpeechStopped): _row(probation.voice_stopped, _P, _G, _T, _S, _L, _E, _B),
    (_P, Interim): _row(probation.words, _P, _G, _T, _S, _L, _E, _B),
    (_P, Final): _row(probation.words, _P, _G, _T, _S, _L, _E, _B),
    (_P, Timer.FINAL): _row(probation.final_overdue, _P, _G, _T, _S, _L, _E, _B),
    (_P, Timer.PROBATION): _row(probation.no_words, _P, _G, _T, _S),
    (_P, Timer.FILLER): _row(probation.filler_waits, _P),
    (_P, KeyPressed): _row(listening.key, _P, *_ASK),
    (_B, SttLost): _row(closing.stt_lost_at_goodbye, _B, _X),
    (_B, SpeechStarted): _row(closing.voice_at_goodbye, _B),
    (_B, SpeechResumed): _row(closing.voice_at_goodbye, _B),
    (_B, SpeechPaused): _row(closing.voice_at_goodbye, _B),
    (_B, Interim): _row(closing.interim_at_goodbye, _B),
    (_B, Final): _row(closing.words_at_goodbye, _B, _L, _E, _X),
    (_B, Timer.PROBATION): _row(closing.voice_said_nothing, _B, _L, _E, _X),
    (_B, Timer.TURN): _row(closing.waited_at_goodbye, _B, _E, _X),
    (_B, KeyPressed): _row(closing.key_at_goodbye, _B),
    (_B, TurnTyped): _row(by_hand.typed_at_goodbye, *_ASK, _E, _X),
    (_B, StopPressed): _row(by_hand.stop_pressed_at_goodbye, _B, _X),
    (_H, Interim): _row(handover.late_text, _H),
    (_H, Final): _row(handover.late_text, _H),
    (_H, TurnTyped): _row(by_hand.typed_late, _H),
    (_H, CallerGone): _row(handover.gone_after_hand_over, _X),
}
for _state in (_G, _T, _S):
    TABLE[_state, SpeechStarted] = _row(probation.voice_came, _P, _state)
    TABLE[_state, SpeechPaused] = _row(probation.voice_ebbs, _state)
    TABLE[_state, Interim] = _row(listening.words_broke_in, _state, _L)
    TABLE[_state, Final] = _row(listening.words_broke_in, _state, _E)
    TABLE[_state, KeyPressed] = _row(listening.key, _state, *_ASK)
for _state in (_G, _T, _S, _P, _B):
    _after = {_B: (_X,), _P: (_E, *_ASK)}.get(_state, _ASK)
    if _state is not _T:
        TABLE[_state, SentenceStarted] = _row(speaking.sentence_started, _state)
    TABLE[_state, AudioSent] = _row(speaking.audio_sent, _state)
    TABLE[_state, SentenceSent] = _row(speaking.sentence_sent, _state)
    TABLE[_state, MarkEchoed] = _row(speaking.mark_echoed, _state, *_after)
    TABLE[_state, ReplyEnded] = _row(speaking.reply_ended, _state, *_after)
    TABLE[_state, Timer.MARK] = _row(speaking.mark_overdue, _state, *_after)
for _state in (_G, _L, _E, _T, _S, _P):
    TABLE[_state, TurnTyped] = _row(by_hand.typed, *_ASK)
for _state in (_G, _T, _S):
    TABLE[_state, StopPressed] = _row(by_hand.stop_pressed, *_ASK)
TABLE[_P, StopPressed] = _row(by_hand.stop_pressed, _E, *_ASK)
for _state in (_T, _S, _P):
    TABLE[_state, EntryWritten] = _row(speaking.entry_written, _state)
for _state in _OPEN:
    TABLE[_state, SentenceMade] = _row(speaking.sentence_made, _state)
    TABLE[_state, FirstToken] = _row(speaking.first_token, _state)
    TABLE[_state, FirstAudio] = _row(speaking.first_audio, _state)
    TABLE[_state, SttPace] = _row(listening.pace_known, _state)
    TABLE[_state, Timer.CALL] = _row(closing.time_is_up, _state, _B)
    TABLE[_state, CallerGone] = _row(handover.caller_gone, _X)
    TABLE[_state, Draining] = _row(handover.drain, _state)
    TABLE[_state, Timer.HANDOVER] = _row(handover.hand_over, _H)
for _state in (_G, _L, _E, _T, _S, _P):
    TABLE[_state, SttLost] = _row(closing.stt_lost, _state, _B)


class Turns:
    """The turn-taking of one call; a call may last `max_call_ms`."""

    def __init__(
        self, dialogue: Dialogue | None = None, *, max_call_ms: int = 30 * 60_000, line: TalkLine = TELEPHONE
    ) -> None:
        self._floor = Floor(dialogue or Dialogue(), max_call_ms, line)

    @property
    def state(self) -> State:
        """Who has the floor."""
        return self._floor.state

    @property
    def expects_words(self) -> bool:
        """The caller speaks, or may have said all: the sooner the words are known, the better."""
        return self._floor.talking or self._floor.state is State.ENDPOINTING

    @property
    def says_goodbye(self) -> bool:
        """The last words of the call are being said, or were."""
        floor = self._floor
        return floor.state is State.CLOSED or (floor.state is State.CLOSING and not floor.record)

    @property
    def dialogue(self) -> Dialogue:
        """What the talk is about."""
        return self._floor.dialogue

    @property
    def history(self) -> tuple[Exchange, ...]:
        """The talk so far: what was said, and what was heard."""
        return tuple(self._floor.transcript.history)

    def behind(self, behind_ms: int) -> None:
        """Say how far the call clock is behind the wall now."""
        self._floor.behind_ms = behind_ms

    def step(self, event: Event, now_ms: int) -> list[Command]:
        """Take `event` at `now_ms` of the call clock; give what is to be done, in order."""
        floor, is_quiet = self._floor, isinstance(event, Tick)
        for due in self._deadlines_passed(now_ms):
            self._take(due, now_ms)
            is_quiet = False
        self._take(event, now_ms)
        if handover.is_at_rest(floor):
            self._take(Due(Timer.HANDOVER), now_ms)
        handover.hold_back(floor)
        if not is_quiet and floor.state not in (State.LEAVING, State.CLOSED):
            floor.keep_stage(now_ms)
        out, floor.out = floor.out, []
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
