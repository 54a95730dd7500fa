"""`python -m bot bench load`: how many people one core of the bot can talk with.

The bot runs on one core, and on another the people who phone it with all that they need: Twilio, the recogniser, the
model, the voice, each with its standard delays. Everybody talks, waits for the answer and talks again, out of step with
the others, in real time. For each number of calls a new bot is started; it is measured once all have been greeted.

`late` is how late the bench itself was with a line's 20 ms: where that is much, it is the bench that is at its end. A
gap is silence in the middle of a piece of a reply. What was heard is not compared with what was said. Exit status 1
when a protocol was breached or a turn not answered.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from uuid import uuid4

import numpy as np

from bot.audio.frames import FRAME_MS
from bot.lab.caller import Caller
from bot.lab.load_line import LoadLine
from bot.lab.rtzr import RtzrLab
from bot.lab.script import Step, Tell
from bot.lab.stage import AUTH_TOKEN, Stage, staged
from bot.lab.turn_scripts import VOICES
from bot.lab.twilio import ACCOUNT_SID, BOT_NUMBER, new_call_sid
from bot.lab.twiml import parse
from bot.lab.wire import Wire, voice_parameters

CALLS = (1, 20, 50, 100, 200)
MEASURE_S = 60.0
DIAL_APART_S = 0.05
GREETED_S = 15.0
ANSWER_MS = 8_000
QUIET_MS = (500, 700, 900, 1100)
BOT_CORE, BENCH_CORE = 0, 1
LATE_MS = 10.0
TICK = os.sysconf("SC_CLK_TCK")


class Ticker:
    """Drives every line 50 times a second, each at a time of its own within the 20 ms."""

    def __init__(self, slots: int = FRAME_MS) -> None:
        self.late_ms: list[float] = []
        self._slots: list[list[LoadLine]] = [[] for _ in range(slots)]
        self._count = 0

    def add(self, line: LoadLine) -> None:
        """Drive one more."""
        self._slots[self._count % len(self._slots)].append(line)
        self._count += 1

    async def run(self) -> None:
        """Drive them until it is cancelled; what is late is made up for, so that no line drifts."""
        loop = asyncio.get_running_loop()
        began_s, step = loop.time(), 0
        while True:
            due_s = began_s + step * FRAME_MS / 1000 / len(self._slots)
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            lines = self._slots[step % len(self._slots)]
            if lines:
                self.late_ms.append((loop.time() - due_s) * 1000)
                for line in lines:
                    line.tick()
                self._slots[step % len(self._slots)] = [line for line in lines if not line.is_over]
            step += 1


@dataclass(frozen=True, slots=True)
class Used:
    """What a process has used: CPU in seconds, and the memory that it holds now."""

    at_s: float
    cpu_s: float
    rss_mib: float

    @classmethod
    def of(cls, pid: int) -> "Used":
        """Read it from /proc."""
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / TICK
        rss_mib = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        return cls(time.monotonic(), cpu_s, rss_mib)


@dataclass(slots=True)
class Load:
    """What so many calls at once came to."""

    calls: int
    empty: Used
    began: Used
    ended: Used
    bench_cpu_s: float
    late_ms: list[float]
    voice_to_voice_ms: list[int] = field(default_factory=list)
    unanswered: int = 0
    gaps_ms: list[int] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long was measured."""
        return self.ended.at_s - self.began.at_s

    @property
    def cpu_ms(self) -> float:
        """CPU of the bot in ms, for each second of a call."""
        return (self.ended.cpu_s - self.began.cpu_s) * 1000 / self.seconds / self.calls


def scripts(seconds: float) -> list[list[Step]]:
    """What the callers say, for so long at least: each of the recorded people's days again and again."""
    found: list[list[Step]] = []
    for material in VOICES:
        says = [*material.days, *material.begun]
        for quiet_ms in QUIET_MS:
            days = islice(cycle(says[len(found) % len(says) :] + says[: len(found) % len(says)]), int(seconds / 4) + 8)
            found.append([Tell(material.named((day,)), 1, None, quiet_ms, ANSWER_MS) for day in days])
    return found


@asynccontextmanager
async def dialled(wire: Wire, number: str, caller: Caller) -> AsyncIterator[LoadLine]:
    """A call that is connected; hung up at the end, and told to be over."""
    call_sid, stream_sid = new_call_sid(), "MZ" + uuid4().hex
    params = voice_parameters(ACCOUNT_SID, call_sid, number, BOT_NUMBER, "ringing")
    answer = await wire.request("/twilio/voice", params)
    connect = next(verb for verb in parse(answer.body) if verb.name == "Connect")
    stream = connect.child("Stream")
    assert stream is not None
    parameters = {each.attributes["name"]: each.attributes["value"] for each in stream.children}
    ws = await wire.dial(wire.socket_url(stream.attributes["url"], wire.url("/twilio/voice")))
    sids = {"account_sid": ACCOUNT_SID, "call_sid": call_sid, "stream_sid": stream_sid}
    line = LoadLine(ws, caller, sids=sids, parameters=parameters)
    try:
        yield line
    finally:
        line.hang_up()
        await wire.request("/twilio/status", params | {"CallStatus": "completed", "CallDuration": "60"})


