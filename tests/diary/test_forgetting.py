import asyncio
from collections.abc import Awaitable, Callable
from datetime import date

import pytest

from bot.conversation.commands import Mood, Status
from bot.conversation.waterfall import Waterfall
from bot.diary.records import EntryRecord, TurnRecord
from bot.diary.store import Store
from bot.errors import StoreError
from tests.diary.talks import ANOTHER, NUMBER, after, let_in, save_after, told

DAY = date(2026, 11, 21)

# A call


async def test_a_forgotten_day_leaves_a_discarded_entry_and_takes_no_more_text(store: Store) -> None:
    call = await let_in(store, "CA1", NUMBER)
    await call.add_said(0, "지워 줘", 0, 1)
    await call.save_entry("비밀", "비밀이다.", Mood.SAD, Status.DRAFT)
    await call.forget_day()
    await call.add_said(1, "늦은 말", 0, 1)
    await call.add_heard(0, "비밀이다.")
    assert not await call.save_entry("다시", "다시 쓴 글이다.", Mood.SAD, Status.UNCONFIRMED)
    await call.reopen_entry()
    assert await store.turns("CA1") == []
    gone = EntryRecord("CA1", NUMBER, date(2026, 11, 21), None, None, None, Status.DISCARDED)
    assert await store.entries() == [gone]
    await store.call_ended("CA1", "completed")
    assert not await save_after(store, "CA1", [])


async def test_what_is_said_after_a_wish_to_forget_is_kept(store: Store) -> None:
    call = await let_in(store, "CA1", NUMBER)
    await call.add_said(0, "비밀", 0, 1)
    await call.save_entry("비밀", "비밀이다.", Mood.SAD, Status.DRAFT)
    await call.forget_so_far()
    assert await store.said("CA1") == []
    assert await store.entries() == []
    await call.add_said(1, "산책을 했어요", 2, 3)
    assert await store.said("CA1") == ["산책을 했어요"]


async def test_delete_removes_the_entry_and_what_was_said(store: Store) -> None:
    call = await let_in(store, "CA1", NUMBER)
    await call.add_said(0, "오늘은", 0, 1)
    await call.save_entry("하루", "하루였다.", Mood.CALM, Status.APPROVED)
    assert await store.delete("CA1")
    assert not await store.delete("CA1")
    assert not await store.delete("CA2")
    assert await store.entries() == [] and await store.said("CA1") == []
    assert not await call.save_entry("늦음", "늦게 쓴 글이다.", Mood.SAD, Status.UNCONFIRMED)
    await store.call_ended("CA1", "completed")
    assert not await save_after(store, "CA1", [])


# One turn


@pytest.mark.parametrize("status", [Status.DRAFT, Status.UNCONFIRMED, Status.APPROVED])
async def test_a_turn_off_the_record_goes_with_the_entry_that_may_hold_it(store: Store, status: Status) -> None:
    call = await told(store, "CA1", "걸었어요", "비밀", "먹었어요", status=status)
    await call.keep_waterfall(1, Waterfall(1500, heard_ms=700))
    await call.forget_turn(1)
    assert await store.turns("CA1") == [
        TurnRecord(0, "걸었어요", "걸었어요, 그랬군요.", 0, 500),
        TurnRecord(1, None, None, None, None),
        TurnRecord(2, "먹었어요", "먹었어요, 그랬군요.", 2000, 2500),
    ]
    assert await store.said("CA1") == ["걸었어요", "먹었어요"]
    assert await store.entries() == []


@pytest.mark.parametrize("forgotten_first", [False, True])
async def test_nothing_brings_a_forgotten_turn_back(store: Store, forgotten_first: bool) -> None:
    call = await let_in(store, "CA1", NUMBER)
    if not forgotten_first:
        await call.add_said(0, "비밀", 0, 1)
    await call.forget_turn(0)
    await call.add_said(0, "비밀", 0, 1)
    await call.add_heard(0, "비밀이군요")
    await call.keep_waterfall(0, Waterfall(1))
    assert await store.turns("CA1") == [TurnRecord(0, None, None, None, None)]
    await call.add_said(1, "걸었어요", 2, 3)
    assert await store.said("CA1") == ["걸었어요"]


async def test_the_number_of_a_forgotten_last_turn_is_not_given_again(store: Store) -> None:
    call = await told(store, "CA1", "걸었어요", "비밀")
    await call.forget_turn(1)
    assert (await store.turns("CA1"))[-1].turn == 1, "the talk that goes on after it begins with turn 2"


async def test_a_turn_forgotten_again_takes_no_later_entry_away(store: Store) -> None:
    call = await told(store, "CA1", "걸었어요", "비밀")
    await call.forget_turn(1)
    assert await call.save_entry("산책", "걸었다.", Mood.CALM, Status.APPROVED)
    await call.forget_turn(1)
    assert [entry.body for entry in await store.entries()] == ["걸었다."]


async def test_an_entry_of_what_was_said_before_a_turn_was_forgotten_is_not_kept(store: Store) -> None:
    call = await told(store, "CA1", "걸었어요", "비밀")
    read = await store.said("CA1")
    await call.forget_turn(1)
    assert not await save_after(store, "CA1", read)
    assert await store.entries() == []
    left = await store.said("CA1")
    assert await save_after(store, "CA1", left)


async def test_a_turn_of_a_forgotten_day_leaves_it_as_it_is(store: Store) -> None:
    call = await told(store, "CA1", "비밀")
    await call.forget_day()
    await call.forget_turn(0)
    assert await store.turns("CA1") == []
    assert [entry.status for entry in await store.entries()] == [Status.DISCARDED]


