"""Level, outer silence and edges of a sentence's sound."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.services.shaping import FADE_MS, LEAD_MS, PEAK_DBFS, TAIL_MS, Shaper, levelled

RATE_HZ = 24_000


def tone(ms: int, amplitude: float = 8000) -> np.ndarray:
    at = np.arange(RATE_HZ * ms // 1000)
    return (amplitude * np.sin(at * 2 * np.pi * 440 / RATE_HZ)).astype("<i2")


def silence(ms: int) -> np.ndarray:
    return np.zeros(RATE_HZ * ms // 1000, "<i2")


def shaped(pcm: bytes, sizes: list[int]) -> np.ndarray:
    shaper, out, at = Shaper(RATE_HZ), b"", 0
    for size in sizes:
        out += shaper.push(pcm[at : at + size])
        at += size
    out += shaper.push(pcm[at:])
    return np.frombuffer(out + shaper.finish(), "<i2")


def test_outer_silence_goes_and_inner_silence_stays() -> None:
    out = shaped(np.concatenate([silence(700), tone(300), silence(400), tone(300), silence(900)]).tobytes(), [])
    ms = len(out) * 1000 / RATE_HZ
    assert ms == pytest.approx(LEAD_MS + 300 + 400 + 300 + TAIL_MS, abs=FADE_MS)


def test_edges_are_soft_when_the_sound_begins_and_ends_loud() -> None:
    out = shaped(np.full(RATE_HZ, 9000, "<i2").tobytes(), [])
    assert out[0] == 0
    assert out[-1] == 0
    assert np.abs(np.diff(out.astype(int))).max() < 9000 / 50
    assert (out[500:-500] == 9000).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5000), max_size=30))
@example([4290, 5000, 5000, 5000, 5000])
def test_the_cut_into_pieces_does_not_matter(sizes: list[int]) -> None:
    pcm = np.concatenate([silence(100), tone(200), silence(150), tone(60), silence(200)]).tobytes()
    assert (shaped(pcm, sizes) == shaped(pcm, [])).all()


def test_nothing_comes_of_silence() -> None:
    assert len(shaped(silence(500).tobytes(), [])) == 0


@pytest.mark.parametrize("amplitude", [300, 3000, 30000])
def test_sentences_come_to_one_level(amplitude: int) -> None:
    sound = np.frombuffer(levelled(tone(500, amplitude).tobytes()), "<i2").astype(float)
    assert 20 * np.log10(np.sqrt(np.mean(sound**2)) / 32768) == pytest.approx(-20, abs=0.2)


def test_the_peak_has_its_limit() -> None:
    sound = silence(1000).copy()
    sound[100] = 20_000
    peak = np.abs(np.frombuffer(levelled(sound.tobytes()), "<i2").astype(float)).max()
    assert 20 * np.log10(peak / 32768) == pytest.approx(PEAK_DBFS, abs=0.1)
