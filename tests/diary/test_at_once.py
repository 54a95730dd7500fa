"""All that writes to a diary, at once and in three processes: nobody waits for another in a circle."""

import asyncio

import pytest
from sqlalchemy import select

from bot.conversation.commands import Mood, Status
from bot.diary import rotation
from bot.diary.after_call import call_after
from bot.diary.crypto import Keys
from bot.diary.schema import calls
from bot.diary.store import Store
from tests.diary.talks import BOTH_SECRETS, NEWER_SECRET, let_in, told

CALLS = 6


async def go_on_talking(store: Store, call_sid: str) -> None:
    call = store.owned(call_sid, 1)
    for turn in range(2, 9):
        await call.add_said(turn, "걸었어요", 0, 1)
        await call.keep_stage("{}")
        await call.renew()
        await call.save_entry("하루", "걸었다.", Mood.CALM, Status.DRAFT)
        if turn % 4 == 0:
            await call.forget_turn(turn)
    await call.ended("goodbye")


async def forget(store: Store, call_sid: str, *, whole_day: bool) -> None:
    call = store.owned(call_sid, 1)
    for _ in range(3):
        await call.forget_so_far(whole_day=whole_day)
    await store.call_ended(call_sid, "completed")


async def ring(store: Store, name: str) -> None:
    for n in range(3):
        call = await let_in(store, f"{name}{n}")
        await call.add_said(0, "쉬었어요", 0, 1)
        await store.recording_made(f"{name}{n}", f"RE{name}{n}")
        await store.close_lapsed()


async def work(store: Store) -> None:
    for _ in range(10):
        for job in await store.outbox.claim(["entry", "recording"], 3):
            async with store.outbox.finish(job) as connection:
                await call_after(connection, store.keys, job.args["call_sid"])
        await asyncio.sleep(0.02)


async def test_nobody_waits_for_another_in_a_circle(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "BATCH_ROWS", 3)
    before = await open_store()
    await told(before, "of nobody", "쉬었어요", number=None)
    for n in range(CALLS):
        await told(before, f"CA{n}", "걸었어요", "먹었어요")
    stores = [await open_store(Keys.parse(BOTH_SECRETS)) for _ in range(3)]
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for n in range(CALLS):
            tasks.create_task(go_on_talking(stores[n % 3], f"CA{n}"))
            tasks.create_task(forget(stores[(n + 1) % 3], f"CA{n}", whole_day=n == CALLS - 1))
        for n, store in enumerate(stores):
            tasks.create_task(ring(store, "ABC"[n]))
            tasks.create_task(work(store))
            tasks.create_task(store.rotate())
    rotated = await open_store(Keys.parse(NEWER_SECRET))
    assert await rotated.said("of nobody") == ["쉬었어요"]
    assert await rotated.entries() == await stores[0].entries()
    for n in range(CALLS):
        assert await rotated.is_ended(f"CA{n}")


@pytest.mark.parametrize("is_long", [False, True])
async def test_who_is_cancelled_in_the_middle_of_a_query_holds_nobody_up(store: Store, is_long: bool) -> None:
    call = await told(store, "CA1", "걸었어요")

    async def look_for_ever() -> None:
        async with store.database.write(is_long=is_long) as connection:
            while True:
                await connection.execute(select(calls))
                await asyncio.sleep(0)  # a short transaction of SQLite lets nobody in by itself

    for turn in range(1, 11):
        cut_off = asyncio.create_task(look_for_ever())
        await asyncio.sleep(0.02)
        cut_off.cancel()
        await asyncio.wait({cut_off})
        assert cut_off.cancelled()
        async with asyncio.timeout(2):
            await call.add_said(turn, f"{turn}", 0, 1)
    assert await store.said("CA1") == ["걸었어요", *(f"{turn}" for turn in range(1, 11))]
