"""What is done to a sentence's sound before it goes to the telephone: level, silence at its ends, soft edges.

Pure functions of samples; PCM is int16, little-endian, mono. It must not know who made the sound.
"""

import numpy as np
import numpy.typing as npt

LEVEL_DBFS = -20.0
PEAK_DBFS = -1.0
SOUND_DBFS = -45.0
LEAD_MS = 20
TAIL_MS = 100
FADE_MS = 4

_FULL = 32768.0
_SOUND = int(_FULL * 10 ** (SOUND_DBFS / 20))


def levelled(pcm: bytes) -> bytes:
    """Bring a whole sentence to `LEVEL_DBFS` RMS, or as near as a peak of `PEAK_DBFS` allows."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    if not samples.any():
        return pcm
    rms = float(np.sqrt(np.mean(samples**2)))
    peak = float(np.abs(samples).max())
    gain = min(_FULL * 10 ** (LEVEL_DBFS / 20) / rms, _FULL * 10 ** (PEAK_DBFS / 20) / peak)
    return np.rint(samples * gain).astype("<i2").tobytes()


class Shaper:
    """One sentence's stream of PCM with its outer silence cut and its edges made soft.

    At most `LEAD_MS` of silence stay before the first sound and `TAIL_MS` behind the last; silence inside is kept, but
    comes out only with the sound after it. One use.
    """

    def __init__(self, rate_hz: int) -> None:
        self._lead = rate_hz * LEAD_MS // 1000
        self._tail = rate_hz * TAIL_MS // 1000
        self._fade = np.linspace(0.0, 1.0, max(1, rate_hz * FADE_MS // 1000))
        self._held: npt.NDArray[np.int16] = np.zeros(0, "<i2")
        self._half_sample = b""
        self._begun = False

    def push(self, pcm: bytes) -> bytes:
        """Return what can be let go; half a sample at the end waits for its other half."""
        pcm = self._half_sample + pcm
        whole_bytes = len(pcm) - len(pcm) % 2
        self._half_sample = pcm[whole_bytes:]
        self._held = np.concatenate([self._held, np.frombuffer(pcm[:whole_bytes], "<i2")])
        sounding = _sounding(self._held)
        if not len(sounding):
            if not self._begun:
                self._held = self._held[-self._lead :]
            return b""
        first = 0 if self._begun else max(0, int(sounding[0]) - self._lead)
        free = int(sounding[-1]) + 1 - len(self._fade)
        if free - first < len(self._fade):
            return b""
        out = self._held[first:free]
        self._held = self._held[free:]
        if not self._begun:
            self._begun = True
            out = out.copy()
            out[: len(self._fade)] = np.rint(out[: len(self._fade)] * self._fade)
        return out.tobytes()

    def finish(self) -> bytes:
        """Return the end of the sound, faded out; nothing when there was none."""
        sounding = _sounding(self._held)
        end = (int(sounding[-1]) + 1 if len(sounding) else len(self._fade)) + self._tail
        out = self._held[:end].copy() if self._begun else np.zeros(0, "<i2")
        self._held = self._held[:0]
        fade = self._fade[: len(out)][::-1]
        if len(out):
            out[-len(fade) :] = np.rint(out[-len(fade) :] * fade)
        return out.tobytes()


def _sounding(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.intp]:
    """Where there is sound."""
    return np.flatnonzero((samples > _SOUND) | (samples < -_SOUND))
