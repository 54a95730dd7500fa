"""bot/catchup.py: entries for calls that ended without one."""

import asyncio
from dataclasses import dataclass
from datetime import date

import pytest

from bot import catchup
from bot.catchup import CatchUp
from bot.conversation.commands import Mood, Status
from bot.errors import StoreError


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

    async def save_entry(self, call_sid, title, body, mood, status):
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
