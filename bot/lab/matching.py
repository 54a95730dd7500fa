"""What the RTZR stand-in knows of speech: the fixtures' utterances, found again in the audio it is sent.

A recogniser can be told from a tape by what it does with damaged audio. This one has nothing but the samples: it finds
an utterance by correlating what it hears with every fixture (here), and then follows it, window by window, at the
one place in time where it lies (`tracking.py`). Noise, another level and a lost packet leave the correlation high;
swapped bytes or a wrong rate leave none; a stretch that is doubled or missing breaks it from there on.

The comparison runs at 4 kHz on the band below 1.7 kHz, tilted so that the voice's lowest harmonics do not outweigh the
rest. Positions and lengths are samples at that rate. Knows no clock, no sockets and no utterance boundaries.
"""

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.audio import mulaw

Floats = npt.NDArray[np.float32]

FIXTURES = Path(__file__).parents[2] / "fixtures"
MATCH_HZ = 4000
FRAME = MATCH_HZ // 50  # 20 ms, what one lost packet takes away
QUARTERS = 4  # a fixture is compared at quarters of a sample, since a resampler may shift it by a part of one

SIZES = (18 * FRAME, 15 * FRAME, 12 * FRAME, 9 * FRAME, 7 * FRAME, 5 * FRAME)  # what a search can look for
CHUNK = SIZES[0]
FFT = 8192
FOUND = 0.42  # correlation from which a chunk is worth following
BEYOND_DOUBT = 0.78
KEPT = 6  # candidates of one search

