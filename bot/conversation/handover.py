"""The talk is left so that another process can go on with it: at the end of a sentence when this one is told to go
away, and as it stands when the line breaks.

Actions for the table in `turns.py`: each takes the floor, the event and the time, and gives the next state. How a talk
is taken up again is in `resuming.py`.
"""

from bot.conversation.closing import hung_up, keep_habit
from bot.conversation.commands import HandOver, Pause, Reply, Say, WriteEntry
from bot.conversation.dialogue import Dialogue
from bot.conversation.events import CallerGone, Draining, Due, Final, Interim, Timer
from bot.conversation.floor import Floor, State
from bot.conversation.moves import Move
from bot.conversation.snapshot import Stage

HANDOVER_MS = 6_000
"""So long the bot may finish its sentence, or the caller their turn."""

_BOT_SPEAKS = (State.GREETING, State.THINKING, State.SPEAKING)
_CALLER_SPEAKS = (State.LISTENING, State.ENDPOINTING, State.PROBATION)


def drain(floor: Floor, event: Draining, now_ms: int) -> State:
    """The process is going away: what is being said may be finished, and nothing new is begun."""
    if not floor.is_draining:
        floor.last_reply = floor.replies
        floor.due[Timer.HANDOVER] = now_ms + HANDOVER_MS
    return floor.state


def is_at_rest(floor: Floor) -> bool:
    """Whether the process is going away, and nobody is in the middle of a sentence."""
    if floor.last_reply is None:
        return False
    ledger = floor.ledger
    if floor.state in _BOT_SPEAKS:
        return ledger is None or ledger.between_pieces
    if floor.state is State.CLOSING:
        return ledger is not None and ledger.reply > floor.last_reply and not ledger.begun
    return floor.state is State.LISTENING and not floor.talking and not floor.text


def hold_back(floor: Floor) -> None:
    """While the process is going away, no frame of a further sentence is sent."""
    if not floor.is_draining or floor.is_held or floor.state not in _BOT_SPEAKS:
        return
    if floor.ledger and floor.ledger.begun and floor.ledger.sent_whole:
        floor.is_held = True
        floor.out.append(Pause(floor.ledger.reply))


def hand_over(floor: Floor, event: Due, now_ms: int) -> State:
    """All is noted for the next process, and the stream can be closed."""
    leave_reply(floor, now_ms)
    floor.keep_stage(now_ms, handed_over=not floor.cut_off)
    keep_habit(floor)
    floor.out.append(HandOver())
    floor.due.clear()
    return State.LEAVING


def late_text(floor: Floor, event: Interim | Final, now_ms: int) -> State:
    """The recogniser had not said everything yet."""
    floor.utterances.take(event, now_ms)
    return State.LEAVING


def gone_after_hand_over(floor: Floor, event: CallerGone, now_ms: int) -> State:
    """No more words will come; those that came too late for an answer get it from the next process."""
    take_last_words(floor, now_ms)
    floor.keep_stage(now_ms, handed_over=not floor.cut_off)
    return State.CLOSED


def caller_gone(floor: Floor, event: CallerGone, now_ms: int) -> State:
    """The caller hung up, or the line broke and they come back: all is kept for both.

    Which of the two it was, the shell knows and keeps; the command tells a replay that the call is over.
    """
    leave_reply(floor, now_ms)
    take_last_words(floor, now_ms)
    floor.keep_stage(now_ms)
    return hung_up(floor, "the caller hung up")


def leave_reply(floor: Floor, now_ms: int) -> None:
    """The reply ends here: what was heard of it is history, and what was not is left for the next process."""
    floor.cut_off = floor.talking and floor.state in _CALLER_SPEAKS
    if floor.ledger:
        floor.owes_answer = floor.owes_answer and not floor.ledger.heard(now_ms)
        floor.broken_off = floor.ledger.unheard
    owes_answer, floor.left = floor.owes_answer, floor.unheard
    floor.stop_reply(now_ms)
    floor.owes_answer = owes_answer


def take_last_words(floor: Floor, now_ms: int) -> None:
    """Words of a turn that never ended are a turn: what they wish is done, and the answer is left.

    Who was cut off in the middle is asked to say it again, and gets no answer to the half of it.
    """
    floor.talking = False
    interrupted = bool(floor.broken_off) or floor.state is State.PROBATION
    if not (text := floor.end_turn(now_ms)):
        return
    if move := taken_up(floor.dialogue, text, interrupted=interrupted):
        floor.left = None
        floor.carry_out(move, now_ms)
        floor.out = [command for command in floor.out if not isinstance(command, Say | Reply | WriteEntry)]
        floor.left, floor.owes_answer = floor.unheard, floor.owes_answer and not floor.cut_off
        floor.drop_ledger()


def taken_up(dialogue: Dialogue, text: str, *, interrupted: bool) -> Move | None:
    """What follows from a turn that nobody has answered; None: nothing, for a goodbye was being said."""
    if dialogue.stage is not Stage.GOODBYE:
        return dialogue.turn(text, interrupted=interrupted)
    if removal := dialogue.removes(text):
        return removal
    if dialogue.reopens(text):
        return dialogue.turn(text, interrupted=False)
    dialogue.notes(text)
    return None
