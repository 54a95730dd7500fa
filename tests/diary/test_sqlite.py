"""Short transactions of SQLite: in the event loop, but for what waits; and told to be kept when the disk has them."""

import asyncio
import errno
import os
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bot.diary import short_transactions
from bot.diary import sqlite as sqlite_module
from bot.diary.crypto import Keys
from bot.diary.store import Store
from bot.errors import StoreError

pytestmark = pytest.mark.sqlite

TABLE = "CREATE TABLE said (word TEXT)"
WAIT_S = 10.0


class Disk:
    """Stands in for the wait for the disk: counts, and lasts as long as the test wants."""

    def __init__(self) -> None:
        self.is_free = threading.Event()
        self.is_free.set()
        self.times = 0
        self.error: OSError | None = None

    def wait(self, opened: int) -> None:
        self.times += 1
        assert os.fstat(opened).st_size
        assert self.is_free.wait(WAIT_S)
        if self.error:
            raise self.error


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk()
    monkeypatch.setattr(short_transactions, "to_disk", found.wait)
    return found


@pytest.fixture
async def ready(store: Store) -> Store:
    async with store.database.write() as connection:
        await connection.execute(text(TABLE))
    return store


async def say(store: Store, word: str) -> None:
    async with store.database.write() as connection:
        await connection.execute(text("INSERT INTO said VALUES (:word)"), {"word": word})


async def said(store: Store) -> list[str]:
    async with store.database.read() as connection:
        return list((await connection.scalars(text("SELECT word FROM said ORDER BY word"))).all())


async def soon(awaited: Awaitable[Any]) -> Any:
    async with asyncio.timeout(WAIT_S):
        return await awaited


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await asyncio.sleep(0.005)


def in_the_file_alone(store: Store, folder: Path) -> set[str]:
    """What there is without the log."""
    copy = folder / "alone.db"
    copy.write_bytes(Path(str(store.database.file)).read_bytes())
    with closing(sqlite3.connect(copy)) as opened:
        return {word for (word,) in opened.execute("SELECT word FROM said")}


def log_bytes(store: Store) -> int:
    return Path(f"{store.database.file}-wal").stat().st_size


