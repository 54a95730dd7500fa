"""Who may write what to a call: every stream what was said on it, the owner alone where the talk is."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from bot.conversation.commands import Mood, Status
from bot.conversation.habit import PauseHabit
from bot.conversation.waterfall import Waterfall
from bot.diary.arrivals import LEASE
from bot.diary.owned import OwnedCall
from bot.diary.records import TurnRecord
from bot.diary.store import Store
from bot.errors import LeaseLost
from tests.diary.talks import NUMBER, after, let_in, recorded, told

WALK, PRIZE, SECRET = "공원을 걸었어요", "상도 받았어요", "비밀을 말했어요"

OWNERS_ALONE: dict[str, Callable[[OwnedCall], Awaitable[object]]] = {
    "stage": lambda call: call.keep_stage("{}"),
    "entry": lambda call: call.save_entry("하루", "하루였다.", Mood.CALM, Status.APPROVED),
    "behind": lambda call: call.reopen_entry(),
    "record": lambda call: call.record_next(),
    "end": lambda call: call.ended("goodbye"),
    "hand-over": lambda call: call.handed_over(),
    "renewal": lambda call: call.renew(),
}


async def lease_of(store: Store, call_sid: str = "CA1") -> timedelta | None:
    """How long the lease of a call still runs."""
    found = await after(store, call_sid)
    assert found
    return None if found.lease_until is None else found.lease_until - store.clock()


async def statuses(store: Store) -> list[tuple[Status, bool]]:
    return [(entry.status, entry.provisional) for entry in await store.entries()]


# Turns


async def test_turns_are_kept_in_order_and_once(store: Store) -> None:
    call = await let_in(store, "CA1")
    await call.add_heard(-1, "안녕하세요, 오늘 하루 어땠어요?")
    await call.add_said(1, "커피를 마셨어요.", 5000, 6000)
    for text in ("친구를", "친구를 만났어요."):
        await call.add_said(0, text, 1000, 2000)
        await call.add_heard(0, "반가웠겠어요.")
    assert await store.said("CA1") == ["친구를 만났어요.", "커피를 마셨어요."]
    assert await store.turns("CA1") == [
        TurnRecord(-1, None, "안녕하세요, 오늘 하루 어땠어요?", None, None),
        TurnRecord(0, "친구를 만났어요.", "반가웠겠어요.", 1000, 2000),
        TurnRecord(1, "커피를 마셨어요.", None, 5000, 6000),
    ]
    assert await store.said("CA2") == []


async def test_ten_calls_at_once_do_not_mix(open_store) -> None:
    one, two = await open_store(), await open_store()

    async def talk(store: Store, call_sid: str) -> None:
        call = await let_in(store, call_sid, None)
        for turn in range(8):
            await call.add_said(turn, f"{call_sid} {turn}", 0, 1)
            await call.add_heard(turn, f"들음 {call_sid} {turn}")

    await asyncio.gather(*(talk((one, two)[n % 2], f"CA{n}") for n in range(10)))
    for n in range(10):
        assert await one.said(f"CA{n}") == [f"CA{n} {turn}" for turn in range(8)]


async def test_a_write_that_is_cancelled_leaves_the_diary_usable(store: Store) -> None:
    call = await let_in(store, "CA1")
    for _ in range(10):
        task = asyncio.create_task(call.add_said(0, "끊긴 말", 0, 1))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await call.add_said(1, "다음 말", 0, 1)
    assert (await store.said("CA1"))[-1] == "다음 말"


async def test_nothing_is_kept_of_a_call_that_is_not_in_the_diary(store: Store) -> None:
    call = store.owned("CA9", 1)
    for write in (call.add_said(0, WALK, 0, 1), call.add_heard(0, WALK), call.ended("goodbye"), call.renew()):
        with pytest.raises(LeaseLost):
            await write
    assert await store.entries() == []


# The owner


@pytest.mark.parametrize("write", OWNERS_ALONE.values(), ids=OWNERS_ALONE)
async def test_a_stream_that_was_overtaken_changes_nothing_of_the_talk(open_store, write) -> None:
    one, two = await open_store(), await open_store()
    first = await told(one, "CA1", WALK)
    second = await let_in(two, "CA1")
    await second.keep_stage("where the second is")
    before = await one.entries(), await after(one), await one.outbox.claim(["entry"], 9)
    with pytest.raises(LeaseLost, match="CA1"):
        await write(first)
    assert (await one.entries(), await after(one), await one.outbox.claim(["entry"], 9)) == before
    assert await one.stage("CA1") == "where the second is"
    assert not await two.is_ended("CA1")
    assert await two.next_step("CA1") is None
    await write(second)


async def test_late_words_of_a_stream_that_was_overtaken_are_kept_beside_the_next_ones(open_store) -> None:
    one, two = await open_store(), await open_store()
    first = await told(one, "CA1", WALK)
    second = await let_in(two, "CA1")
    await second.add_said(1, PRIZE, 0, 500)
    await first.add_said(1, "강가도 걸었어요", 1000, 1500)
    await first.add_heard(1, "강가요?")
    await first.keep_waterfall(1, Waterfall(1500, heard_ms=700))
    await first.keep_habit(PauseHabit(450, 820, 7))
    assert [(turn.stream, turn.turn, turn.said) for turn in await two.turns("CA1")] == [
        (1, 0, WALK),
        (1, 1, "강가도 걸었어요"),
        (2, 1, PRIZE),
    ]
    assert await two.habit("CA1") == PauseHabit(450, 820, 7)


async def test_the_lease_is_told_again_and_given_back(store: Store, clock) -> None:
    call = await let_in(store, "CA1")
    assert await lease_of(store) == LEASE
    clock.forward(seconds=40)
    await call.renew()
    assert await lease_of(store) == LEASE
    await call.handed_over()
    assert await lease_of(store) == timedelta()
    call = await let_in(store, "CA1")
    assert await lease_of(store) == LEASE
    await call.ended("goodbye")
    assert await lease_of(store) is None


async def test_what_twilio_records_is_followed_by_a_talk_again_when_a_stream_is_let_in(store: Store) -> None:
    call = await let_in(store, "CA1")
    assert await store.next_step("CA1") is None
    await call.record_next()
    assert await store.next_step("CA1") == "record"
    assert await lease_of(store) == timedelta()
    await let_in(store, "CA1")
    assert await store.next_step("CA1") is None
    assert await store.next_step("CA9") is None


async def test_the_stage_is_the_one_that_was_kept_last(open_store) -> None:
    one, two = await open_store(), await open_store()
    assert await one.stage("CA1") is None
    call = await let_in(one, "CA1")
    assert await two.stage("CA1") is None
    for snapshot in ("처음", "그다음"):
        await call.keep_stage(snapshot)
    assert await two.stage("CA1") == "그다음"


# The entry


async def test_an_entry_is_one_for_each_call_and_the_last_word_counts(store: Store) -> None:
    call = await let_in(store, "CA1")
    await call.reopen_entry()
    assert await store.entries() == []
    assert await call.save_entry("초안", "초안이다.", Mood.TIRED, Status.DRAFT)
    assert await call.save_entry("산책", "공원을 걸었다.", Mood.JOY, Status.APPROVED)
    [entry] = await store.entries()
    assert (entry.caller, entry.title, entry.body, entry.mood, entry.status) == (
        NUMBER, "산책", "공원을 걸었다.", Mood.JOY, Status.APPROVED,
    )  # fmt: skip


async def test_what_was_approved_is_replaced_by_what_is_approved_alone(store: Store) -> None:
    call = await let_in(store, "CA1")
    await call.save_entry("산책", "공원을 걸었다.", Mood.JOY, Status.APPROVED)
    for status in (Status.DRAFT, Status.UNCONFIRMED):
        assert not await call.save_entry("늦음", "늦게 쓴 글이다.", Mood.SAD, status)
    assert await call.save_entry("달리기", "공원을 달렸다.", Mood.JOY, Status.APPROVED)
    assert [(entry.title, entry.status) for entry in await store.entries()] == [("달리기", Status.APPROVED)]


@pytest.mark.parametrize("status", [Status.DRAFT, Status.UNCONFIRMED, Status.APPROVED])
async def test_an_entry_is_provisional_once_more_was_told_than_it_holds(store: Store, status: Status) -> None:
    call = await told(store, "CA1", WALK, status=status)
    for turn, text in enumerate(("응, 그렇게 해 줘", "네", "고마워요"), 1):
        await call.add_said(turn, text, 0, 1)
    assert await statuses(store) == [(status, False)]
    await call.add_said(4, PRIZE, 0, 1)
    assert await statuses(store) == [(status, True)]
    await call.save_entry("하루", "상도 받았다.", Mood.JOY, Status.APPROVED)
    assert await statuses(store) == [(Status.APPROVED, False)]


async def test_what_was_told_after_an_approval_makes_it_none_at_the_end(store: Store) -> None:
    call = await told(store, "CA1", WALK, status=Status.APPROVED)
    await call.add_said(1, PRIZE, 0, 1)
    assert await call.save_entry("하루", "상도 받았다.", Mood.JOY, Status.UNCONFIRMED), "the last word counts"
    await call.save_entry("하루", "상도 받았다.", Mood.JOY, Status.APPROVED)
    await call.add_said(2, "집에도 갔어요", 0, 1)
    await call.ended("the caller hung up")
    assert await statuses(store) == [(Status.UNCONFIRMED, True)]


async def test_late_words_of_a_stream_that_was_overtaken_leave_an_approval_as_it_is(open_store) -> None:
    one, two = await open_store(), await open_store()
    first = await told(one, "CA1", WALK)
    second = await let_in(two, "CA1")
    await second.save_entry("하루", "상도 받았다.", Mood.JOY, Status.APPROVED)
    await first.add_said(1, "강가도 걸었어요", 0, 1)
    await second.ended("goodbye")
    assert await statuses(one) == [(Status.APPROVED, False)]


async def test_an_entry_that_is_behind_is_written_anew_unless_it_is_approved(store: Store) -> None:
    call = await told(store, "CA1", WALK, status=Status.APPROVED)
    await call.reopen_entry()
    assert await statuses(store) == [(Status.DRAFT, True)]
    await call.save_entry("하루", "상도 받았다.", Mood.JOY, Status.APPROVED)
    assert await statuses(store) == [(Status.APPROVED, False)]
    await call.ended("completed")
    await call.reopen_entry()
    assert await statuses(store) == [(Status.UNCONFIRMED, True)], "nobody approves it any more"


# Forgetting


@pytest.mark.parametrize("way", ["turn", "day", "so far"])
async def test_what_is_forgotten_is_forgotten_of_the_stage_too(store: Store, way: str) -> None:
    call = await told(store, "CA1", SECRET)
    await call.keep_stage(SECRET)
    if way == "turn":
        await call.forget_turn(0)
    elif way == "day":
        await call.forget_day()
    else:
        await call.forget_so_far()
    assert await store.stage("CA1") is None
    await call.keep_stage("새로")
    assert await store.stage("CA1") == (None if way == "day" else "새로")


async def test_a_turn_is_forgotten_on_every_stream(open_store) -> None:
    one, two = await open_store(), await open_store()
    first = await told(one, "CA1", WALK, SECRET)
    second = await let_in(two, "CA1")
    await second.add_said(1, SECRET, 0, 1)
    await second.forget_turn(1)
    await first.add_said(1, SECRET, 0, 1)
    await second.add_heard(1, SECRET)
    assert [(turn.stream, turn.said, turn.heard) for turn in await one.turns("CA1") if turn.turn == 1] == [
        (1, None, None),
        (2, None, None),
    ]
    assert await one.said("CA1") == [WALK]
    await first.forget_turn(7)
    await second.add_said(7, SECRET, 0, 1)
    assert SECRET not in await one.said("CA1"), "forgotten before it was kept"


async def test_words_before_a_wish_to_forget_do_not_come_back_from_a_process_that_lay_still(open_store) -> None:
    one, two = await open_store(), await open_store()
    first = await told(one, "CA1", WALK)
    second = await let_in(two, "CA1")
    await second.forget_so_far()
    await first.add_said(1, SECRET, 0, 1)
    await first.add_heard(1, SECRET)
    await second.add_said(2, PRIZE, 0, 1)
    assert await one.said("CA1") == [PRIZE]


async def test_a_wish_to_forget_that_comes_late_takes_nothing_of_the_next_stream(open_store) -> None:
    one, two = await open_store(), await open_store()
    first = await told(one, "CA1", SECRET)
    second = await let_in(two, "CA1")
    await second.add_said(1, PRIZE, 0, 1)
    await first.forget_so_far()
    await first.add_said(2, WALK, 0, 1)
    assert await two.said("CA1") == [WALK, PRIZE]


async def test_writers_and_forgetters_of_one_day_do_not_wait_for_each_other(open_store) -> None:
    one, two = await open_store(), await open_store()
    calls = [await told(one, f"CA{n}", SECRET) for n in range(3)]
    others = [two.owned(call.call_sid, call.stream) for call in calls]

    async def write(call: OwnedCall) -> None:
        for turn in range(1, 6):
            await call.add_said(turn, WALK, 0, 1)
            await call.keep_stage(WALK)
            await call.renew()

    work = [write(call) for call in calls] + [call.forget_so_far(whole_day=True) for call in others]
    work += [call.ended("goodbye") for call in reversed(others)]
    async with asyncio.timeout(60):
        await asyncio.gather(*work)
    assert SECRET not in [text for call in calls for text in await two.said(call.call_sid)]


# What was recorded


@pytest.mark.parametrize("status", [Status.UNCONFIRMED, Status.APPROVED])
async def test_what_was_recorded_is_the_last_turn_and_in_no_entry_yet(store: Store, status: Status) -> None:
    await told(store, "CA1", WALK)
    call = await let_in(store, "CA1")
    await call.add_said(1, PRIZE, 0, 1)
    await call.save_entry("하루", "걷고 상을 받았다.", Mood.JOY, status)
    await store.call_ended("CA1", "completed")
    await recorded(store, "CA1", "나머지예요")
    assert [(turn.stream, turn.turn, turn.said) for turn in await store.turns("CA1")][-1] == (2, 2, "나머지예요")
    assert await statuses(store) == [(status, status is Status.UNCONFIRMED)]


async def test_what_was_recorded_of_a_call_without_a_word_is_its_first_turn(store: Store) -> None:
    await let_in(store, "CA1")
    await recorded(store, "CA1", WALK)
    assert [(turn.stream, turn.turn, turn.said) for turn in await store.turns("CA1")] == [(1, 0, WALK)]


async def test_nothing_that_was_recorded_is_kept_of_a_forgotten_day(store: Store) -> None:
    call = await told(store, "CA1", WALK)
    await call.forget_day()
    await recorded(store, "CA1", SECRET)
    await recorded(store, "CA9", SECRET)
    assert await store.turns("CA1") == [] == await store.turns("CA9")
