"""Calls to try a voice activity detector on: recorded callers in every noise, and what is true of them.

The truth comes from the clean sound alone: its energy in steps of 5 ms, a pause of 300 ms or more being a real one.
Clean, every utterance is heard; in noise, one in five. Which ones, and where in a noise, their names tell, so that a
new utterance changes no call of another. The settings of the detector were searched for in other stretches of the
noises. Must not know the detector.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bot.audio import mulaw
from bot.audio.frames import MULAW_FRAME_BYTES, MULAW_HZ, PCM_HZ
from bot.audio.resample import Resampler
from bot.lab import noises, utterances

Samples = npt.NDArray[np.float64]

STEP_MS = 5
REAL_PAUSE_MS = 300
ISLAND_MS = 30  # a click shorter than this is no speech
SPEECH_UNDER_LOUD_DB = 30.0
LEAD_S = (1.6, 2.4)
TAIL_S = 3.0
LEVELS_DBFS = (-27.0, -21.0, -15.0)  # by voice
FILLER_SECONDS = (1.5, 2.5)
SOFT_DB = -12.0
ONE_OF = 5


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of speech, in ms."""

    on_ms: float
    off_ms: float


@dataclass(frozen=True, slots=True)
class Call:
    """A caller's side of a call, clean, with what is true of it; `name` is the utterance's."""

    name: str
    sound: Samples
    speech: tuple[Stretch, ...]
    level_dbfs: float


def truth(sound: Samples) -> list[Stretch]:
    """Return where there is speech in a clean sound, by its energy: pauses of 300 ms and more part two stretches."""
    step = MULAW_HZ * STEP_MS // 1000
    blocks = sound[: len(sound) // step * step].reshape(-1, step)
    power = np.mean(blocks**2, axis=1)
    loud = np.mean(np.sort(power)[len(power) // 2 :])
    speech = power > loud * 10 ** (-SPEECH_UNDER_LOUD_DB / 10)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], speech.astype(int), [0]])))
    runs = [Stretch(a * STEP_MS, b * STEP_MS) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    runs = [run for run in runs if run.off_ms - run.on_ms >= ISLAND_MS]
    joined: list[Stretch] = []
    for run in runs:
        if joined and run.on_ms - joined[-1].off_ms < REAL_PAUSE_MS:
            joined[-1] = Stretch(joined[-1].on_ms, run.off_ms)
        else:
            joined.append(run)
    return joined


def call(name: str, sound: Samples, level_dbfs: float) -> Call:
    """Return a call in which one thing is said, at any phase of the 20 ms frame."""
    lead = int(np.random.default_rng(number(name)).uniform(*LEAD_S) * MULAW_HZ)
    speech = truth(sound)
    spoken = np.concatenate([sound[int(s.on_ms * 8) : int(s.off_ms * 8)] for s in speech])
    gain = 10 ** (level_dbfs / 20) / np.sqrt(np.mean(spoken**2))
    whole = np.concatenate([np.zeros(lead), sound * gain, np.zeros(int(TAIL_S * MULAW_HZ))])
    lead_ms = lead * 1000 / MULAW_HZ
    return Call(name, whole, tuple(Stretch(lead_ms + s.on_ms, lead_ms + s.off_ms) for s in speech), level_dbfs)


def on_the_line(sound: Samples) -> list[bytes]:
    """Return the 20 ms frames of 16 kHz PCM that a sound becomes through µ-law and the resampler."""
    line = noises.to_mulaw(sound)
    resampler = Resampler(MULAW_HZ, PCM_HZ)
    starts = range(0, len(line) // MULAW_FRAME_BYTES * MULAW_FRAME_BYTES, MULAW_FRAME_BYTES)
    return [resampler.push(mulaw.decode(line[n : n + MULAW_FRAME_BYTES])) for n in starts]


def clean_calls() -> list[Call]:
    """Return a clean call for each utterance on disk; each voice has its own level."""
    spoken = utterances.load().values()
    voices = sorted({utterance.voice for utterance in spoken})
    made = []
    for utterance in spoken:
        sound = np.frombuffer(mulaw.decode(utterance.mulaw()), "<i2") / 32768
        made.append(call(utterance.name, sound, LEVELS_DBFS[voices.index(utterance.voice) % len(LEVELS_DBFS)]))
    return made


def for_noise(calls: Sequence[Call]) -> list[Call]:
    """Return one in five of the calls."""
    return [one for one in calls if number(one.name) % ONE_OF == 0]


def with_noise(one: Call, kind: str, noise: Samples, snr_db: int) -> Samples:
    """Return a call with a noise this much under its speech, from somewhere in the noise."""
    begin = int(np.random.default_rng([number(one.name), number(kind), snr_db]).integers(0, len(noise)))
    laid = np.resize(np.roll(noise, -begin), len(one.sound))
    return one.sound + noises.at_level(laid, one.level_dbfs - snr_db)


def number(name: str) -> int:
    """Return a number that belongs to a name, the same one in every run."""
    return zlib.crc32(name.encode())


def filler_tracks() -> Iterator[tuple[str, Samples, float, float]]:
    """Yield each held filler alone, after a word, and softly after it: name, sound, begin and end of it in ms."""
    word = np.frombuffer(mulaw.decode(next(iter(utterances.load().values())).mulaw()), "<i2")[: MULAW_HZ // 2] / 32768
    silence = np.zeros(MULAW_HZ)
    for seconds in FILLER_SECONDS:
        for name, sound in noises.fillers(seconds):
            length_ms = 1000 * seconds
            yield f"{name} {seconds} s", np.concatenate([silence, sound, silence]), 1000, 1000 + length_ms
            for how, gain_db in (("", 0.0), ("soft ", SOFT_DB)):
                spoken = [silence, word, silence[: MULAW_HZ // 5], sound * 10 ** (gain_db / 20), silence]
                yield f"word, {how}{name} {seconds} s", np.concatenate(spoken), 1700, 1700 + length_ms
