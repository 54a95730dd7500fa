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
    HangUp,
    KeepEntry,
    KeepSaid,
    Mood,
    ReopenDay,
    Status,
    WriteEntry,
)
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
