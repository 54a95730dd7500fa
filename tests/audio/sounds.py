"""Sounds for the tests of this folder, and what a detector makes of them."""

from pathlib import Path

import numpy as np

from bot.audio import mulaw
from bot.audio.resample import Resampler
from bot.audio.vad import SpeechEvent, Vad

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
SILENCE_MS = 600


def frames(line: bytes) -> list[bytes]:
    resampler = Resampler(8000, 16000)
    return [resampler.push(mulaw.decode(line[n : n + 160])) for n in range(0, len(line) // 160 * 160, 160)]


def hear(detector: Vad, pcm: list[bytes], from_ms: int = 0) -> list[tuple[int, SpeechEvent]]:
    told = []
    for n, frame in enumerate(pcm, start=1):
        at_ms = from_ms + 20 * n
        told += [(at_ms, event) for event in detector.push(frame, at_ms)]
    return told


def silence(ms: int) -> bytes:
    return b"\xff" * (8 * ms)


def recorded(folder: str, name: str) -> bytes:
    return (FIXTURES / folder / f"{name}.ulaw").read_bytes()


def some_utterances() -> list[str]:
    return sorted(path.stem for path in (FIXTURES / "utterances").glob("*.ulaw"))[::9]


def loud(rng: np.random.Generator) -> bytes:
    return (rng.standard_normal(320) * 5000).clip(-32768, 32767).astype("<i2").tobytes()


def voice(n_frames: int, hz: float = 140.0) -> list[bytes]:
    """A buzz that swells and fades four times a second: speech enough for any detector."""
    at = np.arange(320 * n_frames) / 16000
    pulses = sum(np.cos(2 * np.pi * k * hz * at) / (1 + abs(k - 5)) for k in range(1, 24))
    sound = 5000 * pulses * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * at - 1.57)) / np.max(np.abs(pulses))
    whole = sound.astype("<i2").tobytes()
    return [whole[n : n + 640] for n in range(0, len(whole), 640)]


def mixed(line: bytes, noise: bytes, gain_db: float) -> bytes:
    """A line with as much of a noise, changed by `gain_db`, under it."""
    sounds = [np.frombuffer(mulaw.decode(sound), "<i2").astype(float) for sound in (line, noise)]
    whole = sounds[0] + np.resize(sounds[1], len(sounds[0])) * 10 ** (gain_db / 20)
    return mulaw.encode(whole.clip(-32768, 32767).astype("<i2").tobytes())