async def load(calls: int, seconds: float) -> Load:
    """Start a bot, phone it so many times at once, and measure."""
    with tempfile.TemporaryDirectory() as folder:
        async with staged(Path(folder), rtzr=RtzrLab(by_heart=True), core=BOT_CORE) as stage:
            return await _phoned(stage, calls, seconds)


async def _phoned(stage: Stage, calls: int, seconds: float) -> Load:
    bot, ticker, said = stage.bot, Ticker(), scripts(seconds + calls * DIAL_APART_S + GREETED_S)
    wire = Wire(bot.url, AUTH_TOKEN)
    lines: list[LoadLine] = []
    async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
        stack.push_async_callback(wire.close)
        ticking = tasks.create_task(ticker.run())
        await asyncio.sleep(2)
        empty = Used.of(bot.process.pid)
        for index in range(calls):
            caller = Caller(said[index % len(said)], patience_ms=0)
            lines.append(await stack.enter_async_context(dialled(wire, f"+8210{index:08d}", caller)))
            ticker.add(lines[-1])
            await asyncio.sleep(DIAL_APART_S)
        await asyncio.sleep(GREETED_S)
        before = [(len(line.heard.voice_to_voice_ms), line.heard.unanswered, len(line.heard.gaps_ms)) for line in lines]
        ticker.late_ms.clear()
        began, bench_s = Used.of(bot.process.pid), time.process_time()
        await asyncio.sleep(seconds)
        found = Load(calls, empty, began, Used.of(bot.process.pid), time.process_time() - bench_s, list(ticker.late_ms))
        for line, (answered, unanswered, gaps) in zip(lines, before, strict=True):
            found.voice_to_voice_ms += line.heard.voice_to_voice_ms[answered:]
            found.unanswered += line.heard.unanswered - unanswered
            found.gaps_ms += line.heard.gaps_ms[gaps:]
            found.breaches += line.heard.breaches
            if line.is_over:
                found.breaches.append(f"a call ended by itself with {line.heard.close_code}")
        ticking.cancel()
    found.breaches += [*stage.rtzr.breaches, *(stage.openai.report.breaches if stage.openai else [])]
    return found


HEAD = "calls   turns  v2v p50   p95  unanswered  gaps>40ms  worst   CPU ms/s    MiB  per call   bench CPU  late p99"


def row(found: Load) -> str:
    """A line of the table."""
    v2v = found.voice_to_voice_ms or [0]
    p50, p95 = np.percentile(v2v, [50, 95])
    gaps = [gap for gap in found.gaps_ms if gap > 2 * FRAME_MS]
    late = float(np.percentile(found.late_ms, 99)) if found.late_ms else 0.0
    each = (found.ended.rss_mib - found.empty.rss_mib) / found.calls
    return (
        f"{found.calls:>5}{len(found.voice_to_voice_ms):>8}{p50:>9.0f}{p95:>6.0f}{found.unanswered:>12}{len(gaps):>11}"
        f"{max(gaps, default=0):>7}{found.cpu_ms:>11.2f}{found.ended.rss_mib:>7.0f}{each:>10.2f}"
        f"{found.bench_cpu_s / found.seconds:>11.0%}{late:>9.1f}{'  SATURATED BENCH' if late > LATE_MS else ''}"
    )


def main(argv: list[str]) -> int:
    """Run the bench; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bot bench load", description=__doc__)
    parser.add_argument("--calls", type=int, action="append", help=f"how many at once; by default {CALLS}")
    parser.add_argument("--seconds", type=float, default=MEASURE_S)
    given = parser.parse_args(argv)
    if os.cpu_count() == 1:
        parser.error("one core is for the bot, and another for those who phone it")
    os.sched_setaffinity(0, {BENCH_CORE})
    print(HEAD, flush=True)
    breaches: list[str] = []
    unanswered = 0
    for calls in given.calls or CALLS:
        found = asyncio.run(load(calls, given.seconds))
        print(row(found), flush=True)
        breaches += found.breaches
        unanswered += found.unanswered
    for breach in sorted(set(breaches)):
        print(f"BREACH {breach} ({breaches.count(breach)} times)")
    return 1 if breaches or unanswered else 0
