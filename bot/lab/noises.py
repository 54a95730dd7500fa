"""Noises of a telephone line and held fillers, made from a seed.

Everything is float64 at 8 kHz, full scale 1.0, until it is written as µ-law. Must not know who listens.
"""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.audio import mulaw
from bot.audio.frames import MULAW_HZ
from bot.lab.utterances import FIXTURES, telephone_band
from bot.services import espeak

SECONDS = 10.0
LEVEL_DBFS = -30.0
FILLER_SECONDS = 1.5
FILLER_LEVEL_DBFS = -21.0

Samples = npt.NDArray[np.float64]
Generator = np.random.Generator

# The formants of the vowel that is held, in Hz, with their widths; 음 is a hum: low, and little above it.
FILLERS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "eum": ((250.0, 60.0, 1.0), (1100.0, 160.0, 0.06), (2200.0, 220.0, 0.03)),
    "eo": ((600.0, 80.0, 1.0), (1000.0, 100.0, 0.6), (2600.0, 180.0, 0.12)),
    "geu": ((350.0, 70.0, 1.0), (1400.0, 130.0, 0.25), (2400.0, 180.0, 0.1)),
}
FILLER_PITCHES_HZ = (95.0, 125.0, 170.0, 210.0, 255.0)

_PEOPLE = (
    ("지난주에 새로 산 자전거를 타고 강가를 따라 멀리까지 다녀왔는데 바람이 정말 시원했어요", "Annie", 175, 60),
    ("그래서 내가 몇 번이나 말했잖아 그 가게는 월요일마다 문을 닫는다니까 왜 그렇게 말을 안 들어", "Mario", 190, 35),
    ("저기요 여기 커피 두 잔이랑 샌드위치 하나 주시고요 영수증은 필요 없어요 감사합니다", "linda", 165, 70),
    ("회의가 세 시로 밀렸다는데 자료는 아직 반도 못 만들었고 팀장님은 벌써 두 번이나 물어보셨어", "max", 180, 45),
    ("어머니가 보내 주신 반찬이 너무 많아서 이웃집에도 조금씩 나누어 드렸더니 참 좋아하시더라고요", "f3", 160, 80),
    ("내일 아침에 비가 온다니까 우산 챙기는 거 잊지 말고 빨래는 오늘 저녁에 미리 걷어 두자", "m5", 200, 25),
)


def at_level(sound: Samples, level_dbfs: float) -> Samples:
    """Return the sound with this RMS over all of it, in dB of full scale."""
    rms = float(np.sqrt(np.mean(sound**2)))
    return sound * (10 ** (level_dbfs / 20) / max(rms, 1e-9))


def white(rng: Generator, n: int) -> Samples:
    """Noise with the same power at every frequency."""
    return rng.standard_normal(n)


def pink(rng: Generator, n: int) -> Samples:
    """Noise with 3 dB less an octave."""
    return shaped(rng, n, lambda hz: 1 / np.sqrt(np.maximum(hz, 30.0)))


def street(rng: Generator, n: int) -> Samples:
    """Traffic: a low rumble, cars that swell and pass, and a horn now and then."""
    rumble = shaped(rng, n, lambda hz: 1 / np.maximum(hz, 80.0))
    rumble /= np.std(rumble)
    at = np.arange(n) / MULAW_HZ
    passing = np.zeros(n)
    for when in rng.uniform(0, n / MULAW_HZ, 4):
        swell = np.exp(-(((at - when) / rng.uniform(0.6, 1.2)) ** 2))
        tyres = shaped(rng, n, lambda hz: hz / (hz**2 + 900.0**2))
        passing += swell * tyres / np.std(tyres)
    horn = np.zeros(n)
    for when in rng.uniform(1, n / MULAW_HZ - 1, 2):
        on = (at >= when) & (at < when + rng.uniform(0.2, 0.5))
        hz = rng.uniform(380, 460)
        horn += on * sum(np.sin(2 * np.pi * k * hz * at) / k for k in range(1, 7))
    return rumble + 0.7 * passing + 0.5 * horn


def keyboard(rng: Generator, n: int) -> Samples:
    """Typing: in each stroke a click of the key going down, and a softer one of it coming up."""
    sound = np.zeros(n)
    at = rng.uniform(0.05, 0.2)
    while at < n / MULAW_HZ - 0.3:
        for delay, strength in ((0.0, 1.0), (rng.uniform(0.06, 0.1), 0.4)):
            place(sound, at + delay, strength * rng.uniform(0.5, 1.0) * click(rng))
        at += rng.uniform(0.09, 0.28) if rng.random() < 0.9 else rng.uniform(0.5, 1.2)
    return sound + 0.003 * rng.standard_normal(n)


