"""`python -m bot bench turns`: how fast and how politely the bot takes its turns, and what a call costs.

Recorded callers with three voices phone a bot in a process of its own; all latencies are those of the stand-ins'
standard profile. Voice-to-voice is from the caller's last voiced frame to the first audible frame of the reply at the
caller's ear, as the Twilio stand-in hears it; what the bot says at fixed places is a reply too, a sound between the
marks of an aside is none. The turns are those of `turns` and `pauses`. A figure that misses its aim is MISSED, and the
exit status is 1; so it is for a breach of a protocol and for a turn without an answer.
"""

import argparse
import asyncio
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from bot.lab import turn_figures, utterances
from bot.lab.report import CallReport, Turn
from bot.lab.script import Step
from bot.lab.stage import Stage, staged
from bot.lab.turn_scripts import SECTIONS, UNFINISHED, VOICES, scripts, undisturbed

_SPENT = re.compile(r"tokens: ([\d,]+) kept, ([\d,]+) of ([\d,]+) dropped")
Reports = Sequence[CallReport]


class Table:
    """The lines of the outcome; each figure with its aim."""

    def __init__(self) -> None:
        self.missed = 0

    def row(self, what: str, found: str, aim: str = "", *, missed: bool = False) -> None:
        """Print one line."""
        self.missed += missed
        print(f"{what:<58} {found:<34} {aim}{'   MISSED' if missed else ''}".rstrip())

    def latency(self, what: str, values_ms: Iterable[int | None], p50: int | None, p95: int | None) -> None:
        """Print the median and the 95th percentile, in ms, beside the most that they may be; None is left out."""
        known = [value for value in values_ms if value is not None]
        if not known:
            self.row(what, "none", missed=True)
            return
        middle, late = (float(value) for value in np.percentile(known, [50, 95]))
        aims = [f"{name} ≤ {most:,}" for name, most in (("p50", p50), ("p95", p95)) if most is not None]
        missed = (p50 is not None and middle > p50) or (p95 is not None and late > p95)
        self.row(what, f"p50 {middle:5.0f}   p95 {late:5.0f}   ({len(known)})", ", ".join(aims), missed=missed)


async def phone(stage: Stage, sections: Sequence[str], most: int | None, at_once: int) -> dict[str, list[CallReport]]:
    """Make the calls of the sections, `most` of each, `at_once` at a time; `undisturbed` ones are there to compare."""
    calls: list[tuple[str, list[Step]]] = [(name, script) for name in sections for script in scripts(name)[:most]]
    if "disturbances" in sections:
        calls += [("undisturbed", undisturbed(material)) for material in VOICES]
    gate = asyncio.Semaphore(at_once)

    async def one(index: int, steps: list[Step]) -> CallReport:
        async with gate:
            await asyncio.sleep(0.007 * (index % at_once))
            return await stage.twilio.call(steps, number=f"+8210{index:08d}")

    made = await asyncio.gather(*(one(index, steps) for index, (_, steps) in enumerate(calls)))
    reports: dict[str, list[CallReport]] = {}
    for (section, _), report in zip(calls, made, strict=True):
        reports.setdefault(section, []).append(report)
    return reports


