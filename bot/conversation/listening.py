"""The caller's side of turn-taking: speech, words and keys, while the bot is silent and while it is not.

Actions for the table in `turns.py`: each takes the floor, the event and the time, and gives the next state.
"""

from bot.conversation.closing import keep_what_was_begun
from bot.conversation.commands import Finalize, Interject
from bot.conversation.endpointing import (
    BACKCHANNEL_EVERY_MS,
    LONG_STORY_MS,
    WORDLESS_BREAK_IN_MS,
    WORDLESS_MS,
    WORDS_GONE_AFTER_FINAL_MS,
    WORDS_GONE_MS,
    final_wait_ms,
)
from bot.conversation.events import (
    Due,
    Final,
    Interim,
    KeyPressed,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    SttPace,
    Timer,
)
from bot.conversation.floor import Floor, State
from bot.conversation.lines import LINES
from bot.conversation.preparing import prepare
from bot.conversation.sentence_ends import Ending, ending
from bot.conversation.snapshot import Stage

PATIENT = frozenset({Ending.CONNECTIVE, Ending.PARTICLE})
"""A story that pauses like this goes on; the bot may show that it listens."""


def speech_started(floor: Floor, event: SpeechStarted, now_ms: int) -> State:
    if floor.state is not State.ENDPOINTING and not floor.utterances.text:
        floor.turn_from_ms = event.at_ms
    floor.goes_on(event.at_ms)
    floor.talking, floor.noisy = True, False
    floor.forget(Timer.SILENCE)
    if floor.broken_off or floor.reopened_turn:
        wait_ms = WORDLESS_BREAK_IN_MS
    else:
        wait_ms = WORDS_GONE_MS if floor.utterances.text else WORDLESS_MS
    floor.due[Timer.TURN] = now_ms + wait_ms
    return State.LISTENING


def speech_resumed(floor: Floor, event: SpeechResumed, now_ms: int) -> State:
    floor.goes_on(now_ms)
    floor.talking = True
    floor.due[Timer.TURN] = now_ms + (WORDS_GONE_MS if floor.utterances.text else WORDLESS_MS)
    return State.LISTENING


def speech_paused(floor: Floor, event: SpeechPaused, now_ms: int) -> State:
    floor.forget(Timer.TURN)
    ask_final(floor, event.at_ms, now_ms)
    prepare(floor, now_ms)
    return State.ENDPOINTING


def ask_final(floor: Floor, voiced_until_ms: int, now_ms: int) -> None:
    floor.talking = False
    floor.voiced_until_ms = voiced_until_ms
    floor.out.append(Finalize())
    wait_ms = final_wait_ms(
        interim_open=floor.utterances.interim_open,
        final_since_voice=floor.utterances.final_since(voiced_until_ms),
        p95_ms=floor.final_p95_ms,
    )
    # The recogniser has not been sent yet what is still to be heard.
    floor.due[Timer.FINAL] = now_ms + floor.behind_ms + wait_ms


def speech_stopped(floor: Floor, event: SpeechStopped, now_ms: int) -> State:
    floor.stopped, floor.voiced_until_ms, floor.stopwatch.stop_at_ms = True, event.at_ms, now_ms
    floor.wait_for_turn()
    state = floor.turn_over_if_known(now_ms)
    if state is State.ENDPOINTING:
        show_that_one_listens(floor, now_ms)
    return state


def show_that_one_listens(floor: Floor, now_ms: int) -> None:
    """In a pause of a long story, sparingly: a 네 or 음 that takes no turn."""
    since_ms = max(floor.turn_from_ms + LONG_STORY_MS, (floor.interjected_ms or 0) + BACKCHANNEL_EVERY_MS)
    if now_ms >= since_ms and floor.dialogue.stage is Stage.TALK and ending(floor.text) in PATIENT:
        floor.interjected_ms = now_ms
        floor.interjections += 1
        floor.out.append(Interject(LINES.backchannels[floor.interjections % len(LINES.backchannels)]))


def text(floor: Floor, event: Interim | Final, now_ms: int) -> State:
    """Text while the caller talks, or out of the blue: speech too faint for the VAD, or drowned in noise."""
    final = isinstance(event, Final)
    if final:
        floor.stopwatch.final_at_ms = now_ms
    if not floor.talking and not floor.utterances.text:
        floor.turn_from_ms = now_ms
    if not floor.utterances.take(event, now_ms):
        return floor.state
    floor.forget(Timer.SILENCE)
    floor.learn_pause()
    if final and not floor.talking:
        return floor.words_without_voice(now_ms)
    prepare(floor, now_ms)
    unasked = final and Timer.FINAL not in floor.due
    floor.due[Timer.TURN] = now_ms + (WORDS_GONE_AFTER_FINAL_MS if unasked else WORDS_GONE_MS)
    return floor.state


def words_ran_out(floor: Floor, event: Due, now_ms: int) -> State:
    """The VAD still hears a voice and the recogniser no words: it is noise, and the turn is over without the VAD."""
    floor.noisy, floor.talking = True, False
    floor.utterances.promote()
    floor.forget(Timer.FINAL)
    floor.stopped, floor.voiced_until_ms = True, now_ms
    return floor.turn_over_if_known(now_ms)


def text_at_the_end(floor: Floor, event: Interim | Final, now_ms: int) -> State:
    floor.take_text(event, now_ms)
    if floor.stopped:
        floor.wait_for_turn()
    state = floor.turn_over_if_known(now_ms)
    if state is State.ENDPOINTING:
        prepare(floor, now_ms)
    return state


def final_overdue(floor: Floor, event: Due, now_ms: int) -> State:
    floor.utterances.promote()
    state = floor.turn_over_if_known(now_ms)
    if state is State.ENDPOINTING:
        prepare(floor, now_ms)
    return state


def wait_over(floor: Floor, event: Due, now_ms: int) -> State:
    return floor.turn_over_if_known(now_ms)


def key(floor: Floor, event: KeyPressed, now_ms: int) -> State:
    if not floor.dialogue.knows_key(event.digit):
        return floor.state
    floor.patience_ms = 0
    floor.stop_reply(now_ms)
    said = keep_what_was_begun(floor, now_ms)
    floor.forget(Timer.TURN, Timer.FINAL, Timer.PREPARE)
    if said and event.digit != "3" and (said.write or not floor.dialogue.knows_key(event.digit)):
        return floor.carry_out(said, now_ms)
    if said:
        floor.settle(said)
    return floor.carry_out(floor.dialogue.key(event.digit), now_ms)


def words_broke_in(floor: Floor, event: Interim | Final, now_ms: int) -> State:
    """Words that the VAD did not hear, or that come late: they are the caller's all the same."""
    if isinstance(event, Interim) and not floor.noisy:
        return floor.state
    if not floor.utterances.take(event, now_ms):
        return floor.state
    if floor.dialogue.passes(floor.utterances.text):
        if isinstance(event, Final):
            floor.utterances.end_turn()
        return floor.state
    if not floor.take_back_reply(now_ms):
        floor.turn_from_ms = now_ms
    if isinstance(event, Interim):
        floor.due[Timer.TURN] = now_ms + WORDS_GONE_MS
        return State.LISTENING
    return floor.words_without_voice(now_ms)


def pace_known(floor: Floor, event: SttPace, now_ms: int) -> State:
    floor.final_p95_ms = event.final_p95_ms
    return floor.state
