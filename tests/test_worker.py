"""bot/worker.py over a real outbox: what becomes of jobs whose handlers end in every way, and of the worker."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from sqlalchemy import select

from bot.diary.outbox import Job, Later, Outbox, enqueue
from bot.diary.schema import jobs
from bot.diary.store import Store
from bot.errors import ModelError, StoreError
from bot.worker import Worker
from tests.virtual_time import in_virtual_time

SECRET = "비밀이에요"
Asked = Callable[..., Awaitable[None]]


@pytest.fixture
def ask(store: Store) -> Asked:
    async def one(*keys: str, kind: str = "letter") -> None:
        async with store.database.write() as connection:
            for key in keys:
                await enqueue(store.database, connection, kind, key, {}, now=store.clock())

    return one


async def state(store: Store, key: str = "a") -> tuple[str, int, str | None]:
    async with store.database.read() as connection:
        query = select(jobs.c.state, jobs.c.attempt, jobs.c.error).where(jobs.c.key == key)
        return tuple((await connection.execute(query)).one())


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def at_work(worker: Worker) -> AsyncIterator[None]:
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(worker.run())
        yield
        await worker.stop()
        async with asyncio.timeout(5):
            await running


class Handlers:
    """Finishes jobs, after `before` if that is given; tells which."""

    def __init__(self, before: Callable[[Job], Awaitable[object]] | None = None) -> None:
        self.before = before
        self.begun: list[str] = []
        self.done: list[str] = []
        self.at_once = self.most_at_once = 0

    async def __call__(self, job: Job, outbox: Outbox) -> None:
        self.begun.append(job.key)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.before:
                await self.before(job)
            async with outbox.finish(job):
                pass
            self.done.append(job.key)
        finally:
            self.at_once -= 1

    async def all_done(self, count: int) -> None:
        async def enough() -> bool:
            return len(self.done) >= count

        await until(enough)


async def test_each_try_is_measured_and_its_end_is_seen(store: Store, ask: Asked) -> None:
    seen: list[tuple[str, int, str]] = []

    @contextmanager
    def measured(job: Job) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            seen.append((job.key, job.attempt, type(error).__name__))
            raise
        seen.append((job.key, job.attempt, "done"))

    async def late_once(job: Job) -> None:
        if len(seen) == 0:
            raise Later(0)

    await ask("a")
    handlers = Handlers(late_once)
    async with at_work(Worker(store.outbox, {"letter": handlers}, poll_s=0.02, measured=measured)):
        await handlers.all_done(1)
    assert seen == [("a", 1, "Later"), ("a", 1, "done")]


async def hang(_job: Job) -> None:
    await asyncio.sleep(3600)


def raising(error: Exception) -> Callable[[Job], Awaitable[object]]:
    async def fail(_job: Job) -> None:
        raise error

    return fail


async def test_what_is_asked_for_is_done_at_most_so_much_at_once(store: Store, ask: Asked) -> None:
    handler = Handlers(lambda job: asyncio.sleep(0.05))
    await ask(*map(str, range(9)))
    async with at_work(Worker(store.outbox, {"letter": handler}, slots=3)):
        await handler.all_done(9)
    assert sorted(handler.done) == sorted(handler.begun) == list(map(str, range(9)))
    assert handler.most_at_once == 3


async def test_a_kind_without_a_handler_is_left_alone(store: Store, ask: Asked) -> None:
    handler = Handlers()
    await ask("a", kind="newer")
    await ask("b")
    async with at_work(Worker(store.outbox, {"letter": handler})):
        await handler.all_done(1)
    assert await state(store) == ("ready", 0, None)


async def test_whoever_wakes_it_does_not_wait_for_the_poll(store: Store, ask: Asked) -> None:
    looks = 0

    class Counting(Outbox):
        async def claim(self, kinds: object, at_most: int, *, idle: bool = True) -> list[Job]:
            nonlocal looks
            claimed = await super().claim(kinds, at_most, idle=idle)  # type: ignore[arg-type]
            looks += 1
            return claimed

    handler = Handlers()
    worker = Worker(Counting(store.database, clock=store.clock), {"letter": handler}, poll_s=3600, chores_s=3600)
    async with at_work(worker):
        await until(lambda: asyncio.sleep(0, looks > 0))
        await ask("a")
        await asyncio.sleep(0.1)
        assert handler.begun == []
        worker.wake()
        await handler.all_done(1)
    assert handler.done == ["a"]


FAILURES = {
    "one of ours": (ModelError("no answer in time"), "ModelError: no answer in time"),
    "nobody foresaw": (ValueError(SECRET), "ValueError at test_worker.py"),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_handler_that_raises_has_failed(
    failure: str, store: Store, ask: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    error, told = FAILURES[failure]
    outbox = Outbox(store.database, clock=store.clock, chance=lambda: 0.5)
    await ask("a")
    async with at_work(Worker(outbox, {"letter": Handlers(raising(error))})):
        await until(lambda: is_in(store, "ready", attempt=1))
    _, _, kept = await state(store)
    assert kept is not None and kept.startswith(told)
    assert SECRET not in caplog.text and SECRET not in kept


async def is_in(store: Store, wanted: str, *, attempt: int) -> bool:
    found, tried, _ = await state(store)
    return (found, tried) == (wanted, attempt)


async def test_what_is_too_early_is_tried_again_and_was_no_try(store: Store, ask: Asked) -> None:
    early = [Later(0.1), Later(0.1)]

    async def before(job: Job) -> None:
        assert job.attempt == 1
        if early:
            raise early.pop()

    handler = Handlers(before)
    await ask("a")
    async with at_work(Worker(store.outbox, {"letter": handler}, poll_s=0.05)):
        await handler.all_done(1)
    assert handler.begun == ["a"] * 3


async def test_what_takes_longer_than_its_lease_is_renewed(store: Store, ask: Asked) -> None:
    outbox = Outbox(store.database, clock=store.clock, lease_s=1.0)
    handler = Handlers(lambda job: asyncio.sleep(2.5))
    await ask("a")
    async with at_work(Worker(outbox, {"letter": handler}, poll_s=0.1)):
        await handler.all_done(1)
    assert handler.begun == ["a"]


async def test_what_was_taken_over_is_dropped_quietly(
    store: Store, ask: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(store.database, clock=store.clock, lease_s=1.0)
    stolen = asyncio.Event()

    async def before(job: Job) -> None:
        async with store.database.write() as connection:
            taken = jobs.update().where(jobs.c.id == job.id).values(token=job.token + 1, run_at=store.clock())
            await connection.execute(taken.values(state="done"))
        try:
            await hang(job)
        finally:
            stolen.set()

    handler = Handlers(before)
    await ask("a")
    async with at_work(Worker(outbox, {"letter": handler}, poll_s=0.1)):
        async with asyncio.timeout(30):
            await stolen.wait()
    assert handler.done == []
    assert await state(store) == ("done", 1, None)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


class Away(Outbox):
    """An outbox whose database is away for a while."""

    failures = 0

    async def claim(self, kinds: object, at_most: int, *, idle: bool = True) -> list[Job]:
        if self.failures:
            self.failures -= 1
            raise StoreError("the diary's database cannot be reached") if self.failures else OSError(SECRET)
        return await super().claim(kinds, at_most, idle=idle)  # type: ignore[arg-type]

    async def failed(self, job: Job, error: str) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreError("the diary's database cannot be reached")
        await super().failed(job, error)


async def test_while_the_database_is_away_it_goes_on_asking(
    store: Store, ask: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Away(store.database, clock=store.clock)
    outbox.failures = 4
    handler = Handlers()
    await ask("a")
    async with at_work(Worker(outbox, {"letter": handler}, poll_s=0.02)):
        await handler.all_done(1)
    assert outbox.failures == 0
    assert SECRET not in caplog.text


@in_virtual_time
async def test_a_database_that_is_away_for_hours_does_not_end_it() -> None:
    loop = asyncio.get_running_loop()
    away_s = 6 * 3_600.0
    began, looks = loop.time(), list[float]()

    class NoDatabase:
        lease_s = 60.0

        async def run_due_schedules(self) -> None:
            looks.append(loop.time())
            if loop.time() - began < away_s:
                raise StoreError("the diary's database cannot be reached")

        async def claim(self, *_: object, idle: bool) -> list[Job]:
            return []

    worker = Worker(NoDatabase(), {"letter": Handlers()})  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.run())
        await asyncio.sleep(away_s + 60.0)
        await worker.stop()
    assert sum(look >= began + away_s for look in looks) > 10
    waits = [after - before for before, after in pairwise(looks)]
    assert max(waits) == 15.0


async def test_a_failure_is_told_when_the_database_is_back(
    store: Store, ask: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Away(store.database, clock=store.clock)

    async def before(job: Job) -> None:
        outbox.failures = 3
        raise ModelError("no answer in time")

    await ask("a")
    async with at_work(Worker(outbox, {"letter": Handlers(before)}, poll_s=0.02)):
        await until(lambda: is_in(store, "ready", attempt=1))
        assert await state(store) == ("ready", 1, "ModelError: no answer in time")
    assert "(letter) ended, which is not noted yet: StoreError" in caplog.text


async def test_chores_are_done_again_and_again_whatever_they_raise(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    tidied = 0

    async def tidy() -> int:
        nonlocal tidied
        tidied += 1
        return tidied

    chores = (raising_chore(StoreError("away")), raising_chore(ValueError(SECRET)), tidy)
    async with at_work(Worker(store.outbox, {}, chores=chores, chores_s=0.02)):
        await until(lambda: asyncio.sleep(0, tidied >= 3))
    assert "StoreError: away" in caplog.text
    assert SECRET not in caplog.text


def raising_chore(error: Exception) -> Callable[[], Awaitable[object]]:
    async def chore() -> None:
        raise error

    return chore


async def test_schedules_that_are_due_are_run(store: Store) -> None:
    handler = Handlers()
    await store.outbox.schedule("daily", "letter", {}, hhmm="00:00", tz="UTC", grace_s=3600)
    async with store.database.write() as connection:
        await connection.exec_driver_sql("UPDATE schedules SET next_at = '2026-01-01 00:00:00'")
    outbox = Outbox(store.database, clock=lambda: datetime(2026, 1, 1, 0, 30, tzinfo=UTC))
    async with at_work(Worker(outbox, {"letter": handler})):
        await handler.all_done(1)
    assert handler.done == ["daily:2026-01-01"]


async def test_a_suspect_runs_alone(store: Store, ask: Asked) -> None:
    beside: dict[str, int] = {}

    async def before(job: Job) -> None:
        for _ in range(20):
            beside[job.key] = max(beside.get(job.key, 0), handler.at_once)
            await asyncio.sleep(0.02)

    handler = Handlers(before)
    await ask(*"abcd")
    async with at_work(Worker(store.outbox, {"letter": handler}, slots=6, poll_s=0.05)):
        await until(lambda: asyncio.sleep(0, handler.at_once == 4))
        await ask(*"pqrs")
        async with store.database.write() as connection:
            suspects = jobs.update().where(jobs.c.key.in_(["q", "r"]))
            await connection.execute(suspects.values(state="run", attempt=2, run_at=store.clock()))
        await handler.all_done(8)
    assert {key for key, most in beside.items() if most == 1} == {"q", "r"}


# The end


async def test_what_ends_in_time_is_waited_for(store: Store, ask: Asked) -> None:
    handler = Handlers(lambda job: asyncio.sleep(0.5))
    await ask("a")
    worker = Worker(store.outbox, {"letter": handler})
    async with at_work(worker):
        await until(lambda: is_in(store, "run", attempt=1))
        await worker.stop(within_s=30)
    assert await state(store) == ("done", 1, None)


async def test_what_does_not_end_in_time_is_given_back_at_once(store: Store, ask: Asked) -> None:
    handler = Handlers(hang)
    await ask("a", "b")
    worker = Worker(store.outbox, {"letter": handler}, slots=2)
    async with at_work(worker):
        await until(lambda: is_in(store, "run", attempt=1))
        await ask("c")
        await worker.stop(within_s=0.1)
    assert handler.done == []
    for key in ("a", "b", "c"):
        assert await state(store, key) == ("ready", 0, None)
    assert "c" not in handler.begun


async def test_what_was_claimed_while_it_was_told_to_stop_is_given_back(store: Store, ask: Asked) -> None:
    claiming, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Outbox):
        async def claim(self, kinds: object, at_most: int, *, idle: bool = True) -> list[Job]:
            claimed = await super().claim(kinds, at_most, idle=idle)  # type: ignore[arg-type]
            claiming.set()
            await go_on.wait()
            return claimed

    handler = Handlers()
    await ask("a")
    worker = Worker(Slow(store.database, clock=store.clock), {"letter": handler})
    async with at_work(worker):
        await claiming.wait()
        stopping = asyncio.ensure_future(worker.stop())
        await asyncio.sleep(0)
        go_on.set()
        await stopping
    assert handler.begun == []
    assert await state(store) == ("ready", 0, None)


async def test_one_that_was_stopped_before_it_began_does_nothing(store: Store, ask: Asked) -> None:
    handler = Handlers()
    await ask("a")
    worker = Worker(store.outbox, {"letter": handler})
    await worker.stop()
    async with asyncio.timeout(5):
        await worker.run()
    assert handler.begun == []
    assert await state(store) == ("ready", 0, None)
