"""The keeper of a call: an entry is kept as it was when the talk said so, however late the database takes it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date
from pathlib import Path

import pytest

from bot import keeper as keeper_module
from bot.conversation.commands import (
    CloseDay,
    ForgetDay,
    ForgetTurn,
    HangUp,
    KeepEntry,
    KeepHabit,
    KeepHeard,
    KeepSaid,
    KeepWaterfall,
    Mood,
    ReopenDay,
    Status,
    WriteEntry,
)
from bot.conversation.habit import PauseHabit
from bot.conversation.waterfall import Waterfall
from bot.diary.crypto import Keys, make_secret
from bot.diary.entries import Entry, Scribe
from bot.diary.records import EntryRecord
from bot.diary.store import Store
from bot.keeper import Keeper

CALL = "CA" + "1" * 32
WALK, PRIZE = "공원을 걸었어요", "상도 받았어요"


class CountingScribe(Scribe):
    """Writes in the caller's own sentences, and gives each entry a number for a title."""

    def __init__(self) -> None:
        super().__init__(None)
        self.written = 0

    async def write(self, said: Sequence[str], corrections: Sequence[str], day: date) -> Entry:
        self.written += 1
        plain = await super().write(said, corrections, day)
        return Entry(str(self.written), plain.body, Mood.ORDINARY)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(f"sqlite:///{tmp_path / 'diary.db'}", Keys.parse(make_secret()))
    yield store
    await store.close()


@pytest.fixture
async def keeper(store: Store) -> Keeper:
    arrival = await store.call_arrived(CALL, None)
    return Keeper(store, CountingScribe(), CALL, arrival)


async def entry_after_all(keeper: Keeper, store: Store) -> EntryRecord | None:
    """Commit all that waits, as at the end of a call; give the entry that there is then."""
    keeper.finish()
    await keeper.run()
    await keeper.write_what_is_left()
    return next(iter(await store.entries()), None)


async def test_an_entry_is_kept_as_it_was_when_the_talk_said_so(keeper: Keeper, store: Store) -> None:
    await keeper.draft(WriteEntry(1, (WALK,)))
    keeper.keep(KeepEntry(Status.APPROVED))
    await keeper.draft(WriteEntry(2, (WALK, PRIZE)))
    entry = await entry_after_all(keeper, store)
    assert entry and (entry.title, entry.status) == ("1", Status.APPROVED)
    assert entry.body and "상" not in entry.body


async def test_forgetting_that_is_committed_late_takes_no_later_entry_away(keeper: Keeper, store: Store) -> None:
    await keeper.draft(WriteEntry(1, (WALK,)))
    keeper.keep(ForgetDay(for_good=False))
    keeper.keep(KeepSaid(3, PRIZE, 0, 1))
    await keeper.draft(WriteEntry(2, (PRIZE,)))
    keeper.keep(KeepEntry(Status.APPROVED))
    entry = await entry_after_all(keeper, store)
    assert entry and (entry.title, entry.status) == ("2", Status.APPROVED)


async def test_an_entry_that_was_forgotten_is_not_kept_by_a_later_decision(keeper: Keeper, store: Store) -> None:
    await keeper.draft(WriteEntry(1, (WALK,)))
    keeper.keep(ForgetDay(for_good=False))
    keeper.keep(KeepEntry(Status.APPROVED))
    assert await entry_after_all(keeper, store) is None


async def test_a_day_that_is_reopened_after_its_approval_is_closed_with_all_of_it(keeper: Keeper, store: Store) -> None:
    await keeper.draft(WriteEntry(1, (WALK,)))
    keeper.keep(KeepEntry(Status.APPROVED))
    keeper.keep(ReopenDay())
    keeper.keep(CloseDay((WALK, PRIZE)))
    keeper.keep(HangUp("the caller hung up"))
    entry = await entry_after_all(keeper, store)
    assert entry and entry.status is Status.UNCONFIRMED
    assert entry.title == "2"
    assert entry.body and "공원" in entry.body and "상" in entry.body


async def test_a_day_that_is_reopened_and_not_closed_again_is_unconfirmed(keeper: Keeper, store: Store) -> None:
    await keeper.draft(WriteEntry(1, (WALK,)))
    keeper.keep(KeepEntry(Status.APPROVED))
    keeper.keep(ReopenDay())
    keeper.keep(HangUp("the caller hung up"))
    entry = await entry_after_all(keeper, store)
    assert entry and (entry.title, entry.status) == ("1", Status.UNCONFIRMED)


@pytest.mark.parametrize("closing", [CloseDay(("뭐라고 하셨어요?",)), KeepEntry(Status.DRAFT)])
async def test_a_day_with_nothing_for_a_diary_leaves_no_entry(
    keeper: Keeper, store: Store, closing: CloseDay | KeepEntry
) -> None:
    written = await keeper.draft(WriteEntry(1, ("뭐라고 하셨어요?",)))
    assert written and written.body == ""
    keeper.keep(closing)
    assert await entry_after_all(keeper, store) is None