AUDIBLE = 0.001  # share of the mean power under which a fixture is as good as silent
FAINT = 0.06  # share of the mean power under which a fixture is hidden by a little noise


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a fixture: its text, and where it starts, ends, and is heard to its end (before any pause)."""

    text: str
    start: int
    end: int
    heard: int


class Tape:
    """One fixture utterance as it sounds at `MATCH_HZ`."""

    def __init__(self, name: str, text: str, words: list[tuple[str, int]], pcm: bytes) -> None:
        """Take the text, each word with its `end_ms`, and 8 kHz PCM."""
        self.name = name
        self.text = text
        self.wave = Decimator(8000).push(np.frombuffer(pcm, "<i2").astype(np.float32))
        self.power = float(np.mean(self.wave**2)) + 1e-9
        self.words = tuple(self._words(words))

    def _words(self, words: list[tuple[str, int]]) -> list[Word]:
        loud = np.convolve(self.wave**2, np.full(FRAME, 1 / FRAME), "same") > self.power * AUDIBLE
        result: list[Word] = []
        start = 0
        for text, end_ms in words:
            end = min(end_ms * MATCH_HZ // 1000, len(self.wave))
            sounding = np.flatnonzero(loud[start:end])
            result.append(Word(text, start, end, start + int(sounding[-1]) + 1 if len(sounding) else end))
            start = end
        return result

    @cached_property
    def shifted(self) -> tuple[Floats, ...]:
        """The wave, later by 0, 1/4, 2/4 and 3/4 of a sample."""
        spectrum = np.fft.rfft(self.wave, len(self.wave) + 64)
        turn = -2j * np.pi * np.arange(len(spectrum)) / (len(self.wave) + 64)
        return tuple(
            np.fft.irfft(spectrum * np.exp(turn * quarter / QUARTERS), len(self.wave) + 64)[: len(self.wave)].astype(
                np.float32
            )
            for quarter in range(QUARTERS)
        )


class Decimator:
    """Bring a stream of samples to `MATCH_HZ`, low-passed at 1.7 kHz and tilted upwards."""

    def __init__(self, from_hz: int) -> None:
        """Raise ValueError for a rate that is no multiple of `MATCH_HZ`."""
        if from_hz % MATCH_HZ or from_hz < 2 * MATCH_HZ:
            raise ValueError(f"{from_hz} Hz is no multiple of {MATCH_HZ} Hz")
        self._every = from_hz // MATCH_HZ
        half = 14 * self._every
        at = np.arange(-half, half + 1) / from_hz
        low_pass = np.sinc(2 * 1700 * at) * np.kaiser(2 * half + 1, 6.0)
        low_pass /= low_pass.sum()
        tilt = np.zeros(self._every + 1)
        tilt[0], tilt[-1] = 1.0, -0.9
        self._taps = np.convolve(low_pass, tilt).astype(np.float32)[::-1].copy()
        self._kept = np.zeros(len(self._taps) - 1, np.float32)

    def push(self, samples: Floats) -> Floats:
        """Return what is complete; the rest is kept."""
        joined = np.concatenate((self._kept, samples))
        count = max((len(joined) - len(self._taps)) // self._every + 1, 0)
        windows = np.lib.stride_tricks.sliding_window_view(joined, len(self._taps))[:: self._every][:count]
        self._kept = joined[count * self._every :]
        return np.asarray(windows @ self._taps, np.float32)


class Live:
    """The last seconds of a stream, addressed by the position since its start."""

    def __init__(self, seconds: float = 16.0) -> None:
        self._samples = np.zeros(int(seconds * MATCH_HZ) * 2, np.float32)
        self._from = 0
        self.end = 0

    def append(self, samples: Floats) -> None:
        """Add what was heard next."""
        if self.end - self._from + len(samples) > len(self._samples):
            keep = len(self._samples) // 2
            self._samples[:keep] = self.window(self.end - keep, self.end)
            self._from = self.end - keep
        at = self.end - self._from
        self._samples[at : at + len(samples)] = samples
        self.end += len(samples)

    def window(self, start: int, stop: int) -> Floats:
        """Return the samples from `start` to `stop`; what is not there is silence."""
        low, high = max(start, self._from), min(stop, self.end)
        if low == start and high == stop:
            return self._samples[start - self._from : stop - self._from]
        result = np.zeros(max(stop - start, 0), np.float32)
        if high > low:
            result[low - start : high - start] = self._samples[low - self._from : high - self._from]
        return result


def correlation(a: Floats, b: Floats) -> float:
    """Return how alike two stretches are, whatever their level: 1 is the same, 0 is nothing or not of one length."""
    if len(a) != len(b):
        return 0.0
    scale = float(np.dot(a, a)) * float(np.dot(b, b))
    return float(np.dot(a, b)) / scale**0.5 if scale > 1e-6 else 0.0


class Library:
    """Every fixture utterance, ready to be searched."""

    def __init__(self, tapes: list[Tape]) -> None:
        self.tapes = tapes
        gap = np.zeros(CHUNK, np.float32)
        pieces = [gap]
        self._starts: list[int] = []
        at = CHUNK
        for tape in tapes:
            self._starts.append(at)
            pieces += [tape.wave, gap]
            at += len(tape.wave) + CHUNK
        self._all = np.concatenate([*pieces, np.zeros(FFT, np.float32)])
        self._hop = FFT - CHUNK
        blocks = np.lib.stride_tricks.sliding_window_view(self._all, FFT)[:: self._hop]
        self._spectra = np.fft.rfft(blocks, axis=1).astype(np.complex64)
        self._energy = np.concatenate(([0.0], np.cumsum(self._all.astype(np.float64) ** 2)))
        self._scales: dict[int, Floats] = {}
        self._floor = min((tape.power for tape in tapes), default=1.0) * FAINT

    @classmethod
    def load(cls, folder: Path = FIXTURES) -> "Library":
        """Read `utterances.json` and the µ-law files beside it; each folder is read once."""
        return _load(folder.resolve())

    def _scale(self, size: int) -> Floats:
        """What brings the product with a chunk of `size` samples to a correlation, at every place."""
        if size not in self._scales:
            count = len(self._all) - FFT
            there = self._energy[size : size + count] - self._energy[:count]
            self._scales[size] = (np.maximum(there, self._floor * size) ** -0.5).astype(np.float32)
        return self._scales[size]

    def search(self, chunk: Floats) -> list[tuple[Tape, int]]:
        """Return the utterances that may hold the end of `chunk`, best first, each with the place of its start.

        The place is in samples after the chunk's end: negative.
        """
        size = next((size for size in SIZES if size <= len(chunk)), 0)
        chunk = chunk[len(chunk) - size :]
        energy = float(np.dot(chunk, chunk))
        if energy <= 1:
            return []
        spectrum = np.conj(np.fft.rfft(chunk, FFT)).astype(np.complex64)
        products = np.fft.irfft(self._spectra * spectrum, FFT, axis=1)[:, : self._hop].ravel()
        scores = products[: len(self._all) - FFT] * self._scale(size)
        found: list[tuple[float, int, int]] = []
        for index, (tape, start) in enumerate(zip(self.tapes, self._starts, strict=True)):
            low = start - size // 2
            part = scores[low : start + len(tape.wave) - size // 3]
            best = int(np.argmax(part))
            if part[best] * energy**-0.5 >= FOUND:
                found.append((float(part[best]), index, start - (low + best) - size))
        found.sort(reverse=True)
        return [(self.tapes[index], offset) for _, index, offset in found[:KEPT]]

    def holds(self, piece: Floats) -> bool:
        """Whether the end of `piece` is beyond doubt a piece of some fixture."""
        size = next((size for size in SIZES if size <= len(piece)), 0)
        piece = piece[len(piece) - size :]
        for tape, offset in self.search(piece):
            for place in range(-offset - size - 1, -offset - size + 2):
                for wave in tape.shifted:
                    if place >= 0 and correlation(piece, wave[place : place + size]) >= BEYOND_DOUBT:
                        return True
        return False


@lru_cache(maxsize=4)
def _load(folder: Path) -> Library:
    tapes = []
    for entry in json.loads((folder / "utterances.json").read_text("utf-8")):
        words = [(word["text"], word["end_ms"]) for word in entry["words"]]
        pcm = mulaw.decode((folder / "utterances" / f"{entry['name']}.ulaw").read_bytes())
        tapes.append(Tape(entry["name"], entry["text"], words, pcm))
    return Library(tapes)
