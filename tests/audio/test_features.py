import numpy as np
import pytest

from bot.audio import features
from tests.audio.sounds import voice


def test_features_know_their_sounds() -> None:
    at = np.arange(features.WINDOW) / 16000
    rng = np.random.default_rng(0)
    pure, hiss = 8000 * np.sin(2 * np.pi * 440 * at), rng.standard_normal(features.WINDOW) * 3000
    buzz = np.frombuffer(b"".join(voice(4)), "<i2").astype(float)[400 : 400 + features.WINDOW]
    assert features.tone(features.spectrum(pure)) > 0.99
    assert features.tone(features.spectrum(hiss)) < 0.5
    assert features.suddenness(pure) < 0.3
    assert features.suddenness(np.eye(1, features.WINDOW, 100)[0]) == 1
    assert features.suddenness(np.zeros(features.WINDOW)) == 0
    assert features.pitch(pure) > 0.9
    assert features.pitch(buzz) > 0.8
    assert features.pitch(hiss) < 0.5
    assert features.pitch(np.zeros(features.WINDOW)) == 0
    assert features.steadiness(features.spectrum(pure), features.spectrum(pure)) == pytest.approx(1)
    assert features.steadiness(features.spectrum(hiss), features.spectrum(pure)) < 0.9
    assert features.level(bytes(640)) == pytest.approx(-90.3, abs=0.1)
    assert features.level(b"\x00\x80" * 320) == pytest.approx(0, abs=0.1)
