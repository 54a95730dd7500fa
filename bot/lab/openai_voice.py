"""The voice of the OpenAI stand-in: espeak-ng at the rate at which OpenAI speaks. Must not know HTTP."""

import threading
from functools import lru_cache

from bot.audio.resample import Resampler
from bot.services import espeak

SPEECH_HZ = 24_000
VARIANT = "linda"
SLOWEST_WPM, FASTEST_WPM = 80, 450
_one_at_a_time = threading.Lock()


def speech(text: str, speed: float = 1.0) -> bytes:
    """Speak `text` in the stand-in's own voice, at `speed` times its pace as far as it can: PCM16 at 24 kHz.

    The same text has the same sound, whoever asks and when.
    """
    with _one_at_a_time:
        return _speech(text, min(max(round(espeak.SPEED_WPM * speed), SLOWEST_WPM), FASTEST_WPM))


@lru_cache(maxsize=1024)
def _speech(text: str, speed_wpm: int) -> bytes:
    pcm, rate_hz = espeak.synthesize(text, variant=VARIANT, speed_wpm=speed_wpm)
    resampler = Resampler(rate_hz, SPEECH_HZ)
    return resampler.push(pcm) + resampler.flush()
