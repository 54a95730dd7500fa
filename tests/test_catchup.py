"""bot/catchup.py: entries for calls that ended without one."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest

from bot import catchup
from bot.catchup import CatchUp
from bot.conversation.commands import ForgetDay, ForgetTurn, KeepEntry, KeepSaid, Mood, Status, WriteEntry
from bot.diary.crypto import Keys, make_secret
from bot.diary.entries import Scribe as Writer
from bot.diary.store import Store as Diary
from bot.errors import StoreError
from bot.keeper import Keeper


@dataclass
class Written:
    title: str
    body: str
    mood: Mood = Mood.ORDINARY
    day: date = date(2026, 1, 2)


class Store:
    def __init__(self, **said):
        self.talks = said
        self.drafts = []
        self.saved = {}
        self.ended = {}
        self.looked = asyncio.Event()
        self.fails = False

    async def calls_without_entry(self):
        self.looked.set()
        if self.fails:
            raise StoreError("no database")
        return [call_sid for call_sid in self.talks if call_sid not in self.saved]

    async def abandoned_drafts(self):
        return [call_sid for call_sid in self.drafts if call_sid not in self.ended]

    async def said(self, call_sid):
        return self.talks[call_sid]

    async def call_arrived(self, call_sid, number):
        assert number is None
        return Written("", "")

    async def save_entry(self, call_sid, title, body, mood, status, *, of):
        if of != self.talks[call_sid]:
            return False
        self.saved[call_sid] = (title, body, mood, status)
        return True

    async def call_ended(self, call_sid, why):
        self.ended[call_sid] = why


class Scribe:
    async def write(self, said, corrections, day):
        assert corrections == []
        return Written(f"{day}", " ".join(said))


def catch_up(store, live=()):
    return CatchUp(store, Scribe(), lambda call_sid: call_sid in live)


async def test_every_missing_entry_is_written_from_what_was_said():
    store = Store(CA1=["산책했어요", "좋았어요"], CA2=["쉬었어요"])
    assert await catch_up(store).run() == 2
    assert store.saved["CA1"] == ("2026-01-02", "산책했어요 좋았어요", Mood.ORDINARY, Status.UNCONFIRMED)
    assert store.ended == {"CA1": "abandoned", "CA2": "abandoned"}
    assert await catch_up(store).run() == 0


async def test_a_call_that_is_live_here_is_left_alone():
    store = Store(CA1=["산책했어요"], CA2=["쉬었어요"])
    assert await catch_up(store, live={"CA1"}).run() == 1
    assert list(store.saved) == ["CA2"]


async def test_a_call_with_nothing_for_a_diary_gets_no_entry_and_is_not_looked_at_again():
    store = Store(CA1=[""])
    catching = catch_up(store)
    assert await catching.run() == await catching.run() == 0
    assert store.saved == {}
    assert store.ended == {"CA1": "abandoned"}
    store.talks["CA1"] = ["산책했어요"]
    assert await catching.run() == 0


async def test_what_is_no_part_of_a_day_is_not_in_the_entry():
    store = Store(CA1=["여보세요", "산책했어요", "음", "오늘은 여기까지 할게"])
    assert await catch_up(store).run() == 1
    assert store.saved["CA1"][1] == "산책했어요"


async def test_a_draft_of_a_call_that_nobody_ended_gets_its_end():
    store = Store()
    store.drafts = ["CA1", "CA2"]
    await catch_up(store, live={"CA2"}).run()
    assert store.ended == {"CA1": "abandoned"}


async def test_a_call_that_ends_during_a_look_is_looked_at_soon(monkeypatch):
    monkeypatch.setattr(catchup, "SOON_S", 0)
    store = Store()
    catching = catch_up(store)
    looks = []

    async def look():
        looks.append(len(looks))
        if len(looks) == 1:
            catching.soon("CA1")
        else:
            store.looked.set()
        return []

    store.calls_without_entry = look
    running = asyncio.create_task(catching.for_ever())
    async with asyncio.timeout(10):
        await store.looked.wait()
    running.cancel()


def test_without_being_asked_it_looks_every_minute():
    assert catchup.SOON_S < catchup.AGAIN_S <= 60


async def test_a_failing_store_is_one_line_of_the_log(caplog):
    store = Store(CA1=["산책했어요"])
    store.fails = True
    assert await catch_up(store).run() == 0
    assert len(caplog.records) == 1
    assert "산책" not in caplog.text


async def test_it_looks_again_soon_when_asked(monkeypatch):
    monkeypatch.setattr(catchup, "SOON_S", 0)
    store = Store()
    catching = catch_up(store)
    running = asyncio.create_task(catching.for_ever())
    for _ in range(3):
        async with asyncio.timeout(10):
            await store.looked.wait()
        store.looked.clear()
        await asyncio.sleep(0)
        store.talks["CA1"] = ["산책했어요"]
        catching.soon("CA1")
    assert "CA1" in store.saved
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_an_entry_of_what_was_forgotten_meanwhile_is_written_again_at_another_look():
    store = Store(CA1=["산책했어요", "비밀이에요"])

    class SlowScribe(Scribe):
        async def write(self, said, corrections, day):
            store.talks["CA1"] = ["산책했어요"]
            return await super().write(said, corrections, day)

    catching = CatchUp(store, SlowScribe(), lambda call_sid: False)
    assert await catching.run() == 0
    assert store.saved == {}
    assert await catching.run() == 1
    assert store.saved["CA1"][1] == "산책했어요"


SECRET, ANOTHER_SECRET = "회사에서 잘렸어요", "많이 울었어요"
FORGETTING = {
    "the turn": lambda keeper: keeper.keep(ForgetTurn(1)),
    "so far": lambda keeper: keeper.keep(ForgetDay(for_good=False)),
    "the whole day so far": lambda keeper: keeper.keep(ForgetDay(for_good=False, whole_day=True)),
    "the whole day for good": lambda keeper: keeper.keep(ForgetDay(for_good=True, whole_day=True)),
}


@pytest.mark.parametrize("what", FORGETTING)
async def test_a_call_that_was_killed_after_forgetting_gets_no_forgotten_word_back(what, tmp_path):
    now = [datetime(2026, 11, 21, 12, tzinfo=UTC)]
    diary = await Diary.open(f"sqlite:///{tmp_path / 'diary.db'}", Keys.parse(make_secret()), clock=lambda: now[0])
    for call_sid in ("CA0", "CA1"):
        arrival = await diary.call_arrived(call_sid, "+821012345678")
    await diary.add_said("CA0", 0, ANOTHER_SECRET, 0, 1)
    keeper = Keeper(diary, Writer(None), "CA1", arrival)
    keeper.keep(KeepSaid(0, "공원을 걸었어요", 0, 1))
    keeper.keep(KeepSaid(1, SECRET, 2, 3))
    await keeper.draft(WriteEntry(1, ("공원을 걸었어요", SECRET)))
    keeper.keep(KeepEntry(Status.DRAFT))
    FORGETTING[what](keeper)
    keeper.finish()
    await keeper.run()
    now[0] += timedelta(minutes=11)
    # The process is gone: nobody told the diary how the calls ended.
    await CatchUp(diary, Writer(None), lambda call_sid: False).run()
    bodies = {entry.call_sid: entry.body for entry in await diary.entries() if entry.body}
    assert not any("회사" in body for body in bodies.values())
    assert ("CA0" in bodies) == ("whole day" not in what)
    assert ("CA1" in bodies) == (what == "the turn")
    await diary.close()
