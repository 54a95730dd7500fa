"""Durable work in real processes that are killed, frozen, restarted with newer code, and cut off from the database."""

import asyncio
import shutil
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, text

from bot.diary.crypto import Keys
from bot.diary.migrate import upgrade
from bot.diary.outbox import enqueue
from bot.diary.schema import jobs
from bot.diary.store import Store
from bot.errors import StoreError
from bot.lab.postgres import PostgresLab
from tests.diary.talks import let_in, opened
from tests.durable_process import RESULTS, SECRET, Process, Workplace

ROOT = Path(__file__).parents[1]
LEASE_S = 2.0

Measure = Callable[[str, object], None]


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    async with opened_with_results(database_url) as store:
        yield store


@pytest.fixture
def place(database_url: str, store: Store) -> Iterator[Workplace]:
    with Workplace(database_url, ROOT) as place:
        yield place


@asynccontextmanager
async def opened_with_results(url: str) -> AsyncIterator[Store]:
    async with opened(url, Keys.parse(SECRET)) as store:
        async with store.database.write() as connection:
            await connection.execute(text(RESULTS))
        yield store


async def ask(store: Store, *keys: str, kind: str = "work", s: float = 0.0) -> None:
    async with store.database.write() as connection:
        for key in keys:
            await enqueue(store.database, connection, kind, key, {"s": str(s)}, now=datetime.now(UTC))


async def results(store: Store) -> list[tuple[str, str, int]]:
    async with store.database.read() as connection:
        return [tuple(row) for row in await connection.execute(text("SELECT key, name, attempt FROM results"))]


async def states(store: Store) -> Counter[str]:
    async with store.database.read() as connection:
        return Counter((await connection.scalars(select(jobs.c.state))).all())


async def until(condition: Callable[[], Awaitable[bool]], within_s: float = 90.0) -> float:
    async with asyncio.timeout(within_s):
        while not await condition():
            await asyncio.sleep(0.02)
    return time.monotonic()


def all_done(store: Store, count: int) -> Callable[[], Awaitable[bool]]:
    async def done() -> bool:
        return (await states(store))["done"] == count

    return done


async def begun(place: Workplace, count: int = 1, **options: object) -> list[Process]:
    processes = [place.begin(name=f"{number}", lease_s=LEASE_S, **options) for number in range(count)]
    for process in processes:
        await asyncio.to_thread(process.wait_for, "ready")
    return processes


async def test_two_processes_share_many_jobs_and_do_none_twice(store: Store, place: Workplace) -> None:
    keys = [f"{number:03}" for number in range(200)]
    processes = await begun(place, 2)
    await ask(store, *keys)
    await until(all_done(store, len(keys)))
    found = await results(store)
    assert sorted(key for key, _, _ in found) == keys
    assert {attempt for _, _, attempt in found} == {1}
    assert {name for _, name, _ in found} == {"0", "1"}
    told = [line.split()[1] for process in processes for line in process.told() if line.startswith("begins")]
    assert sorted(told) == keys


async def test_a_survivor_takes_over_what_a_killed_process_had(
    store: Store, place: Workplace, record_property: Measure
) -> None:
    first, second = await begun(place, 2)
    await ask(store, *map(str, range(8)), s=1.5)
    await asyncio.to_thread(first.wait_for, "begins")
    first.kill()
    killed = time.monotonic()
    done = await until(all_done(store, 8))
    found = await results(store)
    assert sorted(key for key, _, _ in found) == list(map(str, range(8)))
    taken_over = {key for key, _, attempt in found if attempt == 2}
    assert taken_over and {name for key, name, _ in found if key in taken_over} == {"1"}
    record_property("all done after the kill, s", round(done - killed, 2))
    assert second.process.poll() is None


async def test_what_a_killed_process_had_begins_again_when_its_lease_ends(
    store: Store, place: Workplace, record_property: Measure
) -> None:
    (first,) = await begun(place)
    await ask(store, "a", s=3600)
    await asyncio.to_thread(first.wait_for, "begins a 1")
    (survivor,) = await begun(place)
    first.kill()
    killed = time.monotonic()
    began = await asyncio.to_thread(survivor.wait_for, "begins a 2")
    record_property("taken over after, s", round(began - killed, 2))
    assert began - killed < LEASE_S + 20


async def test_newer_code_does_what_an_older_release_has_left(store: Store, place: Workplace, tmp_path: Path) -> None:
    call = await let_in(store, "CA1")
    await call.add_said(0, "공원을 걸었어요", 0, 1000)
    await call.ended("goodbye")
    await ask(store, "of the newer release", kind="letter")
    (old,) = await begun(place, model_s=3600)
    await asyncio.to_thread(old.wait_for, "asked")
    assert await store.entries() == []
    old.kill()
    newer = place.begin(name="newer", lease_s=LEASE_S, root=newer_release(tmp_path / "newer"))
    await until(all_done(store, 2))
    (entry,) = await store.entries()
    assert (entry.title, entry.provisional) == ("공원을 걸은 날 (새 판)", False)
    assert "a letter was sent" in newer.told()


