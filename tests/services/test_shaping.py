"""Level, outer silence and edges of a sentence's sound."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.audio import mulaw
from bot.audio.forms import TELEPHONE
from bot.audio.resample import Encoder
from bot.services import espeak
from bot.services.shaping import CEILING_DBFS, FADE_MS, LEAD_MS, PEAK_DBFS, TAIL_MS, Louder, Shaper, levelled, louder

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


def heard(frames: bytes) -> np.ndarray:
    return np.frombuffer(mulaw.decode(frames), "<i2").astype(float)


def active_dbfs(frames: bytes) -> float:
    """The level of the frames that are not a pause: within 30 dB of the loudest."""
    power = (heard(frames).reshape(-1, 160) ** 2).mean(axis=1)
    return float(10 * np.log10(power[power > power.max() / 1000].mean() / 32768**2))


def distortion_db(frames: bytes, loud: bytes) -> float:
    """How far what a gain per frame does not explain lies under the sound, in all but the worst tenth of the frames."""
    before, after = (heard(side).reshape(-1, 160) for side in (frames, loud))
    active = (before**2).mean(axis=1) > (before**2).mean(axis=1).max() / 1000
    before, after = before[active], after[active]
    same = (before * after).sum(axis=1, keepdims=True) / (before**2).sum(axis=1, keepdims=True) * before
    ratios = 10 * np.log10((same**2).sum(axis=1) / (((after - same) ** 2).sum(axis=1) + 1))
    return float(np.percentile(ratios, 10))


@pytest.fixture(scope="module")
def sentence() -> bytes:
    pcm, rate_hz = espeak.synthesize("오늘은 손자와 함께 가까운 공원에 다녀오셨군요.", variant="f3")
    encoder = Encoder(rate_hz, TELEPHONE)
    return encoder.push(levelled(pcm)) + encoder.flush()


@pytest.mark.parametrize(("gain_db", "rise_db"), [(6.0, 5.0), (10.0, 7.0)])
def test_louder_speech_is_louder_and_still_itself(sentence: bytes, gain_db: float, rise_db: float) -> None:
    loud = louder(sentence, gain_db)
    assert len(loud) == len(sentence)
    assert rise_db < active_dbfs(loud) - active_dbfs(sentence) <= gain_db + 0.1
    assert distortion_db(sentence, loud) > 20, "clipping gives 7 to 18"


def test_no_gain_changes_nothing_and_holds_nothing_back(sentence: bytes) -> None:
    assert louder(sentence, 0.0) == sentence
    assert Louder(0.0).push(sentence[:160]) == sentence[:160]


def test_a_gain_holds_one_frame_back(sentence: bytes) -> None:
    loud = Louder(6.0)
    assert loud.push(sentence[:160]) == b""
    assert len(loud.push(sentence[160:480])) == 320
    assert len(loud.finish()) == 160
    assert loud.finish() == b""
    assert louder(b"", 6.0) == b""


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 20), max_size=30))
def test_louder_is_the_same_however_it_is_cut(sentence: bytes, sizes: list[int]) -> None:
    loud, out, at = Louder(10.0), b"", 0
    for size in sizes:
        out += loud.push(sentence[at : at + size * 160])
        at += size * 160
    out += loud.push(sentence[at:])
    assert out + loud.finish() == louder(sentence, 10.0)


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=1, max_size=4).map(lambda codes: codes * 320), st.floats(0.5, 40))
def test_no_peak_wraps_around_or_comes_to_full_scale(codes: bytes, gain_db: float) -> None:
    """Any loudness, changing in the middle of a frame."""
    frames = codes[: len(codes) // 160 * 160] + bytes([0xFF]) * 160 + bytes([0x80]) * 160
    before, after = heard(frames), heard(louder(frames, gain_db))
    assert (np.sign(before) * np.sign(after) >= 0).all()
    assert np.abs(after).max() <= 32768 * 10 ** (CEILING_DBFS / 20) * 1.02, "a step of µ-law above the ceiling"
