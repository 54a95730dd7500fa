"""A process that tells what lives in it; what it runs knows nothing of it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bot.lab.probed import PROBED

LOOP = """
import asyncio
from sqlalchemy.pool import QueuePool
from bot.lab import probed

class Kept:
    pass

class Connection:
    def rollback(self):
        pass

    close = rollback

async def wait_for_ever():
    await asyncio.Event().wait()

async def main():
    waiting = [asyncio.create_task(wait_for_ever()) for _ in range(3)]
    kept = [Kept() for _ in range(20_000)]
    pool = QueuePool(Connection, pool_size=1)
    given = [pool.connect() for _ in range(3)]
    given.pop().close()
    given.pop().close()  # for which the pool has no place
    for each in [Kept() for _ in range(20_000)]:
        each.itself = each
    print("ready", flush=True)
    while True:
        await asyncio.sleep(0.02)

probed.start()
asyncio.run(main())
"""


class Process:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin and process.stderr
        self._in, self._err = process.stdin, process.stderr
        self.ended = process.wait
        self.close = process.stdin.close

    async def asked(self, order: str) -> dict[str, Any]:
        self._in.write(order.encode() + b"\n")
        async with asyncio.timeout(20):
            line = (await self._err.readline()).decode()
        assert line.startswith(PROBED)
        found: dict[str, Any] = json.loads(line.removeprefix(PROBED))
        return found


@asynccontextmanager
async def process() -> AsyncIterator[Process]:
    pipe = asyncio.subprocess.PIPE
    found = await asyncio.create_subprocess_exec(sys.executable, "-c", LOOP, stdin=pipe, stdout=pipe, stderr=pipe)
    assert found.stdout
    assert await found.stdout.readline()
    try:
        yield Process(found)
    finally:
        if found.returncode is None:
            found.kill()
        await found.communicate()


async def test_tasks_are_counted_by_name() -> None:
    async with process() as probed:
        told = await probed.asked("count")
    assert told["tasks"] == {"main": 1, "wait_for_ever": 3}


async def test_what_is_garbage_is_collected_and_what_is_kept_is_counted_by_type() -> None:
    async with process() as probed:
        told = await probed.asked("collect")
        assert told["types"]["__main__.Kept"] == 20_001  # the last of the loop has still its name
        assert (await probed.asked("count"))["objects"] >= 20_000


async def test_connections_in_pools_are_counted() -> None:
    async with process() as probed:
        told = await probed.asked("count")
    assert (told["pooled"], told["given"]) == (2, 1)


async def test_it_does_not_outlive_whoever_started_it() -> None:
    async with process() as probed:
        probed.close()
        async with asyncio.timeout(20):
            assert await probed.ended() == 1
