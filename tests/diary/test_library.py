"""bot/diary/library.py: a person's own diary is searched, as it is now."""

import asyncio
from datetime import date

import pytest

from bot.conversation.commands import Mood, Status
from bot.diary import library as library_module
from bot.diary.library import IDLE_S, MOST_PEOPLE, Library
from bot.diary.store import Store
from tests.chat_by_hand import a_person, write_entry
from tests.diary.talks import ANOTHER, let_in

TODAY = date(2026, 11, 21)
HAN = (date(2026, 3, 2), "한강", "지수랑 한강에 가서 라면을 먹었다.")


class Seconds:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def seconds():
    return Seconds()


@pytest.fixture
def library(store: Store, seconds) -> Library:
    return Library(store.database, store.keys, clock=seconds)


async def found(library: Library, caller_id: int, question: str = "한강에서 라면 먹은 날은?") -> list[str]:
    hits = await library.search(caller_id, question, today=TODAY, most=5)
    return [hit.document.call_sid for hit in hits]


async def test_a_person_finds_their_own_entries_and_nobody_elses(store: Store, library: Library) -> None:
    me = await write_entry(store, "CA1", *HAN)
    other = await write_entry(store, "CA2", date(2026, 3, 3), "바다", "민수랑 바다에 갔다.", number=ANOTHER)
    assert (await found(library, me), await found(library, other), await found(library, 999)) == (["CA1"], [], [])
    (hit,) = await library.search(me, "한강", today=TODAY, most=5)
    assert (hit.document.title, hit.document.day, hit.document.kind) == ("한강", date(2026, 3, 2), "entry")
    assert 0 < hit.score <= 1


async def test_somebody_without_an_entry_finds_nothing(store: Store, library: Library) -> None:
    assert await found(library, await a_person(store)) == []


async def test_a_talk_without_an_entry_is_found_and_gives_way_to_its_entry(store: Store, library: Library) -> None:
    call = await let_in(store, "CA1")
    await call.add_said(0, "한강에서 라면을 먹었어요", 0, 1)
    await call.add_said(1, "비가 왔어요", 2, 3)
    me = await a_person(store)
    (hit,) = await library.search(me, "한강에서 라면", today=TODAY, most=5)
    assert hit.document.kind == "talk" and hit.document.content == "한강에서 라면을 먹었어요\n비가 왔어요"
    assert hit.document.title == "11월 21일에 나눈 이야기"
    await call.save_entry("라면", "한강에서 라면을 먹었다.", Mood.CALM, Status.APPROVED)
    (hit,) = await library.search(me, "한강에서 라면", today=TODAY, most=5)
    assert hit.document.kind == "entry"


async def test_what_is_written_changed_or_removed_is_seen_by_the_next_search(store: Store, library: Library) -> None:
    me = await a_person(store)
    assert await found(library, me) == []
    await write_entry(store, "CA1", *HAN)
    assert await found(library, me) == ["CA1"]
    await write_entry(store, "CA2", date(2026, 4, 1), "한강", "혼자 한강에서 라면을 먹었다.")
    assert sorted(await found(library, me)) == ["CA1", "CA2"]
    assert await store.delete("CA1")
    assert await found(library, me) == ["CA2"]
    await store.forget_number("+821012345678")
    assert await found(library, me) == []


async def test_a_day_that_was_forgotten_is_found_no_more(store: Store, library: Library) -> None:
    call = await let_in(store, "CA1")
    await call.add_said(0, "한강에서 라면을 먹었어요", 0, 1)
    me = await a_person(store)
    assert await found(library, me) == ["CA1"]
    await call.forget_day()
    assert await found(library, me) == []


async def test_an_index_is_made_once_for_many_questions(
    store: Store, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = await write_entry(store, "CA1", *HAN)
    made = []
    monkeypatch.setattr(library_module, "Index", lambda *given, **more: made.append(1) or RealIndex(*given, **more))
    assert await asyncio.gather(*(found(library, me) for _ in range(8))) == [["CA1"]] * 8
    assert made == [1]


RealIndex = library_module.Index


async def test_what_nobody_asks_about_leaves_the_memory(store: Store, library: Library, seconds) -> None:
    me = await write_entry(store, "CA1", *HAN)
    await found(library, me)
    seconds.now = IDLE_S
    library.forget_idle()
    assert list(library._shelves) == [me]
    seconds.now = IDLE_S + 1
    library.forget_idle()
    assert list(library._shelves) == []


async def test_so_many_diaries_are_in_memory_and_no_more(
    store: Store, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_PEOPLE >= 50
    monkeypatch.setattr(library_module, "MOST_PEOPLE", 2)
    for caller_id in (1, 2, 3):
        await found(library, caller_id)
    assert list(library._shelves) == [2, 3]
