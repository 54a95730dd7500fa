"""How sound is coded on the lines that the bot speaks on: a telephone's, and a browser's.

A frame is 20 ms of one channel. Knows nothing of protocols, or of what is said.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bot.audio import mulaw
from bot.audio.frames import FRAME_MS, MULAW_HZ, MULAW_SILENCE


def _same(pcm: bytes) -> bytes:
    return pcm


@dataclass(frozen=True, slots=True)
class Form:
    """`sample_bytes` of `rate_hz`; `encode` makes them of PCM16 at that rate, `decode` goes back."""

    rate_hz: int
    sample_bytes: int
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes]
    silence: bytes

    @property
    def frame_samples(self) -> int:
        """Samples of a frame."""
        return self.rate_hz * FRAME_MS // 1000

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame."""
        return self.frame_samples * self.sample_bytes

    @property
    def bytes_per_s(self) -> int:
        """Bytes of a second."""
        return self.rate_hz * self.sample_bytes

    def length_ms(self, size: int) -> int:
        """How long so many bytes last, in whole frames."""
        return size // self.frame_bytes * FRAME_MS


TELEPHONE = Form(MULAW_HZ, 1, mulaw.encode, mulaw.decode, MULAW_SILENCE)
"""µ-law at 8 kHz."""

WIDE = Form(24_000, 2, _same, _same, b"\0")
"""PCM16, little-endian, at 24 kHz, as voices are made: nothing is lost of them."""
