"""`python -m bot bench load`: how many people one core of the bot can talk with.

The bot runs on one core (with `--workers N` on up to N), and on another the people who phone it with all that they
need: Twilio, the recogniser, the model, the voice, each with its standard delays. Everybody talks, waits for the answer
and talks again, out of step with the others, in real time. For each number of calls a new bot is started; it is
measured once all have been greeted.

`lag` is how late the bot's event loop woke, `late` how late the bench was with a line's 20 ms, both p99: where the
second is much, it is the bench that is at its end. A gap is silence in the middle of a piece of a reply. `lost` are the
words that were said and are not in the diary when all have hung up. A p95 is told from 20 turns on: a single call has
them after five minutes. Exit status 1 when a protocol was breached, a call not taken, a turn not answered or a word
lost.

Below each row stands what the dearest parts of the bot cost by themselves on the same core, right after
(`raw_parts.py`), and how many times their sum the bot took. `--no-parts` leaves that out.
"""

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np

from bot.audio.frames import FRAME_MS
from bot.diary.crypto import Keys, make_secret
from bot.diary.records import said_in
from bot.diary.store import Store
from bot.lab.caller import Caller
from bot.lab.chaos_callers import words
from bot.lab.load_lines import GREETED_S, Lines, Refused, Talked, cores, dialled, scripts
from bot.lab.procfs import Used
from bot.lab.raw_parts import NotMeasured, RawParts, Talk, measured
from bot.lab.rtzr import RtzrLab
from bot.lab.scraped import KEY, scraped
from bot.lab.stage import AUTH_TOKEN, Stage, staged
from bot.lab.wire import Wire
from bot.metrics import LAG
from bot.settings import MOST_WORKERS

CALLS = (1, 20, 50, 100, 200)
MEASURE_S = 60.0
DIAL_APART_S = 0.1
EMPTY_S = 2.0
LATE_MS = 10.0
ENOUGH_TURNS = 20  # for a p95: the slowest of fewer is all that there is


@dataclass(slots=True)
class Load(Talked):
    """What so many calls at once came to."""

    calls: int
    empty: Used
    began: Used
    ended: Used
    bench_cpu_s: float
    lag_ms: float = 0.0
    lost: int = 0
    chats: int = 0
    chat_chars: int = 0
    spoken_chars: int = 0
    speeches: int = 0
    parts: RawParts | None = None

    @property
    def seconds(self) -> float:
        """How long was measured."""
        return self.ended.at_s - self.began.at_s

    @property
    def cpu_ms(self) -> float:
        """CPU of the bot in ms, for each second of a call."""
        return (self.ended.cpu_s - self.began.cpu_s) * 1000 / self.seconds / self.calls


