"""The keeper of a call whose database is away for seconds or hours, and its lease: in virtual time."""

import asyncio
from datetime import date
from itertools import pairwise

import pytest

from bot.conversation.commands import HandOver, HangUp, KeepHabit, KeepHeard, KeepSaid, KeepStage
from bot.conversation.habit import PauseHabit
from bot.conversation.snapshot import Snapshot, decode
from bot.diary.entries import Scribe
from bot.diary.owned import OwnedCall
from bot.diary.records import Arrival
from bot.errors import LeaseLost, StoreError
from bot.keeper import Keeper
from tests.virtual_time import in_virtual_time

CALL = "CA" + "1" * 32
WALK, PRIZE = "공원을 걸었어요", "상도 받았어요"


class Away(OwnedCall):
    """A call whose database takes nothing until `back_s` on the clock of the loop, then all of it into `kept`."""

    def __init__(self, back_s: float = 0.0, *, owner: bool = True, hangs: bool = False) -> None:
        self.call_sid, self.stream = CALL, 1
        self.kept: list[object] = []
        self.tries: list[float] = []
        self._back_s = asyncio.get_running_loop().time() + back_s
        self._owner = owner
        self._hangs = hangs

    async def _take(self, *what: object, owners: bool = True) -> None:
        now_s = asyncio.get_running_loop().time()
        self.tries.append(now_s)
        if now_s < self._back_s:
            if self._hangs:
                await asyncio.sleep(3_600)
            raise StoreError("away")
        if owners and not self._owner:
            raise LeaseLost("overtaken")
        self.kept.append(what)

    async def add_said(self, turn: int, text: str, from_ms: int, to_ms: int) -> None:
        await self._take("said", turn, owners=False)

    async def add_heard(self, turn: int, text: str) -> None:
        await self._take("heard", turn, text, owners=False)

    async def keep_habit(self, habit: PauseHabit) -> None:
        await self._take("habit", habit.seen, owners=False)

    async def keep_stage(self, snapshot: str) -> None:
        found = decode(snapshot)
        await self._take("stage", found and found.turn)

    async def ended(self, why: str) -> None:
        await self._take("ended")

    async def handed_over(self) -> None:
        await self._take("handed over")

    async def renew(self) -> None:
        await self._take("renewed")

    def written(self) -> list[object]:
        return [what for what in self.kept if what != ("renewed",)]


ARRIVAL = Arrival(True, 1, date(2026, 11, 21))


@in_virtual_time
async def test_nothing_is_lost_while_the_database_is_away_for_long() -> None:
    for away_s in (20.0, 3_600.0):
        call = Away(away_s)
        keeper = Keeper(call, Scribe(None), ARRIVAL)
        started = asyncio.get_running_loop().time()
        for turn in range(3):
            keeper.keep(KeepSaid(turn, WALK, 0, 1))
        keeper.keep(HangUp("goodbye"))
        keeper.finish()
        await keeper.run()
        assert call.written() == [("said", 0), ("said", 1), ("said", 2), ("ended",)]
        assert asyncio.get_running_loop().time() - started < away_s + 5.1
        waits = [after - before for before, after in pairwise(call.tries)]
        assert max(waits) <= 5.0
        assert len(call.tries) < away_s / 2.5 + 20, "it is asked less and less often"


@in_virtual_time
async def test_a_database_that_does_not_answer_is_asked_again() -> None:
    call = Away(20.0, hangs=True)
    keeper = Keeper(call, Scribe(None), ARRIVAL)
    keeper.keep(KeepSaid(0, WALK, 0, 1))
    keeper.finish()
    async with asyncio.timeout(40):
        await keeper.run()
    assert call.written() == [("said", 0)]


