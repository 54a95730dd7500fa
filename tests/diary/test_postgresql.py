"""What a database server does to its clients: it restarts, breaks off, is away, or is there and says nothing."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from sqlalchemy import select, text, update

from bot.diary import migrate, postgresql, server_clock
from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.schema import calls
from bot.diary.store import Store
from bot.errors import StoreError
from bot.lab.postgres import PostgresLab
from bot.worker import Worker
from tests.diary.connections import ask, database, fill_pool
from tests.diary.talks import NUMBER, SECRET, opened

pytestmark = pytest.mark.postgresql

WAIT_S = 0.6  # in place of 5 s
BOUND_S = 2 * WAIT_S + 2.5
ONE_WAIT_S = 2.0  # where a second one would be too much, which is 2 s at most
ONE_WAIT_BOUND_S = ONE_WAIT_S + 1.8


@pytest.fixture(scope="module")
def lab() -> Iterator[PostgresLab]:
    """A server that only the tests of this file are troubled by."""
    with PostgresLab() as lab:
        yield lab


@pytest.fixture(scope="module")
def template(lab: PostgresLab) -> str:
    url = lab.new_database()
    asyncio.run(migrate.upgrade(url))
    return url


@pytest.fixture
def url(lab: PostgresLab, template: str) -> Iterator[str]:
    lab.thaw()
    lab.start()
    url = lab.new_database(template=template)
    yield url
    lab.thaw()
    lab.start()
    lab.drop_database(url)


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Change how long databases wait that are made from now on."""

    def change(seconds: float) -> None:
        monkeypatch.setattr(postgresql, "CONNECT_S", seconds)
        monkeypatch.setattr(Database.__init__, "__kwdefaults__", {"statement_s": seconds})

    return change


@pytest.fixture
def impatient(wait: Callable[[float], None]) -> None:
    """Wait as long as a test may last."""
    wait(WAIT_S)


async def fails_in_time(work: Awaitable[object], within_s: float = BOUND_S) -> None:
    began = time.monotonic()
    with pytest.raises(StoreError) as failed:
        await work
    assert time.monotonic() - began < within_s
    assert "ilgi:" not in str(failed.value), "an address has a password"


# Away, and back


@pytest.mark.parametrize("how", ["fast", "immediate", "kill"])
async def test_after_a_restart_the_first_use_works(lab: PostgresLab, url: str, how: str) -> None:
    async with database(url) as one:
        before = await fill_pool(one)
        if how == "kill":
            await asyncio.to_thread(lab.kill)
            await asyncio.to_thread(lab.start)
        else:
            await asyncio.to_thread(lab.restart, how)
        assert before.isdisjoint(await fill_pool(one))


@pytest.mark.parametrize("at_once", [True, False])
async def test_connections_that_were_broken_off_are_replaced(lab: PostgresLab, url: str, at_once: bool) -> None:
    async with database(url) as one:
        before = await fill_pool(one)
        if at_once:  # before the loop has seen that they ended
            assert lab.break_connections(url) == 2
        else:
            assert await asyncio.to_thread(lab.break_connections, url) == 2
        assert before.isdisjoint(await fill_pool(one))


async def test_what_is_broken_off_in_a_transaction_is_undone_and_told(lab: PostgresLab, url: str) -> None:
    async with opened(url) as store:
        await store.call_arrived("CA1", NUMBER)
        with pytest.raises(StoreError):
            async with store.database.write() as connection:
                await connection.execute(update(calls).values(why="never"))
                lab.break_connections(url)
                await connection.execute(update(calls).values(why="ever"))
        async with store.database.read() as connection:
            assert await connection.scalar(select(calls.c.why)) is None


async def test_a_server_that_is_away_is_told_at_once_and_is_taken_up_when_it_is_back(
    lab: PostgresLab, url: str
) -> None:
    async with opened(url) as store:
        await store.call_arrived("CA1", NUMBER)
        await asyncio.to_thread(lab.stop)
        for _ in range(3):
            await fails_in_time(store.call_arrived("CA2", NUMBER), within_s=1.0)
        assert not await store.is_up()
        with pytest.raises(StoreError, match="DATABASE_URL cannot be reached"):
            await Store.open(url, Keys.parse(SECRET))
        await asyncio.to_thread(lab.start)
        assert (await store.call_arrived("CA2", NUMBER)).stream == 1
        assert await store.is_up()


async def test_the_clock_goes_on_while_the_server_is_away_and_is_set_when_it_is_back(
    lab: PostgresLab, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    drift_s = 0.0
    drifting = SimpleNamespace(monotonic=lambda: time.monotonic() + drift_s)
    monkeypatch.setattr(server_clock, "time", drifting)

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.02)

    async with opened(url) as store, asyncio.TaskGroup() as tasks:

        def ahead_s() -> float:
            return (store.clock() - datetime.now(UTC)).total_seconds()

        worker = Worker(store.outbox, {}, chores=(store.set_clock,), chores_s=0.05)
        await asyncio.to_thread(lab.stop)
        tasks.create_task(worker.run())
        await until(lambda: caplog.text.count("a chore failed") >= 2)
        assert -1.0 < ahead_s() <= 0.0
        drift_s = 300.0
        assert 299.0 < ahead_s() <= 300.0
        await asyncio.to_thread(lab.start)
        await until(lambda: -1.0 < ahead_s() <= 0.0)
        await worker.stop()


