"""How good the way to 16 kHz and back to the telephone is: `python -m bot bench audio`.

Korean speech of three voices goes through our resampler and through an ideal one (the whole sound's spectrum cut or
padded), both with the same µ-law. Printed, and checked against their targets: what our filter costs in PESQ, in delay
and in time. Needs `pesq` and `scipy`, which the bot itself does not. Must not know how the resampler works.
"""

import argparse
import importlib.util
import timeit
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt
import webrtcvad

from bot.audio import mulaw
from bot.audio.forms import TELEPHONE
from bot.audio.frames import MULAW_FRAME_BYTES, MULAW_HZ, PCM_HZ
from bot.audio.resample import Encoder, Resampler
from bot.lab import utterances
from bot.services import espeak

Samples = npt.NDArray[np.float64]

UTTERANCES = 24
LEVEL_DBFS = -21.0
VOICE_HZ = 24000
CHUNK_BYTES = 4801  # what a speech service sends, at odd places on purpose
FINER = 16  # steps of a sample to which a delay is measured
ROUNDS, ROUND = 200, 300  # many short ones: the quickest of each is what an idle machine would take
PESQ_LOSS = 0.05
DELAY_IN_MS = 3.0
DELAY_OUT_MS = 10.0
COST_RATIO = 6.0


@dataclass(frozen=True, slots=True)
class Way:
    """One way through the resampler, over all utterances: mean PESQ of the ideal one and of ours, and our delay."""

    name: str
    ideal_pesq: float
    our_pesq: float
    delay_ms: float