async def bench(sections: Sequence[str], most: int | None, at_once: int) -> int:
    """Run and print; returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        async with staged(Path(folder)) as stage:
            return _print(stage, await phone(stage, sections, most, at_once))


def _print(stage: Stage, reports: dict[str, list[CallReport]]) -> int:
    table, everyone = Table(), [report for some in reports.values() for report in some]
    late_ms = max(report.late_ms for report in everyone)
    asked = sum(len(report.turns) for report in everyone)
    print(f"{len(everyone)} calls, {asked} turns; the lab was {late_ms} ms late at worst\n")
    _latencies(table, [report for section in ("turns", "pauses") for report in reports.get(section, [])])
    _barge_ins(table, reports.get("bargein", []))
    _disturbances(table, reports.get("disturbances", []), reports.get("undisturbed", []))
    _asides(table, everyone)
    table.latency("from start to the first sound of the greeting, ms", (r.greeting_ms for r in everyone), None, 300)
    _tokens(table, stage)
    _recogniser(table, stage, len(everyone))
    silent = sum(turn.voice_to_voice_ms is None for report in everyone for turn in report.turns)
    table.row("turns without an answer", str(silent), "0", missed=silent > 0)
    breaches = [*stage.twilio.breaches, *stage.rtzr.breaches, *(stage.openai.report.breaches if stage.openai else ())]
    for breach in breaches:
        print(f"BREACH {breach}")
    return 1 if breaches or table.missed else 0


def _latencies(table: Table, reports: Reports) -> None:
    turns = [turn for report in reports for turn in report.turns]
    if not turns:
        return
    finished = [turn.voice_to_voice_ms for turn in turns if _is_finished(turn)]
    table.latency("voice-to-voice, turns that end in a final ending, ms", finished, 650, 900)
    table.latency("voice-to-voice, all turns, ms", (turn.voice_to_voice_ms for turn in turns), 800, 1300)
    others = [turn.voice_to_voice_ms for turn in turns if not _is_finished(turn)]
    if others:
        table.latency("  of these, turns that end otherwise", others, None, None)
    inner, cut = sum(turn.pauses for turn in turns), sum(len(turn.cut_off_at) for turn in turns)
    share = f"{cut} of {inner} ({cut / max(inner, 1):.1%})"
    table.row("caller cut off at an inner pause", share, "≤ 1 %", missed=cut > 0.01 * inner)


def _is_finished(turn: Turn) -> bool:
    return not turn.parts or turn.parts[-1] not in UNFINISHED


def _barge_ins(table: Table, reports: Reports) -> None:
    known = utterances.load()
    over = [(report, turn) for report in reports for turn in report.turns if turn.silenced_ms is not None]
    if not over:
        return
    silenced = [turn_figures.silenced_ms(report, turn, known) for report, turn in over]
    table.latency("from the first real word over the bot to silence, ms", silenced, None, 450)
    ignored = sum(turn_figures.was_ignored(report, turn) for report, turn in over)
    table.row("callers who broke in and were not heeded", str(ignored), "0", missed=ignored > 0)


def _disturbances(table: Table, reports: Reports, controls: Reports) -> None:
    found = [turn_figures.outcome(report, each) for report in reports for each in report.disturbances if each.over_bot]
    if not found:
        return
    killed = [each for each in found if each.killed]
    lost = [each for each in found if not each.killed and each.resumed_ms is None]
    what = ", ".join(sorted({each.what for each in killed + lost}))
    table.row(
        "replies killed by a backchannel, a cough or a noise",
        f"{len(killed) + len(lost)} of {len(found)} {f'({what})' if what else ''}",
        "0 of ≥ 100",
        missed=bool(killed or lost),
    )
    paused = [each for each in found if each.paused_ms and each.resumed_ms is not None]
    table.row("  paused by it, for so long, ms", _range([each.paused_ms for each in paused]))
    latest = max((each.resumed_ms or 0 for each in paused), default=0)
    resumed = _range([each.resumed_ms for each in paused if each.resumed_ms is not None])
    table.row("  resumed so long after its end, ms", resumed, "≤ 1,000", missed=latest > 1000)
    compared, wrong = turn_figures.differences(reports, controls)
    table.row(
        "  whose sound was not that of the reply undisturbed", f"{len(wrong)} of {compared}", "0", missed=bool(wrong)
    )


def _range(values: Sequence[int]) -> str:
    if not values:
        return "none"
    return f"{min(values)} to {max(values)}, median {np.median(values):.0f}   ({len(values)})"


def _asides(table: Table, reports: Reports) -> None:
    asides = [aside for report in reports for aside in report.asides if aside.in_turn]
    longest = max((aside.length_ms for aside in asides), default=0)
    over = sum(aside.over_voice for aside in asides)
    found = f"{len(asides)}, {longest}"
    table.row("the bot's own backchannels, and the longest, ms", found, "≤ 600", missed=longest > 600)
    table.row("  begun while the caller was voiced", str(over), "0", missed=over > 0)
    fillers = sum(not aside.in_turn for report in reports for aside in report.asides)
    table.row("fillers before a late answer", str(fillers))


def _tokens(table: Table, stage: Stage) -> None:
    """The bot's own count, which knows what was heard, beside the stand-in's, which knows what was sent."""
    counts = [found for line in stage.bot.log if (found := _SPENT.search(line))]
    if not stage.openai or not counts:
        table.row("tokens spent on replies that were dropped", "not told", missed=True)
        return
    kept, dropped, replies = (int(number.replace(",", "")) for number in counts[-1].groups())
    share = dropped / max(kept + dropped, 1)
    spent = f"{share:.1%} of {kept + dropped:,}, {replies} replies"
    table.row("tokens spent on replies that were dropped", spent, "≤ 40 %", missed=share > 0.4)
    sent = stage.openai.report
    table.row(
        "  the model's own count",
        f"{sent.reply_tokens:,} in {len(sent.replies)} replies",
        f"{sent.cancelled_reply_tokens:,} of them in the middle of an answer",
        missed=kept + dropped < 0.9 * sent.reply_tokens,
    )


def _recogniser(table: Table, stage: Stage, calls: int) -> None:
    seen = stage.rtzr.report
    found = f"{seen.sockets / calls:.2f} sockets, {seen.eos / calls:.2f} EOS, {seen.finalizes / calls:.1f} Finalize"
    table.row("recogniser, per call", found, f"{seen.authentications} authentication(s) in all")


def main(argv: list[str]) -> int:
    """Run the bench from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bot bench turns", description=__doc__)
    parser.add_argument("--only", choices=SECTIONS, action="append", help="a kind of calls; all of them by default")
    parser.add_argument("--calls", type=int, help="so many of each kind; all of them by default")
    parser.add_argument("--at-once", type=int, default=12)
    arguments = parser.parse_args(argv)
    return asyncio.run(bench(arguments.only or SECTIONS, arguments.calls, arguments.at_once))