@contextmanager
def writing_elsewhere(store: Store) -> Iterator[sqlite3.Connection]:
    """Another process that has the lock of writers."""
    other = sqlite3.connect(str(store.database.file), isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield other
    finally:
        other.close()


async def longest_pause_s(of: Awaitable[object]) -> float:
    """For how long the event loop did not turn while it waited for `of`."""
    longest, last, task = 0.0, time.monotonic(), asyncio.ensure_future(of)
    while not task.done():
        await asyncio.sleep(0.005)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    await task
    return longest


async def test_what_is_kept_is_told_when_the_disk_has_it(ready: Store, disk: Disk) -> None:
    disk.is_free.clear()
    telling = asyncio.create_task(say(ready, "오늘"))
    await until(lambda: disk.times == 1)
    await asyncio.sleep(0.05)
    assert not telling.done()
    assert await said(ready) == ["오늘"]  # others of the process go on with it meanwhile
    disk.is_free.set()
    await telling


async def test_who_comes_while_the_disk_is_waited_for_shares_the_next_wait(ready: Store, disk: Disk) -> None:
    disk.is_free.clear()
    first = asyncio.create_task(say(ready, "first"))
    await until(lambda: disk.times == 1)
    rest = [asyncio.create_task(say(ready, f"{n:02}")) for n in range(30)]
    async with asyncio.timeout(WAIT_S):
        while len(await said(ready)) < 31:
            await asyncio.sleep(0.01)
    assert disk.times == 1 and not any(task.done() for task in (first, *rest))
    disk.is_free.set()
    await asyncio.gather(first, *rest)
    assert disk.times == 2  # a wait that had begun before them may not hold what they kept


async def test_a_disk_that_fails_is_told_to_all_who_waited_and_what_they_kept_is_made_safe(
    ready: Store, disk: Disk, tmp_path: Path
) -> None:
    disk.error = OSError(errno.EIO, "Input/output error")
    tries = await asyncio.gather(*(say(ready, word) for word in "ab"), return_exceptions=True)
    assert [type(outcome) for outcome in tries] == [StoreError, StoreError]
    disk.error = None
    await say(ready, "c")
    assert in_the_file_alone(ready, tmp_path) >= {"a", "b"}  # whatever the disk has of the log


async def test_a_wait_for_the_disk_that_ends_by_a_bug_is_told_and_is_not_the_last(ready: Store, disk: Disk) -> None:
    disk.is_free.clear()
    telling = [asyncio.create_task(say(ready, word)) for word in "ab"]
    await until(lambda: disk.times == 1)
    (waiting,) = (task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == "LogOnDisk._sync")  # type: ignore[union-attr]
    waiting.cancel()
    outcomes = await soon(asyncio.gather(*telling, return_exceptions=True))
    assert [type(outcome) for outcome in outcomes] == [StoreError, StoreError]
    disk.is_free.set()
    await soon(say(ready, "c"))


async def test_a_diary_that_is_closed_tells_who_still_waits(
    ready: Store, disk: Disk, diary_url: str, run_sql: Callable[[str, str], list[tuple[str, ...]]]
) -> None:
    disk.is_free.clear()
    telling = [asyncio.create_task(say(ready, word)) for word in "ab"]
    await until(lambda: disk.times == 1)
    closing = asyncio.create_task(ready.close())
    await asyncio.sleep(0.05)
    disk.is_free.set()
    await soon(asyncio.gather(closing, *telling))
    assert sorted(run_sql(diary_url, "SELECT word FROM said")) == [("a",), ("b",)]


async def test_a_diary_behind_a_link_waits_for_the_log_that_there_is(
    store: Store, disk: Disk, keys: Keys, tmp_path: Path
) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(str(store.database.file))
    linked = await Store.open(f"sqlite:///{link}", keys)
    try:
        before = disk.times
        async with linked.database.write() as connection:
            await connection.execute(text(TABLE))
        assert disk.times == before + 1
    finally:
        await linked.close()


async def test_a_wait_for_the_disk_that_is_left_holds_up_nobody(ready: Store, disk: Disk) -> None:
    disk.is_free.clear()
    left = asyncio.create_task(say(ready, "left"))
    await until(lambda: disk.times == 1)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    after = asyncio.create_task(say(ready, "after"))
    disk.is_free.set()
    await after
    assert await said(ready) == ["after", "left"]


async def test_the_writer_of_another_process_is_waited_for_while_the_loop_goes_on(ready: Store) -> None:
    with writing_elsewhere(ready) as other:
        telling = asyncio.create_task(longest_pause_s(say(ready, "mine")))
        await asyncio.sleep(0.3)
        assert not telling.done()
        other.execute("INSERT INTO said VALUES ('another')")
        other.execute("COMMIT")
        assert await telling < 0.2
    assert await said(ready) == ["another", "mine"]


async def test_who_is_cancelled_waiting_for_another_process_leaves_a_diary_that_works(ready: Store) -> None:
    with writing_elsewhere(ready) as other:
        left = asyncio.create_task(say(ready, "left"))
        await asyncio.sleep(0.2)
        left.cancel()
        await asyncio.sleep(0.1)
        other.execute("ROLLBACK")
        assert await longest_pause_s(asyncio.wait([left])) < 0.2
        assert left.cancelled()
    for word in "ab":
        await say(ready, word)
    assert await said(ready) == ["a", "b"]


async def test_a_short_transaction_needs_no_thread(ready: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await say(ready, "connected")

    def never(*_: object) -> None:
        raise AssertionError("a thread was asked")

    monkeypatch.setattr(short_transactions.aiosqlite.Connection, "_execute", never)
    async with ready.database.write() as connection:
        await connection.execute(text("INSERT INTO said VALUES ('here')"))
    with pytest.raises(ZeroDivisionError):
        async with ready.database.write() as connection:
            await connection.execute(text("INSERT INTO said VALUES ('undone')"))
            raise ZeroDivisionError
    monkeypatch.undo()
    assert await said(ready) == ["connected", "here"]


async def test_the_log_goes_into_the_database_now_and_then_however_many_write(
    ready: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "CHECKPOINT_COMMITS", 20)
    monkeypatch.setattr(short_transactions, "to_disk", lambda opened: time.sleep(0.005))
    lengths = []

    async def talk(name: str) -> None:
        for n in range(20):
            await say(ready, f"{name} {n} " + "x" * 3_000)
            lengths.append(log_bytes(ready))

    await asyncio.gather(*(talk(f"{n:02}") for n in range(20)))
    assert lengths[-1] < 2.5 * lengths[60]
    assert len(await said(ready)) == 400


async def test_the_log_is_begun_anew_in_a_thread(ready: Store) -> None:
    async def synchronous() -> int:
        async with ready.database.write() as connection:
            return int((await connection.exec_driver_sql("PRAGMA synchronous")).scalar_one())

    await ready.database.scrub()
    assert [await synchronous(), await synchronous()] == [2, 1]


async def test_many_rows_are_changed_in_a_thread(ready: Store) -> None:
    counted = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT i FROM n WHERE i < 3"
    )

    async def change() -> None:
        async with ready.database.write(is_long=True) as connection:
            await connection.execute(text(f"INSERT INTO said {counted}"))

    began = time.monotonic()
    pause_s = await longest_pause_s(change())
    assert pause_s < (time.monotonic() - began) / 2
    assert await said(ready) == ["1", "2"]
