from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.audio import mulaw
from bot.audio.forms import TELEPHONE
from bot.audio.resample import Encoder, Resampler

Samples = npt.NDArray[np.float64]
PAIRS = [(8000, 16000), (24000, 8000), (22050, 8000), (16000, 8000), (48000, 8000), (44100, 16000), (11025, 16000)]


def noise(samples: int, seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    return rng.integers(-32768, 32768, samples).astype("<i2").tobytes()


def sine(hz: float, rate_hz: int, late_ms: float = 0.0) -> Samples:
    at = np.arange(rate_hz) / rate_hz - late_ms / 1000
    return 12000 * np.sin(2 * np.pi * hz * at)


def pcm(samples: Samples) -> bytes:
    return np.rint(samples).astype("<i2").tobytes()


@pytest.mark.parametrize(("from_hz", "to_hz"), [*PAIRS, (8000, 8000)])
@given(cuts=st.lists(st.integers(0, 3000), max_size=8), seed=st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_output_does_not_depend_on_how_the_input_is_cut(from_hz: int, to_hz: int, cuts: list[int], seed: int) -> None:
    whole = noise(1500, seed)
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    together, pieces = Resampler(from_hz, to_hz), Resampler(from_hz, to_hz)
    expected = together.push(whole)
    assert b"".join(pieces.push(whole[a:b]) for a, b in pairwise(edges)) == expected
    assert pieces.flush() == together.flush()


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
@given(samples=st.integers(0, 3000))
@settings(max_examples=15, deadline=None)
def test_as_much_time_comes_out_as_went_in(from_hz: int, to_hz: int, samples: int) -> None:
    out = Resampler(from_hz, to_hz).push(noise(samples))
    assert len(out) == 2 * -(-samples * to_hz // from_hz)


def test_a_telephone_frame_is_a_recogniser_frame_from_the_first_on() -> None:
    resampler = Resampler(8000, 16000)
    assert [len(resampler.push(bytes(320))) for _ in range(5)] == [640] * 5


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
@pytest.mark.parametrize("hz", [200.0, 1000.0, 3000.0])
def test_what_both_rates_can_hold_passes_unchanged_and_is_late_as_stated(from_hz: int, to_hz: int, hz: float) -> None:
    resampler = Resampler(from_hz, to_hz)
    out = np.frombuffer(resampler.push(pcm(sine(hz, from_hz))), "<i2")
    error = (out - sine(hz, to_hz, late_ms=resampler.delay_ms))[to_hz // 10 :]
    assert np.sqrt(np.mean(error**2)) < 12000 / 300
    assert resampler.delay_ms <= 3


@pytest.mark.parametrize(("from_hz", "hz"), [(24000, 5000.0), (22050, 6000.0), (16000, 4600.0), (48000, 9000.0)])
def test_what_a_telephone_cannot_hold_is_gone_and_not_folded_down(from_hz: int, hz: float) -> None:
    out = np.frombuffer(Resampler(from_hz, 8000).push(pcm(sine(hz, from_hz))), "<i2")[800:].astype(float)
    assert np.sqrt(np.mean(out**2)) < 12000 / 200


def test_the_upper_band_stays_empty() -> None:
    out = np.frombuffer(Resampler(8000, 16000).push(pcm(sine(3000, 8000))), "<i2")[1600:].astype(float)
    power = np.abs(np.fft.rfft(out * np.hanning(len(out)))) ** 2
    assert power[len(power) // 2 + 300 :].sum() < power.sum() * 1e-5


def test_too_loud_is_clipped_and_does_not_wrap() -> None:
    square = np.where(sine(1000, 8000) >= 0, 32767.0, -32768.0)
    for to_hz in (16000, 11025):
        out = np.frombuffer(Resampler(8000, to_hz).push(pcm(square)), "<i2").astype(int)
        assert out.max() == 32767
        assert out.min() == -32768
        assert np.abs(np.diff(out[200:])).max() < 65535


def test_flush_gives_the_tail_and_begins_anew() -> None:
    resampler = Resampler(24000, 8000)
    click = bytes(2 * 479) + (20000).to_bytes(2, "little")
    body, tail = resampler.push(click), resampler.flush()
    assert np.abs(np.frombuffer(tail, "<i2")).max() > 2000
    assert len(tail) == 2 * 20
    assert (resampler.push(click), resampler.flush()) == (body, tail)


def test_reset_forgets() -> None:
    resampler = Resampler(8000, 16000)
    resampler.push(noise(333) + b"x")
    resampler.reset()
    assert resampler.push(bytes(320)) == bytes(640)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(7999, 8000), (8000, 0), (96000, 8000), (8000, 48001)])
def test_other_rates_are_refused(from_hz: int, to_hz: int) -> None:
    with pytest.raises(ValueError, match="rate"):
        Resampler(from_hz, to_hz)


@pytest.mark.parametrize("from_hz", [8000, 16000, 22050, 24000])
@given(cuts=st.lists(st.integers(1, 4000), max_size=6))
@settings(max_examples=10, deadline=None)
def test_telephone_frames_are_whole_and_cover_the_sound(from_hz: int, cuts: list[int]) -> None:
    encoder = Encoder(from_hz, TELEPHONE)
    out = [encoder.push(noise(cut)) for cut in cuts]
    out.append(encoder.flush())
    assert all(len(each) % 160 == 0 for each in out)
    needed = sum(cuts) * 8000 / from_hz
    assert needed <= sum(map(len, out)) <= needed + 2 * 160


def test_telephone_sound_is_the_sound() -> None:
    encoder = Encoder(24000, TELEPHONE)
    line = encoder.push(pcm(sine(800, 24000))) + encoder.flush()
    heard = np.frombuffer(mulaw.decode(line), "<i2")[800:7200].astype(float)
    wanted = sine(800, 8000, late_ms=2.5)[800:7200]
    assert np.corrcoef(heard, wanted)[0, 1] > 0.999
