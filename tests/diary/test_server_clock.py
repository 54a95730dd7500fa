"""bot/diary/server_clock.py: whatever the wall clocks of two processes say, they agree on who is late."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlalchemy import text

from bot.diary import server_clock
from bot.diary.server_clock import ServerClock
from bot.diary.store import Store
from tests.diary.talks import let_in, opened

pytestmark = pytest.mark.postgresql

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Machine:
    """A process on a machine whose wall clock is so many hours ahead; what happens there is in a block of `here`."""

    def __init__(self, hours: float) -> None:
        self._hours = hours
        self.store: Store

    def here(self) -> AbstractContextManager[object]:
        return time_machine.travel(datetime.now(UTC) + timedelta(hours=self._hours), tick=True)


@pytest.fixture(params=[(0, 1), (0, -1), (1, 0), (-1, 0)], ids=lambda hours: "and".join(map(str, hours)))
async def machines(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[tuple[Machine, Machine]]:
    """Two processes of one diary, on machines whose clocks are so many hours ahead."""
    one, two = (Machine(hours) for hours in request.param)
    async with opened(database_url) as one.store:
        with two.here():
            two.store = await Store.open(database_url, one.store.keys)
        yield one, two
        await two.store.close()


async def server_time(store: Store) -> datetime:
    async with store.database.read() as connection:
        found: datetime = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return found


async def test_it_is_the_servers_and_never_ahead_of_it(machines: tuple[Machine, Machine]) -> None:
    for machine in machines:
        with machine.here():
            for _ in range(5):
                before = await server_time(machine.store)
                told = machine.store.clock()
                after = await server_time(machine.store)
                assert before - timedelta(seconds=server_clock.LONGEST_S) < told <= after
                await machine.store.set_clock()


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_step_of_the_wall_clock_does_not_move_it(database_url: str, hours: float) -> None:
    async with opened(database_url) as store:
        before = store.clock()
        with Machine(hours).here():
            await asyncio.sleep(0.2)
            assert timedelta(seconds=0.2) <= store.clock() - before < timedelta(minutes=1)


async def test_a_call_of_another_process_is_not_abandoned(machines: tuple[Machine, Machine]) -> None:
    one, two = machines
    with one.here():
        call = await let_in(one.store, "CA1")
        await call.add_said(0, "걸었어요", 0, 500)
    with two.here():
        assert await two.store.close_lapsed() == 0
        assert not await two.store.is_ended("CA1")


async def test_a_fresh_media_token_of_another_process_lets_in(machines: tuple[Machine, Machine]) -> None:
    one, two = machines
    with one.here():
        await one.store.call_arrived("CA1", None)
        token = await one.store.media_token("CA1")
    with two.here():
        assert await two.store.claim_media_token("CA1", token) == 1


async def test_a_job_is_taken_from_nobody_and_is_due_at_once_when_it_is_given_back(
    machines: tuple[Machine, Machine],
) -> None:
    one, two = machines
    with one.here():
        call = await let_in(one.store, "CA1")
        await call.add_said(0, "걸었어요", 0, 500)
        await call.ended("goodbye")
        held = await one.store.outbox.claim(["entry"], 9)
        assert len(held) == 1
    with two.here():
        assert await two.store.outbox.claim(["entry"], 9) == [], "it is under a lease"
    with one.here():
        await one.store.outbox.hand_back(held)
    # The two may differ by as much as an answer takes.
    with two.here():
        async with asyncio.timeout(server_clock.LONGEST_S):
            while not await two.store.outbox.claim(["entry"], 9):
                await asyncio.sleep(0.01)


# Slow answers


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """What the server answers, one after the other: minutes after noon, and how many seconds it took."""
    left: list[tuple[int, float]] = []

    async def ask(_: object) -> server_clock._Answer:
        minutes, took_s = left.pop(0)
        return server_clock._Answer(NOON + timedelta(minutes=minutes), server_clock.time.monotonic(), took_s)

    monkeypatch.setattr(server_clock, "_ask", ask)
    return left


@pytest.mark.parametrize(
    ("given", "minutes", "left"),
    [
        ([(1, 0.2), (2, 0.1)], 1, 1),
        ([(1, 1.5), (2, 0.5), (3, 0.1)], 2, 1),
        ([(1, 2.0), (2, 1.5), (3, 3.0), (4, 0.1)], 2, 1),
    ],
)
async def test_it_begins_with_a_quick_answer_or_the_quickest(
    store: Store, answers: list[tuple[int, float]], given: list[tuple[int, float]], minutes: int, left: int
) -> None:
    answers += given
    clock = await ServerClock.ask(store.database)
    assert timedelta(0) <= clock() - (NOON + timedelta(minutes=minutes)) < timedelta(seconds=30)
    assert len(answers) == left


async def test_a_slow_answer_changes_nothing(store: Store, answers: list[tuple[int, float]]) -> None:
    answers += [(1, 0.1), (2, 1.1), (3, 0.9)]
    clock = await ServerClock.ask(store.database)
    await clock.set()
    assert clock() < NOON + timedelta(minutes=2)
    await clock.set()
    assert clock() >= NOON + timedelta(minutes=3)
