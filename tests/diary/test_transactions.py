"""Transactions on PostgreSQL: cut off, in each other's way, or many at once."""

import asyncio
import time
from contextlib import suppress

import pytest
from sqlalchemy import insert, select, text, update

from bot.diary import migrate
from bot.diary.database import Database
from bot.diary.revision import is_current
from bot.diary.schema import callers, calls
from bot.diary.store import Store
from bot.errors import StoreError
from bot.lab.postgres import PostgresLab
from tests.diary.conftest import OpenStore
from tests.diary.connections import database, fill_pool
from tests.diary.talks import NUMBER

pytestmark = pytest.mark.postgresql

SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active'"


async def test_a_statement_that_is_cancelled_leaves_the_pool_whole_and_the_server_idle(
    postgres_lab: PostgresLab, store: Store
) -> None:
    await store.call_arrived("CA1", NUMBER)

    async def hold() -> None:
        async with store.database.write() as connection:
            await connection.execute(update(calls).values(why="held"))
            await connection.execute(text("SELECT pg_sleep(4)"))

    tasks = [asyncio.create_task(hold()) for _ in range(3)]
    await asyncio.sleep(0.3)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    began = time.monotonic()
    assert await store.media_token("CA1")
    assert time.monotonic() - began < 1.0
    await fill_pool(store.database)
    assert postgres_lab.sql(f"{SLEEPING} AND pid <> pg_backend_pid()") == "0"


async def test_cancelled_at_any_point_a_write_is_whole_or_not_at_all(store: Store) -> None:
    for n in range(40):
        task = asyncio.create_task(store.call_arrived(f"CA{n}", f"+8210{n:08}"))
        await asyncio.sleep(n * 0.0005)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await fill_pool(store.database)
    assert (await store.call_arrived("CA-last", NUMBER)).stream == 1
    async with store.database.read() as connection:
        of_calls = (await connection.scalars(select(calls.c.caller_id).order_by(calls.c.caller_id))).all()
        made = (await connection.scalars(select(callers.c.id).order_by(callers.c.id))).all()
    assert of_calls == made, "a call and its caller are kept together, or neither is"


async def test_two_that_wait_for_each_other_end_in_one_store_error(store: Store) -> None:
    for call_sid in ("CA1", "CA2"):
        await store.call_arrived(call_sid, NUMBER)
    both = asyncio.Barrier(2)

    async def change(first: str, second: str) -> None:
        async with store.database.write() as connection:
            for call_sid in (first, second):
                await connection.execute(update(calls).where(calls.c.call_sid == call_sid).values(why=first))
                if call_sid == first:
                    await both.wait()

    ends = await asyncio.gather(change("CA1", "CA2"), change("CA2", "CA1"), return_exceptions=True)
    told = [end for end in ends if end is not None]
    assert len(told) == 1 and isinstance(told[0], StoreError) and "DeadlockDetectedError" in str(told[0])


async def test_an_error_names_itself_and_no_value(store: Store) -> None:
    row = {"number_hash": b"hash-of-a-number", "number_sealed": b"sealed", "first_call_at": None}
    with pytest.raises(StoreError) as failed:
        async with store.database.write() as connection:
            await connection.execute(insert(callers).values(row))
    assert str(failed.value) == "the diary's database failed: NotNullViolationError"


async def test_a_reader_sees_one_state_and_writes_nothing(store: Store) -> None:
    await store.call_arrived("CA1", NUMBER)
    count = text("SELECT count(*) FROM calls")
    async with store.database.read() as connection:
        assert (await connection.execute(count)).scalar() == 1
        await store.call_arrived("CA2", NUMBER)
        assert (await connection.execute(count)).scalar() == 1
    with pytest.raises(StoreError, match="ReadOnlySQLTransactionError"):
        async with store.database.read() as connection:
            await connection.execute(update(calls).values(why="read"))
    async with store.database.write() as connection:
        assert (await connection.execute(count)).scalar() == 2


async def test_many_writers_of_many_processes_lose_nothing(open_store: OpenStore) -> None:
    stores = [await open_store() for _ in range(4)]
    arrived = await asyncio.gather(*(stores[n % 4].call_arrived(f"CA{n // 4}", f"+8210{n % 5:08}") for n in range(200)))
    assert all(arrival.stream == 1 for arrival in arrived)
    async with stores[0].database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM calls"))).scalar() == 50
        assert (await connection.execute(text("SELECT count(*) FROM callers"))).scalar() == 5


async def test_a_migration_waits_longer_than_a_statement(
    postgres_lab: PostgresLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database.__init__, "__kwdefaults__", {"statement_s": 0.2})
    empty = postgres_lab.new_database()
    async with database(empty) as first:
        async with first.write() as connection:
            await first.lock_schema(connection)
            waiting = asyncio.create_task(migrate.upgrade(empty))
            await asyncio.sleep(0.6)
            assert not waiting.done()
        await waiting
        assert await is_current(first)
