"""bot/diary/outbox.py on both databases: who may do a job, how a try ends, and two days in an instant."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, func, insert, select

from bot.diary.outbox import LEASE_S, TRIES, Job, Outbox, backoff_s, enqueue
from bot.diary.schema import jobs, schedules
from bot.diary.store import Store
from bot.errors import LeaseLost
from tests.diary.conftest import Clock, OpenStore

KIND = "letter"


async def finished(outbox: Outbox, job: Job) -> None:
    async with outbox.finish(job):
        pass


END_OF_A_TRY: dict[str, Callable[[Outbox, Job], Awaitable[object]]] = {
    "renewal": lambda outbox, job: outbox.renew(job),
    "failure": lambda outbox, job: outbox.failed(job, "too late"),
    "putting off": lambda outbox, job: outbox.later(job, 5),
    "finish": finished,
}


async def asked_for(store: Store, *keys: str, kind: str = KIND, at: datetime | None = None, **args: str) -> None:
    async with store.database.write() as connection:
        for key in keys:
            await enqueue(store.database, connection, kind, key, args, now=at or store.clock())


async def row(store: Store, key: str = "a") -> Any:
    async with store.database.read() as connection:
        return (await connection.execute(select(jobs).where(jobs.c.key == key))).one()


async def the_one(outbox: Outbox, kind: str = KIND) -> Job:
    (job,) = await outbox.claim([kind], 4)
    return job


# Asking and claiming


async def test_a_job_is_there_with_the_fact_or_not_at_all(store: Store) -> None:
    class Broken(Exception):
        pass

    with pytest.raises(Broken):
        async with store.database.write() as connection:
            await enqueue(store.database, connection, KIND, "a", {}, now=store.clock())
            raise Broken
    assert await store.outbox.claim([KIND], 4) == []


async def test_a_key_is_asked_for_once_even_when_it_is_done(store: Store) -> None:
    await asked_for(store, "a", "a", call="CA1")
    job = await the_one(store.outbox)
    assert (job.key, job.args, job.attempt, job.is_last_try) == ("a", {"call": "CA1"}, 1, False)
    await finished(store.outbox, job)
    await asked_for(store, "a", call="CA2")
    assert await store.outbox.claim([KIND], 4) == []


async def test_only_known_kinds_that_are_due_are_claimed_longest_due_first(store: Store, clock: Clock) -> None:
    await asked_for(store, "of-a-newer-release", kind="newer")
    await asked_for(store, "tomorrow", at=clock() + timedelta(days=1))
    await asked_for(store, "second")
    await asked_for(store, "first", at=clock() - timedelta(seconds=1))
    assert [job.key for job in await store.outbox.claim([KIND], 4)] == ["first", "second"]
    clock.forward(days=1)
    assert "tomorrow" in [job.key for job in await store.outbox.claim([KIND], 4)]
    assert (await row(store, "of-a-newer-release")).state == "ready"
    assert await store.outbox.claim([], 4) == []


async def test_claims_at_one_time_never_take_more_than_asked_for_nor_one_twice(open_store: OpenStore) -> None:
    stores = [await open_store() for _ in range(3)]
    await asked_for(stores[0], *(f"{number:02}" for number in range(40)))
    taken: Counter[str] = Counter()
    while sum(taken.values()) < 40:
        for claimed in await asyncio.gather(*(store.outbox.claim([KIND], 3) for store in stores)):
            assert len(claimed) <= 3
            taken.update(job.key for job in claimed)
    assert set(taken.values()) == {1}
    assert len(taken) == 40


# The lease and the fence


async def test_nobody_else_has_a_job_until_its_lease_ends(open_store: OpenStore, clock: Clock) -> None:
    mine, other = (await open_store()).outbox, await open_store()
    await asked_for(other, "a")
    job = await the_one(mine)
    clock.forward(seconds=LEASE_S / 4)
    await mine.renew(job)
    clock.forward(seconds=LEASE_S - 0.001)
    assert await other.outbox.claim([KIND], 4) == []
    clock.forward(seconds=0.001)
    again = await the_one(other.outbox)
    assert (again.attempt, again.token) == (2, job.token + 1)


@pytest.mark.parametrize("way", END_OF_A_TRY)
async def test_who_was_overtaken_can_change_nothing(way: str, open_store: OpenStore, clock: Clock) -> None:
    mine, other = (await open_store()).outbox, await open_store()
    await asked_for(other, "a")
    job = await the_one(mine)
    clock.forward(seconds=LEASE_S)
    newer = await the_one(other.outbox)
    before = await row(other)
    with pytest.raises(LeaseLost):
        await END_OF_A_TRY[way](mine, job)
    await mine.hand_back([job])
    assert await row(other) == before
    await finished(other.outbox, newer)
    with pytest.raises(LeaseLost):
        await END_OF_A_TRY[way](mine, job)
    assert (await row(other)).state == "done"


@pytest.mark.parametrize("way", ["fenced", "finish"])
async def test_who_was_overtaken_writes_no_results(way: str, open_store: OpenStore, clock: Clock) -> None:
    mine, other = await open_store(), await open_store()
    await asked_for(other, "a")
    job = await the_one(mine.outbox)
    clock.forward(seconds=LEASE_S)
    await the_one(other.outbox)
    with pytest.raises(LeaseLost):
        async with getattr(mine.outbox, way)(job) as connection:
            await enqueue(mine.database, connection, KIND, "result", {}, now=clock())
    assert [job.key for job in await other.outbox.claim([KIND], 4)] == []


@pytest.mark.parametrize("way", END_OF_A_TRY)
async def test_whose_job_was_removed_does_not_take_another_one_for_it(way: str, store: Store) -> None:
    await asked_for(store, "a")
    gone = await the_one(store.outbox)
    async with store.database.write() as connection:
        await connection.execute(delete(jobs))
    await asked_for(store, "b")
    await the_one(store.outbox)
    before = await row(store, "b")
    with pytest.raises(LeaseLost):
        await END_OF_A_TRY[way](store.outbox, gone)
    await store.outbox.hand_back([gone])
    assert await row(store, "b") == before


async def test_nobody_claims_a_job_between_the_check_of_its_token_and_the_end_of_the_transaction(
    open_store: OpenStore, clock: Clock
) -> None:
    mine, other = await open_store(), await open_store()
    await asked_for(other, "a")
    job = await the_one(mine.outbox)
    clock.forward(seconds=LEASE_S)
    async with mine.outbox.finish(job):
        claiming = asyncio.create_task(other.outbox.claim([KIND], 4))
        await asyncio.sleep(0.1)
    assert await claiming == []
    assert (await row(other)).state == "done"


async def test_results_and_the_end_of_a_job_are_written_together_or_not_at_all(store: Store) -> None:
    await asked_for(store, "a")
    job = await the_one(store.outbox)
    with pytest.raises(ZeroDivisionError):
        async with store.outbox.finish(job) as connection:
            await enqueue(store.database, connection, KIND, "result", {}, now=store.clock())
            raise ZeroDivisionError
    assert (await row(store)).state == "run"
    async with store.outbox.finish(job) as connection:
        await enqueue(store.database, connection, KIND, "result", {}, now=store.clock())
    assert [job.key for job in await store.outbox.claim([KIND], 4)] == ["result"]


# How a try ends


async def test_a_failed_try_is_told_again_later_and_the_last_one_is_loud(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await asked_for(store, "ring:+821012345678", text="말")
    for attempt in range(1, TRIES + 1):
        job = await the_one(store.outbox)
        assert (job.attempt, job.is_last_try) == (attempt, attempt == TRIES)
        caplog.clear()
        await store.outbox.failed(job, "the model is away")
        wait_s = 2**attempt
        clock.forward(seconds=wait_s * 0.49)
        assert await store.outbox.claim([KIND], 4) == []
        clock.forward(seconds=wait_s * 1.02)
    dead = await row(store, "ring:+821012345678")
    assert (dead.state, dead.attempt, dead.error) == ("dead", TRIES, "the model is away")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert KIND in caplog.text and "the model is away" in caplog.text
    assert "+82" not in caplog.text and "말" not in caplog.text
    clock.forward(days=30)
    assert await store.outbox.claim([KIND], 4) == []


@given(st.integers(1, 40), st.floats(0, 1))
def test_the_wait_doubles_to_a_quarter_of_an_hour_half_less_or_more(attempt: int, chance: float) -> None:
    wait_s, middle_s = backoff_s(attempt, chance), min(900, 2**attempt)
    assert 0.5 * middle_s <= wait_s <= 1.5 * middle_s


async def test_the_wait_is_parted_by_chance(store: Store, clock: Clock) -> None:
    for chance, wait_s in ((0.0, 1.0), (1.0, 3.0)):
        outbox = Outbox(store.database, clock=clock, chance=lambda chance=chance: chance)
        await asked_for(store, f"{chance}")
        await outbox.failed(await the_one(outbox), "no")
        assert (await row(store, f"{chance}")).run_at == clock() + timedelta(seconds=wait_s)


async def test_what_is_put_off_or_given_back_was_no_try(store: Store, clock: Clock) -> None:
    await asked_for(store, "a")
    await store.outbox.later(await the_one(store.outbox), 5)
    assert await store.outbox.claim([KIND], 4) == []
    clock.forward(seconds=5)
    await store.outbox.hand_back([await the_one(store.outbox)])
    assert (await the_one(store.outbox)).attempt == 1


async def test_an_error_longer_than_its_column_is_cut(store: Store) -> None:
    await asked_for(store, "a")
    await store.outbox.failed(await the_one(store.outbox), "x" * 1000)
    assert len((await row(store)).error) == 200


async def test_a_job_whose_arguments_are_damaged_is_dead_and_others_are_not(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await asked_for(store, "b")
    values: Mapping[str, Any] = {
        "kind": KIND, "key": "a", "args": "{비밀", "state": "ready", "run_at": store.clock() - timedelta(hours=1),
        "attempt": 0, "token": 0, "made_at": store.clock(),
    }  # fmt: skip
    async with store.database.write() as connection:
        await connection.execute(insert(jobs).values(values))
    assert [job.key for job in await store.outbox.claim([KIND], 4)] == ["b"]
    assert (await row(store)).state == "dead"
    assert "damaged" in caplog.text and "비밀" not in caplog.text


# A job that ends its process


async def test_a_job_whose_process_ends_in_every_try_is_dead_and_loud(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await asked_for(store, "a")
    for attempt in range(1, TRIES + 1):
        assert (await the_one(store.outbox)).attempt == attempt
        clock.forward(seconds=LEASE_S)
    assert await store.outbox.claim([KIND], 4) == []
    assert (await row(store)).state == "dead"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_job_that_processes_ended_with_is_run_alone(store: Store, clock: Clock) -> None:
    outbox = store.outbox
    await asked_for(store, "poison", "victim")
    for _ in range(2):
        assert len(await outbox.claim([KIND], 4)) == 2
        clock.forward(seconds=LEASE_S)
    await asked_for(store, "new")
    # As long as something runs, nothing more is begun, so that its turn comes.
    assert await outbox.claim([KIND], 4, idle=False) == []
    first = await the_one(outbox)
    second = await the_one(outbox)
    assert {first.key, second.key} == {"poison", "victim"}
    assert first.is_suspect and second.is_suspect
    last = await the_one(outbox)
    assert (last.key, last.is_suspect) == ("new", False)


# Two days


async def next_due(store: Store) -> datetime:
    """When something is to be done again."""
    async with store.database.read() as connection:
        job_at = await connection.scalar(select(func.min(jobs.c.run_at)).where(jobs.c.state == "ready"))
        schedule_at = await connection.scalar(select(func.min(schedules.c.next_at)))
    return min(moment for moment in (job_at, schedule_at) if moment is not None)


async def test_two_days_of_failures_and_schedules_pass_in_an_instant(store: Store, clock: Clock) -> None:
    begun, end = clock(), clock() + timedelta(days=2)
    outbox = Outbox(store.database, clock=clock, chance=lambda: 0.5)
    await outbox.schedule("morning", "ring", {}, hhmm="09:00", tz="Asia/Seoul", grace_s=600)
    await asked_for(store, "never works", "works at last")
    log: dict[str, list[float]] = {}
    real_s = time.perf_counter()
    while (due := await next_due(store)) < end:
        clock.now = max(clock(), due)
        await outbox.run_due_schedules()
        for job in await outbox.claim([KIND, "ring"], 4):
            log.setdefault(job.key, []).append((clock() - begun).total_seconds())
            if job.kind == "ring" or (job.key == "works at last" and job.attempt == 5):
                await finished(outbox, job)
            else:
                await outbox.failed(job, "no")
    assert log == {
        "never works": [0, 2, 6, 14, 30, 62, 126, 254],
        "works at last": [0, 2, 6, 14, 30],
        "morning:2026-11-22": [12 * 3600],
        "morning:2026-11-23": [36 * 3600],
    }
    assert time.perf_counter() - real_s < 10
