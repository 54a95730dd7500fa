"""How an utterance keeps its name when a later connection hears it again.

The recogniser counts utterances anew on each connection. What a connection that broke had begun, the next one hears
from its beginning, and it is the same utterance: whoever has used its text already must not take it for another one.
What tells is where in the call's audio it begins. Knows no sockets, and logs nothing of what was said.
"""

from dataclasses import dataclass

SAME_MS = 700.0
"""Two utterances do not begin so close to each other; one heard again begins where it did, but for its onset."""

Name = tuple[int, int]
"""The number of the connection on which an utterance was begun, and `seq` on it."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """An utterance that has a text and no final; `at_ms` since the call began."""

    name: Name
    at_ms: float
    letters: int


class Names:
    """The names of one call's utterances."""

    def __init__(self) -> None:
        self._connection = 0
        self._begun: _Begun | None = None
        self._again: _Begun | None = None  # begun on an earlier connection

    def connected(self) -> int:
        """Note a new connection; gives its number."""
        self._again = self._begun or self._again
        self._begun = None
        self._connection += 1
        return self._connection

    def interim(self, seq: int, at_ms: float, text: str) -> Name | None:
        """Name the utterance that begins at `at_ms`; None: of it more is known already than `text`."""
        name, known = (self._connection, seq), 0
        if again := self._begun_before(at_ms):
            name, known = again.name, again.letters
        self._begun = _Begun(name, at_ms, max(known, len(text)))
        return None if len(text) < known else name

    def final(self, seq: int, at_ms: float) -> Name:
        """Name the utterance that begins at `at_ms` and has ended."""
        again = self._begun_before(at_ms)
        self._begun = None
        if self._again is not None and at_ms > self._again.at_ms - SAME_MS:
            self._again = None
        return again.name if again else (self._connection, seq)

    def _begun_before(self, at_ms: float) -> _Begun | None:
        return self._again if self._again is not None and abs(at_ms - self._again.at_ms) <= SAME_MS else None
