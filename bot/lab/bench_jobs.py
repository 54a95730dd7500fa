"""How fast a streaming job goes, and what it costs: the wired bot, fed by the command `stream` as fast as it takes it.

Made-up speech (utterances of the fixtures, one after the other) in a WAV file; the bot, the recogniser's stand-in and
the command are a process each. It prints how much faster than real time it went (the bot sends its recogniser 20 s of
sound a second, and no more), what the bot alone needs of a core, the memory of the bot and of the command over the
time, how late the bot's event loop is meanwhile, and whether every word came, in order.
"""

import argparse
import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from subprocess import PIPE

import numpy as np

from bot.audio import mulaw
from bot.audio.resample import Resampler
from bot.lab.matching import FIXTURES
from bot.lab.rtzr import CLIENT_ID, CLIENT_SECRET
from bot.lab.stage import start_bot
from bot.lab.timed import LATENESS, noted

LEAD_MS, TRAIL_MS = 300, 900
SHORTEST_MS = 2500
PROBE_S = 0.1
QUIET_S, SETTLED_S = 4.0, 1.0
SPEED_LEAST = 8.0
GROWTH_MOST_MIB = 20.0
LATER_P95_MOST_MS = 20.0
"""Later than before the job began: so the machine's own load is left out."""
WARM_SHARE = 0.2
"""What is taken in the first part of the time is no growth: it is what a first job needs once."""
ROWS = 6


@dataclass(frozen=True, slots=True)
class Run:
    """What the command did, and how long it took to the last segment, and to the end."""

    status: int
    heard: list[str]
    memory: list[tuple[float, float, float]]
    """When, by `time.monotonic`, and the memory of the bot and of the command."""
    bot_cpu_s: float
    duration_s: float
    heard_s: float
    all_s: float


def speech(path: Path, minutes: float) -> list[str]:
    """Write so much speech, at 16 kHz; gives its texts in order."""
    known = json.loads((FIXTURES / "utterances.json").read_text("utf-8"))
    long = [each for each in known if each["words"][-1]["end_ms"] >= SHORTEST_MS]
    texts: list[str] = []
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        while file.getnframes() < minutes * 60 * 16000:
            each = long[len(texts) % len(long)]
            resampler = Resampler(8000, 16000)
            coded = (FIXTURES / "utterances" / f"{each['name']}.ulaw").read_bytes()
            pcm = resampler.push(mulaw.decode(coded)) + resampler.flush()
            file.writeframes(bytes(LEAD_MS * 32) + pcm + bytes(TRAIL_MS * 32))
            texts.append(each["text"])
    return texts


@asynccontextmanager
async def _recogniser() -> AsyncIterator[str]:
    """The stand-in in a process of its own; its address."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bot.lab.bench_jobs", stdin=PIPE, stdout=PIPE)
    assert process.stdin and process.stdout
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()  # it ends with its input
        await process.wait()


async def _serve_recogniser() -> None:
    from bot.lab.rtzr import RtzrLab  # noqa: PLC0415

    async with RtzrLab() as lab:
        print(lab.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def _watch(bot: int, command: int, memory: list[tuple[float, float, float]]) -> None:
    """Note the memory again and again."""
    while True:
        memory.append((time.monotonic(), resident_mib(bot), resident_mib(command)))
        await asyncio.sleep(PROBE_S)


async def bench(minutes: float) -> int:
    """Run and print; returns the exit status."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = await asyncio.to_thread(speech, folder / "speech.wav", minutes)
        key = secrets.token_urlsafe(32)
        kept = {each: os.environ[each] for each in ("PATH", "HOME", "LANG", "PYTHONPATH") if each in os.environ}
        async with _recogniser() as rtzr_url:
            settings = {
                "PORT": "0",
                "RTZR_CLIENT_ID": CLIENT_ID,
                "RTZR_CLIENT_SECRET": CLIENT_SECRET,
                "RTZR_API_URL": rtzr_url,
                "DATABASE_URL": f"sqlite:///{folder / 'diary.db'}",
                "TTS": "espeak",
                "STREAM_KEYS": key,
                LATENESS: str(folder / "lateness"),
            }
            bot = await start_bot(kept | settings, "bot.lab.timed")
            following = asyncio.create_task(bot.follow(None))
            try:
                await asyncio.sleep(QUIET_S)
                run = await _stream(folder / "speech.wav", f"http://127.0.0.1:{bot.port}", key, bot.process.pid)
            finally:
                await bot.stop()
                await following
        return _print(run, texts, noted(folder / "lateness"))


