"""bot/doors/partings.py: who is waited for, how long, and when nobody is."""

import asyncio

from bot.doors.partings import AGAIN_S, WAIT_S, Partings
from bot.errors import StoreError
from tests.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_parting_is_ended_after_its_time() -> None:
    ended: list[float] = []
    now = asyncio.get_running_loop().time

    async def end() -> None:
        ended.append(now())

    async with asyncio.TaskGroup() as tasks:
        partings, began = Partings(tasks, lambda work: work), now()
        partings.begin(end)
        await asyncio.sleep(WAIT_S - 0.1)
        assert ended == [] and len(partings) == 1
    assert ended == [began + WAIT_S] and not len(partings)


@in_virtual_time
async def test_while_the_diary_is_away_it_is_tried_again() -> None:
    tries = 0

    async def end() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise StoreError("away")

    began = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as tasks:
        Partings(tasks, lambda work: work).begin(end)
    assert tries == 3
    assert asyncio.get_running_loop().time() == began + WAIT_S + 2 * AGAIN_S


@in_virtual_time
async def test_a_process_that_goes_away_waits_for_nobody() -> None:
    async def end() -> None:
        raise AssertionError("nobody is ended")

    async with asyncio.TaskGroup() as tasks:
        partings = Partings(tasks, lambda work: work)
        partings.begin(end)
        await asyncio.sleep(1)
        partings.cancel()
        partings.begin(end)
        assert len(partings) == 1
    assert not len(partings)
