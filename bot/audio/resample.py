"""Changing the sample rate of a stream with a short band-limited filter, and making telephone audio of any PCM.

One Kaiser-windowed sinc, cut into phases (a polyphase FIR). It is short on purpose: its half length is the whole
delay, 2.5 ms at 8 kHz. A coefficient is a whole multiple of 2**-24, so every sum is exact in a float64: the
same input gives the same output on every machine, however it is cut into chunks.

PCM is int16, little-endian, mono. Knows no frames except in `Encoder`, and no clock.
"""

from functools import lru_cache
from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.audio.forms import Form
from bot.audio.frames import Framer

LOWEST_HZ = 8000
HIGHEST_HZ = 48000
HALF_LENGTH = 20  # zero crossings of the sinc on each side, at the lower of the two rates
KAISER_BETA = 7.0
CUTOFF = 0.95  # of half the lower rate: an image above it is heard more than what is missing below it
COEFFICIENT_STEP = 2.0**-24
BLOCK = 2048  # outputs worked on at once: bounds the memory that a long chunk takes

Floats = npt.NDArray[np.float64]
_LOWEST = np.float64(-32768)
_HIGHEST = np.float64(32767)


def reach(from_hz: int, to_hz: int) -> int:
    """Return half the filter's length, which is its delay, in input samples."""
    return -(-HALF_LENGTH * max(from_hz, to_hz) // to_hz)


@lru_cache(maxsize=16)
def phases(from_hz: int, to_hz: int) -> Floats:
    """Return the filter as `to_hz / gcd` phases of `2 * reach + 1` taps, each in the order of the samples it meets."""
    up = to_hz // gcd(from_hz, to_hz)
    half = reach(from_hz, to_hz)
    at = np.arange(-half * up, half * up + up, dtype=np.float64) / up  # in input samples
    inside = np.clip(1 - (at / half) ** 2, 0, None)
    window = np.where(np.abs(at) <= half, np.i0(KAISER_BETA * np.sqrt(inside)), 0.0)
    taps = np.sinc(at * (CUTOFF * min(from_hz, to_hz) / from_hz)) * window
    bank = taps.reshape(2 * half + 1, up).T[:, ::-1]
    bank = bank / bank.sum(axis=1, keepdims=True)  # every phase passes a constant unchanged: no image of it
    exact = np.rint(bank / COEFFICIENT_STEP) * COEFFICIENT_STEP
    return np.ascontiguousarray(exact, dtype=np.float64)


class Resampler:
    """Turns a stream of PCM at `from_hz` into one at `to_hz`; sound comes out `delay_ms` late.

    Each way 8000 to 48000 Hz; ValueError for anything else. The total output of `push` so far is always
    ceil(samples in * to_hz / from_hz) samples: 160 samples at 8 kHz give 320 at 16 kHz, from the first on.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        for hz in (from_hz, to_hz):
            if not LOWEST_HZ <= hz <= HIGHEST_HZ:
                raise ValueError(f"a rate lies between {LOWEST_HZ} and {HIGHEST_HZ} Hz, not {hz}")
        common = gcd(from_hz, to_hz)
        self._up = to_hz // common
        self._down = from_hz // common
        self._same = from_hz == to_hz
        self._reach = 0 if self._same else reach(from_hz, to_hz)
        self._doubles = (self._up, self._down) == (2, 1)
        self._bank = np.ones((1, 1)) if self._same else phases(from_hz, to_hz)
        self._pair = self._bank[0] - 1j * self._bank[-1]  # conjugate: so does np.correlate
        self.delay_ms = self._reach / from_hz * 1000
        self.reset()

    def reset(self) -> None:
        """Forget everything pushed: the next sample is the first of a stream."""
        self._past = np.zeros(2 * self._reach, np.complex128 if self._doubles else np.float64)
        self._at = 0  # of the next output, in steps of 1/up input samples, from the first sample not yet pushed
        self._half_sample = b""

    def push(self, pcm: bytes) -> bytes:
        """Return the output that `pcm` completes; half a sample at the end waits for its other half."""
        if self._half_sample or len(pcm) % 2:
            pcm = self._half_sample + pcm
            whole_bytes = len(pcm) - len(pcm) % 2
            pcm, self._half_sample = pcm[:whole_bytes], pcm[whole_bytes:]
        if self._same or not pcm:
            return pcm
        return self._double(pcm) if self._doubles else self._convert(pcm)

    def flush(self) -> bytes:
        """Return what the filter still holds (`delay_ms` of output) and begin anew; half a sample is dropped."""
        self._half_sample = b""
        tail = self.push(bytes(2 * self._reach))
        self.reset()
        return tail

    def _joined(self, pcm: bytes) -> npt.NDArray[Any]:
        """Return past and new samples in one array, and keep its end as the past of the next chunk."""
        new = np.frombuffer(pcm, "<i2")
        past = len(self._past)
        joined = np.empty(past + len(new), self._past.dtype)
        joined[:past] = self._past
        joined[past:] = new
        self._past = joined[len(new) :]
        return joined

    def _double(self, pcm: bytes) -> bytes:
        """Return two samples for each: the two phases are one complex filter, so its outputs lie in turn as wanted."""
        both = np.correlate(self._joined(pcm), self._pair, "valid")
        return _to_pcm(both.view(np.float64))

    def _convert(self, pcm: bytes) -> bytes:
        """Return the outputs whose newest sample is in `pcm`, for any two rates."""
        joined = self._joined(pcm)
        self._past = self._past.copy()  # a view would hold the whole of a long chunk
        windows = _windows(joined, self._bank.shape[1])
        end = len(windows) * self._up
        made: list[bytes] = []
        for first in range(self._at, end, self._down * BLOCK):
            behind = min(end, first + self._down * BLOCK)
            if self._up == 1:
                values = np.einsum("ij,j->i", windows[first : behind : self._down], self._bank[0])
            else:
                at = np.arange(first, behind, self._down)
                values = np.einsum("ij,ij->i", windows[at // self._up], self._bank[at % self._up])
            made.append(_to_pcm(values))
        self._at = (self._at - end) % self._down
        return b"".join(made)


def _windows(values: Floats, taps: int) -> Floats:
    """Return each run of so many values as a row, in the same memory; numpy's own way checks what is known here."""
    step = values.strides[0]
    return np.ndarray((len(values) - taps + 1, taps), values.dtype, values, strides=(step, step))


def _to_pcm(values: Floats) -> bytes:
    """Round and clip in place, and return as int16."""
    np.rint(values, out=values)
    np.minimum(values, _HIGHEST, out=values)
    np.maximum(values, _LOWEST, out=values)
    return values.astype("<i2").tobytes()


class Encoder:
    """Turns a stream of PCM at `from_hz` into whole frames of a line's form."""

    def __init__(self, from_hz: int, form: Form) -> None:
        self._resampler = Resampler(from_hz, form.rate_hz)
        self._framer = Framer(form.frame_bytes, form.silence)
        self._encode = form.encode

    def push(self, pcm: bytes) -> bytes:
        """Return the frames that are whole now, joined (maybe none)."""
        return self._framer.push(self._encode(self._resampler.push(pcm)))

    def flush(self) -> bytes:
        """Return the last frames, the final one filled up with silence, and begin anew."""
        last = self._framer.push(self._encode(self._resampler.flush()))
        return last + self._framer.flush()
