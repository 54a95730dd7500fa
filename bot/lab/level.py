"""How loud telephone sound is, and the mixing of two sounds: µ-law bytes, any number; must not know frames or calls."""

import audioop

AUDIBLE_DBFS = -50.0
_AUDIBLE_RMS = 32768 * 10 ** (AUDIBLE_DBFS / 20)


def is_audible(mulaw: bytes) -> bool:
    """Whether a listener would hear anything: an RMS above -50 dB of full scale."""
    return bool(mulaw) and audioop.rms(audioop.ulaw2lin(mulaw, 2), 2) > _AUDIBLE_RMS


def mix(mulaw: bytes, other: bytes, gain_db: float) -> bytes:
    """`mulaw` with as much of `other`, of the same length, made louder by `gain_db`."""
    louder = audioop.mul(audioop.ulaw2lin(other, 2), 2, 10 ** (gain_db / 20))
    return audioop.lin2ulaw(audioop.add(audioop.ulaw2lin(mulaw, 2), louder, 2), 2)
