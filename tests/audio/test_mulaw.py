import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.audio import mulaw
from bot.audio.frames import MULAW_SILENCE
from bot.errors import LocalProtocolError


@pytest.mark.parametrize(("code", "value"), [(0xFF, 0), (0x7F, 0), (0x80, 32124), (0x00, -32124), (0xFE, 8)])
def test_codes_of_g711(code: int, value: int) -> None:
    assert mulaw.decode(bytes([code])) == value.to_bytes(2, "little", signed=True)


def test_silence_is_silent() -> None:
    assert mulaw.decode(MULAW_SILENCE * 160) == bytes(320)
    assert mulaw.encode(bytes(320)) == MULAW_SILENCE * 160


@given(st.binary(max_size=500))
def test_what_was_decoded_encodes_to_the_same_sound(sound: bytes) -> None:
    pcm = mulaw.decode(sound)
    assert len(pcm) == 2 * len(sound)
    assert mulaw.decode(mulaw.encode(pcm)) == pcm


def test_the_error_is_a_small_part_of_the_sample() -> None:
    values = np.arange(-32000, 32000, 7, dtype="<i2")
    back = np.frombuffer(mulaw.decode(mulaw.encode(values.tobytes())), "<i2")
    assert np.all(np.abs(back.astype(int) - values) <= np.abs(values.astype(int)) / 16 + 8)


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        mulaw.encode(b"abc")
