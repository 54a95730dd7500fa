"""The caller's side of turn-taking: speech, words and keys, while the bot is silent and while it is not.

Actions for the table in `turns.py`: each takes the floor, the event and the time, and gives the next state.
"""

from bot.conversation.commands import Finalize
from bot.conversation.endpointing import (
    FIRST_FINAL_WAIT_MS,
    WORDLESS_BREAK_IN_MS,
    WORDLESS_MS,
    WORDS_GONE_AFTER_FINAL_MS,
    WORDS_GONE_MS,
    final_wait_ms,
)
from bot.conversation.events import (
    Due,
    Event,
    Final,
    Interim,
    KeyPressed,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    Timer,
)
from bot.conversation.floor import LAST_WORDS_MS, Floor, State
from bot.conversation.korean import is_backchannel


def speech_started(floor: Floor, event: SpeechStarted, now_ms: int) -> State:
    if floor.state is not State.ENDPOINTING and not floor.utterances.text:
        floor.turn_from_ms = event.at_ms
    floor.talking, floor.stopped, floor.noisy = True, False, False
    floor.forget(Timer.SILENCE)
    if floor.broken_off or floor.reopened_turn:
        wait_ms = WORDLESS_BREAK_IN_MS
    else:
        wait_ms = WORDS_GONE_MS if floor.utterances.text else WORDLESS_MS
    floor.due[Timer.TURN] = now_ms + wait_ms
    return State.LISTENING


def speech_resumed(floor: Floor, event: SpeechResumed, now_ms: int) -> State:
    floor.talking, floor.stopped = True, False
    floor.due[Timer.TURN] = now_ms + (WORDS_GONE_MS if floor.utterances.text else WORDLESS_MS)
    return State.LISTENING


def speech_paused(floor: Floor, event: SpeechPaused, now_ms: int) -> State:
    floor.forget(Timer.TURN)
    ask_final(floor, event.at_ms, now_ms)
    return State.ENDPOINTING


def ask_final(floor: Floor, voiced_until_ms: int, now_ms: int) -> None:
    floor.talking = False
    floor.voiced_until_ms = voiced_until_ms
    floor.out.append(Finalize())
    wait_ms = final_wait_ms(
        interim_open=floor.utterances.interim_open, final_since_voice=floor.utterances.final_since(voiced_until_ms)
    )
    floor.due[Timer.FINAL] = now_ms + wait_ms


def speech_stopped(floor: Floor, event: SpeechStopped, now_ms: int) -> State:
    floor.stopped, floor.voiced_until_ms = True, event.at_ms
    floor.wait_for_turn()
    return floor.turn_over_if_known(now_ms)


def text(floor: Floor, event: Interim | Final, now_ms: int) -> State:
    """Text while the caller talks, or out of the blue: speech too faint for the VAD, or drowned in noise."""
    final = isinstance(event, Final)
    if not floor.talking and not floor.utterances.text:
        floor.turn_from_ms = now_ms
    if not floor.utterances.take(event, now_ms):
        return floor.state
    floor.forget(Timer.SILENCE)
    if final and not floor.talking:
        return floor.words_without_voice(now_ms)
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
    floor.utterances.take(event, now_ms)
    if isinstance(event, Final) and not floor.utterances.interim_open:
        floor.forget(Timer.FINAL)
    if floor.stopped and Timer.TURN in floor.due:
        floor.wait_for_turn()
    return floor.turn_over_if_known(now_ms)


def final_overdue(floor: Floor, event: Due, now_ms: int) -> State:
    floor.utterances.promote()
    return floor.turn_over_if_known(now_ms)


def wait_over(floor: Floor, event: Due, now_ms: int) -> State:
    return floor.turn_over_if_known(now_ms)


def key(floor: Floor, event: KeyPressed, now_ms: int) -> State:
    if not floor.dialogue.knows_key(event.digit):
        return floor.state
    floor.stop_reply()
    said = floor.keep_what_was_begun(now_ms)
    floor.forget(Timer.TURN, Timer.FINAL)
    if said and event.digit != "3" and (said.write or not floor.dialogue.knows_key(event.digit)):
        return floor.carry_out(said, now_ms)
    if said:
        floor.settle(said)
    return floor.carry_out(floor.dialogue.key(event.digit), now_ms)


def broke_in(floor: Floor, event: SpeechStarted, now_ms: int) -> State:
    same_turn = floor.take_back_reply(now_ms)
    turn_from_ms = floor.turn_from_ms
    speech_started(floor, event, now_ms)
    if same_turn:
        floor.turn_from_ms = turn_from_ms
    return State.LISTENING


def words_broke_in(floor: Floor, event: Interim | Final, now_ms: int) -> State:
    """Words that the VAD did not hear, or that come late: they are the caller's all the same."""
    if isinstance(event, Interim) and not floor.noisy:
        return floor.state
    alone = not floor.utterances.text
    if not floor.utterances.take(event, now_ms):
        return floor.state
    if alone and is_backchannel(event.text):
        if isinstance(event, Final):
            floor.utterances.end_turn()
        return floor.state
    if not floor.take_back_reply(now_ms):
        floor.turn_from_ms = now_ms
    if isinstance(event, Interim):
        floor.due[Timer.TURN] = now_ms + WORDS_GONE_MS
        return State.LISTENING
    return floor.words_without_voice(now_ms)


def voice_at_goodbye(floor: Floor, event: Event, now_ms: int) -> State:
    """Speech over the goodbye stops nothing yet; what it says decides, and the hang-up waits for it."""
    floor.talking = isinstance(event, SpeechStarted | SpeechResumed)
    if isinstance(event, SpeechStarted):
        floor.turn_from_ms = event.at_ms
    if isinstance(event, SpeechPaused):
        floor.out.append(Finalize())
    if floor.goodbye_said_ms is not None:
        wait_ms = WORDS_GONE_MS if floor.talking else FIRST_FINAL_WAIT_MS
        floor.due[Timer.TURN] = min(now_ms + wait_ms, floor.goodbye_said_ms + LAST_WORDS_MS)
    return State.CLOSING


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
    if floor.dialogue.discards(text):
        floor.utterances.end_turn()
        return discard_at_goodbye(floor, now_ms)
    if floor.dialogue.reopens(text):
        floor.stop_reply()
        floor.hang_up = None
        if floor.talking:
            floor.due[Timer.TURN] = now_ms + WORDS_GONE_MS
            return State.LISTENING
        return floor.words_without_voice(now_ms)
    if floor.dialogue.notes(text):
        floor.end_turn(now_ms)
    else:
        floor.utterances.end_turn()
    return floor.hung_up_if_said(now_ms)


def key_at_goodbye(floor: Floor, event: KeyPressed, now_ms: int) -> State:
    """3 discards, also now; no other key means anything."""
    return discard_at_goodbye(floor, now_ms) if event.digit == "3" and floor.dialogue.can_discard else State.CLOSING


def discard_at_goodbye(floor: Floor, now_ms: int) -> State:
    floor.stop_reply()
    return floor.carry_out(floor.dialogue.discard(), now_ms)
