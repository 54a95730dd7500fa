import asyncio
import sqlite3
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.conversation.commands import Mood, Status
from bot.diary import database
from bot.diary.crypto import Keys
from bot.diary.records import EntryRecord, TurnRecord
from bot.diary.store import Store, keys_of
from bot.errors import SettingError, StoreError, WrongKey

NUMBER = "+821012345678"


async def entry_of(store: Store, call_sid: str) -> EntryRecord | None:
    return next((entry for entry in await store.entries() if entry.call_sid == call_sid), None)


def change(url: str, statement: str, *values: object) -> None:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute(statement, values)
    connection.close()


# The talk


async def test_turns_are_kept_in_order_and_once(store: Store) -> None:
    await store.call_arrived("CA1", NUMBER)
    await store.add_heard("CA1", -1, "안녕하세요, 오늘 하루 어땠어요?")
    await store.add_said("CA1", 1, "커피를 마셨어요.", 5000, 6000)
    for text in ("친구를", "친구를 만났어요."):
        await store.add_said("CA1", 0, text, 1000, 2000)
        await store.add_heard("CA1", 0, "반가웠겠어요.")
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
        await store.call_arrived(call_sid, None)
        for turn in range(8):
            await store.add_said(call_sid, turn, f"{call_sid} {turn}", 0, 1)
            await store.add_heard(call_sid, turn, f"들음 {call_sid} {turn}")

    await asyncio.gather(*(talk((one, two)[n % 2], f"CA{n}") for n in range(10)))
    for n in range(10):
        assert await one.said(f"CA{n}") == [f"CA{n} {turn}" for turn in range(8)]


async def test_text_of_a_call_that_never_arrived_is_a_store_error(store: Store) -> None:
    with pytest.raises(StoreError):
        await store.add_said("CA9", 0, "누구세요", 0, 1)


async def test_a_write_that_is_cancelled_leaves_the_diary_usable(store: Store) -> None:
    await store.call_arrived("CA1", NUMBER)
    for _ in range(10):
        task = asyncio.create_task(store.add_said("CA1", 0, "끊긴 말", 0, 1))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await store.add_said("CA1", 1, "다음 말", 0, 1)
    assert (await store.said("CA1"))[-1] == "다음 말"


# Entries


async def test_an_entry_is_one_for_each_call_and_the_last_word_counts(store: Store) -> None:
    await store.call_arrived("CA1", NUMBER)
    assert await store.save_entry("CA1", "초안", "초안이다.", Mood.TIRED, Status.DRAFT)
    assert await store.save_entry("CA1", "산책", "공원을 걸었다.", Mood.JOY, Status.DRAFT)
    assert await store.set_entry_status("CA1", Status.APPROVED)
    day = date(2026, 11, 21)
    assert await store.entries() == [
        EntryRecord("CA1", NUMBER, day, "산책", "공원을 걸었다.", Mood.JOY, Status.APPROVED)
    ]
    assert not await store.set_entry_status("CA2", Status.APPROVED)


async def test_a_late_draft_does_not_replace_what_was_approved(store: Store) -> None:
    await store.call_arrived("CA1", NUMBER)
    await store.save_entry("CA1", "산책", "공원을 걸었다.", Mood.JOY, Status.APPROVED)
    assert not await store.save_entry("CA1", "늦음", "늦게 쓴 글이다.", Mood.SAD, Status.UNCONFIRMED)
    entry = await entry_of(store, "CA1")
    assert entry is not None and entry.title == "산책" and entry.status is Status.APPROVED


async def test_a_draft_nobody_approved_is_unconfirmed_after_the_call(store: Store) -> None:
    for call_sid in ("CA1", "CA2"):
        await store.call_arrived(call_sid, NUMBER)
        await store.save_entry(call_sid, "하루", "하루였다.", Mood.CALM, Status.DRAFT)
    await store.set_entry_status("CA2", Status.APPROVED)
    for call_sid in ("CA1", "CA2"):
        await store.call_ended(call_sid, "completed")
    assert [entry.status for entry in await store.entries()] == [Status.UNCONFIRMED, Status.APPROVED]


