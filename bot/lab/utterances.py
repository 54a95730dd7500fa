"""The recorded callers' utterances: rendered by espeak-ng, through a telephone band, kept as µ-law with their words.

Must not know who listens to them. `render()` writes `fixtures/utterances/` and its index; `load()` reads both.
"""

import importlib.resources
import json
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.audio import mulaw
from bot.audio.frames import MULAW_FRAME_BYTES, MULAW_HZ
from bot.services import espeak

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
LEVEL_DBFS = -21.0
Samples = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Word:
    """A word and when it is over (the next one begins), in ms from the first byte of its utterance."""

    text: str
    end_ms: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing said: `voice` is espeak-ng's name of the voice, `text` what a recogniser would write."""

    name: str
    voice: str
    text: str
    words: tuple[Word, ...]

    def mulaw(self, fixtures: Path = FIXTURES) -> bytes:
        """Its sound: raw 8 kHz µ-law, whole 160 B frames."""
        return (fixtures / "utterances" / f"{self.name}.ulaw").read_bytes()

    @property
    def length_ms(self) -> int:
        """How long its words take, in ms."""
        return self.words[-1].end_ms


def load(fixtures: Path = FIXTURES) -> dict[str, Utterance]:
    """All utterances on disk, by name."""
    index = json.loads((fixtures / "utterances.json").read_text("utf-8"))
    found = (Utterance(u["name"], u["voice"], u["text"], tuple(Word(**w) for w in u["words"])) for u in index)
    return {u.name: u for u in found}


def render(fixtures: Path = FIXTURES) -> list[Utterance]:
    """Write every utterance of `utterances.toml` and the index `utterances.json`."""
    source = tomllib.loads(importlib.resources.files("bot.lab").joinpath("utterances.toml").read_text("utf-8"))
    folder = fixtures / "utterances"
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for caller, lines in [*source["lines"].items(), *source["pieces"].items()]:
        for what, line in lines.items():
            utterance, sound = _speak(f"{caller}-{what}", source["callers"][caller], line)
            (folder / f"{utterance.name}.ulaw").write_bytes(sound)
            made.append(utterance)
    for stale in {p.stem for p in folder.glob("*.ulaw")} - {u.name for u in made}:
        (folder / f"{stale}.ulaw").unlink()
    rows = ",\n".join(json.dumps(asdict(u), ensure_ascii=False) for u in made)
    (fixtures / "utterances.json").write_text(f"[\n{rows}\n]\n", "utf-8")
    return made


def _speak(name: str, caller: dict[str, Any], line: str | dict[str, str]) -> tuple[Utterance, bytes]:
    text, spoken = (line, line) if isinstance(line, str) else (line["text"], line["spoken"])
    pcm, rate_hz, begins = espeak.synthesize_words(
        spoken, voice="ko", variant=caller["variant"], speed_wpm=caller["speed_wpm"], pitch=caller["pitch"]
    )
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64) / 32768
    samples, cut_ms = trim(telephone_band(samples, rate_hz))
    samples = at_level(samples, LEVEL_DBFS)
    sound = mulaw.encode((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    length_ms = len(sound) * 1000 // MULAW_HZ
    ends_ms = [min(max(begin_ms - cut_ms, 0), length_ms) for _, begin_ms in begins[1:]] + [length_ms]
    words = tuple(Word(word, end_ms) for word, end_ms in zip(text.split(), ends_ms, strict=True))
    return Utterance(name, f"ko+{caller['variant']}", text, words), sound


def telephone_band(samples: Samples, rate_hz: int) -> Samples:
    """The sound at 8 kHz with what a telephone line lets through: 300 to 3400 Hz, with soft edges."""
    length = round(len(samples) * MULAW_HZ / rate_hz)
    spectrum = np.fft.rfft(samples)[: length // 2 + 1]
    hz = np.arange(len(spectrum)) * rate_hz / len(samples)
    gain = np.interp(hz, [200, 300, 3400, 3700], [0, 1, 1, 0])
    return np.fft.irfft(spectrum * gain, length) * (length / len(samples))


def trim(samples: Samples) -> tuple[Samples, int]:
    """The sound from at most 20 ms before its first voiced 10 ms to its last, in whole frames, and the ms cut off."""
    step = MULAW_FRAME_BYTES // 2
    blocks = samples[: len(samples) // step * step].reshape(-1, step)
    rms = np.sqrt((blocks**2).mean(axis=1))
    voiced = np.flatnonzero(rms > rms.max() * 10 ** (-35 / 20))
    first, last = int(voiced[0]), int(voiced[-1]) + 1
    first -= (last - first) % 2
    if first < 0:
        samples, first, last = np.concatenate([np.zeros(step), samples]), first + 1, last + 1
    return samples[first * step : last * step], first * 10


def at_level(samples: Samples, level_dbfs: float) -> Samples:
    """The sound with its loud half at this RMS, in dB below full scale."""
    step = MULAW_FRAME_BYTES
    rms = np.sqrt((samples.reshape(-1, step) ** 2).mean(axis=1))
    loud = np.sqrt((np.sort(rms)[len(rms) // 2 :] ** 2).mean())
    return samples * float(10 ** (level_dbfs / 20) / loud)