def newer_release(folder: Path) -> Path:
    """The bot with other code for the same tables: titles are marked, and there is one more kind of job."""
    shutil.copytree(ROOT / "bot", folder / "bot", ignore=shutil.ignore_patterns("__pycache__"))
    entry_job = folder / "bot" / "diary" / "entry_job.py"
    source = entry_job.read_text(encoding="utf-8")
    assert source.count("entry.title,") == 1
    entry_job.write_text(source.replace("entry.title,", 'entry.title + " (새 판)",'), encoding="utf-8")
    joined = folder / "bot" / "jobs.py"
    source = joined.read_text(encoding="utf-8")
    assert source.count("    return found\n") == 1
    letter = (
        "\n\nasync def _letter(job, outbox):\n"
        "    async with outbox.finish(job):\n"
        '        print("a letter was sent", flush=True)\n'
    )
    source = source.replace("    return found\n", '    return {**found, "letter": _letter}\n')
    joined.write_text(source + letter, encoding="utf-8")
    return folder


async def test_a_process_that_was_frozen_past_its_lease_writes_nothing(store: Store, place: Workplace) -> None:
    (frozen,) = await begun(place)
    await ask(store, "a", s=1.0)
    await asyncio.to_thread(frozen.wait_for, "begins a 1")
    frozen.send(signal.SIGSTOP)
    survivor = place.begin(name="survivor", lease_s=LEASE_S)
    await until(all_done(store, 1))
    await asyncio.to_thread(survivor.wait_for, "done a")
    frozen.send(signal.SIGCONT)
    # It goes on with other work, and has left this one alone.
    survivor.kill()
    await ask(store, "b")
    await asyncio.to_thread(frozen.wait_for, "done b")
    await asyncio.sleep(1.5)
    assert "done a" not in frozen.told()
    assert sorted(await results(store)) == [("a", "survivor", 2), ("b", "0", 1)]


async def test_a_job_that_kills_its_process_ends_dead_and_takes_no_other_with_it(
    store: Store, place: Workplace
) -> None:
    await ask(store, "poison", kind="poison")
    await ask(store, *map(str, range(6)), s=0.3)
    begun_so_far = [place.begin(lease_s=0.5, tries=4, name="0")]

    async def over() -> bool:
        # As a supervisor does: a process that ended is begun again.
        if begun_so_far[-1].process.poll() is not None:
            assert begun_so_far[-1].process.returncode == -signal.SIGKILL
            begun_so_far.append(place.begin(lease_s=0.5, tries=4, name=f"{len(begun_so_far)}"))
        return await states(store) == {"done": 6, "dead": 1}

    await until(over)
    async with store.database.read() as connection:
        query = select(jobs.c.attempt, jobs.c.error).where(jobs.c.key == "poison")
        assert (await connection.execute(query)).one() == (4, "its process ended in the last try")
    assert len(begun_so_far) == 5
    assert begun_so_far[-1].process.poll() is None
    assert len(await results(store)) == 6


async def test_a_process_that_is_asked_to_end_gives_back_what_it_cannot_finish(
    store: Store, place: Workplace, record_property: Measure
) -> None:
    asked = place.begin(name="asked", within_s=0.5)
    await asyncio.to_thread(asked.wait_for, "ready")
    await ask(store, "long", s=3600)
    await ask(store, "short", s=0.3)
    await asyncio.to_thread(asked.wait_for, "begins short")
    other = place.begin(name="other", poll_s=1.0)
    await asyncio.to_thread(other.wait_for, "ready")
    asked.send(signal.SIGTERM)
    given_back = await asyncio.to_thread(asked.wait_for, "given back")
    taken_up = await asyncio.to_thread(other.wait_for, "begins long 1")
    record_property("taken up after, s", round(taken_up - given_back, 2))
    # The lease is a minute.
    assert taken_up - given_back < 20
    assert await asyncio.to_thread(asked.process.wait) == 0
    assert [(key, name) for key, name, _ in await results(store)] == [("short", "asked")]


@pytest.mark.postgresql
@pytest.mark.parametrize("how", ["fast", "immediate"])
async def test_a_database_that_restarts_loses_nothing_and_doubles_nothing(how: str) -> None:
    async with PostgresLab() as lab:
        url = await asyncio.to_thread(lab.new_database)
        await upgrade(url)
        async with opened_with_results(url) as store:
            with Workplace(url, ROOT) as place:
                processes = await begun(place, 2)
                keys = [f"{number:02}" for number in range(24)]
                await ask(store, *keys, s=0.5)
                await asyncio.to_thread(processes[0].wait_for, "done")
                await asyncio.to_thread(lab.restart, how, away_s=1.5)
                await until(lambda: quietly(all_done(store, len(keys))))
                assert sorted(key for key, _, _ in await results(store)) == keys
                assert [process.process.poll() for process in processes] == [None, None]


async def quietly(condition: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await condition()
    except StoreError:
        return False