async def test_entries_are_of_one_caller_when_asked(store: Store, clock) -> None:
    for n, number in enumerate([NUMBER, "+821099999999", None, NUMBER]):
        await store.call_arrived(f"CA{n}", number)
        await store.save_entry(f"CA{n}", "하루", "하루였다.", Mood.CALM, Status.APPROVED)
        clock.forward(hours=1)
    assert [entry.call_sid for entry in await store.entries()] == ["CA0", "CA1", "CA2", "CA3"]
    assert [entry.call_sid for entry in await store.entries(NUMBER)] == ["CA0", "CA3"]
    assert await store.entries("+821000000000") == []


# The end of a call


async def test_a_call_ends_once(store: Store) -> None:
    await store.call_arrived("CA1", NUMBER)
    assert not await store.is_ended("CA1")
    await store.call_ended("CA1", "completed" * 20)
    await store.call_ended("CA1", "failed")
    assert await store.is_ended("CA1")
    assert not await store.is_ended("CA2")
    await store.call_ended("CA2", "a call nobody knows")


async def test_calls_that_still_need_an_entry(store: Store, clock) -> None:
    for call_sid in ("ended", "alive", "silent", "written"):
        await store.call_arrived(call_sid, NUMBER)
        if call_sid != "silent":
            await store.add_said(call_sid, 0, "오늘은", 0, 1)
    await store.save_entry("written", "하루", "하루였다.", Mood.CALM, Status.UNCONFIRMED)
    for call_sid in ("ended", "silent", "written"):
        await store.call_ended(call_sid, "completed")
    assert await store.calls_without_entry() == ["ended"]
    clock.forward(minutes=9)
    await store.add_said("alive", 1, "그리고", 0, 1)
    clock.forward(minutes=9)
    assert await store.calls_without_entry() == ["ended"]
    clock.forward(minutes=2)
    assert await store.calls_without_entry() == ["alive", "ended"]
    await store.claim_media_token("alive", await store.media_token("alive"))
    assert await store.calls_without_entry() == ["ended"], "a call that has just been taken up again is alive"


# Failures


async def test_a_wrong_key_shows_when_the_diary_is_opened(store: Store, open_store) -> None:
    with pytest.raises(WrongKey, match="DIARY_KEY does not open this diary"):
        await open_store(Keys.parse("some-other-secret-abcdefghij-0123456"))


async def test_a_damaged_entry_is_named(store: Store, diary_url: str) -> None:
    await store.call_arrived("CA1", NUMBER)
    await store.save_entry("CA1", "하루", "하루였다.", Mood.CALM, Status.APPROVED)
    change(diary_url, "UPDATE entries SET body_sealed = substr(body_sealed, 1, 60)")
    with pytest.raises(StoreError, match="call CA1: a stored text is damaged"):
        await store.entries()
    change(diary_url, "UPDATE entries SET body_sealed = x'00'")
    with pytest.raises(WrongKey, match="call CA1"):
        await store.entries()
    change(diary_url, "UPDATE entries SET body_sealed = NULL, mood = 'nothing'")
    with pytest.raises(StoreError, match="call CA1: its entry is damaged"):
        await store.entries()