def click(rng: Generator) -> Samples:
    """A short knock: a broad burst and a hollow resonance, gone after 25 ms."""
    at = np.arange(int(0.025 * MULAW_HZ)) / MULAW_HZ
    burst = rng.standard_normal(len(at)) * np.exp(-at / 0.002)
    hollow = np.sin(2 * np.pi * rng.uniform(700, 2600) * at) * np.exp(-at / 0.006)
    return burst + 0.6 * hollow


def cough(rng: Generator, n: int) -> Samples:
    """Coughs by one, two or three: a burst of breath, a noisy decay, hardly a voice in it."""
    sound = np.zeros(n)
    at = rng.uniform(0.4, 0.8)
    while at < n / MULAW_HZ - 1.5:
        for _ in range(int(rng.integers(1, 4))):
            place(sound, at, rng.uniform(0.6, 1.0) * one_cough(rng))
            at += rng.uniform(0.35, 0.5)
        at += rng.uniform(1.0, 2.0)
    return sound + 0.002 * rng.standard_normal(n)


def one_cough(rng: Generator) -> Samples:
    """One cough of about 300 ms."""
    length = int(rng.uniform(0.25, 0.35) * MULAW_HZ)
    at = np.arange(length) / MULAW_HZ
    breath = shaped(rng, length, lambda hz: 1 / (1 + ((hz - 900) / 700) ** 2) + 0.4 / (1 + ((hz - 2300) / 500) ** 2))
    breath /= np.std(breath)
    envelope = np.minimum(at / 0.01, 1) * (np.exp(-at / 0.05) + 0.25 * np.exp(-(((at - 0.2) / 0.05) ** 2)))
    return breath * envelope


def music(rng: Generator, n: int) -> Samples:
    """A slow tune of plucked notes over chords."""
    sound = np.zeros(n)
    at, step = 0.0, 0.32
    scale = 220.0 * 2 ** (np.array([0, 2, 4, 7, 9, 12, 14, 16]) / 12)
    degree = 3
    while at < n / MULAW_HZ - 0.1:
        degree = int(np.clip(degree + rng.integers(-2, 3), 0, len(scale) - 1))
        place(sound, at, note(scale[degree], 0.9, 0.35))
        if round(at / step) % 4 == 0:
            for hz in (110.0, 138.6, 164.8) if rng.random() < 0.5 else (123.5, 146.8, 185.0):
                place(sound, at, 0.5 * note(hz, 1.6, 0.8))
        at += step
    return sound


def note(hz: float, seconds: float, decay_s: float) -> Samples:
    """A plucked string: harmonics, the higher ones gone sooner."""
    at = np.arange(int(seconds * MULAW_HZ)) / MULAW_HZ
    partials = range(1, max(int(3600 / hz), 1) + 1)
    strings = [np.sin(2 * np.pi * k * hz * at) * np.exp(-at * k**0.5 / decay_s) / k for k in partials]
    return np.minimum(at / 0.005, 1) * np.sum(strings, axis=0)


def hum(rng: Generator, n: int) -> Samples:
    """Mains: 60 Hz and its multiples, with a little hiss."""
    at = np.arange(n) / MULAW_HZ
    partials = [np.sin(2 * np.pi * 60 * k * at + rng.uniform(0, 6.28)) * rng.uniform(0.3, 1) / k for k in range(2, 13)]
    return np.sum(partials, axis=0) + 0.02 * rng.standard_normal(n)


def tone(rng: Generator, n: int) -> Samples:
    """A dial tone, then a ringing one with its cadence."""
    at = np.arange(n) / MULAW_HZ
    half = n // 2
    ringing = (at[half:] - at[half]) % 3.0 < 1.0
    first = np.sin(2 * np.pi * 350 * at[:half]) + np.sin(2 * np.pi * 440 * at[:half])
    second = (np.sin(2 * np.pi * 440 * at[half:]) + np.sin(2 * np.pi * 480 * at[half:])) * ringing
    return np.concatenate([first, second]) + 0.003 * rng.standard_normal(n)


