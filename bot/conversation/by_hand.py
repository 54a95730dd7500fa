"""What a person does on a page that nobody can do on a telephone: typing a turn, and pressing stop.

Actions for the table in `turns.py`: each takes the floor, the event and the time, and gives the next state.
"""

from bot.conversation.closing import goodbye_or_not, hung_up_if_said
from bot.conversation.events import Final, StopPressed, Timer, TurnTyped
from bot.conversation.floor import Floor, State
from bot.conversation.probation import caller_has_the_floor

_TYPED = 0
"""The number of the connection that typed words come on: the recogniser's begin with 1."""


def typed(floor: Floor, event: TurnTyped, now_ms: int) -> State:
    """A turn that is typed is whole at once; what was being said belongs to it."""
    floor.patience_ms = 0
    if not floor.take_back_reply(now_ms) and not floor.text:
        floor.turn_from_ms = now_ms
    text = f"{floor.text} {event.text}".strip()
    floor.utterances.end_turn()
    floor.talking = False
    floor.stopped, floor.voiced_until_ms = True, now_ms
    floor.paused_in = floor.paused_at_ms = floor.caller_pause = None
    floor.forget(Timer.TURN, Timer.FINAL, Timer.PREPARE, Timer.PROBATION, Timer.SILENCE)
    return floor.answer(floor.end_turn(now_ms, text), now_ms)


def stop_pressed(floor: Floor, event: StopPressed, now_ms: int) -> State:
    """The bot says no more of this, and listens; nothing of it is owed any more."""
    floor.broken_off = ()
    floor.stop_reply(now_ms)
    if floor.state is State.PROBATION:
        floor.expect_silence(now_ms)
        return caller_has_the_floor(floor, now_ms)
    return floor.listen(now_ms)


def typed_at_goodbye(floor: Floor, event: TurnTyped, now_ms: int) -> State:
    """As words that are spoken over a goodbye: only real ones cancel it, and those are answered at once."""
    if not floor.dialogue.reopens(event.text):
        floor.utterances.take(Final((_TYPED, now_ms), event.text), now_ms)
        return goodbye_or_not(floor, now_ms)
    floor.stop_reply(now_ms)
    floor.hang_up = None
    return typed(floor, event, now_ms)


def stop_pressed_at_goodbye(floor: Floor, event: StopPressed, now_ms: int) -> State:
    """Who does not want to hear the goodbye has heard it."""
    floor.stop_reply(now_ms)
    floor.goodbye_said_ms = now_ms if floor.goodbye_said_ms is None else floor.goodbye_said_ms
    return hung_up_if_said(floor, now_ms)


def typed_late(floor: Floor, event: TurnTyped, now_ms: int) -> State:
    """The talk is being handed over: it is kept as the last words are."""
    floor.utterances.take(Final((_TYPED, now_ms), event.text), now_ms)
    return State.LEAVING
