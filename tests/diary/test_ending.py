"""The end of a call, whoever tells it and in whatever order; and the entry that is asked for with it."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import date

import pytest
from sqlalchemy import select

from bot.conversation.commands import Mood, Status
from bot.diary.after_call import AfterCall
from bot.diary.owned import OwnedCall
from bot.diary.schema import calls
from bot.diary.store import Store
from bot.errors import LeaseLost
from tests.diary.talks import after, entered, let_in, recorded, save_after, told, work

WALK, PRIZE = "공원을 걸었어요", "상도 받았어요"


async def why(store: Store, call_sid: str = "CA1") -> str | None:
    async with store.database.read() as connection:
        return await connection.scalar(select(calls.c.why).where(calls.c.call_sid == call_sid))


# Told


async def test_the_first_word_on_how_a_call_ended_counts(store: Store) -> None:
    await let_in(store, "CA1")
    assert not await store.is_ended("CA1")
    await store.call_ended("CA1", "completed" * 20)
    await store.call_ended("CA1", "failed")
    assert await store.is_ended("CA1")
    assert await why(store) == ("completed" * 20)[:64]


async def test_a_call_that_nobody_knows_cannot_end(store: Store) -> None:
    await store.call_ended("CA9", "completed")
    assert not await store.is_ended("CA9")
    assert await work(store) == []


END: dict[str, Callable[[Store, OwnedCall], Awaitable[None]]] = {
    "the stream": lambda _, call: call.ended("approved"),
    "the status": lambda store, call: store.call_ended(call.call_sid, "completed"),
    "the recording": lambda store, call: store.recording_made(call.call_sid, "RE1"),
}


@pytest.mark.parametrize("order", list(itertools.permutations(END)), ids=" ".join)
async def test_whoever_tells_the_end_first_and_how_often_the_work_is_the_same(
    open_store, order: tuple[str, ...]
) -> None:
    one, two = await open_store(), await open_store()
    call = await told(one, "CA1", WALK)
    for who in order * 2:
        await END[who](two, call)
    words = {"the stream": "approved", "the status": "completed", "the recording": "recorded"}
    assert await why(one) == words[order[0]]
    assert [(entry.status, entry.provisional) for entry in await one.entries()] == [(Status.UNCONFIRMED, False)]
    assert await after(one) == AfterCall(
        date(2026, 11, 21), [WALK], [], False, Status.UNCONFIRMED, provisional=False, lease_until=None
    )
    assert await one.is_ended("CA1")
    assert sorted(await work(one)) == ["entry:CA1", "recording:RE1"]
    await two.call_ended("CA1", "completed")
    assert await work(two) == []


async def test_an_end_that_many_tell_at_once_is_one(open_store) -> None:
    one, two = await open_store(), await open_store()
    call = await told(one, "CA1", WALK)
    other = two.owned("CA1", call.stream)
    async with asyncio.timeout(30):
        await asyncio.gather(*(END[who]((one, two)[n % 2], (call, other)[n % 2]) for n in range(4) for who in END))
    assert sorted(await work(one)) == ["entry:CA1", "recording:RE1"]


async def test_a_draft_nobody_approved_is_unconfirmed_after_the_call(store: Store) -> None:
    await entered(store, "CA1", Status.DRAFT)
    await entered(store, "CA2", Status.APPROVED)
    for call_sid in ("CA1", "CA2"):
        await store.call_ended(call_sid, "completed")
    assert [entry.status for entry in await store.entries()] == [Status.UNCONFIRMED, Status.APPROVED]


async def test_what_the_caller_decided_is_kept_though_the_end_was_told_before(store: Store) -> None:
    call = await told(store, "CA1", WALK)
    await store.call_ended("CA1", "completed")
    assert await call.save_entry("하루", "걸었다.", Mood.JOY, Status.DRAFT)
    assert [entry.status for entry in await store.entries()] == [Status.UNCONFIRMED], "nobody will approve it"
    assert await call.save_entry("하루", "걸었다.", Mood.JOY, Status.APPROVED)
    await call.ended("approved")
    assert [entry.status for entry in await store.entries()] == [Status.APPROVED]
    assert (await after(store)).lease_until is None, "until then it may have had more to keep"


async def test_a_stream_that_was_overtaken_does_not_end_the_call(open_store) -> None:
    one, two = await open_store(), await open_store()
    first = await told(one, "CA1", WALK)
    await let_in(two, "CA1")
    with pytest.raises(LeaseLost):
        await first.ended("the stream broke")
    assert not await two.is_ended("CA1")
    assert await work(two) == []


# The entry after it


async def test_an_entry_is_written_of_what_was_said_and_of_nothing_else(store: Store) -> None:
    call = await let_in(store, "CA1")
    await call.add_said(0, WALK, 0, 1)
    await call.ended("the caller hung up")
    assert not await save_after(store, "CA1", [])
    await call.add_said(1, PRIZE, 0, 1)
    assert not await save_after(store, "CA1", [WALK]), "more was said since it was read"
    assert await save_after(store, "CA1", [WALK, PRIZE], body="그대로.", provisional=True)
    found = await after(store)
    assert found and (found.entry_status, found.provisional) == (Status.UNCONFIRMED, True)
    assert await save_after(store, "CA1", [WALK, PRIZE], body="좋은 글.")
    assert not await save_after(store, "CA1", [WALK, PRIZE], body="한 번 더."), "it is written"
    assert [entry.body for entry in await store.entries()] == ["좋은 글."]


async def test_what_the_caller_approved_is_not_written_anew(store: Store) -> None:
    call = await told(store, "CA1", WALK, status=Status.APPROVED)
    await call.ended("approved")
    assert not await save_after(store, "CA1", [WALK])
    found = await after(store)
    assert found and (found.entry_status, found.provisional) == (Status.APPROVED, False)


async def test_nothing_is_known_and_nothing_kept_of_a_call_that_is_not_there(store: Store) -> None:
    assert await after(store, "CA9") is None
    assert not await save_after(store, "CA9", [])


async def test_words_that_come_after_the_work_was_done_have_it_done_again(open_store) -> None:
    one, two = await open_store(), await open_store()
    first = await told(one, "CA1", WALK)
    second = await let_in(two, "CA1")
    await second.ended("the caller hung up")
    assert await work(two) == ["entry:CA1"]
    await first.add_said(1, "음", 0, 1)
    assert await work(two) == [], "nothing for a diary"
    await first.add_said(2, PRIZE, 0, 1)
    assert await work(two) == ["entry:CA1"]
    assert await save_after(two, "CA1", [WALK, "음", PRIZE])


async def test_what_was_recorded_has_the_work_done_again(store: Store) -> None:
    call = await told(store, "CA1", WALK)
    await call.ended("the recogniser was lost")
    assert await work(store) == ["entry:CA1"]
    await recorded(store, "CA1", PRIZE)
    assert await work(store) == ["entry:CA1"]
    assert await save_after(store, "CA1", [WALK, PRIZE])
    await store.call_ended("CA1", "completed")
    assert await work(store) == []


# Nobody tells it


async def test_a_call_whose_process_is_gone_is_ended_a_minute_after_its_lease(open_store, clock) -> None:
    one, two = await open_store(), await open_store()
    dead = await told(one, "dead", WALK)
    alive = await told(one, "alive", WALK)
    await let_in(one, "silent")
    clock.forward(seconds=100)
    await alive.renew()
    assert await two.close_lapsed() == 0
    clock.forward(seconds=21)
    assert [await two.close_lapsed() for _ in range(2)] == [1, 0]
    assert await why(two, "dead") == "abandoned"
    assert not await two.is_ended("alive") and not await two.is_ended("silent")
    assert await work(two) == ["entry:dead"]
    statuses = {entry.call_sid: entry.status for entry in await two.entries()}
    assert statuses == {"dead": Status.UNCONFIRMED, "alive": Status.DRAFT}
    await dead.add_said(1, PRIZE, 0, 1)
    await dead.ended("goodbye")
    assert await why(two, "dead") == "abandoned"
    assert await work(two) == ["entry:dead"], "it lived on, and had more to keep"


async def test_a_call_that_was_only_thought_to_be_abandoned_goes_on(open_store, clock) -> None:
    store = await open_store()
    call = await told(store, "CA1", WALK)
    clock.forward(seconds=121)
    assert await store.close_lapsed() == 1
    await call.renew()
    assert not await store.is_ended("CA1")
    await call.add_said(1, PRIZE, 0, 1)
    await call.handed_over()
    assert await store.claim_media_token("CA1", await store.media_token("CA1")) == call.stream + 1
    await store.owned("CA1", call.stream + 1).ended("approved")
    assert await why(store) == "approved"
    assert await work(store) == ["entry:CA1"]
    told_of = await after(store)
    assert told_of is not None and told_of.said == [WALK, PRIZE]


async def test_an_end_that_was_told_is_not_taken_back_by_a_renewal(store: Store) -> None:
    call = await told(store, "CA1", WALK)
    await store.call_ended("CA1", "completed")
    await call.renew()
    assert await why(store) == "completed" and await store.is_ended("CA1")


async def test_a_talk_that_was_handed_over_is_taken_up_within_a_minute_or_ended(store: Store, clock) -> None:
    for call_sid in ("CA1", "CA2"):
        call = await told(store, call_sid, WALK)
        clock.forward(minutes=15)
        await call.renew()
        await call.handed_over()
    clock.forward(seconds=50)
    await let_in(store, "CA2")
    clock.forward(seconds=11)
    await store.close_lapsed()
    assert await store.is_ended("CA1") and not await store.is_ended("CA2")


async def test_a_call_that_twilio_records_is_given_the_time_for_it(store: Store, clock) -> None:
    call = await told(store, "CA1", WALK)
    await call.record_next()
    clock.forward(minutes=29)
    assert await store.close_lapsed() == 0
    clock.forward(minutes=2)
    assert await store.close_lapsed() == 1


async def test_a_call_of_a_release_without_leases_is_ended_when_it_is_quiet(store: Store, clock) -> None:
    for call_sid in ("quiet", "talking"):
        await store.call_arrived(call_sid, None)
        await store.owned(call_sid, 1).add_said(0, WALK, 0, 1)
    clock.forward(minutes=9)
    await store.owned("talking", 1).add_said(1, PRIZE, 0, 1)
    clock.forward(minutes=2)
    assert await store.close_lapsed() == 1
    assert await store.is_ended("quiet") and not await store.is_ended("talking")


async def test_many_may_look_for_lapsed_calls_at_once(open_store, clock) -> None:
    stores = [await open_store() for _ in range(2)]
    for n in range(5):
        await told(stores[0], f"CA{n}", WALK)
    clock.forward(minutes=5)
    async with asyncio.timeout(30):
        closed = await asyncio.gather(*(store.close_lapsed() for store in stores * 2))
    assert sum(closed) == 5
    assert sorted(await work(stores[0])) == [f"entry:CA{n}" for n in range(5)]


async def test_an_ended_call_whose_entry_nobody_asked_for_gets_it(store: Store, clock) -> None:
    """As after an upgrade from a release that had no jobs."""
    for call_sid in ("CA1", "CA2", "forgotten"):
        call = await told(store, call_sid, WALK)
        await call.ended("goodbye")
    await store.owned("forgotten", 1).forget_day()
    await store.outbox.claim(["entry"], 9)
    async with store.database.write() as connection:
        await connection.exec_driver_sql("DELETE FROM jobs")
        await connection.exec_driver_sql("DELETE FROM entries WHERE call_sid <> 'CA2'")
    assert [await store.close_lapsed() for _ in range(2)] == [1, 0]
    assert await work(store) == ["entry:CA1"]
    assert await store.close_lapsed() == 0, "it was asked for once; there may be nothing for a diary in it"
