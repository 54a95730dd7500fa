"""When what happened between the end of a caller's turn and the first sound of the answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waterfall:
    """One turn. All times but `ended_at_ms` are ms after the caller's last voiced frame; None: it did not happen.

    What was prepared while the caller still spoke has negative times.
    """

    ended_at_ms: int
    """The end of the last voiced frame, on the call clock."""
    stop_ms: int | None = None
    """The VAD's STOP."""
    final_ms: int | None = None
    """The recogniser's last final."""
    over_ms: int | None = None
    """The turn was over, and the reply committed."""
    token_ms: int | None = None
    """The model's first token."""
    clause_ms: int | None = None
    """The first clause of the reply was complete."""
    audio_ms: int | None = None
    """The first sound of it was made."""
    heard_ms: int | None = None
    """The first sound of it was at the caller's ear."""
    prepared: bool = False
    """The reply was begun before the turn was over, and kept."""
    ending: str = ""
    """How the turn's text ended (`sentence_ends.Ending`)."""


@dataclass(slots=True)
class Stopwatch:
    """Notes when what happened in the turn that is being ended, on the call clock."""

    stop_at_ms: int = -1
    final_at_ms: int = -1
    over_at_ms: int = -1
    prepared: bool = False
    _ended_at_ms: int = 0
    _ending: str = ""

    def ended(self, at_ms: int, ending: str) -> None:
        """The turn's last voiced frame ended at `at_ms`."""
        self._ended_at_ms, self._ending, self.prepared = at_ms, ending, False

    def read(
        self, *, token_at_ms: int | None, clause_at_ms: int | None, audio_at_ms: int | None, heard_at_ms: int
    ) -> Waterfall:
        """The turn's waterfall, once the first sound of its answer is heard."""

        def after(at_ms: int | None) -> int | None:
            return None if at_ms is None else at_ms - self._ended_at_ms

        def since(at_ms: int) -> int | None:
            return at_ms - self._ended_at_ms if at_ms >= self._ended_at_ms else None

        return Waterfall(
            self._ended_at_ms,
            since(self.stop_at_ms),
            since(self.final_at_ms),
            since(self.over_at_ms),
            after(token_at_ms),
            after(clause_at_ms),
            after(audio_at_ms),
            after(heard_at_ms),
            self.prepared,
            self._ending,
        )
