"""How often somebody may do a thing."""

import asyncio

import pytest

from bot.diary.limits import Bound, Limits, Refusal
from bot.diary.store import Store
from bot.errors import StoreError


@pytest.fixture
def counts(store: Store) -> Limits:
    return Limits(store.database, store.keys, store.clock)


async def test_more_than_the_most_is_refused_until_the_time_is_over(counts: Limits, clock) -> None:
    assert [await counts.allow("code", "x", 3, 900) for _ in range(5)] == [True] * 3 + [False] * 2
    assert await counts.allow("code", "y", 3, 900), "another one's count"
    assert await counts.allow("other", "x", 3, 900), "another thing"
    clock.forward(seconds=899)
    assert not await counts.allow("code", "x", 3, 900)
    clock.forward(seconds=1)
    assert [await counts.allow("code", "x", 3, 900) for _ in range(4)] == [True] * 3 + [False]


async def test_to_refuse_writes_nothing(counts: Limits, store: Store, monkeypatch) -> None:
    await counts.allow("code", "x", 1, 900)

    def never() -> None:
        raise AssertionError("a write")

    monkeypatch.setattr(store.database, "write", never)
    assert [await counts.allow("code", "x", 1, 900) for _ in range(50)] == [False] * 50


async def test_of_several_bounds_the_one_that_ends_last_refuses_and_none_counts(counts: Limits, clock) -> None:
    narrow, wide, free = Bound("a", "x", 1, 60), Bound("b", "x", 2, 600), Bound("c", "x", 9, 60)
    every = [narrow, wide, free]
    assert await counts.refusal(every) is None
    clock.forward(seconds=10)
    assert await counts.refusal(every) == Refusal(narrow, 50)
    clock.forward(seconds=50)
    assert await counts.refusal(every) is None, "what was refused was not counted"
    assert await counts.refusal(every) == Refusal(wide, 540)
    for _ in range(7):
        assert await counts.refusal([free]) is None


async def test_what_was_counted_may_be_taken_back(counts: Limits) -> None:
    bound = Bound("a", "x", 1, 60)
    await counts.uncount(bound)
    assert await counts.refusal([bound]) is None
    await counts.uncount(bound)
    await counts.uncount(bound)
    assert await counts.refusal([bound]) is None
    assert await counts.refusal([bound])


async def test_many_who_count_in_other_orders_do_not_wait_for_each_other(open_store) -> None:
    stores = [await open_store(), await open_store()]
    known = [Limits(store.database, store.keys, store.clock) for store in stores]
    bounds = [Bound("a", "x", 40, 60), Bound("b", "x", 5, 60)]
    async with asyncio.timeout(30):
        refused = await asyncio.gather(*(known[n % 2].refusal(bounds[:: 1 - n % 2 * 2]) for n in range(30)))
    assert refused.count(None) == 5
    left = [await known[0].refusal(bounds[:1]) for _ in range(40)]
    assert left.count(None) == 35, "what was refused by one counts for none"


async def test_of_many_at_once_in_two_processes_just_the_most_are_let_through(open_store) -> None:
    stores = [await open_store(), await open_store()]
    known = [Limits(store.database, store.keys, store.clock) for store in stores]
    allowed = await asyncio.gather(*(known[n % 2].allow("code", "x", 7, 900) for n in range(30)))
    assert sum(allowed) == 7


@pytest.mark.sqlite
async def test_a_database_that_fails_is_a_store_error(counts: Limits, diary_url, run_sql) -> None:
    run_sql(diary_url, "DROP TABLE limits")
    with pytest.raises(StoreError):
        await counts.allow("code", "x", 3, 86_400)
