"""espeak-ng in the process: sound, words, and no text that breaks it."""

import asyncio
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import VoiceError
from bot.services import espeak

SENTENCE = "오늘은 손자랑 공원에 다녀오셨군요. 날씨가 참 좋았겠어요."


def samples(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, "<i2").astype(float)


@pytest.mark.parametrize("variant", [None, "f1", "f3", "m3", "Annie", "linda"])
def test_a_sentence_is_loud_enough_not_clipped_and_not_hasty(variant: str | None) -> None:
    pcm, rate_hz = espeak.synthesize(SENTENCE, variant=variant)
    sound = samples(pcm)
    syllables = sum("가" <= letter <= "힣" for letter in SENTENCE)
    assert rate_hz == espeak.RATE_HZ
    assert -26 < 20 * np.log10(np.sqrt(np.mean(sound**2)) / 32768) < -14
    assert np.abs(sound).max() < 32767
    assert 3 < syllables / (len(sound) / rate_hz) < 5


def test_speed_and_pitch_are_obeyed_and_do_not_stay() -> None:
    normal = espeak.synthesize(SENTENCE)
    assert len(espeak.synthesize(SENTENCE, speed_wpm=250)[0]) < len(normal[0]) * 0.75
    assert pitch_hz(espeak.synthesize(SENTENCE, pitch=90)[0]) > 1.15 * pitch_hz(normal[0])
    assert len(espeak.synthesize(SENTENCE)[0]) == pytest.approx(len(normal[0]), rel=0.01)
    assert pitch_hz(espeak.synthesize(SENTENCE)[0]) == pytest.approx(pitch_hz(normal[0]), rel=0.02)


def pitch_hz(pcm: bytes) -> float:
    """The median pitch: the strongest echo of each loud 40 ms, from 60 to 400 Hz."""
    sound = samples(pcm)
    pieces = sound[: len(sound) // 882 * 882].reshape(-1, 882)
    loud = pieces[np.abs(pieces).max(axis=1) > 4000]
    echoes = [np.correlate(piece, piece, "full")[882 + 55 : 882 + 367] for piece in loud]
    return float(np.median([espeak.RATE_HZ / (56 + int(np.argmax(echo))) for echo in echoes]))


def test_the_same_calls_in_a_new_process_give_the_same_samples() -> None:
    code = (
        "import zlib\nfrom bot.services.espeak import synthesize as s\nprint(zlib.crc32(s('하나, 둘')[0] + s('셋')[0]))"
    )
    made = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout for _ in range(2)]
    assert made[0] == made[1]


def test_every_word_has_its_begin() -> None:
    pcm, rate_hz, words = espeak.synthesize_words(SENTENCE)
    assert [SENTENCE[at:].split(maxsplit=1)[0] for at, _ in words] == SENTENCE.split()
    begins = [ms for _, ms in words]
    assert begins == sorted(set(begins)), "words begin one after the other"
    assert begins[0] == 0
    assert begins[-1] < len(pcm) / 2 / rate_hz * 1000


def test_an_unknown_voice_is_an_error_and_the_next_call_works() -> None:
    with pytest.raises(VoiceError):
        espeak.synthesize("안녕", voice="no-such-voice")
    assert espeak.synthesize("안녕")[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\0\0",
        "😀👩‍👩‍👧🇰🇷",
        "\ud800",
        "[[ko]]",
        "<speak><break time='99s'/>",
        "." * 10_000,
        "\u0301" * 500,
        "﷽" * 50,
    ],
)
def test_odd_texts_do_no_harm(text: str) -> None:
    pcm, rate_hz, _ = espeak.synthesize_words(text)
    assert len(pcm) % 2 == 0, "whole samples"
    assert rate_hz == espeak.RATE_HZ


def test_ten_kilobytes_are_spoken_to_the_end() -> None:
    text = "오늘은 비가 왔어요. " * 380 + "끝"
    pcm, rate_hz, words = espeak.synthesize_words(text)
    assert len(words) == len(text.split())
    assert words[-1][0] == text.index("끝")
    assert len(pcm) / 2 / rate_hz > 380


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(), max_size=80))
def test_any_text_gives_whole_samples(text: str) -> None:
    pcm, _, words = espeak.synthesize_words(text)
    assert len(pcm) % 2 == 0
    assert all(0 <= at < len(text) for at, _ in words)


async def test_many_at_once_do_not_mix() -> None:
    texts = [f"{n}번 문장입니다." for n in range(1, 9)]
    alone = [espeak.synthesize_words(text) for text in texts]
    together = await asyncio.gather(*(espeak.speak(text) for text in texts))
    for (pcm, _, words), (expected, _, expected_words) in zip(together, alone, strict=True):
        assert len(pcm) == pytest.approx(len(expected), rel=0.01)
        assert [at for at, _ in words] == [at for at, _ in expected_words]


def test_it_works_below_a_path_longer_than_its_buffers(tmp_path: object) -> None:
    deep = "/".join([str(tmp_path), *["d" * 60] * 4])
    code = f"""
import os, espeakng_loader
os.makedirs({deep!r})
os.symlink(espeakng_loader.get_data_path(), {deep!r} + "/espeak-ng-data")
espeakng_loader.get_data_path = lambda: {deep!r} + "/espeak-ng-data"
from bot.services import espeak
assert len(espeak.synthesize("안녕하세요")[0]) > 10_000
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
