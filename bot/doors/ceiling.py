"""How many calls one process can take: as many as it serves in time, which only its event loop knows.

The rule
--------
What a caller hears is made in steps of 20 ms, and lies at most 160 ms ahead of the ear, in a browser 240: a loop that
is late by more than that is heard as a gap. Long before, every answer is late, since it passes the loop some six times
from the caller's last word to its first frame. So when of the wakes of the last 5 s two in a hundred were late by more
than 50 ms, a third of what lies ahead, the process takes nobody more. One stall of up to 100 ms, which nobody hears,
does not do that. It takes callers again when for as long they were late by no more than a frame: what is left then is
enough for another call.

Fewer than 20 calls are not what makes a loop late, and to refuse one would help nobody. Without a clock: a wake is told
in the order in which it was due, every `WAKE_MS`.
"""

from collections import deque

WAKE_MS = 50
WINDOW_WAKES = 5_000 // WAKE_MS
LATE_MS = 50.0
IN_TIME_MS = 20.0
FEWEST_CALLS = 20


class Ceiling:
    """Whether a process takes one more call."""

    def __init__(self) -> None:
        self._late_ms = deque([0.0] * WINDOW_WAKES, WINDOW_WAKES)
        self._is_late = False

    def woke(self, late_ms: float) -> None:
        """Take how late the next wake was."""
        self._late_ms.append(late_ms)
        p99_ms = sorted(self._late_ms)[-2]
        self._is_late = p99_ms > (IN_TIME_MS if self._is_late else LATE_MS)

    def is_reached(self, calls: int) -> bool:
        """Whether so many calls are as many as can be served now."""
        return self._is_late and calls >= FEWEST_CALLS
