"""`python -m bot bench turns`: how fast the bot answers, and what a call costs at the recogniser.

Recorded callers with three voices phone a bot in a process of its own; all latencies are those of the stand-ins'
standard profile. Voice-to-voice is from the caller's last voiced frame to the first audible frame of the answer at the
caller's ear, as the Twilio stand-in hears it; what the bot says at fixed places counts as its answer too.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bot.lab.report import CallReport
from bot.lab.script import Say, Step, WaitForBot
from bot.lab.stage import Stage, staged

GREETING_MS = 300
DAYS = {
    "jia": ("jia-morning", "jia-lunch", "jia-talk", "jia-praise", "jia-mother", "jia-finish", "jia-right"),
    "minho": (
        "minho-late",
        "minho-subway",
        "minho-coffee",
        "minho-baseball",
        "minho-tired",
        "minho-finish",
        "minho-right",
    ),
    "sunja": (
        "sunja-strawberries",
        "sunja-garden",
        "sunja-letter",
        "sunja-walk",
        "sunja-tears",
        "sunja-finish",
        "sunja-right",
    ),
}


def script(day: Iterable[str]) -> list[Step]:
    """A caller who hears the bot out and then says the next thing."""
    return [step for name in day for step in (WaitForBot(), Say((name,)))]


async def phone(stage: Stage, calls: int, at_once: int) -> list[CallReport]:
    """Make `calls` calls, `at_once` at a time."""
    days = [days for _, days in zip(range(calls), _endless(list(DAYS.values())), strict=False)]
    gate = asyncio.Semaphore(at_once)

    async def one(index: int, day: Iterable[str]) -> CallReport:
        async with gate:
            await asyncio.sleep(0.007 * (index % at_once))
            return await stage.twilio.call(script(day), number=f"+8210{index:08d}")

    return list(await asyncio.gather(*(one(index, day) for index, day in enumerate(days))))


def _endless(days: list[tuple[str, ...]]) -> Iterable[tuple[str, ...]]:
    while True:
        yield from days


def percentiles(values: Iterable[int | None]) -> str:
    """Median and 95th percentile, in ms; unanswered ones are counted and left out."""
    known = [value for value in values if value is not None]
    if not known:
        return "none"
    p50, p95 = np.percentile(known, [50, 95])
    return f"p50 {p50:5.0f}   p95 {p95:5.0f}   ({len(known)})"


async def bench(calls: int, at_once: int) -> int:
    """Run and print; returns the exit status: 1 for a breach, a turn without an answer, or a greeting that is late."""
    with tempfile.TemporaryDirectory() as folder:
        async with staged(Path(folder)) as stage:
            reports = await phone(stage, calls, at_once)
            return _print(stage, reports)


def _print(stage: Stage, reports: list[CallReport]) -> int:
    turns = [turn for report in reports for turn in report.turns]
    unanswered = sum(turn.voice_to_voice_ms is None for turn in turns)
    breaches = [*stage.twilio.breaches, *stage.rtzr.breaches, *(stage.openai.report.breaches if stage.openai else ())]
    late_ms = max(report.late_ms for report in reports)
    print(f"{len(reports)} calls, {len(turns)} turns, {unanswered} unanswered; the lab was {late_ms} ms late at worst")
    print(f"start to first greeting audio, ms       {percentiles(report.greeting_ms for report in reports)}")
    print(f"voice-to-voice, all turns, ms           {percentiles(turn.voice_to_voice_ms for turn in turns)}")
    talk = [turn.voice_to_voice_ms for report in reports for turn in report.turns[:-2]]
    print(f"voice-to-voice, the model's replies, ms {percentiles(talk)}")
    recogniser = stage.rtzr.report
    each = len(reports)
    print(
        f"recogniser, per call: {recogniser.sockets / each:.2f} sockets, {recogniser.eos / each:.2f} EOS, "
        f"{recogniser.finalizes / each:.1f} Finalize; authentications in all: {recogniser.authentications}"
    )
    for line in stage.bot.log:
        if "reused" in line:
            print(f"  {line}")
    for breach in breaches:
        print(f"BREACH {breach}")
    late = np.percentile([report.greeting_ms or np.inf for report in reports], 95) > GREETING_MS
    if late:
        print(f"MISSED the greeting is later than {GREETING_MS} ms (p95)")
    return 1 if breaches or unanswered or late else 0


def main(argv: list[str]) -> int:
    """Run the bench from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bot bench turns", description=__doc__)
    parser.add_argument("--calls", type=int, default=15)
    parser.add_argument("--at-once", type=int, default=5)
    arguments = parser.parse_args(argv)
    return asyncio.run(bench(arguments.calls, arguments.at_once))
