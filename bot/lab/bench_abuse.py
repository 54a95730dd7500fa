"""`python -m bot bench abuse`: what harm does to a bot that has good calls at the same time.

Five people talk with a bot on a core of its own; on another core is everything else, the abuser too, who yields to the
callers (`abusers.py` has the cases). A case lasts some seconds, and then the bot has some to recover. Each row tells
the bot's memory before it, at the most, and after it, and how the good calls were meanwhile: from the end of what was
said to the answer, how much later that was than the same line's answers to the same words before, and gaps in the
middle of a reply. The first row is without any harm.

Exit status 1 when a good call suffered: a turn without an answer, a breach, a gap of more than MOST_GAP_MS, answers
later than MOST_LATER_MS; or when the bot took more than MOST_MIB for it.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from bot.lab.abusers import CASES, all_files
from bot.lab.caller import Caller
from bot.lab.load_lines import GREETED_S, Lines, Talked, cores, dialled, scripts
from bot.lab.procfs import Used
from bot.lab.rtzr import RtzrLab
from bot.lab.stage import AUTH_TOKEN, Stage, staged
from bot.lab.wire import Wire

GOOD_CALLS = 5
CASE_S, REST_S, LOOK_S = 20.0, 6.0, 0.25
CALM, CALM_S = "none", 40.0
MORE_S = {"idle-tcp": 30.0, "half-open": 30.0, "no-start": 30.0, "handshakes": 10.0, "webhooks": 10.0}
MOST_GAP_MS, MOST_LATER_MS = 40, 60
MOST_MIB = 64.0
NICE = 10


@dataclass(slots=True)
class Harm(Talked):
    """What one case came to."""

    case: str
    before: Used
    peak_mib: float = 0.0
    ended: Used | None = None
    after: Used | None = None
    told: dict[str, int] = field(default_factory=dict)

    @property
    def later_p95_ms(self) -> float:
        """How much later good calls were answered than before."""
        return float(np.percentile(self.later_ms or [0], 95))


async def abuse(cases: Sequence[str], each: float | None, of_bot: Collection[int]) -> list[Harm]:
    """Start a bot, phone it, and do it harm."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"MAX_CALL_MINUTES": "60"}
        async with staged(Path(folder), settings=settings, rtzr=RtzrLab(by_heart=True), cores=of_bot) as stage:
            return await _abused(stage, cases, each)


async def _abused(stage: Stage, cases: Sequence[str], each: float | None) -> list[Harm]:
    good, wire = Lines(), Wire(stage.bot.url, AUTH_TOKEN)
    # A line says the same all the time, and is compared with itself: some sentences are answered sooner than others.
    said = scripts(60.0 * len(cases) + GREETED_S, each=1)
    found: list[Harm] = []
    async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
        stack.push_async_callback(wire.close)
        ticking = tasks.create_task(good.ticker.run())
        for index in range(GOOD_CALLS):
            caller = Caller(said[index % len(said)], patience_ms=0)
            good.add(await stack.enter_async_context(dialled(wire, f"+8210{index:08d}", caller)))
            await asyncio.sleep(0.3)
        await asyncio.sleep(GREETED_S)
        dialling = Talked()
        good.take(dialling)
        for case in cases:
            found.append(await _one(stage, good, case, CALM_S if case == CALM else each or MORE_S.get(case, CASE_S)))
            print(row(found[-1]), flush=True)
        found[0].breaches += dialling.breaches
        ticking.cancel()
    return found


async def _one(stage: Stage, good: Lines, case: str, seconds: float) -> Harm:
    pid = stage.bot.process.pid
    harm = Harm(case, Used.of(pid))
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(_look(pid, harm))
        if case in CASES:
            await do_harm(harm, stage.bot.url, seconds)
        else:
            await asyncio.sleep(seconds)
        harm.ended = Used.of(pid)
        await asyncio.sleep(REST_S)
        looking.cancel()
    harm.after = Used.of(pid)
    good.take(harm)
    harm.breaches += [f"a good call ended with {code}" for code in good.ended]
    return harm


async def _look(pid: int, harm: Harm) -> None:
    while True:
        harm.peak_mib = max(harm.peak_mib, Used.of(pid).rss_mib)
        await asyncio.sleep(LOOK_S)


async def do_harm(harm: Harm, url: str, seconds: float) -> None:
    """Do what the case is to the bot at `url`; an abuser that breaks down has done none, and that is a breach."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot.lab.abusers", harm.case, url, str(seconds)),
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=partial(os.nice, NICE),
    )
    out, _ = await process.communicate()
    if process.returncode:
        harm.breaches.append(f"the abuser ended with {process.returncode}")
    harm.told = json.loads(out or b"{}")


HEAD = (
    f"{'case':<16}{'MiB':>5}{'most':>6}{'after':>6}   {'v2v p50':>7}{'p95':>6}{'later p95':>11}{'unanswered':>12}"
    f"{'gaps>40ms':>11}{'worst':>7}{'CPU':>6}{'late p99':>10}   what became of it"
)


def row(harm: Harm) -> str:
    """A line of the table."""
    assert harm.ended and harm.after
    p50, p95 = np.percentile(harm.voice_to_voice_ms or [0], [50, 95])
    gaps = [gap for gap in harm.gaps_ms if gap > MOST_GAP_MS]
    cpu = (harm.ended.cpu_s - harm.before.cpu_s) / (harm.ended.at_s - harm.before.at_s)
    late = float(np.percentile(harm.late_ms, 99)) if harm.late_ms else 0.0
    told = ", ".join(f"{what}: {many}" for what, many in harm.told.items())
    return (
        f"{harm.case:<16}{harm.before.rss_mib:>5.0f}{harm.peak_mib:>6.0f}{harm.after.rss_mib:>6.0f}   {p50:>7.0f}"
        f"{p95:>6.0f}{harm.later_p95_ms:>11.0f}{harm.unanswered:>12}{len(gaps):>11}{max(gaps, default=0):>7}{cpu:>6.0%}"
        f"{late:>10.1f}   {told}"
    )


def missed(found: Sequence[Harm]) -> list[str]:
    """What is not as it should be."""
    faults: list[str] = []
    for harm in found:
        assert harm.after
        rows = (
            (bool(harm.unanswered), f"{harm.unanswered} turns unanswered"),
            (max(harm.gaps_ms, default=0) > MOST_GAP_MS, f"a gap of {max(harm.gaps_ms, default=0)} ms"),
            (harm.later_p95_ms > MOST_LATER_MS, f"answers {harm.later_p95_ms:.0f} ms later"),
            (harm.peak_mib > harm.before.rss_mib + MOST_MIB, f"took {harm.peak_mib - harm.before.rss_mib:.0f} MiB"),
            *((True, breach) for breach in sorted(set(harm.breaches))),
        )
        faults += [f"{harm.case}: {what}" for is_fault, what in rows if is_fault]
    return faults


def main(argv: list[str]) -> int:
    """Run the bench; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bot bench abuse", description=__doc__)
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; may be given more than once")
    parser.add_argument("--seconds", type=float, help="of each case")
    given = parser.parse_args(argv)
    try:
        of_bot, of_bench = cores()
    except ValueError as error:
        parser.error(str(error))
    os.sched_setaffinity(0, {of_bench})
    print(f"at most {all_files()} open files for each process\n\n{HEAD}", flush=True)
    found = asyncio.run(abuse([CALM, *(given.case or CASES)], given.seconds, of_bot))
    faults = missed(found)
    print(*(f"MISSED {fault}" for fault in faults), sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
