"""The lowest of the last so many values, without looking at all of them each time."""

from collections import deque


class Lowest:
    """Of the last `count` values.

    Kept are those that can still become the lowest: each with all later ones above it, so the lowest is the first.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0
        self._kept: deque[tuple[int, float]] = deque()

    def push(self, value: float) -> float:
        """Take one more, and return the lowest."""
        while self._kept and self._kept[-1][1] >= value:
            self._kept.pop()
        self._kept.append((self._taken, value))
        self._taken += 1
        if self._kept[0][0] < self._taken - self._count:
            self._kept.popleft()
        return self._kept[0][1]
