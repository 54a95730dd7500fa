"""Barge-in in two steps: a voice only pauses the bot, and words decide.

The first step costs nothing: the bot falls silent at once, and no sound is thrown away. A cough, a noise or a 네 lets
it go on from the very frame at which it stopped. Real words stop it for good.

Actions for the table in `turns.py`: each takes the floor, the event and the time, and gives the next state.
"""

from bot.conversation.commands import Finalize
from bot.conversation.endpointing import PROBATION_MS, WORDS_GONE_MS
from bot.conversation.events import (
    Due,
    Final,
    Interim,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    Timer,
)
from bot.conversation.floor import Floor, PassedOver, State
from bot.conversation.listening import ask_final

LONGEST_MS = 2_500
"""However often a noise comes again, without words the bot is silent for no longer."""


def voice_came(floor: Floor, event: SpeechStarted, now_ms: int) -> State:
    """A voice over the bot, or before its first sound: pause, and listen."""
    if not floor.pause_reply(now_ms):
        floor.noisy = True
        return floor.state
    if floor.state is not State.GREETING and floor.transcript.history:
        floor.caller_pause = (floor.transcript.history[-1].text, event.at_ms - floor.voiced_until_ms)
    floor.paused_in, floor.voice_from_ms = floor.state, event.at_ms
    floor.talking, floor.stopped, floor.noisy = True, False, False
    return State.PROBATION


def voice_ebbs(floor: Floor, event: SpeechPaused, now_ms: int) -> State:
    """A voice that paused nothing any more falls silent: if it said something, the words may still break in."""
    floor.talking = False
    floor.out.append(Finalize())
    return floor.state


def voice_again(floor: Floor, event: SpeechStarted | SpeechResumed, now_ms: int) -> State:
    floor.talking, floor.stopped = True, False
    floor.due[Timer.PROBATION] = min(now_ms + PROBATION_MS, (floor.paused_at_ms or now_ms) + LONGEST_MS)
    return State.PROBATION


def voice_paused(floor: Floor, event: SpeechPaused, now_ms: int) -> State:
    ask_final(floor, event.at_ms, now_ms)
    return State.PROBATION


def voice_stopped(floor: Floor, event: SpeechStopped, now_ms: int) -> State:
    floor.stopped, floor.voiced_until_ms, floor.stopwatch.stop_at_ms = True, event.at_ms, now_ms
    return decide(floor, now_ms)


def words(floor: Floor, event: Interim | Final, now_ms: int) -> State:
    floor.take_text(event, now_ms)
    return decide(floor, now_ms)


def decide(floor: Floor, now_ms: int) -> State:
    text = floor.utterances.text
    if text and not floor.dialogue.passes(text):
        return broke_in(floor, now_ms)
    waiting = floor.talking or not floor.stopped or Timer.FINAL in floor.due
    return State.PROBATION if waiting else goes_on(floor, now_ms)


def final_overdue(floor: Floor, event: Due, now_ms: int) -> State:
    floor.utterances.promote()
    return decide(floor, now_ms)


def filler_waits(floor: Floor, event: Due, now_ms: int) -> State:
    floor.due[Timer.FILLER] = now_ms + 500
    return State.PROBATION


def no_words(floor: Floor, event: Due, now_ms: int) -> State:
    """The recogniser had nothing to say to it, or too little for too long."""
    silent_until_ms = (floor.paused_at_ms or now_ms) + LONGEST_MS
    if floor.talking and floor.utterances.text and now_ms < silent_until_ms:
        floor.due[Timer.PROBATION] = silent_until_ms
        return State.PROBATION
    if Timer.FINAL in floor.due and not floor.talking:
        return State.PROBATION
    return goes_on(floor, now_ms)


def goes_on(floor: Floor, now_ms: int) -> State:
    """It was no turn: the bot goes on where it paused."""
    floor.noisy = floor.talking
    floor.forget(Timer.FINAL)
    floor.caller_pause = None
    floor.resume_reply(now_ms, after_words=bool(floor.utterances.text))
    if text := floor.utterances.end_turn():
        floor.passed_over = PassedOver(text, now_ms)
    state, floor.paused_in = floor.paused_in or State.SPEAKING, None
    return state


def broke_in(floor: Floor, now_ms: int) -> State:
    """Real words: the reply ends here, and the turn is the caller's."""
    if floor.take_back_reply(now_ms):
        floor.learn_pause()
    else:
        floor.turn_from_ms = floor.voice_from_ms
    return caller_has_the_floor(floor, now_ms)


def caller_has_the_floor(floor: Floor, now_ms: int) -> State:
    """What was heard over the bot is a turn of the caller's own."""
    floor.paused_in = floor.paused_at_ms = floor.caller_pause = None
    floor.forget(Timer.PROBATION, Timer.SILENCE)
    if floor.talking:
        floor.due[Timer.TURN] = now_ms + WORDS_GONE_MS
        return State.LISTENING
    if floor.stopped:
        floor.wait_for_turn()
        return floor.turn_over_if_known(now_ms)
    return State.ENDPOINTING
