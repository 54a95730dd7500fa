"""How many of something one owner may have open at once in this process. It must not know of what, or who that is."""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager


class Places:
    """So many places for each owner."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[Hashable] = Counter()

    @contextmanager
    def taken(self, owner: Hashable) -> Iterator[bool]:
        """A place for `owner` while the block runs; False, and none, when all of theirs are taken."""
        if self._taken[owner] >= self._most:
            yield False
            return
        self._taken[owner] += 1
        try:
            yield True
        finally:
            self._taken[owner] -= 1
            self._taken += Counter()  # drops whoever has none
