"""How good the voice activity detector is: `python -m bot bench vad`.

Calls are put together from the recorded callers' utterances, with every noise at several levels, through µ-law and the
resampler as in a real call. The truth comes from the clean sound alone: its energy in steps of 5 ms, a pause of 300 ms
or more being a real one. Exits with 1 when a target is missed. Must not know how the detector works.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bot.audio import mulaw
from bot.audio.frames import FRAME_MS, MULAW_FRAME_BYTES, MULAW_HZ, PCM_HZ
from bot.audio.resample import Resampler
from bot.audio.vad import Vad
from bot.conversation.events import SpeechStarted, SpeechStopped
from bot.lab import noises, utterances

Samples = npt.NDArray[np.float64]

STEP_MS = 5
REAL_PAUSE_MS = 300
ISLAND_MS = 30  # a click shorter than this is no speech
SPEECH_UNDER_LOUD_DB = 30.0
EARLY_MS = 60  # a start this much before the speech, or after it, still belongs to it
LEAD_S = (1.6, 2.4)
TAIL_S = 3.0
LONG_GAP_MS = 600
SNRS_DB = (20, 10, 5)
LEVELS_DBFS = (-27.0, -21.0, -15.0)  # by voice
ALONE_S = 60.0
ALONE_DBFS = (-30.0, -42.0)
FILLER_SECONDS = (1.5, 2.5)
LIMITED_ALONE = ("white", "pink", "hum", "keyboard", "cough")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of speech, in ms."""

    on_ms: float
    off_ms: float


@dataclass(frozen=True, slots=True)
class Call:
    """A caller's side of a call, clean, with what is true of it."""

    sound: Samples
    speech: tuple[Stretch, ...]
    level_dbfs: float


