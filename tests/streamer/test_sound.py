"""bot/streamer/sound.py: files of sound, made here by the same library and by hand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from bot.lab.wav import wav_file
from bot.streamer.sound import Sound, SoundError
from tests.services.listening import LONG, spoken

SPEECH = b"".join(spoken(name, 300, 900) for name in LONG)
KINDS = [
    ("day.wav", "PCM_16", 16000),
    ("day.wav", "PCM_24", 44100),
    ("day.wav", "FLOAT", 48000),
    ("day.wav", "ULAW", 8000),
    ("day.flac", "PCM_16", 96000),
    ("day.mp3", "MPEG_LAYER_III", 44100),
    ("day.mp3", "MPEG_LAYER_III", 16000),
    ("day.ogg", "VORBIS", 48000),
    ("day.ogg", "OPUS", 48000),
]


def floats(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, "<i2") / 32768


def written(path: Path, subtype: str, rate_hz: int, channels: int = 1) -> Path:
    wave = soxr.resample(floats(SPEECH), 16000, rate_hz)
    # The mean of the channels is the speech.
    shares = np.linspace(0, 2, channels) if channels > 1 else np.ones(1)
    soundfile.write(path, np.outer(wave, shares) if channels > 1 else wave, rate_hz, subtype=subtype)
    return path


def decoded(path: Path, from_ms: int = 0) -> bytes:
    with Sound(path) as sound:
        return b"".join(sound.pieces(from_ms))


def likeness(one: bytes, other: bytes) -> float:
    assert abs(len(one) - len(other)) <= 64
    count = min(len(one), len(other))
    return float(np.corrcoef(floats(one[:count]), floats(other[:count]))[0, 1])


@pytest.mark.parametrize(("name", "subtype", "rate_hz"), KINDS)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_becomes_the_speech_that_is_in_it(
    tmp_path: Path, name: str, subtype: str, rate_hz: int, channels: int
) -> None:
    path = written(tmp_path / name, subtype, rate_hz, channels)
    assert likeness(decoded(path), SPEECH) > 0.99
    with Sound(path) as sound:
        assert sound.duration_ms == pytest.approx(len(SPEECH) / 32, abs=2)
        assert sound.name == name


def test_a_wav_file_of_the_right_form_is_not_changed_by_a_bit(tmp_path: Path) -> None:
    path = tmp_path / "day.wav"
    path.write_bytes(wav_file(SPEECH, 16000))
    assert decoded(path) == SPEECH


@pytest.mark.parametrize(("name", "subtype", "rate_hz"), KINDS)
@pytest.mark.parametrize("from_ms", [30, 4321, 12_000])
def test_it_goes_on_from_any_moment_as_if_it_had_not_stopped(
    tmp_path: Path, name: str, subtype: str, rate_hz: int, from_ms: int
) -> None:
    path = written(tmp_path / name, subtype, rate_hz)
    whole, rest = decoded(path), decoded(path, from_ms)
    assert abs(len(whole) - len(rest) - from_ms * 32) <= 64
    count = min(len(rest), len(whole) - from_ms * 32)
    difference = floats(rest[:count]) - floats(whole[from_ms * 32 : from_ms * 32 + count])
    assert np.abs(difference).max() < 0.02


def test_what_begins_behind_the_end_is_nothing(tmp_path: Path) -> None:
    assert decoded(written(tmp_path / "day.flac", "PCM_16", 44100), 3_600_000) == b""


def test_a_file_may_be_read_again(tmp_path: Path) -> None:
    with Sound(written(tmp_path / "day.wav", "PCM_16", 44100)) as sound:
        first = sound.pieces()
        next(first)
        assert likeness(b"".join(sound.pieces()), SPEECH) > 0.99


def test_an_mp3_is_the_same_in_pieces_as_at_once(tmp_path: Path) -> None:
    path = written(tmp_path / "day.mp3", "MPEG_LAYER_III", 16000)
    at_once = soundfile.read(path, dtype="float64")[0]
    assert np.abs(floats(decoded(path)) - at_once).max() < 0.001


@pytest.mark.parametrize("tone_hz", [9000, 12000, 20000])
def test_what_is_too_high_to_be_kept_does_not_come_back_as_another_tone(tmp_path: Path, tone_hz: int) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * tone_hz * np.arange(96000) / 48000), 48000, subtype="PCM_24")
    left = floats(decoded(path))[1600:-1600]
    assert 20 * np.log10(np.sqrt(np.mean(left**2)) / (0.5 / np.sqrt(2)) + 1e-9) < -80


def test_what_is_too_loud_is_clipped_and_what_is_no_number_is_silence(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.array([2.0, -2.0, np.nan, 0.5]), 16000, subtype="FLOAT")
    assert np.frombuffer(decoded(path), "<i2").tolist() == [32767, -32768, 0, 16384]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("talk.m4a", b"\0\0\0\x20ftypM4A " + bytes(100), "ffmpeg -i talk.m4a talk.flac"),
        ("notes.wav", b"these are words", "no WAV, MP3, FLAC or OGG"),
        ("samples.raw", bytes(3200), "no WAV, MP3, FLAC or OGG"),
        ("empty.mp3", b"", "no WAV, MP3, FLAC or OGG"),
        ("silent.wav", wav_file(b"", 16000), "there is no sound in it"),
    ],
)
def test_what_cannot_be_read_is_told_clearly(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SoundError, match=said):
        Sound(tmp_path / name)


def test_a_file_that_is_not_there_is_told_as_the_system_tells_it(tmp_path: Path) -> None:
    with pytest.raises(SoundError, match="No such file"):
        Sound(tmp_path / "nothing.wav")
    with pytest.raises(SoundError, match="directory"):
        Sound(tmp_path)


def test_a_file_that_ends_too_early_gives_what_it_has(tmp_path: Path) -> None:
    path = written(tmp_path / "day.wav", "PCM_16", 16000)
    path.write_bytes(path.read_bytes()[: len(SPEECH) // 2])
    half = decoded(path)
    assert half == SPEECH[: len(half)] and len(half) > len(SPEECH) // 2 - 100


def test_a_long_file_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 48000, 2) as file:
        noise = np.random.default_rng(0).normal(0, 0.1, (48000, 2))
        for _ in range(200):
            file.write(noise)
    program = (
        "import resource, sys; from pathlib import Path; from bot.streamer.sound import Sound\n"
        "top = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "sound = Sound(Path(sys.argv[1])); pieces = sound.pieces(); next(pieces); early = top()\n"
        "count = sum(map(len, pieces)); print(count // 32000, top() - early)"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    seconds, grown_mib = map(int, done.stdout.split())
    assert seconds == 199 and grown_mib < 10


def test_serving_loads_none_of_it() -> None:
    program = "import sys, bot.server, bot.app, bot.__main__; print({'soundfile', 'soxr'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
