"""How long to wait after the caller falls silent before the turn is theirs no longer.

All times are milliseconds of the call clock. The waits count from the last voiced frame, so what the VAD needed to
notice the silence is part of them. How the text ends decides (`sentence_ends.py`), and a caller who is known to pause
for longer is waited for. One who goes on while the answer is being prepared, or has only just begun, takes the turn
back (`turns.py`), so the wait may be shorter than a slow speaker's pause.
"""

from dataclasses import replace

from bot.conversation.habit import PauseHabit
from bot.conversation.intents import intent
from bot.conversation.korean import is_backchannel
from bot.conversation.sentence_ends import Ending, ending

FIRST_FINAL_WAIT_MS = 1_200
"""After `Finalize`, how long a final may take when there is no text at all yet, and nothing was measured: a short word
has no interim, and noise never gets one. So long a turn without words waits, too."""

FINAL_WAIT_MS = 1_500
"""The same while an interim stands open; then the interim is taken for the final. No final is waited for longer."""

REPEAT_FINAL_WAIT_MS = 300
"""The same when a final has come since the last voiced frame: the recogniser then often has nothing to add."""

LEAST_FINAL_WAIT_MS = 250
"""However fast the recogniser is said to be."""

WAIT_MS = {
    Ending.FINAL: 400,
    Ending.BARE: 800,
    Ending.CONNECTIVE: 1_200,
    Ending.PARTICLE: 1_200,
    Ending.FILLER: 1_200,
    Ending.NOTHING: FIRST_FINAL_WAIT_MS,
}
"""Silence after the last voiced frame that ends a turn, by how its text ends, for a caller of whom nothing is known."""

MOST_AFTER_FINAL_MS = 1_000
"""No habit makes the wait after a complete sentence longer."""

MOST_AFTER_OTHER_MS = 2_000
"""The same after anything else: the talk must stay alive."""

MARGIN_MS = 200
"""A caller's long pause is waited for, and so much more."""

LONGEST_PAUSE_MS = 3_000
"""A longer silence inside a turn is no habit: something came between."""

LONGER_STEP_MS = 300
SHORTER_PART = 25
"""A pause longer than the estimate lifts it by at most this step, a shorter one lowers it by this part of what lies
between. So it settles where about one pause in ten is longer, and one outlier does little."""

PREPARE_MS = 450
"""So long before the turn can end its reply is begun, when the text is not complete."""

FILLER_AFTER_MS = 800
"""A filler is said once when an answer takes longer, after the end of the turn: 1.2 s after a complete sentence."""

PROBATION_MS = 1_000
"""So long a paused reply waits for words from the voice that paused it."""

LONG_STORY_MS = 8_000
"""A turn that lasts so long is a story, and the bot may show that it listens."""

BACKCHANNEL_EVERY_MS = 9_000
"""It shows that no more often."""

WORDLESS_MS = 15_000
"""Voice that brings no word for so long is noise: babble and music can keep a VAD talking for ever."""

WORDLESS_BREAK_IN_MS = 2_500
"""The same when that voice has stopped the bot."""

WORDS_GONE_MS = 5_000
"""Voice that brings no new word for so long after an interim is noise again: a held 음 is shorter."""

WORDS_GONE_AFTER_FINAL_MS = 1_500
"""The same after a final that nobody asked for: the recogniser has heard the caller fall silent (`epd_time`)."""


def turn_wait_ms(text: str, habit: PauseHabit) -> int:
    """Give the silence after which a turn that so far reads `text` is over."""
    end = _ending(text)
    if end is Ending.NOTHING:
        return WAIT_MS[end]
    final = end is Ending.FINAL
    usual_ms = habit.after_final_ms if final else habit.after_other_ms
    if usual_ms <= WAIT_MS[end]:
        return WAIT_MS[end]
    return min(usual_ms + MARGIN_MS, MOST_AFTER_FINAL_MS if final else MOST_AFTER_OTHER_MS)


def prepare_at_ms(text: str, habit: PauseHabit) -> int:
    """Give how long after the last voiced frame a reply to `text` is begun that may turn out to be needless."""
    if _ending(text) is Ending.FINAL:
        return 0
    return turn_wait_ms(text, habit) - PREPARE_MS


def learn(habit: PauseHabit, text: str, pause_ms: int) -> PauseHabit:
    """Take in that the caller went on after a pause of `pause_ms` in a turn whose text then ended as `text` does."""
    end = _ending(text)
    if end is Ending.NOTHING or not 0 < pause_ms <= LONGEST_PAUSE_MS:
        return habit
    if end is Ending.FINAL:
        usual_ms = _nearer(habit.after_final_ms or WAIT_MS[Ending.FINAL], pause_ms, MOST_AFTER_FINAL_MS)
        return replace(habit, after_final_ms=usual_ms, seen=habit.seen + 1)
    usual_ms = _nearer(habit.after_other_ms or WAIT_MS[Ending.BARE], pause_ms, MOST_AFTER_OTHER_MS)
    return replace(habit, after_other_ms=usual_ms, seen=habit.seen + 1)


def final_wait_ms(*, interim_open: bool, final_since_voice: bool, p95_ms: int | None) -> int:
    """Give how long to wait for the answer to a `Finalize`, which may never come (RTZR gives none to silence).

    `p95_ms` is what 95 of 100 finals took in this process, None before any was measured. An open interim is text at
    stake, so its final is given half as long again.
    """
    if interim_open:
        wait_ms = FINAL_WAIT_MS if p95_ms is None else p95_ms * 3 // 2 + 100
    elif final_since_voice:
        wait_ms = REPEAT_FINAL_WAIT_MS if p95_ms is None else min(p95_ms + 100, REPEAT_FINAL_WAIT_MS)
    else:
        wait_ms = FIRST_FINAL_WAIT_MS if p95_ms is None else p95_ms + 100
    return min(max(wait_ms, LEAST_FINAL_WAIT_MS), FINAL_WAIT_MS)


def _ending(text: str) -> Ending:
    """How a turn ends that reads `text`: a whole answer or command is complete, however it is spelt."""
    end = ending(text)
    if end in (Ending.FINAL, Ending.FILLER, Ending.NOTHING):
        return end
    command = intent(text)
    whole = command is not None and not command.rest and not command.before
    return Ending.FINAL if whole or is_backchannel(text) else end


def _nearer(usual_ms: int, pause_ms: int, most_ms: int) -> int:
    """The estimate of the long pauses, one pause later."""
    if pause_ms > usual_ms:
        return min(usual_ms + min(pause_ms - usual_ms, LONGER_STEP_MS), most_ms)
    return usual_ms - (usual_ms - pause_ms) // SHORTER_PART
