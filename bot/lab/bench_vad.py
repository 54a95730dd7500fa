"""How good the voice activity detector is: `python -m bot bench vad`.

Calls are put together from recorded callers, clean and in every noise at several levels, through µ-law and the
resampler as in a real call; the detector hears them alone and with the second opinion, where that is installed. Prints
a line for each case and each of the two, and exits with 1 when a limit of either is missed. Must not know how the
detector works.
"""

import argparse
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field

from bot.audio import second_opinion
from bot.audio.second_opinion import Samples, SecondOpinion, Silero
from bot.audio.vad import Vad
from bot.conversation.events import SpeechStarted, SpeechStopped
from bot.errors import OpinionError
from bot.lab import noises
from bot.lab.vad_calls import Samples as Sound
from bot.lab.vad_calls import Stretch, clean_calls, filler_tracks, for_noise, on_the_line, with_noise
from bot.lab.vad_tally import Tally, hear, judge, later

SNRS_DB = (20, 10, 5)
ALONE_S = 60.0
ALONE_DBFS = (-30.0, -42.0)
LIMITED_ALONE = ("white", "pink", "hum", "keyboard", "cough")
PEOPLE = "babble"
MEASURED = 100

WITHOUT, WITH = "without", "with"


class Counted:
    """The model, counting how often it is asked."""

    def __init__(self, model: Silero) -> None:
        self.times = 0
        self._model = model

    def likelihood(self, sound: Samples) -> float:
        self.times += 1
        return self._model.likelihood(sound)


@dataclass(slots=True)
class Side:
    """The detector, without the second opinion or with it, and what it reached."""

    name: str
    model: Counted | None
    calls: dict[str, Tally] = field(default_factory=dict)
    alone: dict[str, Tally] = field(default_factory=dict)
    fillers: int = 0
    cut: int = 0
    unheard: int = 0

    def detector(self) -> Vad:
        """A detector for a new call."""
        return Vad(SecondOpinion(self.model) if self.model else None)

    def judge(self, frames: Sequence[bytes], speech: Sequence[Stretch]) -> Tally:
        """Hear a sound, and return how that went."""
        before = self.model.times if self.model else 0
        told, cost_s = hear(self.detector(), frames)
        tally = judge(told, len(frames), speech)
        tally.cost_s = cost_s
        tally.asked = self.model.times - before if self.model else 0
        return tally


class Targets:
    """Prints what was reached and remembers what was not."""

    def __init__(self) -> None:
        self.failed = 0

    def at_most(self, what: str, value: float | None, limit: float) -> None:
        """Check one figure; None, that there is none, is a miss."""
        reached = value is not None and value <= limit
        self.failed += not reached
        print(f"{'ok    ' if reached else 'MISSED'} {what}: {'none' if value is None else f'{value:.1f}'}", end="")
        print(f" (at most {limit:g})")


def row(case: str, name: str, tally: Tally) -> str:
    """Return one line of the table."""
    onset, offset = (
        "/".join(f"{'–' if ms is None else round(ms):>5}" for ms in (figure(50), figure(95)))
        for figure in (tally.onset, tally.offset)
    )
    return (
        f"{case:18s} {name:8s} {onset}  {offset}  {tally.split_share():5.1f} % {tally.missed_share():5.1f} % "
        f"{tally.per_minute():9.2f}  {tally.talking_share():5.0f} %  {tally.cost_us():6.1f}  "
        f"{tally.asked_share():5.1f} %  {tally.stretches:5d}"
    )


def run_calls(sides: Sequence[Side], long_noises: dict[str, Sound]) -> None:
    """Hear the calls: clean, and at each level of noise."""
    calls = clean_calls()
    fewer = for_noise(calls)
    cases = [("clean", 0), *((kind, snr_db) for snr_db in SNRS_DB for kind in long_noises)]
    for kind, snr_db in cases:
        total = f"{snr_db} dB" if snr_db else kind
        tallies = [Tally() for _ in sides]
        for one in fewer if snr_db else calls:
            frames = on_the_line(with_noise(one, kind, long_noises[kind], snr_db) if snr_db else one.sound)
            for side, tally in zip(sides, tallies, strict=True):
                tally.add(side.judge(frames, one.speech))
        for side, tally in zip(sides, tallies, strict=True):
            print(row(f"{kind} {snr_db} dB" if snr_db else kind, side.name, tally))
            side.calls.setdefault(total, Tally()).add(tally)
    for total in list(sides[0].calls)[1:]:
        for side in sides:
            print(row(f"all at {total}", side.name, side.calls[total]))


