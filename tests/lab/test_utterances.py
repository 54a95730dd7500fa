"""The recorded callers: enough of them, cut close, in the band of a telephone, with words in order."""

import audioop
from pathlib import Path

import numpy as np
import pytest

from bot.lab import utterances
from bot.lab.level import is_audible
from bot.lab.utterances import FIXTURES, Utterance

KNOWN = utterances.load()
COMMANDS = {"오늘은 여기까지 할게", "맞아요", "고칠게", "지워 줘", "네", "아니요", "여보세요"}


def test_there_are_enough_in_three_voices() -> None:
    assert len(KNOWN) >= 48
    by_voice = [sum(u.voice == voice for u in KNOWN.values()) for voice in {u.voice for u in KNOWN.values()}]
    assert len(by_voice) == 3
    assert min(by_voice) >= 15
    assert {u.text for u in KNOWN.values()} >= COMMANDS


def test_every_voice_has_beginnings_that_go_on_and_fillers_with_other_second_halves() -> None:
    for caller in ("jia", "minho", "sunja"):
        mine = {name.removeprefix(f"{caller}-") for name in KNOWN if name.startswith(f"{caller}-")}
        begun = {name.removesuffix("-then") for name in mine if name.endswith("-then")}
        assert begun <= mine
        assert len(begun) + len(mine & {"um", "uh", "geu", "mwonya", "jeogi"}) >= 12
        texts = {KNOWN[f"{caller}-{name}"].text for name in mine}
        assert texts >= {"네", "음", "아", "응", "그렇죠", "맞아요"}
        assert len([text for text in texts if text.startswith("아니 그게 아니고")]) == 1


def test_the_index_and_the_files_agree() -> None:
    assert {path.stem for path in (FIXTURES / "utterances").glob("*.ulaw")} == set(KNOWN)


@pytest.mark.parametrize("utterance", KNOWN.values(), ids=lambda u: u.name)
def test_an_utterance(utterance: Utterance) -> None:
    sound = utterance.mulaw()
    assert len(sound) % 160 == 0
    assert utterance.length_ms == len(sound) // 8
    assert is_audible(sound[:320])
    assert is_audible(sound[-320:])
    assert " ".join(word.text for word in utterance.words) == utterance.text
    ends_ms = [word.end_ms for word in utterance.words]
    assert ends_ms == sorted(set(ends_ms))
    assert ends_ms[0] > 0
    samples = np.frombuffer(audioop.ulaw2lin(sound, 2), "<i2").astype(float)
    power = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / 8000)
    assert power[(hz > 250) & (hz < 3500)].sum() > 0.97 * power.sum()


def test_rendering_makes_them_again(tmp_path: Path) -> None:
    made = {u.name: u for u in utterances.render(tmp_path)}
    assert set(made) == set(KNOWN)
    for name, utterance in made.items():
        assert utterance.text == KNOWN[name].text
        assert abs(utterance.length_ms - KNOWN[name].length_ms) <= 60
    assert utterances.load(tmp_path) == made