async def test_nothing_that_was_acknowledged_is_lost_by_restarts_in_the_middle_of_work(
    lab: PostgresLab, url: str
) -> None:
    kept: list[str] = []
    failures: list[str] = []
    ended = asyncio.Event()

    async def arrive(store: Store, name: str) -> None:
        n = 0
        while not ended.is_set():
            n += 1
            sid = f"CA-{name}-{n}"
            try:
                await store.call_arrived(sid, f"+8210{n % 7:08}")
                kept.append(sid)
            except StoreError:
                failures.append(sid)
                await asyncio.sleep(0.01)

    async def more_in(found: list[str]) -> None:
        before = len(found)
        async with asyncio.timeout(30):
            while len(found) == before:
                await asyncio.sleep(0.01)

    async with opened(url) as one, opened(url) as two, asyncio.TaskGroup() as group:
        for n in range(6):
            group.create_task(arrive((one, two)[n % 2], str(n)))
        for end in (lab.stop, lambda: lab.stop("immediate"), lab.kill):
            await more_in(kept)
            await asyncio.to_thread(end)
            await more_in(failures)
            await asyncio.to_thread(lab.start)
            await more_in(kept)
        ended.set()
    async with database(url) as last, last.read() as connection:
        found = set((await connection.scalars(select(calls.c.call_sid))).all())
    assert set(kept) <= found


# There, and silent


async def test_a_frozen_server_is_told_in_time_and_then_all_works_again(
    lab: PostgresLab, url: str, impatient: None
) -> None:
    async with database(url) as warm, database(url) as cold:
        before = await fill_pool(warm)
        lab.freeze()
        await asyncio.gather(*(fails_in_time(ask(one)) for one in (warm, warm, warm, warm, warm, warm, cold)))
        await fails_in_time(ask(warm))
        lab.thaw()
        assert before.isdisjoint(await fill_pool(warm)), "what was silent once is not asked again"
        await fill_pool(cold)


@pytest.mark.parametrize("at", ["statement", "commit", "rollback"])
async def test_a_server_that_freezes_in_a_transaction_is_told_after_one_wait(
    lab: PostgresLab, url: str, wait: Callable[[float], None], at: str
) -> None:
    wait(ONE_WAIT_S)

    async def work(one: Database) -> None:
        async with one.write() as connection:
            await connection.execute(update(calls).values(why="never"))
            lab.freeze()
            if at == "statement":
                await connection.execute(text("SELECT 2"))
            if at == "rollback":
                raise StoreError("of our own")

    async with opened(url) as store:
        await store.call_arrived("CA1", NUMBER)
        await fails_in_time(work(store.database), within_s=ONE_WAIT_BOUND_S)
        lab.thaw()
        await fill_pool(store.database)
        if at != "commit":  # whose answer alone was lost
            async with store.database.read() as connection:
                assert await connection.scalar(select(calls.c.why)) is None


async def test_a_frozen_server_keeps_no_shutdown_waiting(lab: PostgresLab, url: str) -> None:
    one = Database(url)
    await fill_pool(one)
    lab.freeze()
    began = time.monotonic()
    await one.close()
    assert time.monotonic() - began < 3.0


async def test_a_port_that_answers_nothing_is_no_database(impatient: None) -> None:
    ended = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await fails_in_time(Store.open(f"postgres://ilgi:word@127.0.0.1:{port}/ilgi", Keys.parse(SECRET)))
        ended.set()


async def test_a_row_that_is_locked_for_long_is_told_in_time_and_costs_no_connection(url: str, impatient: None) -> None:
    async with opened(url) as store:
        await store.call_arrived("CA1", NUMBER)
        before = await ask(store.database)
        async with database(url) as other, other.write() as connection:
            await connection.execute(update(calls).values(why="held"))
            await fails_in_time(store.media_token("CA1"))
        assert await ask(store.database) == before
        assert await store.media_token("CA1")


async def test_a_process_that_is_frozen_in_a_transaction_holds_nothing_for_long(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(url) as store:
        await store.call_arrived("CA1", NUMBER)
        monkeypatch.setattr(postgresql, "IDLE_S", 0.5)
        token = ""
        async with database(url) as frozen:
            with pytest.raises(StoreError):
                async with frozen.write() as connection:
                    await connection.execute(update(calls).values(why="held"))
                    token = await store.media_token("CA1")  # waits for the row
                    await connection.execute(update(calls).values(why="late"))
            assert token, "what was held is free while the other is still frozen"
            await fill_pool(frozen)


async def test_a_process_that_is_killed_in_a_transaction_holds_nothing(url: str) -> None:
    async with opened(url) as store:
        await store.call_arrived("CA1", NUMBER)
        script = (
            "import asyncio, sys\nfrom sqlalchemy import text\nfrom bot.diary.database import Database\n"
            "async def hold():\n"
            "    async with Database(sys.argv[1]).write() as connection:\n"
            "        await connection.execute(text(\"UPDATE calls SET why = 'held'\"))\n"
            "        print('held', flush=True)\n        await asyncio.sleep(60)\n"
            "asyncio.run(hold())"
        )
        command = [sys.executable, "-c", script, url]
        holder = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert holder.stdout is not None and await holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGKILL)
        await holder.wait()
        began = time.monotonic()
        assert await store.media_token("CA1")
        assert time.monotonic() - began < 3.0
