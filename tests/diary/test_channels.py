"""bot/diary/channels.py: as many have a channel as there are, whoever asks and in whichever process."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from bot.diary.arrivals import LEASE
from bot.diary.channels import ARRIVED_FOR, HANDED_OVER_FOR
from bot.diary.crypto import Keys
from bot.diary.owned import OwnedCall
from bot.diary.store import Store
from bot.diary.stream_jobs import LEASE as JOB_LEASE
from bot.diary.stream_jobs import RESUMABLE_FOR
from bot.diary.stream_records import Claim, ClaimRefused
from bot.errors import LeaseLost
from tests.diary.conftest import Clock
from tests.diary.talks import NUMBER, let_in

OpenLimited = Callable[[int], Awaitable[Store]]


@pytest.fixture
async def open_limited(diary_url: str, keys: Keys, clock: Clock):
    stores: list[Store] = []

    async def open_one(most: int) -> Store:
        stores.append(await Store.open(diary_url, keys, clock=clock, most_channels=most))
        return stores[-1]

    yield open_one
    for store in stores:
        await store.close()


@pytest.fixture
async def one(open_limited: OpenLimited) -> Store:
    """A diary of an account that has one channel."""
    return await open_limited(1)


async def arrive(store: Store, call_sid: str, *, is_full: bool = False) -> bool:
    await store.call_arrived(call_sid, NUMBER)
    return await store.take_place(call_sid, is_full=is_full)


async def talking(store: Store, call_sid: str) -> OwnedCall:
    assert await arrive(store, call_sid)
    return await let_in(store, call_sid)


async def test_of_fifty_at_once_in_two_processes_as_many_are_let_in_as_there_are_channels(open_limited) -> None:
    both = [await open_limited(10) for _ in range(2)]

    async def phone(number: int) -> bool:
        store, call_sid = both[number % 2], f"CA{number}"
        await store.call_arrived(call_sid, None)
        if not await store.take_place(call_sid, is_full=False):
            await store.record_instead(call_sid)
            return False
        return await store.claim_media_token(call_sid, await store.media_token(call_sid)) == 1

    assert sorted(await asyncio.gather(*(phone(number) for number in range(50)))) == [False] * 40 + [True] * 10
    steps = [await both[0].next_step(f"CA{number}") for number in range(50)]
    assert steps.count("record") == 40


async def test_of_calls_and_jobs_that_come_at_once_as_many_get_a_channel_as_there_are(open_limited) -> None:
    both = [await open_limited(10) for _ in range(2)]
    job_ids = [await both[0].stream_jobs.create(None, "{}", None) for _ in range(15)]

    async def stream(number: int) -> bool:
        return isinstance(await both[number % 2].stream_jobs.claim(job_ids[number]), Claim)

    calls = [arrive(both[number % 2], f"CA{number}") for number in range(15)]
    got = await asyncio.gather(*calls, *(stream(number) for number in range(15)))
    assert got.count(True) == 10


async def test_a_call_that_twilio_asks_for_again_keeps_its_one_place(open_limited) -> None:
    store = await open_limited(2)
    assert [await arrive(store, "CA1") for _ in range(3)] == [True] * 3
    assert await arrive(store, "CA2")
    assert not await arrive(store, "CA3")


async def test_a_place_is_kept_until_the_stream_is_there_and_no_longer(one: Store, clock: Clock) -> None:
    assert await arrive(one, "CA1")
    clock.now += ARRIVED_FOR - timedelta(seconds=1)
    assert not await arrive(one, "CA2")
    clock.forward(seconds=1)
    assert await arrive(one, "CA3")


async def test_who_hangs_up_before_the_stream_is_there_takes_no_place(one: Store) -> None:
    assert await arrive(one, "CA1")
    await one.call_ended("CA1", "completed")
    assert await arrive(one, "CA2")


async def test_a_stream_that_comes_late_is_let_in_all_the_same(one: Store, clock: Clock) -> None:
    assert await arrive(one, "CA1")
    clock.now += ARRIVED_FOR
    await talking(one, "CA2")
    assert await one.claim_media_token("CA1", await one.media_token("CA1"))


async def test_a_call_has_its_channel_for_as_long_as_its_process_lives(one: Store, clock: Clock) -> None:
    call = await talking(one, "CA1")
    for _ in range(10):
        clock.forward(seconds=45)
        await call.renew()
        assert not await arrive(one, "CA2")
    await call.ended("goodbye")
    assert await arrive(one, "CA2")


async def test_the_channel_of_a_process_that_was_killed_is_free_within_a_minute(one: Store, clock: Clock) -> None:
    call = await talking(one, "CA1")
    clock.forward(seconds=15)
    await call.renew()
    clock.forward(seconds=59)
    assert not await arrive(one, "CA2")
    clock.forward(seconds=1)
    assert timedelta(seconds=60) >= LEASE and await arrive(one, "CA2")


async def test_a_call_whose_rest_is_recorded_has_none(one: Store) -> None:
    await (await talking(one, "CA1")).record_next()
    assert await arrive(one, "CA2")


async def test_a_talk_that_was_handed_over_keeps_its_place_for_a_while(one: Store, clock: Clock) -> None:
    await (await talking(one, "CA1")).handed_over()
    clock.now += HANDED_OVER_FOR - timedelta(seconds=1)
    assert not await arrive(one, "CA2")
    clock.forward(seconds=1)
    assert await arrive(one, "CA2")


async def test_a_call_that_was_let_in_once_is_never_refused(one: Store, clock: Clock) -> None:
    await (await talking(one, "CA1")).handed_over()
    clock.now += HANDED_OVER_FOR
    await talking(one, "CA2")
    assert not await arrive(one, "CA3")
    assert await one.take_place("CA1", is_full=True)
    assert await one.claim_media_token("CA1", await one.media_token("CA1")) == 2


async def test_a_process_that_can_take_no_more_refuses_also_where_nobody_counts(store: Store, one: Store) -> None:
    for diary in (store, one):
        assert not await arrive(diary, "CA1", is_full=True)
    assert await arrive(one, "CA1")
    for diary in (store, one):
        assert await arrive(diary, "CA1", is_full=True), "it has its place by now"
    assert await arrive(store, "CA2"), "this process has no number"


async def test_who_is_asked_for_again_after_a_refusal_may_find_a_place(one: Store) -> None:
    first = await talking(one, "CA1")
    assert not await arrive(one, "CA2")
    await one.record_instead("CA2")
    await first.ended("goodbye")
    assert await arrive(one, "CA2")
    assert await one.next_step("CA2") is None
    assert not await arrive(one, "CA3")


async def test_a_refusal_that_comes_late_changes_nothing_for_a_call_that_has_its_stream(one: Store) -> None:
    await talking(one, "CA1")
    await one.record_instead("CA1")
    assert await one.next_step("CA1") is None
    assert not await arrive(one, "CA2")


async def test_a_call_that_never_arrived_finds_none(one: Store) -> None:
    with pytest.raises(LeaseLost):
        await one.take_place("CA9", is_full=False)


# Streaming jobs


async def test_a_job_takes_a_channel_while_it_is_streamed(one: Store, clock: Clock) -> None:
    jobs = one.stream_jobs
    first, second = [await jobs.create(None, '{"summary":false}', None) for _ in range(2)]
    claim = await jobs.claim(first)
    assert isinstance(claim, Claim)
    clock.now += JOB_LEASE - timedelta(seconds=1)
    await jobs.renew(claim)
    assert not await arrive(one, "CA1")
    assert await jobs.claim(second) is ClaimRefused.FULL
    assert await jobs.claim(first) is ClaimRefused.BUSY
    await jobs.ended(claim, 1000)
    assert isinstance(await jobs.claim(second), Claim)


async def test_a_job_that_broke_off_goes_on_though_all_channels_are_taken(one: Store, clock: Clock) -> None:
    jobs = one.stream_jobs
    claim = await jobs.claim(await jobs.create(None, "{}", None))
    assert isinstance(claim, Claim)
    await jobs.released(claim, 1000)
    assert not await arrive(one, "CA1"), "its place is kept"
    assert isinstance(await jobs.claim(claim.job_id, is_full=True), Claim)
    clock.now += JOB_LEASE + RESUMABLE_FOR
    assert timedelta(seconds=60) >= JOB_LEASE + RESUMABLE_FOR and await arrive(one, "CA1")


async def test_a_job_that_broke_off_too_long_ago_has_no_channel_any_more(one: Store, clock: Clock) -> None:
    jobs = one.stream_jobs
    claim = await jobs.claim(await jobs.create(None, "{}", None))
    assert isinstance(claim, Claim)
    await jobs.released(claim, 1000)
    clock.now += RESUMABLE_FOR
    call = await talking(one, "CA1")
    assert await jobs.claim(claim.job_id) is ClaimRefused.FULL
    await call.ended("goodbye")
    assert isinstance(await jobs.claim(claim.job_id), Claim)


async def test_a_process_that_can_take_no_more_streams_no_new_job(store: Store) -> None:
    job_id = await store.stream_jobs.create(None, "{}", None)
    assert await store.stream_jobs.claim(job_id, is_full=True) is ClaimRefused.FULL
    assert isinstance(await store.stream_jobs.claim(job_id), Claim)


# How it is asked


@pytest.mark.postgresql
async def test_nobody_is_told_while_another_is_being_told(open_limited) -> None:
    first, second = await open_limited(1), await open_limited(1)
    await second.call_arrived("CA2", None)
    async with first.database.write() as connection:
        await first.database.lock_channels(connection)
        asking = asyncio.create_task(second.take_place("CA2", is_full=False))
        waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        async with asyncio.timeout(10):
            while not await connection.scalar(waiting):
                assert not asking.done()
                await asyncio.sleep(0.01)
    assert await asking
