"""What is done to a sentence's sound before it goes on a line: level, silence at its ends, soft edges, gain.

Pure functions of samples; PCM is int16, little-endian, mono. It must not know who made the sound.
"""

import numpy as np
import numpy.typing as npt

from bot.audio.forms import TELEPHONE, Form

LEVEL_DBFS = -20.0
PEAK_DBFS = -1.0
SOUND_DBFS = -45.0
LEAD_MS = 20
TAIL_MS = 100
FADE_MS = 4
CEILING_DBFS = -0.5

_FULL = 32768.0
_CEILING = _FULL * 10 ** (CEILING_DBFS / 20)
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


class Louder:
    """One sentence's stream of frames made louder; its gain steps back where a peak would pass `CEILING_DBFS`.

    The gain goes in a straight line from frame to frame, so it has to know the next one: sound comes out a frame late,
    unless there is no gain. Speech at `LEVEL_DBFS` rises by 5 to 6 of 6 dB and by 7 to 10 of 10 dB, and has a PESQ
    against itself of 4.4 and more. One use.
    """

    def __init__(self, gain_db: float, form: Form = TELEPHONE) -> None:
        self._form = form
        self._gain = 10 ** (gain_db / 20)
        self._held = b""
        self._begins_at = self._gain

    def push(self, frames: bytes) -> bytes:
        """Take whole frames, any number; return those whose next one is known."""
        if self._gain == 1.0 or not frames:
            return frames
        form = self._form
        samples = np.frombuffer(form.decode(self._held + frames), "<i2").reshape(-1, form.frame_samples)
        self._held = frames[-form.frame_bytes :]
        most = np.minimum(self._gain, _CEILING / np.maximum(np.abs(samples.astype(np.int32)).max(axis=1), 1))
        edges = np.concatenate([[min(self._begins_at, most[0])], np.minimum(most[:-1], most[1:])])
        self._begins_at = float(edges[-1])
        gains = np.linspace(edges[:-1], edges[1:], form.frame_samples, endpoint=False, axis=1)
        return form.encode(np.rint(samples[:-1] * gains).astype("<i2").tobytes())

    def finish(self) -> bytes:
        """Return the last frame."""
        samples = np.frombuffer(self._form.decode(self._held), "<i2")
        self._held = b""
        return self._form.encode(np.rint(samples * self._begins_at).astype("<i2").tobytes())


def louder(frames: bytes, gain_db: float, form: Form = TELEPHONE) -> bytes:
    """Make all of a sentence's frames louder, as `Louder` does."""
    sentence = Louder(gain_db, form)
    return sentence.push(frames) + sentence.finish()


def _sounding(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.intp]:
    """Where there is sound."""
    return np.flatnonzero((samples > _SOUND) | (samples < -_SOUND))
