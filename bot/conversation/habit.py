"""How long this caller pauses in the middle of what they say. Pure numbers: nothing that was said is in it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PauseHabit:
    """What is known of a caller's pauses inside a turn, in ms; 0: nothing is known yet.

    `after_final_ms` follow a sentence that could have been the last, `after_other_ms` anything else; `seen` counts the
    pauses that were learned from.
    """

    after_final_ms: int = 0
    after_other_ms: int = 0
    seen: int = 0


UNKNOWN = PauseHabit()
"""Of a caller who has not paused yet."""
