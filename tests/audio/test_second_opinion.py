import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bot.audio import second_opinion
from bot.audio.second_opinion import FRAMES, SecondOpinion, Silero
from bot.audio.vad import Vad
from bot.errors import OpinionError
from tests.audio.sounds import SILENCE_MS, frames, hear, recorded, silence, some_utterances


class Answers:
    """A model that says what it is told to, and keeps what it heard."""

    def __init__(self, *answers: float) -> None:
        self.answers = list(answers)
        self.sounds: list[Any] = []

    def likelihood(self, sound: second_opinion.Samples) -> float:
        self.sounds.append(sound)
        return self.answers[len(self.sounds) - 1]


@pytest.fixture
def fresh() -> Any:
    """Forgets the process's session, before and after."""
    second_opinion.shared.cache_clear()
    yield
    second_opinion.shared.cache_clear()


def opinion_on(line: bytes) -> float:
    opinion = second_opinion.for_call()
    assert opinion
    for frame in frames(line):
        opinion.hear(frame)
    return opinion.ask()


@pytest.mark.parametrize("name", some_utterances())
def test_the_model_knows_speech(name: str) -> None:
    sound = recorded("utterances", name)
    assert opinion_on(silence(480) + sound[: len(sound) // 3]) > 0.5


@pytest.mark.parametrize("kind", ["white", "pink", "hum", "cough", "keyboard", "music", "street", "tone"])
def test_the_model_knows_noise(kind: str) -> None:
    noise = recorded("noises", kind)
    assert all(opinion_on(noise[begin : begin + 4000]) < 0.2 for begin in range(0, 60_000, 8_000))


def test_the_model_gives_the_same_answer_to_every_call_and_forgets_the_others() -> None:
    speech, noise = recorded("utterances", some_utterances()[0])[:8000], recorded("noises", "pink")[:8000]
    assert opinion_on(speech) == opinion_on(speech)
    before = opinion_on(noise)
    opinion_on(speech)
    assert opinion_on(noise) == before


def test_one_session_serves_the_process() -> None:
    first, second = second_opinion.for_call(), second_opinion.for_call()
    assert first and second and first is not second
    assert first._model is second._model is second_opinion.shared()


def test_the_model_hears_the_last_480_ms_at_8_khz() -> None:
    model = Answers(0.7)
    opinion = SecondOpinion(model)
    for n in range(FRAMES + 10):
        opinion.hear(np.full(320, 16 * n, "<i2").tobytes())
    assert opinion.ask() == 0.7
    (sound,) = model.sounds
    assert (sound.dtype, len(sound)) == (np.float32, 3840)
    assert sound[0] == np.float32(160 / 32768)
    assert sound[-1] == np.float32(16 * (FRAMES + 9) / 32768)


def test_no_speech_is_believed_for_a_frame_more_and_anything_else_for_none() -> None:
    model = Answers(0.01, 0.02, 0.4, 0.3)
    opinion = SecondOpinion(model)
    told = []
    for _ in range(6):
        opinion.hear(bytes(640))
        told.append(opinion.ask())
    assert told == [0.01, 0.01, 0.02, 0.02, 0.4, 0.3]


def test_an_old_answer_is_not_believed() -> None:
    opinion = SecondOpinion(Answers(0.01, 0.02))
    opinion.hear(bytes(640))
    assert opinion.ask() == 0.01
    opinion.hear(bytes(640))
    opinion.hear(bytes(640))
    assert opinion.ask() == 0.02


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("absent", ["PACKAGE", "RUNTIME"])
def test_what_is_not_installed_gives_no_opinion_and_changes_nothing(
    absent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_opinion, absent, "no_such_package_at_all")
    with pytest.raises(OpinionError, match="not installed"):
        second_opinion.load()
    assert second_opinion.shared() is None
    line = silence(SILENCE_MS) + recorded("utterances", some_utterances()[1]) + silence(SILENCE_MS)
    assert hear(Vad(second_opinion.for_call()), frames(line)) == hear(Vad(), frames(line))


@pytest.mark.usefixtures("fresh")
def test_a_model_that_cannot_be_read_gives_no_opinion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(OpinionError, match=r"broken\.onnx"):
        Silero(broken)
    monkeypatch.setattr(second_opinion, "MODEL", Path("data", "no_such.onnx"))
    assert second_opinion.for_call() is None


@pytest.mark.usefixtures("fresh")
def test_a_runtime_that_cannot_be_imported_gives_no_opinion(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> ModuleType:
        raise ImportError(name)

    monkeypatch.setattr(second_opinion.importlib, "import_module", fails)
    assert second_opinion.for_call() is None


def test_the_runtime_is_imported_only_when_an_opinion_is_wanted_and_the_package_never() -> None:
    code = (
        "import sys; from bot.audio import second_opinion, vad; vad.Vad(); assert 'onnxruntime' not in sys.modules;"
        "assert second_opinion.for_call(); assert 'onnxruntime' in sys.modules;"
        "assert not {'torch', second_opinion.PACKAGE} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