@in_virtual_time
async def test_what_waits_grows_only_by_what_each_of_it_counts() -> None:
    call = Away(60.0)
    keeper = Keeper(call, Scribe(None), ARRIVAL)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keeper.run())
        keeper.keep(KeepHeard(0, "처음"))
        await asyncio.sleep(1)
        for word in range(500):
            keeper.keep(KeepHeard(0, f"처음 {word}"))
            keeper.keep(KeepHabit(PauseHabit(1, 2, word)))
            keeper.keep(KeepStage(Snapshot(turn=word)))
            await asyncio.sleep(0.01)
        keeper.keep(KeepSaid(1, WALK, 0, 1))
        keeper.keep(KeepHeard(1, "둘째"))
        keeper.finish()
    assert call.written() == [
        ("heard", 0, "처음"),
        ("heard", 0, "처음 499"),
        ("habit", 499),
        ("stage", 499),
        ("said", 1),
        ("heard", 1, "둘째"),
    ]


@in_virtual_time
async def test_what_is_kept_twice_in_the_same_words_is_committed_once_more_at_most() -> None:
    call = Away(3.0)
    keeper = Keeper(call, Scribe(None), ARRIVAL)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keeper.run())
        for _ in range(4):
            keeper.keep(KeepHeard(0, "네"))
            await asyncio.sleep(0.1)
        keeper.keep(KeepSaid(0, WALK, 0, 1))
        keeper.finish()
    assert call.written() == [("heard", 0, "네"), ("heard", 0, "네"), ("said", 0)]


@in_virtual_time
async def test_a_keeper_that_was_cancelled_goes_on_where_it_was() -> None:
    call = Away(30.0)
    keeper = Keeper(call, Scribe(None), ARRIVAL)
    keeper.keep(KeepSaid(0, WALK, 0, 1))
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await keeper.run()
    keeper.keep(KeepSaid(1, PRIZE, 0, 1))
    keeper.finish()
    await keeper.run()
    assert call.written() == [("said", 0), ("said", 1)]


@in_virtual_time
async def test_what_breaks_by_a_bug_of_ours_holds_up_nothing_behind_it() -> None:
    class Broken(Away):
        async def keep_habit(self, habit: PauseHabit) -> None:
            raise ValueError

    call = Broken()
    keeper = Keeper(call, Scribe(None), ARRIVAL)
    keeper.keep(KeepHabit(PauseHabit(1, 2, 3)))
    keeper.keep(KeepSaid(0, WALK, 0, 1))
    keeper.finish()
    with pytest.raises(ExceptionGroup):
        await keeper.run()
    assert call.written() == []
    await keeper.run()
    assert call.written() == [("said", 0)]


# The lease


@in_virtual_time
async def test_the_lease_is_renewed_though_nothing_else_is_kept_and_not_after_the_end() -> None:
    call = Away()
    keeper = Keeper(call, Scribe(None), ARRIVAL)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keeper.run())
        await asyncio.sleep(100)
        assert call.kept == [("renewed",)] * 6
        keeper.keep(HandOver())
        await asyncio.sleep(100)
        assert call.kept[6:] == [("handed over",)]
        keeper.finish()


@in_virtual_time
async def test_the_lease_is_renewed_when_the_database_is_back() -> None:
    call, lost = Away(50.0), []
    keeper = Keeper(call, Scribe(None), ARRIVAL, on_lost=lambda: lost.append(None))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keeper.run())
        await asyncio.sleep(70)
        assert call.kept == [("renewed",)] and lost == []
        keeper.finish()


@in_virtual_time
async def test_a_lease_that_is_lost_is_told_though_nothing_is_kept() -> None:
    call, lost = Away(owner=False), []
    keeper = Keeper(call, Scribe(None), ARRIVAL, on_lost=lambda: lost.append(None))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keeper.run())
        await asyncio.sleep(200)
        assert lost == [None] and len(call.tries) == 1
        keeper.keep(KeepSaid(0, WALK, 0, 1))
        keeper.keep(HangUp("the stream broke"))
        keeper.finish()
    assert call.written() == [("said", 0)] and lost == [None]