async def _stream(path: Path, url: str, key: str, bot: int) -> Run:
    memory, heard = list[tuple[float, float, float]](), list[str]()
    began_s, began_cpu_s = time.monotonic(), cpu_s(bot)
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "stream", str(path), "--url", url, "--fast", "--json"),
        env={**os.environ, "STREAM_KEY": key},
        stdout=PIPE,
        limit=1 << 24,
    )
    assert command.stdout
    watching = asyncio.create_task(_watch(bot, command.pid, memory))
    duration_s, last_s = 0.0, began_s
    async for line in command.stdout:
        message = json.loads(line)
        if message["type"] == "transcript_segment":
            heard.append(message["text"])
            last_s = time.monotonic()
        elif message["type"] == "ended":
            duration_s = message["duration"]
        else:
            print(line.decode().rstrip())
    watching.cancel()
    status = await command.wait()
    used_s = cpu_s(bot) - began_cpu_s
    return Run(status, heard, memory, used_s, duration_s, last_s - began_s, time.monotonic() - began_s)


def _print(run: Run, texts: list[str], late: list[tuple[float, float]]) -> int:
    if not run.heard or not run.duration_s:
        print("streaming jobs: nothing was heard")
        return 1
    said, words = " ".join(texts).split(), " ".join(run.heard).split()
    right = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(said, words, strict=False)))
    bots = [mib for _, mib, _ in run.memory]
    begin = int(len(bots) * WARM_SHARE)
    growth = max(bots[begin:]) - bots[begin]
    began_s, ended_s = run.memory[0][0], run.memory[-1][0]
    quiet, busy = (
        np.percentile([late_s * 1000 for at_s, late_s in late if from_s <= at_s < to_s], [50, 95, 99, 100])
        for from_s, to_s in ((began_s - QUIET_S + SETTLED_S, began_s), (began_s, ended_s))
    )
    told = "p50 {:.1f}, p95 {:.1f}, p99 {:.1f}, most {:.1f} ms"
    speed = run.duration_s / run.heard_s
    rows = [
        (
            "speed, to the last segment",
            f"{speed:.1f} x real time ({run.heard_s:.1f} s; with the summary {run.all_s:.1f} s)",
            speed >= SPEED_LEAST,
        ),
        (
            "the bot's share of a core, per second of sound",
            f"{run.bot_cpu_s / run.duration_s * 1000:.1f} ms ({run.bot_cpu_s:.1f} s in all)",
            True,
        ),
        (
            "memory of the bot that came on the way",
            f"{growth:.1f} MiB, at most {max(bots):.0f} MiB",
            growth <= GROWTH_MOST_MIB,
        ),
        ("the loop is late, with nothing to do", told.format(*quiet), True),
        ("the loop is late, meanwhile", told.format(*busy), busy[1] <= quiet[1] + LATER_P95_MOST_MS),
        ("words, in order", f"{right} of {len(said)}; {len(run.heard)} segments", right == len(said) == len(words)),
        ("exit status of the command", str(run.status), run.status == 0),
    ]
    print(f"streaming jobs: {run.duration_s / 60:.1f} minutes of speech, one job, as fast as the bot takes it")
    for what, found, fine in rows:
        print(f"{what:<46} {found}{'' if fine else '   MISSED'}")
    print("\n     s   bot MiB   command MiB")
    for at in np.linspace(0, len(run.memory) - 1, ROWS, dtype=int):
        at_s, bot, command = run.memory[at]
        print(f"{at_s - began_s:6.0f} {bot:9.0f} {command:13.0f}")
    return 0 if all(fine for _, _, fine in rows) else 1


def resident_mib(pid: int) -> float:
    """The memory of a process; 0 when it has ended. Source: proc(5)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_s(pid: int) -> float:
    """The time that a process has had of the cores. Source: proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(arguments: list[str]) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bot bench jobs", description="A streaming job, as fast as it goes."
    )
    parser.add_argument("--minutes", type=float, default=60, metavar="N", help="so much speech (60)")
    given = parser.parse_args(arguments)
    if not 0 < given.minutes <= 350:
        parser.error("a job takes up to six hours of sound")
    return asyncio.run(bench(given.minutes))


if __name__ == "__main__":
    asyncio.run(_serve_recogniser())
