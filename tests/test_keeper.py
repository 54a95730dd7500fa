"""The keeper of a call: all is kept as it was when the talk said so, however late the database takes it."""

import asyncio
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from bot import keeper as keeper_module
from bot.conversation.commands import (
    ForgetDay,
    ForgetTurn,
    HandOver,
    HangUp,
    KeepEntry,
    KeepHabit,
    KeepHeard,
    KeepSaid,
    KeepStage,
    KeepWaterfall,
    Mood,
    RecordRest,
    ReopenDay,
    Status,
    WriteEntry,
)
from bot.conversation.habit import PauseHabit
from bot.conversation.snapshot import Snapshot, Written, decode
from bot.conversation.waterfall import Waterfall
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


async def keeper_of(store: Store, scribe: Scribe, number: str | None = None, **more: Any) -> Keeper:
    """The keeper of the next stream of the call, which is let in."""
    await store.call_arrived(CALL, number)
    stream = await store.claim_media_token(CALL, await store.media_token(CALL))
    assert stream
    return Keeper(store.owned(CALL, stream), scribe, await store.call_arrived(CALL, number), **more)


@pytest.fixture
async def keeper(store: Store) -> Keeper:
    return await keeper_of(store, CountingScribe())


async def entry_after_all(keeper: Keeper, store: Store) -> EntryRecord | None:
    """Commit all that waits, as at the end of a call; give the entry that there is then."""
    keeper.finish()
    await keeper.run()
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


async def test_a_day_that_is_reopened_after_its_approval_is_to_be_written_anew(keeper: Keeper, store: Store) -> None:
    await keeper.draft(WriteEntry(1, (WALK,)))
    keeper.keep(KeepEntry(Status.APPROVED))
    keeper.keep(ReopenDay())
    keeper.keep(HangUp("the caller hung up"))
    entry = await entry_after_all(keeper, store)
    assert entry and (entry.title, entry.status, entry.provisional) == ("1", Status.UNCONFIRMED, True)
    assert [job.key for job in await store.outbox.claim(["entry"], 9)] == [f"entry:{CALL}"]


async def test_a_day_that_nobody_put_into_words_is_left_to_the_work_after_the_call(
    keeper: Keeper, store: Store
) -> None:
    keeper.keep(KeepSaid(0, WALK, 0, 1))
    keeper.keep(HangUp("the caller hung up"))
    assert await entry_after_all(keeper, store) is None
    assert await store.is_ended(CALL)
    assert [job.key for job in await store.outbox.claim(["entry"], 9)] == [f"entry:{CALL}"]


async def test_an_entry_that_another_process_wrote_can_be_approved_of(keeper: Keeper, store: Store) -> None:
    keeper.keep(KeepEntry(Status.APPROVED, Written(1, "산책", "공원을 걸었다.", "평온")))
    entry = await entry_after_all(keeper, store)
    assert entry and (entry.title, entry.body, entry.mood) == ("산책", "공원을 걸었다.", Mood.CALM)
    assert entry.status is Status.APPROVED


async def test_a_day_with_nothing_for_a_diary_leaves_no_entry(keeper: Keeper, store: Store) -> None:
    written = await keeper.draft(WriteEntry(1, ("뭐라고 하셨어요?",)))
    assert written and written.body == ""
    keeper.keep(KeepEntry(Status.DRAFT, Written(1, "", "", "보통")))
    assert await entry_after_all(keeper, store) is None


async def test_a_model_that_takes_too_long_leaves_the_caller_s_own_sentences(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EndlessScribe(Scribe):
        async def write(self, said: Sequence[str], corrections: Sequence[str], day: date) -> Entry:
            await asyncio.sleep(60)
            return await super().write(said, corrections, day)

    monkeypatch.setattr(keeper_module, "DRAFT_S", 0.05)
    keeper = await keeper_of(store, EndlessScribe(None))
    written = await keeper.draft(WriteEntry(1, (WALK,)))
    assert written and written.body == "공원을 걸었다."


async def test_what_was_measured_and_learned_is_kept(store: Store) -> None:
    keeper = await keeper_of(store, CountingScribe(), "+821012345678")
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

    keeper = await keeper_of(store, SlowScribe(None))
    draft = asyncio.create_task(keeper.draft(WriteEntry(1, (WALK,))))
    await writing.wait()
    keeper.keep(forget)
    go_on.set()
    assert await draft is None
    keeper.keep(KeepEntry(Status.APPROVED))
    assert await entry_after_all(keeper, store) is None


@pytest.mark.parametrize("for_good", [True, False])
async def test_with_a_whole_day_the_other_calls_and_their_journals_go(store: Store, for_good: bool) -> None:
    forgotten: list[str] = []
    keeper = await keeper_of(store, CountingScribe(), "+821012345678", forget_journals=forgotten.append)
    for call_sid in ("CA0", CALL):
        await store.call_arrived(call_sid, "+821012345678")
        await store.owned(call_sid, 1).add_said(0, WALK, 0, 1)
    keeper.keep(ForgetDay(for_good=for_good))
    keeper.keep(KeepSaid(1, PRIZE, 2, 3))
    keeper.finish()
    await keeper.run()
    assert (await store.said("CA0"), forgotten) == ([WALK], [])
    keeper.keep(ForgetDay(for_good=for_good, whole_day=True))
    await keeper.run()
    assert await store.said("CA0") == await store.said(CALL) == []
    assert forgotten == ["CA0"]


async def test_the_stage_is_kept_before_the_talk_is_handed_over(keeper: Keeper, store: Store) -> None:
    keeper.keep(KeepSaid(0, WALK, 0, 1))
    keeper.keep(KeepStage(Snapshot(turn=0)))
    keeper.keep(KeepStage(Snapshot(turn=0, handed_over=True)))
    keeper.keep(HandOver())
    await entry_after_all(keeper, store)
    assert decode(await store.stage(CALL) or "") == Snapshot(turn=0, handed_over=True)
    assert not await store.is_ended(CALL) and await store.next_step(CALL) is None
    assert await store.outbox.claim(["entry"], 9) == []


async def test_the_rest_of_a_call_without_a_recogniser_is_recorded(keeper: Keeper, store: Store) -> None:
    keeper.keep(KeepSaid(0, WALK, 0, 1))
    keeper.keep(RecordRest("the recogniser is lost"))
    await entry_after_all(keeper, store)
    assert await store.next_step(CALL) == "record"
    assert not await store.is_ended(CALL)


async def test_a_stream_that_was_overtaken_keeps_its_words_and_changes_nothing_else(store: Store) -> None:
    lost: list[None] = []
    first = await keeper_of(store, CountingScribe(), on_lost=lambda: lost.append(None))
    second = await keeper_of(store, CountingScribe())
    await first.draft(WriteEntry(1, (WALK,)))
    first.keep(KeepStage(Snapshot(turn=0)))
    first.keep(KeepSaid(0, WALK, 0, 1))
    first.keep(KeepEntry(Status.APPROVED))
    first.keep(KeepHeard(0, "걸으셨군요"))
    first.keep(HangUp("the stream broke"))
    assert await entry_after_all(first, store) is None
    assert lost == [None], "it is told once"
    assert not await store.is_ended(CALL) and await store.stage(CALL) is None
    assert [(turn.said, turn.heard) for turn in await store.turns(CALL)] == [(WALK, "걸으셨군요")]
    second.keep(HangUp("goodbye"))
    await entry_after_all(second, store)
    assert await store.is_ended(CALL)
