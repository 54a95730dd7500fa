"""G.711 µ-law to and from linear PCM: int16, little-endian, mono, 8 kHz on both sides.

Knows no frames: any number of samples. `audioop` is the standard library's up to Python 3.12 and audioop-lts after it.
"""

import audioop

from bot.errors import LocalProtocolError


def decode(mulaw: bytes) -> bytes:
    """Return 2 bytes of PCM for each byte of µ-law (ITU-T G.711; any byte is valid)."""
    return audioop.ulaw2lin(mulaw, 2)


def encode(pcm16_8k: bytes) -> bytes:
    """Return 1 byte of µ-law for each 2 bytes of PCM; LocalProtocolError for half a sample."""
    if len(pcm16_8k) % 2:
        raise LocalProtocolError(f"PCM comes in whole samples of 2 bytes, not {len(pcm16_8k)} bytes")
    return audioop.lin2ulaw(pcm16_8k, 2)