async def load(
    calls: int,
    seconds: float,
    profile: Path | None = None,
    *,
    workers: int = 1,
    of_bot: Collection[int] = (),
    parts: bool = False,
) -> Load:
    """Start a bot of so many processes on cores `of_bot`, phone it so many times at once, and measure.

    With a `profile` a flame graph is written there. `parts`: measure what it is made of, too.
    """
    settings = {"METRICS_KEY": KEY, "DIARY_KEY": make_secret(), "WEB_CONCURRENCY": str(workers)}
    with tempfile.TemporaryDirectory() as folder:
        async with staged(Path(folder), rtzr=RtzrLab(by_heart=True), cores=of_bot, settings=settings) as stage:
            found, lines = await _phoned(stage, calls, seconds, profile)
            found.lost = await _lost(stage, lines)
            if parts and of_bot and stage.openai and found.speeches:
                told = {text for line in lines for text in line.heard.told}
                talk = Talk(sorted(told), found.spoken_chars // found.speeches)
                try:
                    found.parts = await measured(max(1, len(lines) // workers), stage.openai.url, min(of_bot), talk)
                except NotMeasured as error:
                    found.breaches.append(str(error))
    return found


async def _phoned(stage: Stage, calls: int, seconds: float, profile: Path | None) -> tuple[Load, Lines]:
    bot, lines, said = stage.bot, Lines(), scripts(seconds + calls * DIAL_APART_S + GREETED_S)
    wire = Wire(bot.url, AUTH_TOKEN)
    before = Talked()
    async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
        stack.push_async_callback(wire.close)
        ticking = tasks.create_task(lines.ticker.run())
        await asyncio.sleep(EMPTY_S)
        empty = Used.of_all(bot.process.pid)
        for index in range(calls):
            caller = Caller(said[index % len(said)], patience_ms=0)
            try:
                lines.add(await stack.enter_async_context(dialled(wire, f"+8210{index:08d}", caller)))
            except Refused:
                before.breaches.append("a call was not taken")
                continue
            except httpx2.HTTPError as error:
                before.breaches.append(f"call {index + 1} was not answered: {error}")
                break  # with each more it would only take longer
            await asyncio.sleep(DIAL_APART_S)
        await asyncio.sleep(GREETED_S)
        lines.take(before)
        paid = _paid(stage)
        told = await scraped(bot.url)
        began, bench_s = Used.of_all(bot.process.pid), time.process_time()
        if profile:
            tasks.create_task(_profiled(bot.process.pid, seconds, profile))
        await asyncio.sleep(seconds)
        ended, bench_s = Used.of_all(bot.process.pid), time.process_time() - bench_s
        found = Load(len(lines) or 1, empty, began, ended, bench_s)
        lines.take(found)
        found.breaches += [*before.breaches, *(f"a call ended by itself with {code}" for code in lines.ended)]
        found.lag_ms = ((await scraped(bot.url)).since(told).quantile(LAG, 0.99) or 0.0) * 1000
        asked_for = (n - m for n, m in zip(_paid(stage), paid, strict=True))
        found.chats, found.chat_chars, found.speeches, found.spoken_chars = asked_for
        ticking.cancel()
    found.breaches += [*stage.rtzr.breaches, *(stage.openai.report.breaches if stage.openai else [])]
    return found, lines


def _paid(stage: Stage) -> tuple[int, int, int, int]:
    """What has been asked for so far: chats, characters to read; pieces of speech, characters to speak."""
    assert stage.openai
    report = stage.openai.report
    return len(report.chats), report.chat_chars, report.speeches, report.spoken_chars


async def _lost(stage: Stage, lines: Lines) -> int:
    """How many words that were said to the end of a turn are not in the diary, once the bot has ended."""
    await stage.bot.stop()
    diary = await Store.open(stage.bot.environ["DATABASE_URL"], Keys.parse(stage.bot.environ["DIARY_KEY"]))
    try:
        kept = {line: words(said_in(await diary.turns(line.call_sid))) for line in lines}
    finally:
        await diary.close()
    return sum((words(line.heard.told) - said).total() for line, said in kept.items())


async def _profiled(pid: int, seconds: float, to: Path) -> None:
    """Have py-spy look at the bot from the bench's core."""
    options = f"--nonblocking --subprocesses --rate 200 --duration {round(seconds)} --output".split()
    spying = await asyncio.create_subprocess_exec("py-spy", "record", "--pid", str(pid), *options, str(to))
    if await spying.wait():
        raise RuntimeError("py-spy failed")


HEAD = (
    "calls   turns  v2v p50   p95  unanswered  lost  gaps>40ms  worst   lag  CPU ms/s  "
    "empty MiB    MiB  per call   bench CPU  late"
)


def row(found: Load) -> str:
    """A line of the table."""
    v2v = found.voice_to_voice_ms
    p50, p95 = np.percentile(v2v or [0], [50, 95])
    late_turns = f"{p95:.0f}" if len(v2v) >= ENOUGH_TURNS else "-"
    gaps = [gap for gap in found.gaps_ms if gap > 2 * FRAME_MS]
    late = float(np.percentile(found.late_ms, 99)) if found.late_ms else 0.0
    each = (found.ended.rss_mib - found.empty.rss_mib) / found.calls
    return (
        f"{found.calls:>5}{len(v2v):>8}{p50:>9.0f}{late_turns:>6}{found.unanswered:>12}{found.lost:>6}"
        f"{len(gaps):>11}{max(gaps, default=0):>7}{found.lag_ms:>6.0f}{found.cpu_ms:>10.2f}"
        f"{found.empty.rss_mib:>11.0f}{found.ended.rss_mib:>7.0f}{each:>10.2f}"
        f"{found.bench_cpu_s / found.seconds:>12.0%}{late:>6.1f}{'  SATURATED BENCH' if late > LATE_MS else ''}"
    )


def asked(found: Load) -> str:
    """What a minute of a call asks of those who are paid by what they are asked."""
    minutes = found.calls * found.seconds / 60
    turns = len(found.voice_to_voice_ms) / minutes
    return (
        f"      a minute of a call: {turns:.1f} turns, {found.chats / minutes:.1f} chats "
        f"with {found.chat_chars / minutes:.0f} characters to read, {found.spoken_chars / minutes:.0f} to speak"
    )


def made_of(found: Load, parts: RawParts) -> str:
    """What the parts of the bot cost by themselves, and how much more the bot took."""
    call_seconds = found.calls * found.seconds
    sum_ms = parts.call_ms(found.chats / call_seconds, found.speeches / call_seconds)
    return (
        f"      a frame: decode {parts.decode_us:.1f}, µ-law {parts.mulaw_us:.1f}, resample {parts.resample_us:.1f}, "
        f"VAD {parts.vad_us:.1f}, message {parts.message_us:.1f} µs; chat {parts.chat_ms:.1f}, "
        f"speech {parts.speech_ms:.1f} ms\n"
        f"      together {sum_ms:.2f} ms/s: the bot takes {found.cpu_ms / sum_ms:.2f} times as much"
    )


def main(argv: list[str]) -> int:
    """Run the bench; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bot bench load", description=__doc__)
    parser.add_argument("--calls", type=int, action="append", help=f"how many at once; by default {CALLS}")
    parser.add_argument("--workers", type=int, default=1, help="processes of the bot, on as many cores if there are")
    parser.add_argument("--seconds", type=float, default=MEASURE_S)
    parser.add_argument("--profile", type=Path, help="write a flame graph there (SVG; `pip install py-spy`)")
    parser.add_argument("--no-parts", action="store_true", help="do not measure what the bot is made of")
    given = parser.parse_args(argv)
    if not 1 <= given.workers <= MOST_WORKERS:
        parser.error(f"--workers is 1 to {MOST_WORKERS}")
    try:
        of_bot, of_bench = cores(given.workers)
    except ValueError as error:
        parser.error(str(error))
    if given.profile and not shutil.which("py-spy"):
        parser.error("py-spy is not there: pip install py-spy")
    os.sched_setaffinity(0, {of_bench})
    print(HEAD, flush=True)
    fails, parts = False, not given.no_parts
    for calls in given.calls or CALLS:
        found = asyncio.run(
            load(calls, given.seconds, given.profile, workers=given.workers, of_bot=of_bot, parts=parts)
        )
        print(row(found), asked(found), *([made_of(found, found.parts)] if found.parts else []), sep="\n", flush=True)
        for breach in sorted(set(found.breaches)):
            print(f"BREACH {breach} ({found.breaches.count(breach)} times)")
        fails = fails or bool(found.breaches or found.unanswered or found.lost)
    return 1 if fails else 0
