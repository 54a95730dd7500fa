"""What is kept of a turn's times and of a caller's pauses, and what shows when such a row is damaged."""

import pytest
from sqlalchemy import update

from bot.conversation.habit import PauseHabit
from bot.conversation.waterfall import Waterfall
from bot.diary.records import TurnRecord
from bot.diary.rows import as_json, habit_of
from bot.diary.schema import turns
from bot.diary.store import Store
from bot.errors import StoreError
from tests.diary.talks import NUMBER, change, let_in

FULL = Waterfall(12_340, 280, 371, 400, -612, -55, 0, 741, prepared=True, ending="final")


async def test_a_waterfall_comes_back_with_its_turn(store: Store) -> None:
    call = await let_in(store, "CA1", NUMBER)
    await call.add_said(0, "걸었어요", 11_000, 12_340)
    await call.keep_waterfall(0, Waterfall(12_340, heard_ms=900))
    await call.keep_waterfall(0, FULL)
    await call.add_heard(0, "좋았겠어요.")
    await call.add_said(1, "먹었어요", 13_000, 14_000)
    assert await store.turns("CA1") == [
        TurnRecord(0, "걸었어요", "좋았겠어요.", 11_000, 12_340, FULL),
        TurnRecord(1, "먹었어요", None, 13_000, 14_000, None),
    ]


async def test_a_waterfall_of_an_older_release_has_what_it_has(store: Store) -> None:
    call = await let_in(store, "CA1", None)
    await call.keep_waterfall(0, FULL)
    older = '{"ended_at_ms": 7, "heard_ms": 800, "since_then": 1}'
    await change(store, update(turns).values(waterfall=older))
    assert (await store.turns("CA1"))[0].waterfall == Waterfall(7, heard_ms=800)


async def test_a_damaged_waterfall_is_named_by_its_call(store: Store) -> None:
    call = await let_in(store, "CA1", None)
    await call.keep_waterfall(0, FULL)
    await change(store, update(turns).values(waterfall="x"))
    with pytest.raises(StoreError, match="call CA1: its Waterfall is damaged"):
        await store.turns("CA1")


async def test_a_habit_is_kept_across_calls_and_is_its_caller_s_alone(store: Store) -> None:
    for call_sid, number in (("CA1", NUMBER), ("CA2", "+821099999999"), ("CA3", NUMBER)):
        await let_in(store, call_sid, number)
        assert await store.habit(call_sid) == PauseHabit()
    habit = PauseHabit(450, 820, 7)
    await store.owned("CA1", 1).keep_habit(PauseHabit(1, 2, 3))
    await store.owned("CA1", 1).keep_habit(habit)
    assert await store.habit("CA3") == await store.habit("CA1") == habit
    assert await store.habit("CA2") == PauseHabit()


async def test_nobody_s_habit_is_kept(store: Store) -> None:
    for call_sid in ("CA1", "CA2"):
        call = await let_in(store, call_sid, "anonymous")
        await call.keep_habit(PauseHabit(450, 820, 7))
    assert await store.habit("CA1") == await store.habit("CA2") == await store.habit("CA9") == PauseHabit()


async def test_a_habit_outlives_a_forgotten_day(store: Store) -> None:
    call = await let_in(store, "CA1", NUMBER)
    await call.keep_habit(PauseHabit(450, 820, 7))
    await call.forget_day(whole_day=True)
    assert await store.habit("CA1") == PauseHabit(450, 820, 7)


def test_a_habit_reads_back_or_is_damaged() -> None:
    assert habit_of(as_json(PauseHabit(1, 2, 3)), "CA1") == PauseHabit(1, 2, 3)
    with pytest.raises(StoreError, match="call CA1: its PauseHabit is damaged"):
        habit_of('{"seen": "often"}', "CA1")
