"""How long to wait after the caller falls silent before the turn is theirs no longer.

All times are milliseconds of the call clock. The waits count from the last voiced frame, so what the VAD needed to
notice the silence is part of them. A caller who goes on while the answer is being prepared, or has only just begun,
takes the turn back (`turns.py`), so the wait may be shorter than a slow speaker's pause.
"""

TURN_WAIT_MS = 600
"""Silence after the last voiced frame that ends a turn."""

FINAL_WAIT_MS = 1_500
"""After `Finalize`, how long a final may take while an interim stands open; then the interim is taken for it."""

FIRST_FINAL_WAIT_MS = 1_200
"""The same when there is no text at all yet: a short word has no interim, and noise never gets one."""

REPEAT_FINAL_WAIT_MS = 300
"""The same when a final has come since the last voiced frame: the recogniser then often has nothing to add."""

WORDLESS_MS = 15_000
"""Voice that brings no word for so long is noise: babble and music can keep a VAD talking for ever."""

WORDLESS_BREAK_IN_MS = 2_500
"""The same when that voice has stopped the bot."""

WORDS_GONE_MS = 5_000
"""Voice that brings no new word for so long after an interim is noise again: a held 음 is shorter."""

WORDS_GONE_AFTER_FINAL_MS = 1_500
"""The same after a final that nobody asked for: the recogniser has heard the caller fall silent (`epd_time`)."""


def turn_wait_ms(text: str) -> int:
    """Give the silence after which a turn that so far reads `text` is over."""
    return TURN_WAIT_MS if text else FIRST_FINAL_WAIT_MS


def final_wait_ms(*, interim_open: bool, final_since_voice: bool) -> int:
    """Give how long to wait for the answer to a `Finalize`, which may never come (RTZR gives none to silence)."""
    if interim_open:
        return FINAL_WAIT_MS
    return REPEAT_FINAL_WAIT_MS if final_since_voice else FIRST_FINAL_WAIT_MS
