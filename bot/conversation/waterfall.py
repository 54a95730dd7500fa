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
