"""The bot's side of turn-taking: its replies on their way to the caller's ear, and the ways in which a call ends.

Actions for the table in `turns.py`: each takes the floor, the event and the time, and gives the next state.
"""

from bot.conversation.commands import Exchange
from bot.conversation.events import (
    CallerGone,
    CallStarted,
    Draining,
    Due,
    EntryWritten,
    MarkEchoed,
    ReplyEnded,
    SentenceMade,
    SentenceSent,
    SentenceStarted,
    SttLost,
    Timer,
)
from bot.conversation.floor import Floor, State

MARK_GRACE_MS = 2_000
"""How much later than its own length a mark may come back before it is taken for heard."""

LISTENS_ON_MS = 60_000
"""How long a caller who talks at the time limit may still finish."""


def call_started(floor: Floor, event: CallStarted, now_ms: int) -> State:
    floor.due[Timer.CALL] = now_ms + floor.max_call_ms
    floor.turn = max(event.turns_before, len(event.said_before)) - 1
    floor.history = [Exchange("caller", text) for text in event.said_before]
    move = floor.dialogue.begin(first_time=event.first_time, said_before=event.said_before)
    floor.carry_out(move, now_ms)
    return State.GREETING


def sentence_made(floor: Floor, event: SentenceMade, now_ms: int) -> State:
    if ledger := floor.live(event.reply):
        ledger.made(event.index, event.text)
    return floor.state


def sentence_started(floor: Floor, event: SentenceStarted, now_ms: int) -> State:
    if ledger := floor.live(event.reply):
        ledger.started(event.index, now_ms)
        return State.SPEAKING if floor.state is State.THINKING else floor.state
    return floor.state


def sentence_sent(floor: Floor, event: SentenceSent, now_ms: int) -> State:
    if ledger := floor.live(event.reply):
        ledger.sent(event.index, event.audio_ms)
        floor.due[Timer.MARK] = now_ms + ledger.unplayed_ms + MARK_GRACE_MS
    return floor.state


def mark_echoed(floor: Floor, event: MarkEchoed, now_ms: int) -> State:
    if ledger := floor.live(event.reply):
        ledger.echoed(event.index)
        return floor.spoken_if_done(ledger, now_ms)
    return floor.state


def reply_ended(floor: Floor, event: ReplyEnded, now_ms: int) -> State:
    if ledger := floor.live(event.reply):
        ledger.ended = True
        floor.due.setdefault(Timer.MARK, now_ms + ledger.unplayed_ms + MARK_GRACE_MS)
        return floor.spoken_if_done(ledger, now_ms)
    return floor.state


def mark_overdue(floor: Floor, event: Due, now_ms: int) -> State:
    """A mark that never comes must not keep the bot waiting: what was sent long ago was heard."""
    if floor.ledger and floor.ledger.ended:
        floor.ledger.echoed(max(0, floor.ledger.last_index))
        return floor.spoken_if_done(floor.ledger, now_ms)
    return floor.state


def entry_written(floor: Floor, event: EntryWritten, now_ms: int) -> State:
    if move := floor.dialogue.written(event):
        floor.settle(move)
    if floor.state is State.LISTENING and not floor.talking:
        return floor.listen(now_ms)
    return floor.state


def silent_for_long(floor: Floor, event: Due, now_ms: int) -> State:
    return floor.carry_out(floor.dialogue.silence(), now_ms)


def time_is_up(floor: Floor, event: Due, now_ms: int) -> State:
    free = floor.state is State.LISTENING and not floor.talking
    if not free and now_ms < floor.max_call_ms + LISTENS_ON_MS:
        floor.due[Timer.CALL] = now_ms + 1_000
        return floor.state
    return floor.close_with(floor.dialogue.time_is_up, now_ms)


def stt_lost(floor: Floor, event: SttLost, now_ms: int) -> State:
    return floor.close_with(lambda: floor.dialogue.stt_lost(event.loss), now_ms)


def drain(floor: Floor, event: Draining, now_ms: int) -> State:
    return floor.close_with(floor.dialogue.draining, now_ms)


def drain_at_goodbye(floor: Floor, event: Draining, now_ms: int) -> State:
    """The goodbye that is being said is the last one."""
    floor.dialogue.reopenable = False
    return floor.state


def caller_gone(floor: Floor, event: CallerGone, now_ms: int) -> State:
    if said := floor.keep_what_was_begun(now_ms):
        floor.settle(said)
    floor.stop_reply()
    return floor.hung_up("the caller hung up")