async def test_a_model_that_takes_too_long_leaves_the_caller_s_own_sentences(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EndlessScribe(Scribe):
        async def write(self, said: Sequence[str], corrections: Sequence[str], day: date) -> Entry:
            await asyncio.sleep(60)
            return await super().write(said, corrections, day)

    monkeypatch.setattr(keeper_module, "DRAFT_S", 0.05)
    keeper = Keeper(store, EndlessScribe(None), CALL, await store.call_arrived(CALL, None))
    written = await keeper.draft(WriteEntry(1, (WALK,)))
    assert written and written.body == "공원을 걸었다."


async def test_what_was_measured_and_learned_is_kept(store: Store) -> None:
    keeper = Keeper(store, CountingScribe(), CALL, await store.call_arrived(CALL, "+821012345678"))
    keeper.keep(KeepSaid(0, WALK, 0, 1))
    keeper.keep(KeepWaterfall(0, Waterfall(1, heard_ms=700)))
    keeper.keep(KeepHabit(PauseHabit(450, 820, 7)))
    await entry_after_all(keeper, store)
    assert [(turn.said, turn.waterfall) for turn in await store.turns(CALL)] == [(WALK, Waterfall(1, heard_ms=700))]
    assert await store.habit(CALL) == PauseHabit(450, 820, 7)


async def test_a_turn_that_was_forgotten_is_in_no_entry_that_was_written_before(keeper: Keeper, store: Store) -> None:
    keeper.keep(KeepSaid(0, WALK, 0, 1))
    keeper.keep(KeepSaid(1, PRIZE, 2, 3))
    await keeper.draft(WriteEntry(1, (WALK, PRIZE)))
    keeper.keep(KeepEntry(Status.DRAFT))
    keeper.keep(ForgetTurn(1))
    keeper.keep(KeepEntry(Status.APPROVED))
    keeper.keep(KeepHeard(1, PRIZE))
    assert await entry_after_all(keeper, store) is None
    assert [(turn.turn, turn.said, turn.heard) for turn in await store.turns(CALL)] == [
        (0, WALK, None),
        (1, None, None),
    ]


async def test_an_entry_that_is_written_after_a_turn_was_forgotten_is_kept(keeper: Keeper, store: Store) -> None:
    await keeper.draft(WriteEntry(1, (WALK, PRIZE)))
    keeper.keep(KeepEntry(Status.APPROVED))
    keeper.keep(ForgetTurn(1))
    await keeper.draft(WriteEntry(2, (WALK,)))
    keeper.keep(KeepEntry(Status.APPROVED))
    entry = await entry_after_all(keeper, store)
    assert entry and (entry.title, entry.status) == ("2", Status.APPROVED)


@pytest.mark.parametrize("forget", [ForgetTurn(0), ForgetDay(for_good=False)])
async def test_a_draft_in_the_making_when_something_is_forgotten_is_void(
    store: Store, forget: ForgetTurn | ForgetDay
) -> None:
    writing, go_on = asyncio.Event(), asyncio.Event()

    class SlowScribe(Scribe):
        async def write(self, said: Sequence[str], corrections: Sequence[str], day: date) -> Entry:
            writing.set()
            await go_on.wait()
            return await super().write(said, corrections, day)

    keeper = Keeper(store, SlowScribe(None), CALL, await store.call_arrived(CALL, None))
    draft = asyncio.create_task(keeper.draft(WriteEntry(1, (WALK,))))
    await writing.wait()
    keeper.keep(forget)
    go_on.set()
    assert await draft is None
    keeper.keep(KeepEntry(Status.APPROVED))
    assert await entry_after_all(keeper, store) is None


async def test_a_forgotten_turn_is_not_put_into_better_words_after_the_call(keeper: Keeper, store: Store) -> None:
    keeper.keep(CloseDay((WALK, PRIZE)))
    keeper.keep(ForgetTurn(1))
    keeper.keep(CloseDay((WALK,)))
    entry = await entry_after_all(keeper, store)
    assert entry and entry.body == "공원을 걸었다."


@pytest.mark.parametrize("for_good", [True, False])
async def test_with_a_whole_day_the_other_calls_and_their_journals_go(store: Store, for_good: bool) -> None:
    forgotten: list[str] = []
    for call_sid in ("CA0", CALL):
        arrival = await store.call_arrived(call_sid, "+821012345678")
        await store.add_said(call_sid, 0, WALK, 0, 1)
    keeper = Keeper(store, CountingScribe(), CALL, arrival, forgotten.append)
    keeper.keep(ForgetDay(for_good=for_good))
    keeper.keep(KeepSaid(1, PRIZE, 2, 3))
    keeper.finish()
    await keeper.run()
    assert (await store.said("CA0"), forgotten) == ([WALK], [])
    keeper.keep(ForgetDay(for_good=for_good, whole_day=True))
    await keeper.run()
    assert await store.said("CA0") == await store.said(CALL) == []
    assert forgotten == ["CA0"]