def run_alone(sides: Sequence[Side], long_noises: dict[str, Sound]) -> None:
    """Hear a minute of each noise with nobody speaking."""
    for level_dbfs in ALONE_DBFS:
        for kind, noise in long_noises.items():
            case = f"{kind} {level_dbfs:.0f} dBFS"
            frames = on_the_line(noises.at_level(noise, level_dbfs))
            for side in sides:
                side.alone[case] = side.judge(frames, ())
                print(row(case, side.name, side.alone[case]))


def run_fillers(sides: Sequence[Side]) -> None:
    """Hear the held fillers: none may be cut, and none passed over."""
    for name, sound, begin_ms, end_ms in filler_tracks():
        frames = on_the_line(sound)
        for side in sides:
            told, _ = hear(side.detector(), frames)
            stops = [at for at, event in told if isinstance(event, SpeechStopped) and begin_ms < at < end_ms]
            starts = [at for at, event in told if isinstance(event, SpeechStarted) and at < end_ms]
            side.fillers += 1
            side.cut += bool(stops)
            side.unheard += not starts
            if stops or not starts:
                print(f"  {side.name}: {name}: from {begin_ms:.0f} to {end_ms:.0f}, starts {starts}, stops {stops}")
    for side in sides:
        print(f"held fillers {side.name}: {side.fillers}, cut {side.cut}, not heard {side.unheard}")


def state_kb(side: Side) -> float:
    """Return what a call's detector holds of Python's memory, in KB, after a second of sound."""
    frames = [bytes(640)] * 50
    hear(side.detector(), frames)
    tracemalloc.start()
    detectors = [side.detector() for _ in range(MEASURED)]
    for detector in detectors:
        hear(detector, frames)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / MEASURED / 1024


def costs(targets: Targets, side: Side) -> None:
    """Print what a frame and a call cost, over all the calls."""
    total = Tally()
    for tally in side.calls.values():
        total.add(tally)
    share = total.asked_share()
    print(f"{side.name}: {total.cost_us():.1f} µs a frame, {share:.1f} % of them asked about, ", end="")
    print(f"{state_kb(side):.1f} KB a call")
    targets.at_most(f"frames asked about {side.name}, %", share, 16.0 if side.model else 0.0)


def check(targets: Targets, side: Side) -> None:
    """Check what is promised of either side, and of the one."""
    calls, opinion = side.calls, side.model is not None
    print(f"\n{side.name} the second opinion")
    for case, limits in (("clean", (70, 180)), ("5 dB", (100, 220) if opinion else (85, 220))):
        for p, limit in zip((50, 95), limits, strict=True):
            targets.at_most(f"onset {case} p{p}, ms", calls[case].onset(p), limit)
    for p, limit in ((50, 275), (95, 300)):
        targets.at_most(f"offset clean p{p}, ms", calls["clean"].offset(p), limit)
    targets.at_most("splits clean, %", calls["clean"].split_share(), 1.5)
    for case, tally in calls.items():
        targets.at_most(f"missed {case}, %", tally.missed_share(), 1.0)
        targets.at_most(f"false starts a minute, {case}", tally.per_minute(), 0.3 if opinion else 6.0)
    for case, tally in side.alone.items():
        kind = case.split()[0]
        if kind in LIMITED_ALONE or (opinion and kind != PEOPLE):
            targets.at_most(f"false starts a minute, {case} alone", tally.per_minute(), 0.0 if opinion else 0.5)
    targets.at_most("held fillers cut", side.cut, 0)
    targets.at_most("held fillers not heard", side.unheard, 0)


def compare(targets: Targets, without: Side, having: Side) -> None:
    """Check that the second opinion makes nothing worse by more than is allowed."""
    print("\nthe one compared with the other")
    for case, before in without.calls.items():
        after = having.calls[case]
        targets.at_most(f"onset later {case} p95, ms", later(after, before, 95), 20.0)
        targets.at_most(f"more splits {case}, % of the stretches", after.split_share() - before.split_share(), 0.5)
        targets.at_most(f"offset {case} p95, ms", after.offset(95), (before.offset(95) or 0.0) + 5.0)


def main(argv: Sequence[str] = ()) -> int:
    """Run the bench; 1 when a limit is missed."""
    argparse.ArgumentParser(prog="python -m bot bench vad", description=__doc__).parse_args(argv)
    sides = [Side(WITHOUT, None)]
    try:
        sides.append(Side(WITH, Counted(second_opinion.load())))
    except OpinionError as error:
        print(f"the second opinion: {error}")
    long_noises = {kind: noises.noise(kind, ALONE_S, seed=1) for kind in noises.KINDS}
    print("case               opinion  onset p50/p95  offset p50/p95 splits  missed  false/min talking µs/frame asked")
    run_calls(sides, long_noises)
    run_alone(sides, long_noises)
    run_fillers(sides)
    targets = Targets()
    for side in sides:
        costs(targets, side)
    for side in sides:
        check(targets, side)
    if len(sides) > 1:
        compare(targets, *sides)
    return 1 if targets.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
