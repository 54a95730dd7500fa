"""The bot's side of turn-taking: its replies, from their first words to the caller's ear.

Actions for the table in `turns.py`: each takes the floor, the event and the time, and gives the next state.
"""

from bot.conversation.closing import hung_up_if_said
from bot.conversation.commands import Interject, KeepWaterfall
from bot.conversation.events import (
    AudioSent,
    Before,
    CallStarted,
    Due,
    EntryWritten,
    FirstAudio,
    FirstToken,
    MarkEchoed,
    ReplyEnded,
    SentenceMade,
    SentenceSent,
    SentenceStarted,
    Timer,
)
from bot.conversation.floor import Floor, State
from bot.conversation.heard import Ledger
from bot.conversation.lines import LINES
from bot.conversation.probation import caller_has_the_floor
from bot.conversation.resuming import resume

ANSWER_MS = 1_000
"""A 네 that let the bot go on is the answer to its question, when that was at its end so soon after."""

MARK_GRACE_MS = 2_000
"""How much later than its own length a mark may come back before it is taken for heard."""


def call_started(floor: Floor, event: CallStarted, now_ms: int) -> State:
    """Greet, or go on where the talk was."""
    floor.habit = floor.habit_before = event.habit
    before = event.before or Before()
    state = resume(floor, before, now_ms, first_time=event.first_time)
    floor.due[Timer.CALL] = now_ms + floor.max_call_ms
    return state


def first_token(floor: Floor, event: FirstToken, now_ms: int) -> State:
    if ledger := floor.in_the_making(event.reply):
        ledger.token_ms = now_ms
    return floor.state


def first_audio(floor: Floor, event: FirstAudio, now_ms: int) -> State:
    if ledger := floor.in_the_making(event.reply):
        ledger.audio_ms = now_ms
    return floor.state


def sentence_made(floor: Floor, event: SentenceMade, now_ms: int) -> State:
    if ledger := floor.in_the_making(event.reply):
        ledger.made(event.index, event.text)
        ledger.clause_ms = now_ms if ledger.clause_ms is None else ledger.clause_ms
    return floor.state


def sentence_started(floor: Floor, event: SentenceStarted, now_ms: int) -> State:
    if ledger := floor.live(event.reply):
        if not ledger.begun and ledger.reply == floor.answer_reply:
            keep_waterfall(floor, ledger, now_ms + event.ahead_ms)
        ledger.started(event.index, now_ms)
        floor.forget(Timer.FILLER)
        return State.SPEAKING if floor.state is State.THINKING else floor.state
    return floor.state


def keep_waterfall(floor: Floor, ledger: Ledger, heard_at_ms: int) -> None:
    """The first sound of an answer to the caller's last turn is about to be heard."""
    waterfall = floor.stopwatch.read(
        token_at_ms=ledger.token_ms,
        clause_at_ms=ledger.clause_ms,
        audio_at_ms=ledger.audio_ms,
        heard_at_ms=heard_at_ms,
    )
    floor.out.append(KeepWaterfall(ledger.turn, waterfall))


def audio_sent(floor: Floor, event: AudioSent, now_ms: int) -> State:
    if ledger := floor.live(event.reply):
        ledger.sent_so_far(event.index, event.sent_ms, event.ahead_ms, event.audio_ms, now_ms)
    return floor.state


def takes_long(floor: Floor, event: Due, now_ms: int) -> State:
    """No sound of the answer yet: one filler, so that the caller knows that it is coming."""
    floor.out.append(Interject(LINES.filler[floor.transcript.turn % len(LINES.filler)]))
    return State.THINKING


def sentence_sent(floor: Floor, event: SentenceSent, now_ms: int) -> State:
    if ledger := floor.live(event.reply):
        ledger.sent(event.index, event.audio_ms)
        floor.due[Timer.MARK] = now_ms + ledger.unplayed_ms + MARK_GRACE_MS
    return floor.state


def mark_echoed(floor: Floor, event: MarkEchoed, now_ms: int) -> State:
    if ledger := floor.live(event.reply):
        ledger.echoed(event.index)
        floor.hear(ledger)
        return spoken_if_done(floor, ledger, now_ms)
    return floor.state


def reply_ended(floor: Floor, event: ReplyEnded, now_ms: int) -> State:
    if ledger := floor.live(event.reply):
        ledger.ended = True
        floor.due.setdefault(Timer.MARK, now_ms + ledger.unplayed_ms + MARK_GRACE_MS)
        return spoken_if_done(floor, ledger, now_ms)
    return floor.state


def mark_overdue(floor: Floor, event: Due, now_ms: int) -> State:
    """A mark that never comes must not keep the bot waiting: what was sent long ago was heard.

    But not what the ear has told to be waiting there: it will be told of again.
    """
    if floor.ledger and floor.ledger.ended:
        if left_ms := floor.ledger.left_ms(now_ms):
            floor.due[Timer.MARK] = now_ms + left_ms + MARK_GRACE_MS
            return floor.state
        floor.ledger.echoed(max(0, floor.ledger.last_index))
        floor.hear(floor.ledger)
        return spoken_if_done(floor, floor.ledger, now_ms)
    return floor.state


def entry_written(floor: Floor, event: EntryWritten, now_ms: int) -> State:
    if move := floor.dialogue.written(event):
        floor.settle(move)
    if floor.state is State.LISTENING and not floor.talking and not floor.utterances.text:
        return floor.listen(now_ms)
    return floor.state


def silent_for_long(floor: Floor, event: Due, now_ms: int) -> State:
    floor.patience_ms = 0
    return floor.carry_out(floor.dialogue.silence(), now_ms)


def spoken_if_done(floor: Floor, ledger: Ledger, now_ms: int) -> State:
    """When all of a reply was heard, the floor is the caller's."""
    if not ledger.done:
        return floor.state
    floor.close_ledger(ledger, now_ms)
    if floor.state is State.CLOSING:
        floor.goodbye_said_ms = now_ms
        return hung_up_if_said(floor, now_ms)
    if floor.state is State.PROBATION:
        floor.expect_silence(now_ms)
        return caller_has_the_floor(floor, now_ms)
    if ledger.asks and floor.passed_over and now_ms - floor.passed_over.at_ms < ANSWER_MS:
        return answered_already(floor, *floor.passed_over, now_ms)
    return floor.listen(now_ms)


def answered_already(floor: Floor, text: str, said_at_ms: int, now_ms: int) -> State:
    """A 네 over the last words of a question let the bot go on, and was the answer to it."""
    floor.passed_over, floor.turn_from_ms = None, floor.voice_from_ms
    floor.end_turn(said_at_ms, text)
    return floor.answer(text, now_ms)