async def test_a_caller_whose_only_turn_was_forgotten_is_known(store: Store, clock) -> None:
    call = await told(store, "CA1", "비밀")
    await call.forget_turn(0)
    clock.forward(hours=1)
    assert not (await store.call_arrived("CA2", NUMBER)).first_time


async def test_a_call_with_nothing_but_a_forgotten_turn_needs_no_entry(store: Store) -> None:
    call = await told(store, "CA1", "비밀")
    await call.forget_turn(0)
    await store.call_ended("CA1", "completed")
    found = await after(store)
    assert found and found.said == [] and found.entry_status is None


async def test_a_turn_of_a_call_that_never_arrived_is_a_store_error(store: Store) -> None:
    with pytest.raises(StoreError, match="CA9 is not in the diary"):
        await store.owned("CA9", 1).forget_turn(0)


# The whole day


Forget = Callable[[Store], Awaitable[list[str]]]
WAYS: dict[str, Forget] = {
    "for good": lambda store: store.owned("now", 1).forget_day(whole_day=True),
    "so far": lambda store: store.owned("now", 1).forget_so_far(whole_day=True),
}


@pytest.fixture(params=WAYS)
def forget(request: pytest.FixtureRequest) -> Forget:
    return WAYS[request.param]


async def a_day_of_calls(store: Store, clock) -> None:
    """Two calls of the day before, three of this one, of which the last goes on; and calls of two other callers."""
    await told(store, "yesterday", "어제 이야기")
    clock.forward(days=1)
    await told(store, "morning", "아침 이야기", status=Status.APPROVED)
    await let_in(store, "silent", NUMBER)
    await told(store, "another", "다른 사람 이야기", number=ANOTHER)
    await told(store, "anonymous", "누구의 이야기", number=None)
    await told(store, "now", "지금 이야기")


async def test_the_whole_day_goes_of_this_caller_alone(store: Store, clock, forget: Forget) -> None:
    await a_day_of_calls(store, clock)
    assert sorted(await forget(store)) == ["morning", "silent"]
    for call_sid in ("morning", "silent", "now"):
        assert await store.turns(call_sid) == []
    kept = {entry.call_sid: entry.body for entry in await store.entries() if entry.body}
    assert kept == {"yesterday": "어제 이야기", "another": "다른 사람 이야기", "anonymous": "누구의 이야기"}
    statuses = {entry.call_sid: entry.status for entry in await store.entries(NUMBER)}
    assert statuses.pop("yesterday") is Status.DRAFT
    assert statuses.pop("morning") is Status.DISCARDED
    assert set(statuses.values()) <= {Status.DISCARDED} and "silent" not in statuses


async def test_nothing_comes_back_into_the_other_calls_of_a_forgotten_day(store: Store, clock, forget: Forget) -> None:
    await a_day_of_calls(store, clock)
    await forget(store)
    await forget(store)
    await store.owned("morning", 1).add_said(0, "아침 이야기", 0, 1)
    await store.owned("morning", 1).add_heard(0, "아침이군요")
    assert not await store.owned("morning", 1).save_entry("아침", "아침이다.", Mood.CALM, Status.APPROVED)
    assert not await save_after(store, "morning", ["아침 이야기"]) and not await save_after(store, "morning", [])
    await store.owned("morning", 1).reopen_entry()
    for call_sid in ("morning", "silent"):
        await store.call_ended(call_sid, "completed")
    assert await store.turns("morning") == []


async def test_what_is_said_after_a_day_was_forgotten_so_far_is_kept(store: Store, clock) -> None:
    await a_day_of_calls(store, clock)
    await store.owned("now", 1).forget_so_far(whole_day=True)
    await store.owned("now", 1).add_said(1, "새 이야기", 0, 1)
    assert await store.owned("now", 1).save_entry("새 날", "새 이야기다.", Mood.CALM, Status.APPROVED)
    assert await store.said("now") == ["새 이야기"]


async def test_nobody_knows_the_other_calls_of_an_anonymous_caller(store: Store) -> None:
    await told(store, "CA1", "비밀", number=None)
    await told(store, "CA2", "다른 비밀", number="anonymous")
    assert await store.owned("CA1", 1).forget_day(whole_day=True) == []
    assert await store.said("CA1") == []
    assert await store.said("CA2") == ["다른 비밀"]


async def test_a_call_after_midnight_is_of_the_day_before(store: Store, clock) -> None:
    clock.forward(hours=5)  # 02:00 in Seoul; the clock of the tests begins at 21:00
    await told(store, "night", "밤 이야기")
    clock.forward(hours=3)
    await told(store, "now", "아침 이야기")
    assert await store.owned("now", 1).forget_day(whole_day=True) == []
    assert await store.said("night") == ["밤 이야기"]


async def test_two_processes_may_forget_the_same_day_at_once(open_store, clock) -> None:
    one, two = await open_store(), await open_store()
    for n in range(4):
        await told(one, f"CA{n}", "이야기")
    await asyncio.gather(*((one, two)[n % 2].owned(f"CA{n}", 1).forget_day(whole_day=True) for n in range(4)))
    assert [await one.turns(f"CA{n}") for n in range(4)] == [[]] * 4
    assert {entry.status for entry in await two.entries()} == {Status.DISCARDED}


async def test_the_day_of_a_call_that_never_arrived_is_a_store_error(store: Store, forget: Forget) -> None:
    with pytest.raises(StoreError, match="now is not in the diary"):
        await forget(store)
