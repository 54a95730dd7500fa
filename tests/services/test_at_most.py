"""bot/services/at_most.py: limits of which the time does not count that the process stood still."""

import asyncio
import threading
import time

import pytest

from bot.services.at_most import STEP_S, AtMost
from tests.virtual_time import in_virtual_time


async def test_what_came_while_the_process_stood_still_is_in_time() -> None:
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    sender = threading.Timer(0.2, loop.call_soon_threadsafe, (came.set,))
    async with AtMost(0.3):
        sender.start()
        loop.call_later(0.05, time.sleep, 0.6)
        await came.wait()


@in_virtual_time
async def test_a_limit_is_kept_to_and_counts_only_what_is_waited_inside_of_it() -> None:
    loop = asyncio.get_running_loop()
    limit, began_s = AtMost(1.0), loop.time()
    for _ in range(3):
        async with limit:
            await asyncio.sleep(0.25)
        await asyncio.sleep(5)
    with pytest.raises(TimeoutError):
        async with limit:
            await asyncio.Event().wait()
    assert loop.time() - began_s == pytest.approx(16, abs=2 * STEP_S)


@in_virtual_time
async def test_without_a_limit_it_may_take_as_long_as_it_likes() -> None:
    async with AtMost(None):
        await asyncio.sleep(10_000)


async def test_an_error_and_a_cancellation_go_on_as_they_are() -> None:
    with pytest.raises(KeyError):
        async with AtMost(1.0):
            raise KeyError
    waiting = asyncio.create_task(_forever())
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def _forever() -> None:
    async with AtMost(60.0):
        await asyncio.Event().wait()
