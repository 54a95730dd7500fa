import asyncio

import pytest
from sqlalchemy import update

from bot.conversation.commands import Mood, Status
from bot.conversation.habit import PauseHabit
from bot.conversation.waterfall import Waterfall
from bot.diary import rotation
from bot.diary.crypto import Keys
from bot.diary.schema import turns
from bot.diary.store import Store
from bot.errors import WrongKey
from tests.diary.talks import BOTH_SECRETS, NEWER_SECRET, NUMBER, SECRET, change, let_in


async def fill(store: Store, calls: range) -> None:
    for n in calls:
        call = await let_in(store, f"CA{n}", NUMBER if n % 2 else f"+8210000000{n:02}")
        for turn in range(3):
            await call.add_said(turn, f"{n}번째 전화의 말 {turn}", 0, 1)
        await call.add_heard(0, "들은 말")
        await call.save_entry(f"제목 {n}", f"본문 {n}이다.", Mood.CALM, Status.APPROVED)
        await call.keep_stage(f"{n}번째 전화는 여기까지")


async def test_after_a_rotation_the_old_key_is_not_needed(open_store, clock, monkeypatch) -> None:
    monkeypatch.setattr(rotation, "BATCH_ROWS", 4)
    await fill(await open_store(), range(6))
    both = await open_store(Keys.parse(BOTH_SECRETS))
    before = await both.entries()
    await both.owned("CA1", 1).keep_habit(PauseHabit(450, 820, 7))
    await both.owned("CA5", 1).keep_waterfall(2, Waterfall(1000, heard_ms=700))
    assert not (await both.call_arrived("CA1x", NUMBER)).first_time, "a new key in front changes no look-up"
    changed = await both.rotate()
    # Numbers (three of them one caller's), said, heard, titles and bodies, stages.
    assert changed == 4 + 6 * 3 + 6 + 6 * 2 + 6
    assert await both.rotate() == 0
    assert await both.entries() == before, "the process that has both keys goes on"
    new = await open_store(Keys.parse(NEWER_SECRET))
    assert await new.entries() == before
    assert [entry.call_sid for entry in await new.entries(NUMBER)] == ["CA1", "CA3", "CA5"]
    assert await new.said("CA5") == [f"5번째 전화의 말 {turn}" for turn in range(3)]
    assert await new.stage("CA5") == "5번째 전화는 여기까지"
    assert await new.habit("CA3") == PauseHabit(450, 820, 7)
    assert (await new.turns("CA5"))[2].waterfall == Waterfall(1000, heard_ms=700)
    clock.forward(hours=1)
    assert not (await new.call_arrived("CA9", NUMBER)).first_time
    with pytest.raises(WrongKey):
        await open_store(Keys.parse(SECRET))


async def test_calls_go_on_during_a_rotation(open_store) -> None:
    await fill(await open_store(), range(4))
    both = Keys.parse(BOTH_SECRETS)
    one, two = await open_store(both), await open_store(both)
    await asyncio.gather(one.rotate(), fill(two, range(4, 12)))
    await one.rotate()
    new = await open_store(Keys.parse(NEWER_SECRET))
    assert len(await new.entries()) == 12
    assert len(await new.entries(NUMBER)) == 6


async def test_the_old_key_is_needed_until_the_rotation(open_store) -> None:
    await fill(await open_store(), range(1))
    with pytest.raises(WrongKey, match="is missing"):
        await open_store(Keys.parse(NEWER_SECRET))
    await open_store(Keys.parse(BOTH_SECRETS))
    with pytest.raises(WrongKey, match="is missing"):
        await open_store(Keys.parse(SECRET))
    with pytest.raises(WrongKey, match="is missing"):
        await open_store(Keys.parse(NEWER_SECRET))


async def test_a_damaged_text_stops_a_rotation_before_the_old_key_is_given_up(open_store) -> None:
    old = await open_store()
    await fill(old, range(2))
    await change(old, update(turns).where(turns.c.turn == 1).values(said_sealed=b"\1\2"))
    both = await open_store(Keys.parse(BOTH_SECRETS))
    with pytest.raises(WrongKey):
        await both.rotate()
    assert len(await both.entries(NUMBER)) == 1
    with pytest.raises(WrongKey):
        await open_store(Keys.parse(NEWER_SECRET))
