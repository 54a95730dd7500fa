"""When a talk begins: out of what each frame looks like, and of a second opinion where there is one.

Onset           two candidates among the last three frames, the newest among them and one of them voiced.
DoubtedOnset    two hints, on which there are fewer demands, raise a doubt in the same way. While it lasts, the
                second opinion is asked about each frame that the strict detector takes for speech and that would
                keep a talk going. How likely it must find speech: less than LIKELY where the frames alone would
                do, and CERTAIN where the sound may well be more of the background, or is far under the loudest
                of late. The doubt is over after DOUBT_FRAMES that would not keep a talk going.
"""

from collections import deque
from typing import NamedTuple, Protocol

LAST_FRAMES = 3
ENOUGH = 2

DOUBT_FRAMES = 5
LONGEST_BEFORE = 5
CERTAIN = 0.97
LIKELY = 0.5
LIKELY_AT_ONCE = 0.35
LIKELY_AGAIN = 0.2
POSSIBLE = 0.05
UNLIKELY = 0.03

BACKGROUND_FRAMES = 75
BACKGROUND_LAG = 10
BACKGROUND_SHARE = 0.95
OVER_BACKGROUND_DB = 2.5
OVER_UNKNOWN_DB = 10.0
KNOWN_FRAMES = 75


class Look(NamedTuple):
    """What one frame is like, while nobody talks."""

    strict: bool
    """The strict detector says speech."""
    hint: bool
    """It does, and the level is over the floor and moves."""
    candidate: bool
    """A hint that is neither a tone nor steady."""
    voiced: bool
    """It has a pitch, and is no click."""
    keeps: bool
    """It would keep a talk going."""
    far: bool
    """It is far under the loudest of late."""
    level_db: float
    """The level, smoothed."""


class Opinion(Protocol):
    """What knows speech better, but is dear to ask."""

    def hear(self, pcm_16k_20ms: bytes) -> None:
        """Remember a frame."""

    def ask(self) -> float:
        """Return how likely there is speech in the newest frames, 0 to 1."""


class Onset:
    """Decides by the frames alone."""

    def __init__(self) -> None:
        self._last: deque[Look] = deque(maxlen=LAST_FRAMES)

    def begins(self, look: Look) -> int:
        """Take a frame, and return how many frames ago the talk began, this one included; 0 when none did."""
        self._last.append(look)
        return _since([seen.candidate for seen in self._last]) if any(seen.voiced for seen in self._last) else 0

    def clear(self) -> None:
        """Forget the frames: a talk begins."""
        self._last.clear()


class DoubtedOnset:
    """Decides with a second opinion; the same interface."""

    def __init__(self, opinion: Opinion) -> None:
        self._opinion = opinion
        self._alone = Onset()
        self._hints: deque[bool] = deque(maxlen=LAST_FRAMES)
        self._background = Background()
        self._doubted = 0
        self._lost = 0
        self._before = 0.0

    def begins(self, look: Look) -> int:
        """Take a frame, and return how many frames ago the talk began, at most LONGEST_BEFORE; 0 when none did."""
        alone = self._alone.begins(look) > 0
        self._hints.append(look.hint)
        likelihood = self._opinion.ask() if self._doubts(look) else None
        self._background.take(look.level_db, likelihood)
        if likelihood is None:
            return 0
        demanded = self._demanded(look, alone)
        self._before = likelihood
        return min(self._doubted, LONGEST_BEFORE) if likelihood >= demanded else 0

    def clear(self) -> None:
        """Forget the doubt: a talk begins."""
        self._alone.clear()
        self._hints.clear()
        self._doubted = 0

    def _doubts(self, look: Look) -> bool:
        """Go on with the doubt, or raise one, and return whether to ask about this frame."""
        if not self._doubted:
            self._doubted, self._lost, self._before = _since(list(self._hints)), 0, 0.0
            return self._doubted > 0
        self._doubted += 1
        self._lost = 0 if look.keeps else self._lost + 1
        if self._lost == DOUBT_FRAMES:
            self._hints.clear()
            self._doubted = 0
        return look.keeps and look.strict

    def _demanded(self, look: Look, alone: bool) -> float:
        """Return how likely speech must be; `alone`: the frames would do without an opinion."""
        if look.far or self._background.covers(look.level_db):
            return CERTAIN
        if not alone:
            return LIKELY
        return LIKELY_AGAIN if self._before >= POSSIBLE else LIKELY_AT_ONCE


class Background:
    """How loud it was in the last 1.5 s in which nobody talked, but for what surely was no speech."""

    def __init__(self) -> None:
        self._levels_db: deque[float | None] = deque(maxlen=BACKGROUND_FRAMES + BACKGROUND_LAG)
        self._frames = 0

    def take(self, level_db: float, likelihood: float | None) -> None:
        """Take a frame's level, and the opinion on it where it was asked."""
        self._frames += 1
        self._levels_db.append(level_db if likelihood is None or likelihood >= UNLIKELY else None)

    def covers(self, level_db: float) -> bool:
        """Return whether a sound of this level may be more of what was there before its beginning."""
        if self._frames <= BACKGROUND_LAG:
            return True
        before = list(self._levels_db)[:-BACKGROUND_LAG]
        if not (known := sorted(db for db in before if db is not None)):
            return False
        loud_db = known[round(BACKGROUND_SHARE * (len(known) - 1))]
        unknown = max(0.0, 1 - self._frames / KNOWN_FRAMES)
        return level_db < loud_db + OVER_BACKGROUND_DB + OVER_UNKNOWN_DB * unknown


def _since(marks: list[bool]) -> int:
    """Return how many frames ago the first mark is, if the newest is one and there are enough of them; 0 otherwise."""
    if not marks[-1] or sum(marks) < ENOUGH:
        return 0
    return len(marks) - marks.index(True)
