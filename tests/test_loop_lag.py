"""bot/loop_lag.py: every wake is told once, and a stall is told for as long as it lasted."""

import asyncio
import time

from bot import loop_lag

EVERY_MS = 50


def stand_still(seconds: float) -> None:
    time.sleep(seconds)


async def told_while(stall_s: float, wakes: int) -> list[float]:
    """What is told, until there are so many, of a loop that stands still for so long after the third."""
    told: list[float] = []
    watching = asyncio.create_task(loop_lag.watch(EVERY_MS, told.append))
    async with asyncio.timeout(20):
        while len(told) < 3:
            await asyncio.sleep(0.005)
        stand_still(stall_s)
        while len(told) < wakes:
            await asyncio.sleep(0.005)
    watching.cancel()
    return told


async def test_all_wakes_that_were_due_in_a_stall_were_late() -> None:
    told = await told_while(0.6, 20)
    late = [ms for ms in told if ms > 75]
    assert len(late) >= 9
    assert max(late) >= 530
    assert min(told) >= 0.0


async def test_of_a_stall_for_ever_only_the_end_is_told(monkeypatch) -> None:
    monkeypatch.setattr(loop_lag, "LONGEST_S", 0.2)
    told = await told_while(1.5, 14)
    assert max(told) >= 1_400
    assert sum(ms > 600 for ms in told) == 1