@dataclass(slots=True)
class Tally:
    """What was counted over the calls of one case."""

    onsets_ms: list[float] = field(default_factory=list)
    offsets_ms: list[float] = field(default_factory=list)
    stretches: int = 0
    splits: int = 0
    missed: int = 0
    false_starts: int = 0
    length_ms: float = 0.0
    talking_ms: float = 0.0
    frames: int = 0
    cost_s: float = 0.0

    def per_minute(self) -> float:
        """False starts a minute of call."""
        return self.false_starts / max(self.length_ms / 60_000, 1e-9)

    def split_share(self) -> float:
        """Stops inside a stretch, in percent of the stretches."""
        return 100 * self.splits / max(self.stretches, 1)

    def missed_share(self) -> float:
        """Stretches without any detection, in percent."""
        return 100 * self.missed / max(self.stretches, 1)

    def add(self, other: "Tally") -> None:
        """Take another tally into this one."""
        self.onsets_ms += other.onsets_ms
        self.offsets_ms += other.offsets_ms
        for name in ("stretches", "splits", "missed", "false_starts", "length_ms", "talking_ms", "frames", "cost_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def truth(sound: Samples) -> list[Stretch]:
    """Return where there is speech in a clean sound, by its energy: pauses of 300 ms and more part two stretches."""
    step = MULAW_HZ * STEP_MS // 1000
    blocks = sound[: len(sound) // step * step].reshape(-1, step)
    power = np.mean(blocks**2, axis=1)
    loud = np.mean(np.sort(power)[len(power) // 2 :])
    speech = power > loud * 10 ** (-SPEECH_UNDER_LOUD_DB / 10)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], speech.astype(int), [0]])))
    runs = [Stretch(a * STEP_MS, b * STEP_MS) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    runs = [run for run in runs if run.off_ms - run.on_ms >= ISLAND_MS]
    joined: list[Stretch] = []
    for run in runs:
        if joined and run.on_ms - joined[-1].off_ms < REAL_PAUSE_MS:
            joined[-1] = Stretch(joined[-1].on_ms, run.off_ms)
        else:
            joined.append(run)
    return joined


def call(sound: Samples, level_dbfs: float, rng: np.random.Generator) -> Call:
    """Return a call in which one thing is said, at any phase of the 20 ms frame."""
    lead = int(rng.uniform(*LEAD_S) * MULAW_HZ)
    speech = truth(sound)
    spoken = np.concatenate([sound[int(s.on_ms * 8) : int(s.off_ms * 8)] for s in speech])
    gain = 10 ** (level_dbfs / 20) / np.sqrt(np.mean(spoken**2))
    whole = np.concatenate([np.zeros(lead), sound * gain, np.zeros(int(TAIL_S * MULAW_HZ))])
    lead_ms = lead * 1000 / MULAW_HZ
    return Call(whole, tuple(Stretch(lead_ms + s.on_ms, lead_ms + s.off_ms) for s in speech), level_dbfs)


def heard(sound: Samples) -> tuple[list[tuple[int, object]], int, float]:
    """Return (when it was told, event) of a sound through µ-law, resampler and detector; frames; seconds in the VAD."""
    line = noises.to_mulaw(sound)
    resampler, vad = Resampler(MULAW_HZ, PCM_HZ), Vad()
    frames = len(line) // MULAW_FRAME_BYTES
    pcm = [resampler.push(mulaw.decode(line[n * 160 : n * 160 + 160])) for n in range(frames)]
    events: list[tuple[int, object]] = []
    begin = time.perf_counter()
    for n, frame in enumerate(pcm, start=1):
        for event in vad.push(frame, n * FRAME_MS):
            events.append((n * FRAME_MS, event))
    return events, frames, time.perf_counter() - begin


def judge(sound: Samples, speech: Sequence[Stretch]) -> Tally:
    """Return the tally of one sound against the truth."""
    events, frames, cost_s = heard(sound)
    starts = [at for at, event in events if isinstance(event, SpeechStarted)]
    stops = [at for at, event in events if isinstance(event, SpeechStopped)]
    end_ms = frames * FRAME_MS
    talks = list(zip(starts, [*stops, end_ms][: len(starts)], strict=True))
    tally = Tally(stretches=len(speech), length_ms=end_ms, frames=frames, cost_s=cost_s)
    tally.talking_ms = sum(b - a for a, b in talks)
    for index, s in enumerate(speech):
        own = [at for at in starts if s.on_ms - EARLY_MS <= at <= s.off_ms]
        talking = any(a < s.off_ms and b > s.on_ms for a, b in talks)
        if own and not any(a < s.on_ms - EARLY_MS and b > s.on_ms for a, b in talks):
            tally.onsets_ms.append(own[0] - s.on_ms)
        tally.missed += not talking
        tally.splits += sum(s.on_ms < at < s.off_ms for at in stops)
        following = speech[index + 1].on_ms if index + 1 < len(speech) else end_ms
        if talking and following - s.off_ms >= LONG_GAP_MS and any(a < s.off_ms < b for a, b in talks):
            tally.offsets_ms.append(next((at for at in stops if at >= s.off_ms), end_ms) - s.off_ms)
    tally.false_starts = sum(not any(s.on_ms - EARLY_MS <= at <= s.off_ms + EARLY_MS for s in speech) for at in starts)
    return tally


def clean_calls() -> list[Call]:
    """Return a clean call for each utterance on disk; each voice has its own level."""
    spoken = list(utterances.load().values())
    voices = sorted({utterance.voice for utterance in spoken})
    rng = np.random.default_rng(5)
    made = []
    for utterance in spoken:
        sound = np.frombuffer(mulaw.decode(utterance.mulaw()), "<i2") / 32768
        made.append(call(sound, LEVELS_DBFS[voices.index(utterance.voice) % len(LEVELS_DBFS)], rng))
    return made


def with_noise(one: Call, noise: Samples, snr_db: float, rng: np.random.Generator) -> Samples:
    """Return a call with a noise this much under its speech, from anywhere in the noise."""
    begin = int(rng.integers(0, len(noise)))
    laid = np.resize(np.roll(noise, -begin), len(one.sound))
    return one.sound + noises.at_level(laid, one.level_dbfs - snr_db)


def filler_tracks() -> Iterator[tuple[str, Samples, float, float]]:
    """Yield each held filler alone, and after a word: name, sound, begin and end of the filler in ms."""
    word = np.frombuffer(mulaw.decode(next(iter(utterances.load().values())).mulaw()), "<i2")[: MULAW_HZ // 2] / 32768
    silence = np.zeros(MULAW_HZ)
    for seconds in FILLER_SECONDS:
        for name, sound in noises.fillers(seconds):
            length_ms = 1000 * seconds
            yield f"{name} {seconds} s", np.concatenate([silence, sound, silence]), 1000, 1000 + length_ms
            both = np.concatenate([silence, word, silence[: MULAW_HZ // 5], sound, silence])
            yield f"word, {name} {seconds} s", both, 1700, 1700 + length_ms


def row(name: str, tally: Tally) -> str:
    """Return one line of the table."""
    onset = " /".join(f"{np.percentile(tally.onsets_ms, p):4.0f}" if tally.onsets_ms else "   –" for p in (50, 95))
    offset = " /".join(f"{np.percentile(tally.offsets_ms, p):5.0f}" if tally.offsets_ms else "    –" for p in (50, 95))
    talking = 100 * tally.talking_ms / max(tally.length_ms, 1)
    cost_us = tally.cost_s / max(tally.frames, 1) * 1e6
    return (
        f"{name:18s} {onset}  {offset}  {tally.split_share():5.1f} % {tally.missed_share():5.1f} % "
        f"{tally.per_minute():9.2f}  {talking:4.0f} %  {cost_us:6.1f}  {tally.stretches:5d}"
    )


class Targets:
    """Prints what was reached and remembers what was not."""

    def __init__(self) -> None:
        self.failed = 0

    def at_most(self, what: str, value: float, limit: float) -> None:
        """Check one figure."""
        reached = value <= limit
        self.failed += not reached
        print(f"{'ok    ' if reached else 'MISSED'} {what}: {value:.1f} (at most {limit:g})")


def calls(long_noises: dict[str, Samples]) -> dict[str, Tally]:
    """Return the tallies of the calls: clean, and at each level of noise, over all kinds of it."""
    clean = clean_calls()
    rng = np.random.default_rng(11)
    totals = {"clean": Tally()}
    for one in clean:
        totals["clean"].add(judge(one.sound, one.speech))
    print(row("clean", totals["clean"]))
    for snr_db in SNRS_DB:
        total = totals[f"{snr_db} dB"] = Tally()
        for kind, noise in long_noises.items():
            case = Tally()
            for one in clean:
                case.add(judge(with_noise(one, noise, snr_db, rng), one.speech))
            print(row(f"{kind} {snr_db} dB", case))
            total.add(case)
        print(row(f"all at {snr_db} dB", total))
    return totals


def alone(long_noises: dict[str, Samples]) -> dict[str, Tally]:
    """Return the tallies of the noises with nobody speaking, by kind and level."""
    found: dict[str, Tally] = {}
    for level_dbfs in ALONE_DBFS:
        for kind, noise in long_noises.items():
            name = f"{kind} {level_dbfs:.0f} dBFS"
            found[name] = judge(noises.at_level(noise, level_dbfs), ())
            print(row(name, found[name]))
    return found


def held_fillers() -> tuple[int, int, int]:
    """Return how many fillers there were, were cut, and were not heard."""
    count = cut = unheard = 0
    for name, sound, begin_ms, end_ms in filler_tracks():
        events, _, _ = heard(sound)
        stops = [at for at, event in events if isinstance(event, SpeechStopped) and begin_ms < at < end_ms]
        starts = [at for at, event in events if isinstance(event, SpeechStarted) and at < end_ms]
        count += 1
        cut += bool(stops)
        unheard += not starts
        if stops or not starts:
            print(f"  filler {name}: begins {begin_ms:.0f}, ends {end_ms:.0f}, starts {starts}, stops {stops}")
    return count, cut, unheard


def main(argv: Sequence[str] = ()) -> int:
    """Run the bench; 1 when a target is missed."""
    del argv
    long_noises = {kind: noises.noise(kind, ALONE_S, seed=1) for kind in noises.KINDS}
    print("case                onset p50/p95 offset p50/p95 splits  missed  false/min talking µs/frame stretches")
    totals = calls(long_noises)
    lonely = alone(long_noises)
    count, cut, unheard = held_fillers()
    print(f"held fillers: {count}, cut {cut}, not heard {unheard}\n")
    targets = Targets()
    clean = totals["clean"]
    for what, limits, name in (("clean", (70, 180), "clean"), ("5 dB", (80, 220), "5 dB")):
        for p, limit in zip((50, 95), limits, strict=True):
            targets.at_most(f"onset {what} p{p}, ms", float(np.percentile(totals[name].onsets_ms, p)), limit)
    for p, limit in ((50, 275), (95, 300)):
        targets.at_most(f"offset clean p{p}, ms", float(np.percentile(clean.offsets_ms, p)), limit)
    targets.at_most("splits clean, %", clean.split_share(), 1.5)
    for name, tally in totals.items():
        targets.at_most(f"missed {name}, %", tally.missed_share(), 1.0)
        targets.at_most(f"false starts a minute, {name}", tally.per_minute(), 6.0)
    for name, tally in lonely.items():
        if name.split()[0] in LIMITED_ALONE:
            targets.at_most(f"false starts a minute, {name} alone", tally.per_minute(), 0.5)
    targets.at_most("held fillers cut", cut, 0)
    targets.at_most("held fillers not heard", unheard, 0)
    return 1 if targets.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
