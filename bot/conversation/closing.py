"""The end of a call: the ways that lead to a goodbye, what a caller says over it, and what is settled after it.

Actions for the table in `turns.py`, and what they share: each takes the floor, the event and the time, and gives the
next state. Nothing that was said is dropped on the way out.
"""

from collections.abc import Callable

from bot.conversation.commands import Finalize, HangUp, KeepEntry, KeepHabit, RecordRest, Status
from bot.conversation.endpointing import FINAL_WAIT_MS, FIRST_FINAL_WAIT_MS, PROBATION_MS, WORDS_GONE_MS
from bot.conversation.events import (
    Due,
    Final,
    Interim,
    KeyPressed,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SttLost,
    Timer,
)
from bot.conversation.floor import Floor, State
from bot.conversation.moves import Move

LAST_WORDS_MS = 15_000
"""So long after the goodbye a caller may still be saying something; noise keeps no line open for longer."""

LISTENS_ON_MS = 60_000
"""How long a caller who talks at the time limit may still finish."""


def keep_what_was_begun(floor: Floor, now_ms: int) -> Move | None:
    """Words of a turn that never ended are words all the same; give the wish that they may hold, to be settled."""
    floor.talking = False
    if text := floor.end_turn(now_ms):
        return floor.dialogue.turn(text, interrupted=bool(floor.broken_off) or floor.state is State.PROBATION)
    return None


def close_with(floor: Floor, farewell: Callable[[], Move], now_ms: int) -> State:
    if said := keep_what_was_begun(floor, now_ms):
        floor.settle(said)
    floor.stop_reply(now_ms)
    return floor.carry_out(farewell(), now_ms)


def time_is_up(floor: Floor, event: Due, now_ms: int) -> State:
    free = floor.state is State.LISTENING and not floor.talking
    if not free and now_ms < floor.max_call_ms + LISTENS_ON_MS:
        floor.due[Timer.CALL] = now_ms + 1_000
        return floor.state
    return close_with(floor, floor.dialogue.time_is_up, now_ms)


def stt_lost(floor: Floor, event: SttLost, now_ms: int) -> State:
    """Nothing more is understood; whoever goes on with the call may have a recogniser again."""
    if floor.is_draining:
        floor.due[Timer.HANDOVER] = now_ms
        return floor.state
    return close_with(floor, lambda: floor.dialogue.stt_lost(event.loss), now_ms)


def stt_lost_at_goodbye(floor: Floor, event: SttLost, now_ms: int) -> State:
    """No more words will come that could cancel the hang-up; those that stand open are kept."""
    floor.dialogue.reopenable = floor.talking = False
    return goodbye_or_not(floor, now_ms)


# ── while the goodbye is spoken ──────────────────────────────────────────────────────────────────────────────────────


def voice_at_goodbye(floor: Floor, event: SpeechStarted | SpeechResumed | SpeechPaused, now_ms: int) -> State:
    """A voice over the goodbye pauses it; what it says decides, and the hang-up waits for it."""
    floor.talking = not isinstance(event, SpeechPaused)
    if isinstance(event, SpeechStarted):
        floor.turn_from_ms = event.at_ms
        if floor.dialogue.reopenable and floor.paused_at_ms is None:
            floor.pause_reply(now_ms)
    if isinstance(event, SpeechPaused):
        floor.voiced_until_ms = event.at_ms
        floor.out.append(Finalize())
    if floor.goodbye_said_ms is not None:
        wait_ms = WORDS_GONE_MS if floor.talking else FIRST_FINAL_WAIT_MS
        floor.due[Timer.TURN] = min(now_ms + wait_ms, floor.goodbye_said_ms + LAST_WORDS_MS)
    return State.CLOSING


def voice_said_nothing(floor: Floor, event: Due, now_ms: int) -> State:
    """What was heard over the goodbye has brought no real word for long enough."""
    if not floor.utterances.interim_open or floor.dialogue.passes(floor.utterances.text):
        floor.resume_reply(now_ms, after_words=bool(floor.utterances.text))
        return State.CLOSING
    if floor.talking or now_ms < floor.voiced_until_ms + FINAL_WAIT_MS:
        floor.due[Timer.PROBATION] = now_ms + PROBATION_MS
        return State.CLOSING
    return goodbye_or_not(floor, now_ms)


def interim_at_goodbye(floor: Floor, event: Interim, now_ms: int) -> State:
    floor.utterances.take(event, now_ms)
    return State.CLOSING


def words_at_goodbye(floor: Floor, event: Final, now_ms: int) -> State:
    """Real words while the goodbye is spoken cancel the hang-up; 네, 감사합니다, 안녕히 계세요 do not."""
    floor.utterances.take(event, now_ms)
    return goodbye_or_not(floor, now_ms)


def waited_at_goodbye(floor: Floor, event: Due, now_ms: int) -> State:
    """No final came any more for what was said over the goodbye."""
    floor.talking = False
    return goodbye_or_not(floor, now_ms)


def goodbye_or_not(floor: Floor, now_ms: int) -> State:
    text = floor.utterances.text
    if removal := floor.dialogue.removes(text):
        floor.utterances.end_turn()
        floor.stop_reply(now_ms)
        if removal.left:
            floor.end_turn(now_ms, removal.left)
        return floor.carry_out(removal, now_ms)
    if floor.dialogue.reopens(text):
        floor.stop_reply(now_ms)
        floor.hang_up = None
        if floor.talking:
            floor.due[Timer.TURN] = now_ms + WORDS_GONE_MS
            return State.LISTENING
        if now_ms - floor.voiced_until_ms > FINAL_WAIT_MS:
            return floor.words_without_voice(now_ms)
        floor.stopped = True
        floor.wait_for_turn()
        return State.ENDPOINTING
    if floor.dialogue.notes(text):
        floor.end_turn(now_ms)
    else:
        floor.utterances.end_turn()
    floor.resume_reply(now_ms, after_words=bool(text))
    return hung_up_if_said(floor, now_ms)


def key_at_goodbye(floor: Floor, event: KeyPressed, now_ms: int) -> State:
    """3 discards, also now; no other key means anything."""
    if event.digit != "3" or not floor.dialogue.can_discard:
        return State.CLOSING
    floor.stop_reply(now_ms)
    return floor.carry_out(floor.dialogue.discard(), now_ms)


def hung_up_if_said(floor: Floor, now_ms: int) -> State:
    """Hang up when the goodbye was heard to its end, and not on a caller who is saying something."""
    if floor.goodbye_said_ms is None:
        return State.CLOSING
    waited = now_ms - floor.goodbye_said_ms >= LAST_WORDS_MS
    if not floor.record and not waited and (floor.talking or floor.utterances.interim_open):
        floor.due.setdefault(Timer.TURN, now_ms + FIRST_FINAL_WAIT_MS)
        return State.CLOSING
    return hung_up(floor, floor.hang_up or "goodbye", record=floor.record)


def hung_up(floor: Floor, why: str, *, record: bool = False) -> State:
    """Nothing more is said; `record`: and Twilio records the rest."""
    floor.due.clear()
    floor.drop_prepared()
    floor.reopen_if_behind()
    if not record and floor.dialogue.unsettled and floor.dialogue.entry_is_current:
        floor.out.append(KeepEntry(Status.UNCONFIRMED, floor.dialogue.entry))
    keep_habit(floor)
    floor.out.append(RecordRest(why) if record else HangUp(why))
    return State.CLOSED


def keep_habit(floor: Floor) -> None:
    if floor.habit != floor.habit_before:
        floor.out.append(KeepHabit(floor.habit))