async def test_a_locked_database_is_a_store_error_and_then_works_again(
    open_store, diary_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    store = await open_store()
    await store.call_arrived("CA1", NUMBER)
    other = sqlite3.connect(diary_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="the diary's database failed: database is locked"):
        await store.add_said("CA1", 0, "기다려요", 0, 1)
    assert await store.is_up(), "readers do not wait for a writer"
    other.execute("ROLLBACK")
    other.close()
    await store.add_said("CA1", 0, "됐어요", 0, 1)
    assert await store.said("CA1") == ["됐어요"]


async def test_a_database_that_is_gone_is_a_store_error(store: Store, diary_url: str) -> None:
    change(diary_url, "DROP TABLE turns")
    await store.call_arrived("CA1", "anonymous")
    with pytest.raises(StoreError, match="no such table"):
        await store.said("CA1")
    change(diary_url, "DROP TABLE calls")
    assert not await store.is_up()


async def test_what_cannot_be_a_diary_is_refused(tmp_path: Path, keys: Keys) -> None:
    (tmp_path / "text.db").write_text("this is no database, but a page of text\n" * 100)
    for name in ("text.db", "no/folder.db", ""):
        with pytest.raises((StoreError, SettingError)):
            await Store.open(f"sqlite:///{tmp_path / name}", keys)


async def test_sqlite_is_set_up_to_lose_nothing(store: Store) -> None:
    async def pragma(connection: AsyncConnection, name: str) -> object:
        return (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()

    async with store._database.write() as connection:
        found = {
            name: await pragma(connection, name)
            for name in ("journal_mode", "busy_timeout", "synchronous", "foreign_keys", "secure_delete")
        }
    assert found == {
        "journal_mode": "wal", "busy_timeout": 10_000, "synchronous": 2, "foreign_keys": 1, "secure_delete": 1
    }  # fmt: skip


# Keys by the settings


def test_without_a_key_sqlite_has_one_beside_it_and_postgresql_none(tmp_path: Path) -> None:
    made = keys_of(f"sqlite:///{tmp_path / 'mine.db'}", None)
    assert (tmp_path / "mine.db.key").exists()
    assert keys_of(f"sqlite:///{tmp_path / 'mine.db'}", None).ids == made.ids
    with pytest.raises(SettingError, match="DIARY_KEY: is required with PostgreSQL"):
        keys_of("postgres://me@localhost/diary", None)
    secret = "a-secret-from-the-settings-0123456789"
    assert keys_of("postgres://me@localhost/diary", secret).ids == Keys.parse(secret).ids


async def test_a_draft_that_nobody_ended_is_found_after_a_while(store: Store, clock) -> None:
    for call_sid in ("CA1", "CA2"):
        await store.call_arrived(call_sid, NUMBER)
        await store.add_said(call_sid, 0, "산책을 했어요", 0, 1)
        await store.save_entry(call_sid, "산책", "산책을 했다.", Mood.CALM, Status.DRAFT)
    await store.call_ended("CA2", "completed")
    assert await store.abandoned_drafts() == []
    clock.forward(minutes=11)
    assert await store.abandoned_drafts() == ["CA1"]
    await store.call_ended("CA1", "abandoned")
    assert await store.abandoned_drafts() == []
    assert {entry.status for entry in await store.entries()} == {Status.UNCONFIRMED}


async def test_a_talk_that_goes_on_voids_what_was_not_approved(store: Store) -> None:
    for call_sid, status in (("CA1", Status.UNCONFIRMED), ("CA2", Status.APPROVED)):
        await store.call_arrived(call_sid, NUMBER)
        await store.add_said(call_sid, 0, "산책을 했어요", 0, 1)
        await store.save_entry(call_sid, "산책", "산책을 했다.", Mood.CALM, status)
        await store.reopen(call_sid)
    assert [entry.call_sid for entry in await store.entries()] == ["CA2"]


async def test_an_entry_is_put_into_other_words_by_the_last_stream_alone(store: Store) -> None:
    await store.call_arrived("CA1", NUMBER)
    await store.add_said("CA1", 0, "산책을 했어요", 0, 1)
    await store.save_entry("CA1", "산책", "산책을 했다.", Mood.CALM, Status.UNCONFIRMED)
    assert await store.rewrite_entry("CA1", 1, "걷기", "걸었다.", Mood.JOY)
    assert [entry.body for entry in await store.entries()] == ["걸었다."]
    await store.claim_media_token("CA1", await store.media_token("CA1"))
    await store.media_token("CA1")
    assert not await store.rewrite_entry("CA1", 1, "늦은 글", "늦었다.", Mood.SAD)
    await store.save_entry("CA1", "산책", "산책을 했다.", Mood.CALM, Status.APPROVED)
    assert not await store.rewrite_entry("CA1", 2, "늦은 글", "늦었다.", Mood.SAD)
    assert [entry.body for entry in await store.entries()] == ["산책을 했다."]
