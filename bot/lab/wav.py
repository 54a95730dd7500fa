"""Sound as a file. Must not know what it is of."""

import io
import wave


def wav_file(pcm: bytes, rate_hz: int, *, channels: int = 1) -> bytes:
    """Samples of 16 bits as a WAV file; those of several channels in turn."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(channels)
        wav.setsampwidth(2)
        wav.setframerate(rate_hz)
        wav.writeframes(pcm)
    return file.getvalue()
