"""What a stretch of sound is like: its level, its pitch, and how much of a tone, a hum or a click it is.

Stateless. A window is 32 ms of 16 kHz PCM in the scale of int16.
"""

import math

import numpy as np
import numpy.typing as npt

from bot.audio.frames import PCM_HZ

WINDOW = PCM_HZ * 32 // 1000
SHORTEST_LAG = PCM_HZ // 400
LONGEST_LAG = PCM_HZ // 63
PITCH_OFFSET = 1e4  # keeps near silence from having a pitch; int16 scale squared
PEAK_BINS = 2
SUDDEN = PCM_HZ * 8 // 1000

Floats = npt.NDArray[np.float64]
_HANN: Floats = np.hanning(WINDOW)
_LAGS = np.arange(SHORTEST_LAG, LONGEST_LAG + 1)
_OVERLAP: Floats = WINDOW / (WINDOW - _LAGS)


def level(pcm: bytes) -> float:
    """Return the level of int16 PCM in dB of full scale; -90 for silence."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    mean_square = float(samples @ samples) / max(len(samples), 1)
    return 10 * math.log10(max(mean_square, 1.0) / 32768**2)


def spectrum(window: Floats) -> Floats:
    """Return the power spectrum of 32 ms under a Hann window."""
    bins = np.fft.rfft(window * _HANN)
    return bins.real**2 + bins.imag**2


def tone(power: Floats) -> float:
    """Return the share of the two strongest peaks in a power spectrum: 1 for a pure tone or a pair of them."""
    rest = power.copy()
    for _ in range(2):
        top = int(np.argmax(rest))
        rest[max(top - PEAK_BINS, 0) : top + PEAK_BINS + 1] = 0.0
    total = float(power.sum())
    return 1 - float(rest.sum()) / total if total > 0 else 0.0


def steadiness(now: Floats, before: Floats) -> float:
    """Return the cosine of two log spectra, their means removed: 1 when the sound has not changed."""
    a, b = np.log(now + 1.0), np.log(before + 1.0)
    a -= a.mean()
    b -= b.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else 0.0


def pitch(window: Floats) -> float:
    """Return how periodic 32 ms are, about 0 to 1: the best autocorrelation at a lag of 63 to 400 Hz."""
    centred = window - window.mean()
    bins = np.fft.rfft(centred, 2 * WINDOW)
    correlation = np.fft.irfft(bins.real**2 + bins.imag**2)
    return float(np.max(correlation[_LAGS] * _OVERLAP)) / (float(correlation[0]) + PITCH_OFFSET)


def suddenness(window: Floats) -> float:
    """Return the share of the loudest 8 ms in the energy of 32 ms: 0.25 for a steady sound, 1 for a click."""
    energy = np.cumsum(window * window)
    total = float(energy[-1])
    return float(np.max(energy[SUDDEN:] - energy[:-SUDDEN])) / total if total > 0 else 0.0
