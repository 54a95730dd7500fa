"""How a voice activity detector does on a sound whose speech is known: late, early, split, missed, for nothing."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bot.audio.frames import FRAME_MS
from bot.audio.vad import SpeechEvent, VoiceActivityDetector
from bot.conversation.events import SpeechStarted, SpeechStopped
from bot.lab.vad_calls import Stretch

EARLY_MS = 60  # a start this much before the speech, or after it, still belongs to it
LONG_GAP_MS = 600

Told = list[tuple[int, SpeechEvent]]
"""When it was told, in ms, and what."""


@dataclass(slots=True)
class Tally:
    """What was counted over the sounds of one case."""

    onsets_ms: list[float | None] = field(default_factory=list)
    """For each stretch of speech how late its start was told; None when it was missed, or begun too early."""
    offsets_ms: list[float] = field(default_factory=list)
    stretches: int = 0
    splits: int = 0
    missed: int = 0
    false_starts: int = 0
    length_ms: float = 0.0
    talking_ms: float = 0.0
    frames: int = 0
    asked: int = 0
    cost_s: float = 0.0

    def onset(self, percentile: float) -> float | None:
        """How late starts were told, in ms; None when there was none in time."""
        return among([ms for ms in self.onsets_ms if ms is not None], percentile)

    def offset(self, percentile: float) -> float | None:
        """How late stops were told, in ms; None when there was none."""
        return among(self.offsets_ms, percentile)

    def per_minute(self) -> float:
        """False starts a minute of call."""
        return self.false_starts / max(self.length_ms / 60_000, 1e-9)

    def split_share(self) -> float:
        """Stops inside a stretch, in percent of the stretches."""
        return 100 * self.splits / max(self.stretches, 1)

    def missed_share(self) -> float:
        """Stretches without any detection, in percent."""
        return 100 * self.missed / max(self.stretches, 1)

    def talking_share(self) -> float:
        """How much of the time somebody talked, in percent."""
        return 100 * self.talking_ms / max(self.length_ms, 1)

    def asked_share(self) -> float:
        """Frames about which a second opinion was asked, in percent."""
        return 100 * self.asked / max(self.frames, 1)

    def cost_us(self) -> float:
        """Time spent on a frame, on average."""
        return 1e6 * self.cost_s / max(self.frames, 1)

    def add(self, other: "Tally") -> None:
        """Take another tally into this one."""
        for name in Tally.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def among(values: Sequence[float], percentile: float) -> float | None:
    """Return a percentile; None when there are no values."""
    return float(np.percentile(values, percentile)) if values else None


def later(with_it: Tally, without: Tally, percentile: float) -> float:
    """Return how much later starts are told with something than without, in ms, where both told them in time."""
    pairs = [(a, b) for a, b in zip(with_it.onsets_ms, without.onsets_ms, strict=True) if None not in (a, b)]
    a, b = (among(values, percentile) for values in zip(*pairs, strict=True))
    return (a or 0.0) - (b or 0.0)


def hear(detector: VoiceActivityDetector, frames: Sequence[bytes]) -> tuple[Told, float]:
    """Return what a detector told of some frames, and the seconds that it took."""
    told: Told = []
    begin = time.perf_counter()
    for n, frame in enumerate(frames, start=1):
        for event in detector.push(frame, n * FRAME_MS):
            told.append((n * FRAME_MS, event))
    return told, time.perf_counter() - begin


def judge(told: Told, frames: int, speech: Sequence[Stretch]) -> Tally:
    """Return the tally of what was told of one sound against the truth."""
    starts = [at for at, event in told if isinstance(event, SpeechStarted)]
    stops = [at for at, event in told if isinstance(event, SpeechStopped)]
    end_ms = frames * FRAME_MS
    talks = list(zip(starts, [*stops, end_ms][: len(starts)], strict=True))
    tally = Tally(stretches=len(speech), length_ms=end_ms, frames=frames)
    tally.talking_ms = sum(b - a for a, b in talks)
    for index, s in enumerate(speech):
        own = [at for at in starts if s.on_ms - EARLY_MS <= at <= s.off_ms]
        talking = any(a < s.off_ms and b > s.on_ms for a, b in talks)
        in_time = own and not any(a < s.on_ms - EARLY_MS and b > s.on_ms for a, b in talks)
        tally.onsets_ms.append(own[0] - s.on_ms if in_time else None)
        tally.missed += not talking
        tally.splits += sum(s.on_ms < at < s.off_ms for at in stops)
        following = speech[index + 1].on_ms if index + 1 < len(speech) else end_ms
        if talking and following - s.off_ms >= LONG_GAP_MS and any(a < s.off_ms < b for a, b in talks):
            tally.offsets_ms.append(next((at for at in stops if at >= s.off_ms), end_ms) - s.off_ms)
    tally.false_starts = sum(not any(s.on_ms - EARLY_MS <= at <= s.off_ms + EARLY_MS for s in speech) for at in starts)
    return tally
