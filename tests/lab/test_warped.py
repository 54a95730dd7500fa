"""A process whose event loop is frozen and whose wall clock is moved from outside; what it runs knows nothing of it."""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

LOOP = """
import asyncio, sys, time
from datetime import UTC, datetime
from bot.lab.warped import Warp

async def beat():
    while True:
        loop_s = asyncio.get_running_loop().time()
        print(time.monotonic(), time.time(), datetime.now(UTC).timestamp(), loop_s, flush=True)
        await asyncio.sleep(0.02)

Warp().start()
LOOP_RUNS
"""
PLAIN, UVLOOP = "asyncio.run(beat())", "import uvloop; uvloop.run(beat())"
Beat = tuple[float, float, float, float]


class Process:
    """A process that tells its clocks 50 times a second."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin and process.stdout
        self._in, self._out = process.stdin, process.stdout
        self.ended = process.wait
        self.close = process.stdin.close

    def order(self, line: str) -> None:
        self._in.write(line.encode() + b"\n")

    async def beats(self, count: int) -> list[Beat]:
        async with asyncio.timeout(20):
            lines = [(await self._out.readline()).split() for _ in range(count)]
        return [(float(line[0]), float(line[1]), float(line[2]), float(line[3])) for line in lines]


@asynccontextmanager
async def process(loop: str) -> AsyncIterator[Process]:
    pipe = asyncio.subprocess.PIPE
    found = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOOP.replace("LOOP_RUNS", loop), stdin=pipe, stdout=pipe
    )
    try:
        yield Process(found)
    finally:
        if found.returncode is None:
            found.kill()
        await found.communicate()


@pytest.mark.parametrize("loop", [PLAIN, UVLOOP])
async def test_the_loop_stands_still_for_as_long_as_it_is_told(loop: str) -> None:
    async with process(loop) as warped:
        before = await warped.beats(3)
        warped.order("freeze 600")
        beats = before + await warped.beats(100)
    gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(beats)]
    assert max(gaps) >= 0.6


@pytest.mark.parametrize("loop", [PLAIN, UVLOOP])
@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_the_wall_clock_jumps_and_no_other(loop: str, seconds: int) -> None:
    async with process(loop) as warped:
        [before] = await warped.beats(1)
        warped.order(f"jump {seconds}")
        after = (await warped.beats(100))[-1]
    passed_s = after[0] - before[0]
    assert passed_s < 60
    assert after[1] - before[1] == pytest.approx(passed_s + seconds, abs=1)
    assert after[2] == pytest.approx(after[1], abs=1)
    assert after[3] - before[3] == pytest.approx(passed_s, abs=1)


async def test_jumps_add_up() -> None:
    async with process(PLAIN) as warped:
        [before] = await warped.beats(1)
        warped.order("jump 3600")
        warped.order("jump -7200")
        after = (await warped.beats(100))[-1]
    assert after[1] - before[1] - (after[0] - before[0]) == pytest.approx(-3600, abs=1)


async def test_it_does_not_outlive_whoever_started_it() -> None:
    async with process(PLAIN) as warped:
        await warped.beats(1)
        warped.close()
        async with asyncio.timeout(20):
            assert await warped.ended() == 1