def babble(rng: Generator, n: int) -> Samples:
    """Six people talking at once, each round and round."""
    sound = np.zeros(n)
    for text, variant, speed_wpm, pitch in _PEOPLE:
        pcm, rate_hz = espeak.synthesize(text, voice="ko", variant=variant, speed_wpm=speed_wpm, pitch=pitch)
        voice = telephone_band(np.frombuffer(pcm, "<i2").astype(np.float64), rate_hz)
        voice = np.tile(at_level(voice, LEVEL_DBFS), n // len(voice) + 2)
        begin = int(rng.integers(0, len(voice) - n))
        sound += voice[begin : begin + n]
    return sound


KINDS: dict[str, Callable[[Generator, int], Samples]] = {
    "white": white,
    "pink": pink,
    "babble": babble,
    "street": street,
    "keyboard": keyboard,
    "cough": cough,
    "music": music,
    "hum": hum,
    "tone": tone,
}


def shaped(rng: Generator, n: int, gain: Callable[[Samples], Samples]) -> Samples:
    """Noise whose amplitude at each frequency is `gain(hz)`, above 60 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / MULAW_HZ)
    return np.fft.irfft(spectrum * gain(np.maximum(hz, 1.0)) * (hz > 60), n)


def place(sound: Samples, at_s: float, what: Samples) -> None:
    """Add `what` to `sound` from `at_s` on, as far as there is room."""
    begin = int(at_s * MULAW_HZ)
    room = sound[begin : begin + len(what)]
    room += what[: len(room)]


def noise(kind: str, seconds: float = SECONDS, seed: int = 0, level_dbfs: float = LEVEL_DBFS) -> Samples:
    """Return a noise of `KINDS` through a telephone band, at this RMS; another seed is another stretch of it."""
    rng = np.random.default_rng([zlib.crc32(kind.encode()), seed])
    made = KINDS[kind](rng, round(seconds * MULAW_HZ))
    return at_level(telephone_band(made, MULAW_HZ), level_dbfs)


def filler(vowel: str, pitch_hz: float, seed: int = 0, seconds: float = FILLER_SECONDS) -> Samples:
    """Return a held 음, 어 or 그: a glottal source with jitter, shimmer, drift and breath, through formants."""
    rng = np.random.default_rng([zlib.crc32(vowel.encode()), round(pitch_hz), seed])
    n = round(seconds * MULAW_HZ)
    at = np.arange(n) / MULAW_HZ
    drift = 1 - 0.06 * at / seconds + 0.01 * np.sin(2 * np.pi * 4.5 * at + rng.uniform(0, 6.28))
    jitter = np.cumsum(rng.standard_normal(n)) * 2e-4
    phase = 2 * np.pi * np.cumsum(pitch_hz * (drift + jitter - jitter.mean())) / MULAW_HZ
    sound = np.zeros(n)
    for k in range(1, int(3600 / pitch_hz) + 1):
        hz = k * pitch_hz
        gain = sum(a / (1 + ((hz - f) / w) ** 2) for f, w, a in FILLERS[vowel])
        sound += (gain + 0.003) / k**0.5 * np.sin(k * phase + rng.uniform(0, 6.28))
    knots = np.arange(0, seconds + 0.06, 0.03)
    shimmer = np.interp(at, knots, rng.uniform(0.8, 1.2, len(knots)))
    sound *= shimmer * np.clip(np.minimum(at / 0.04, (seconds - at) / 0.08), 0, 1)
    sound += 0.02 * np.std(sound) * rng.standard_normal(n)
    return at_level(telephone_band(sound, MULAW_HZ), FILLER_LEVEL_DBFS)


def fillers(seconds: float = FILLER_SECONDS) -> Iterator[tuple[str, Samples]]:
    """Yield every held filler by name: each vowel at each pitch."""
    for vowel in FILLERS:
        for pitch_hz in FILLER_PITCHES_HZ:
            yield f"{vowel}-{pitch_hz:.0f}", filler(vowel, pitch_hz, seconds=seconds)


def to_mulaw(sound: Samples) -> bytes:
    """Return the sound as µ-law, clipped at full scale."""
    return mulaw.encode((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())


def write(folder: Path) -> list[Path]:
    """Write every noise as `<kind>.ulaw` and every filler as `filler-<name>.ulaw` into `folder`; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    sounds = [(kind, noise(kind)) for kind in KINDS] + [(f"filler-{name}", sound) for name, sound in fillers()]
    written = []
    for name, sound in sounds:
        path = folder / f"{name}.ulaw"
        path.write_bytes(to_mulaw(sound))
        written.append(path)
    return written


if __name__ == "__main__":
    for path in write(FIXTURES / "noises"):
        print(path.name)