def to_pcm(sound: Samples) -> bytes:
    """Return samples of full scale 1.0 as int16."""
    return np.rint(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()


def to_samples(pcm: bytes) -> Samples:
    """Return int16 as samples of full scale 1.0."""
    return np.frombuffer(pcm, "<i2").astype(np.float64) / 32767


def ideal(sound: Samples, from_hz: int, to_hz: int) -> Samples:
    """Return the whole sound at another rate, by its spectrum."""
    from scipy.signal import resample  # noqa: PLC0415 — not among the bot's own packages

    padding = np.zeros(from_hz // 2)
    padded = np.concatenate([padding, sound, padding])
    whole = resample(padded, round(len(padded) * to_hz / from_hz))
    return np.asarray(whole, np.float64)[to_hz // 2 : to_hz // 2 + round(len(sound) * to_hz / from_hz)]


def speech() -> list[tuple[Samples, int]]:
    """Return utterances of all three voices, with a wide band, and their rate in Hz."""
    spoken = list(utterances.load().values())
    made = []
    for utterance in spoken[:: max(len(spoken) // UTTERANCES, 1)][:UTTERANCES]:
        voice, _, variant = utterance.voice.partition("+")
        pcm, rate_hz = espeak.synthesize(utterance.text, voice=voice, variant=variant or None)
        sound = np.concatenate([np.zeros(rate_hz // 4), to_samples(pcm), np.zeros(rate_hz // 4)])
        made.append((sound * 10 ** (LEVEL_DBFS / 20) / np.sqrt(np.mean(to_samples(pcm) ** 2)), rate_hz))
    return made


def delay_ms(late: Samples, reference: Samples, hz: int) -> float:
    """Return by how much one sound lags another, from the peak of their correlation."""
    n = 2 * max(len(late), len(reference))
    cross = np.fft.rfft(late, n) * np.conj(np.fft.rfft(reference, n))
    correlation = np.fft.irfft(cross, n * FINER)
    peak = int(np.argmax(correlation))
    return (peak if peak < n * FINER // 2 else peak - n * FINER) / FINER / hz * 1000


def score(hz: int, reference: Samples, degraded: Samples) -> float:
    """Return the PESQ: wide band at 16 kHz, narrow band at 8 kHz."""
    from pesq import pesq  # noqa: PLC0415 — built with a C compiler, where the bench runs

    as_int16 = [np.frombuffer(to_pcm(each), "<i2") for each in (reference, degraded)]
    return float(pesq(hz, *as_int16, "wb" if hz == PCM_HZ else "nb"))


def way_in(sounds: Sequence[tuple[Samples, int]], wide: bool) -> Way:
    """Judge 8 kHz µ-law to 16 kHz, against the wide-band voice, or against what of it fits in 8 kHz."""
    ideals, ours, delays = [], [], []
    for sound, rate_hz in sounds:
        narrow = ideal(sound, rate_hz, MULAW_HZ)
        line = mulaw.encode(to_pcm(narrow))
        resampler = Resampler(MULAW_HZ, PCM_HZ)
        frames = [line[at : at + MULAW_FRAME_BYTES] for at in range(0, len(line), MULAW_FRAME_BYTES)]
        pcm = b"".join(resampler.push(mulaw.decode(frame)) for frame in frames) + resampler.flush()
        best = ideal(to_samples(mulaw.decode(line)), MULAW_HZ, PCM_HZ)
        reference = ideal(sound, rate_hz, PCM_HZ) if wide else ideal(narrow, MULAW_HZ, PCM_HZ)
        ideals.append(score(PCM_HZ, reference, best))
        ours.append(score(PCM_HZ, reference, to_samples(pcm)))
        delays.append(delay_ms(to_samples(pcm), best, PCM_HZ))
    name = f"in  8 kHz to 16 kHz, wide band, against the {'voice' if wide else 'voice below 4 kHz'}"
    return Way(name, fmean(ideals), fmean(ours), max(delays))


def way_out(sounds: Sequence[tuple[Samples, int]], from_hz: int) -> Way:
    """Judge a speech service's rate to 8 kHz µ-law."""
    ideals, ours, delays = [], [], []
    for sound, rate_hz in sounds:
        source = ideal(sound, rate_hz, from_hz) if rate_hz != from_hz else sound
        pcm = to_pcm(source)
        encoder = Encoder(from_hz, TELEPHONE)
        chunks = [pcm[at : at + CHUNK_BYTES] for at in range(0, len(pcm), CHUNK_BYTES)]
        line = b"".join(encoder.push(chunk) for chunk in chunks) + encoder.flush()
        reference = ideal(source, from_hz, MULAW_HZ)
        best = to_samples(mulaw.decode(mulaw.encode(to_pcm(reference))))
        heard = to_samples(mulaw.decode(line))
        ideals.append(score(MULAW_HZ, reference, best))
        ours.append(score(MULAW_HZ, reference, heard))
        delays.append(delay_ms(heard, best, MULAW_HZ))
    return Way(f"out {from_hz} Hz to 8 kHz, narrow band", fmean(ideals), fmean(ours), max(delays))


def cost_ratio() -> tuple[float, float]:
    """Return µs of a 20 ms frame in (decode and resample) and µs of one webrtcvad decision, from the same run."""
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, MULAW_FRAME_BYTES, np.uint8).tobytes()
    resampler, detector = Resampler(MULAW_HZ, PCM_HZ), webrtcvad.Vad(3)
    pcm = resampler.push(mulaw.decode(frame))
    ours = timeit.Timer(lambda: resampler.push(mulaw.decode(frame)))
    theirs = timeit.Timer(lambda: detector.is_speech(pcm, PCM_HZ))
    rounds = [(ours.timeit(ROUND), theirs.timeit(ROUND)) for _ in range(ROUNDS)]
    return min(a for a, _ in rounds) / ROUND * 1e6, min(b for _, b in rounds) / ROUND * 1e6


def main(argv: Sequence[str] = ()) -> int:
    """Run the bench; 1 when a target is missed, 2 when what it needs is not installed."""
    argparse.ArgumentParser(prog="python -m bot bench audio", description=__doc__).parse_args(argv)
    absent = [name for name in ("pesq", "scipy") if importlib.util.find_spec(name) is None]
    if absent:
        print(f"this bench needs {' and '.join(absent)}: pip install {' '.join(absent)}")
        return 2
    sounds = speech()
    own_hz = sounds[0][1]
    ways_in = [way_in(sounds, wide) for wide in (True, False)]
    ways_out = [way_out(sounds, hz) for hz in (VOICE_HZ, own_hz)]
    ours_us, theirs_us = cost_ratio()
    print(f"{len(sounds)} utterances; PESQ of the ideal resampler and of ours, both after the same µ-law")
    missed = 0
    for ways, limit_ms in ((ways_in, DELAY_IN_MS), (ways_out, DELAY_OUT_MS)):
        for way in ways:
            loss = way.ideal_pesq - way.our_pesq
            bad = loss > PESQ_LOSS or way.delay_ms > limit_ms
            missed += bad
            print(
                f"{'MISSED' if bad else 'ok    '} {way.name}: {way.ideal_pesq:.3f} and {way.our_pesq:.3f}, "
                f"loss {loss:+.3f} (at most {PESQ_LOSS}); {way.delay_ms:.2f} ms late (at most {limit_ms:g})"
            )
    ratio = ours_us / theirs_us
    missed += ratio > COST_RATIO
    print(
        f"{'MISSED' if ratio > COST_RATIO else 'ok    '} cost of a frame in: {ours_us:.1f} µs, "
        f"{ratio:.1f} × webrtcvad's {theirs_us:.1f} µs (at most {COST_RATIO:g} ×)"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
