import asyncio
from datetime import UTC, date, datetime

import pytest

from bot.diary.records import Arrival
from bot.diary.store import Store
from bot.errors import LeaseLost, StoreError
from tests.diary.talks import NUMBER, entered, let_in, told

# Arrival


async def test_a_repeated_webhook_changes_nothing(store: Store, clock) -> None:
    first = await store.call_arrived("CA1", NUMBER)
    token = await store.media_token("CA1")
    clock.forward(minutes=1)
    assert await store.call_arrived("CA1", NUMBER) == first == Arrival(True, 1, date(2026, 11, 21))
    assert await store.media_token("CA1") == token


async def test_a_caller_who_has_talked_is_known(store: Store, clock) -> None:
    await store.call_arrived("CA1", NUMBER)
    clock.forward(hours=1)
    assert (await store.call_arrived("CA2", NUMBER)).first_time, "nothing was said in the first call"
    await store.owned("CA2", 1).add_said(0, "안녕하세요", 0, 900)
    clock.forward(hours=1)
    assert not (await store.call_arrived("CA3", NUMBER)).first_time
    assert (await store.call_arrived("CA2", NUMBER)).first_time, "said again, the answer stays"
    assert (await store.call_arrived("CA4", "+821099999999")).first_time


async def test_a_caller_who_had_a_day_forgotten_is_known(store: Store, clock) -> None:
    await store.call_arrived("CA1", NUMBER)
    await store.owned("CA1", 1).forget_day()
    clock.forward(hours=1)
    assert not (await store.call_arrived("CA2", NUMBER)).first_time


async def test_anonymous_calls_are_never_joined(store: Store) -> None:
    for call_sid in ("CA1", "CA2"):
        assert (await store.call_arrived(call_sid, "anonymous")).first_time
        await store.owned(call_sid, 1).add_said(0, "비밀이에요", 0, 900)
        await entered(store, call_sid, number=None)
    assert [entry.caller for entry in await store.entries()] == [None, None]


async def test_ten_webhooks_of_one_caller_make_one_caller(open_store) -> None:
    one, two = await open_store(), await open_store()
    await asyncio.gather(*((one, two)[n % 2].call_arrived(f"CA{n // 2}", NUMBER) for n in range(10)))
    for n in range(5):
        await entered(one, f"CA{n}")
    assert len(await two.entries(NUMBER)) == 5


@pytest.mark.parametrize(("minute", "day"), [(59, date(2026, 11, 20)), (60, date(2026, 11, 21))])
async def test_a_call_before_four_belongs_to_the_day_before(store: Store, clock, minute: int, day: date) -> None:
    clock.now = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)  # 03:00 in Seoul
    clock.forward(minutes=minute)
    await store.call_arrived("CA1", NUMBER)
    clock.forward(hours=2)
    await entered(store, "CA1")
    assert (await store.entries())[0].day == day


# Media tokens


async def test_a_token_is_claimed_exactly_once_by_twenty_in_two_processes(open_store) -> None:
    one, two = await open_store(), await open_store()
    await one.call_arrived("CA1", NUMBER)
    token = await one.media_token("CA1")
    assert await two.media_token("CA1") == token
    claims = await asyncio.gather(*((one, two)[n % 2].claim_media_token("CA1", token) for n in range(20)))
    assert sorted(claims) == [0] * 19 + [1]


async def test_a_used_token_is_followed_by_a_new_one(store: Store) -> None:
    await store.call_arrived("CA1", NUMBER)
    first = await store.media_token("CA1")
    assert await store.claim_media_token("CA1", first) == 1
    second = await store.media_token("CA1")
    assert second != first and second == await store.media_token("CA1")
    assert not await store.claim_media_token("CA1", first)
    assert await store.claim_media_token("CA1", second) == 2
    assert (await store.call_arrived("CA1", NUMBER)).stream == 2


async def test_a_token_that_nobody_used_takes_no_call_away(open_store) -> None:
    one, two = await open_store(), await open_store()
    call = await told(one, "CA1", "걸었어요")
    token = await two.media_token("CA1")
    await call.renew()
    await call.keep_stage("{}")
    assert (await two.call_arrived("CA1", None)).stream == 1
    assert await two.claim_media_token("CA1", token) == 2
    with pytest.raises(LeaseLost):
        await call.renew()


async def test_a_call_that_ended_lets_no_stream_in(store: Store) -> None:
    await store.call_arrived("CA1", NUMBER)
    token = await store.media_token("CA1")
    await store.call_ended("CA1", "no-answer")
    assert not await store.claim_media_token("CA1", token)
    call = await let_in(store, "CA2")
    token = await store.media_token("CA2")
    await call.ended("goodbye")
    assert not await store.claim_media_token("CA2", token)


async def test_a_token_of_another_call_is_refused_and_stays_good_for_its_own(store: Store) -> None:
    await store.call_arrived("CA1", NUMBER)
    await store.call_arrived("CA2", NUMBER)
    token = await store.media_token("CA1")
    assert not await store.claim_media_token("CA2", token)
    assert not await store.claim_media_token("CA3", token)
    assert not await store.claim_media_token("CA1", "")
    assert not await store.claim_media_token("CA1", token + "x")
    assert await store.claim_media_token("CA1", token)


async def test_a_token_is_good_for_ten_minutes(store: Store, clock) -> None:
    await store.call_arrived("CA1", NUMBER)
    token = await store.media_token("CA1")
    clock.forward(minutes=10)
    assert not await store.claim_media_token("CA1", token)
    later = await store.media_token("CA1")
    assert later != token
    assert not await store.claim_media_token("CA1", token)
    clock.forward(minutes=9)
    assert await store.claim_media_token("CA1", later)


async def test_a_token_of_a_call_that_never_arrived_is_a_store_error(store: Store) -> None:
    with pytest.raises(StoreError, match="CA9 is not in the diary"):
        await store.media_token("CA9")
