import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import DropTable

from bot.conversation.commands import Mood, Status
from bot.diary import sqlite
from bot.diary.crypto import Keys
from bot.diary.schema import calls, entries, turns
from bot.diary.store import Store, keys_of
from bot.errors import SettingError, StoreError, WrongKey
from tests.diary.talks import NUMBER, change, let_in

# Entries


async def test_entries_are_of_one_caller_when_asked(store: Store, clock) -> None:
    for n, number in enumerate([NUMBER, "+821099999999", None, NUMBER]):
        call = await let_in(store, f"CA{n}", number)
        await call.save_entry("하루", "하루였다.", Mood.CALM, Status.APPROVED)
        clock.forward(hours=1)
    assert [entry.call_sid for entry in await store.entries()] == ["CA0", "CA1", "CA2", "CA3"]
    assert [entry.call_sid for entry in await store.entries(NUMBER)] == ["CA0", "CA3"]
    assert await store.entries("+821000000000") == []


# Failures


async def test_a_wrong_key_shows_when_the_diary_is_opened(store: Store, open_store) -> None:
    with pytest.raises(WrongKey, match="DIARY_KEY does not open this diary"):
        await open_store(Keys.parse("some-other-secret-abcdefghij-0123456"))


async def test_a_damaged_entry_is_named(store: Store) -> None:
    call = await let_in(store, "CA1", NUMBER)
    await call.save_entry("하루", "하루였다.", Mood.CALM, Status.APPROVED)
    await change(store, update(entries).values(body_sealed=func.substr(entries.c.body_sealed, 1, 60)))
    with pytest.raises(StoreError, match="call CA1: a stored text is damaged"):
        await store.entries()
    await change(store, update(entries).values(body_sealed=b"\0"))
    with pytest.raises(WrongKey, match="call CA1"):
        await store.entries()
    await change(store, update(entries).values(body_sealed=None, mood="nothing"))
    with pytest.raises(StoreError, match="call CA1: its entry is damaged"):
        await store.entries()


@pytest.mark.sqlite
async def test_a_locked_database_is_a_store_error_and_then_works_again(
    open_store, diary_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    store = await open_store()
    call = await let_in(store, "CA1", NUMBER)
    other = sqlite3.connect(diary_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="the diary's database failed: database is locked"):
        await call.add_said(0, "기다려요", 0, 1)
    assert await store.is_up(), "readers do not wait for a writer"
    other.execute("ROLLBACK")
    other.close()
    await call.add_said(0, "됐어요", 0, 1)
    assert await store.said("CA1") == ["됐어요"]


async def test_tables_that_are_gone_are_a_store_error(store: Store) -> None:
    await change(store, DropTable(turns))
    await store.call_arrived("CA1", "anonymous")
    with pytest.raises(StoreError, match=r"no such table|UndefinedTable"):
        await store.said("CA1")
    for table in (entries, calls):
        await change(store, DropTable(table))
    assert not await store.is_up()


async def test_what_cannot_be_a_diary_is_refused(tmp_path: Path, keys: Keys) -> None:
    (tmp_path / "text.db").write_text("this is no database, but a page of text\n" * 100)
    for name in ("text.db", "no/folder.db", ""):
        with pytest.raises((StoreError, SettingError)):
            await Store.open(f"sqlite:///{tmp_path / name}", keys)


@pytest.mark.sqlite
async def test_sqlite_is_set_up_to_lose_nothing(store: Store) -> None:
    async def pragma(connection: AsyncConnection, name: str) -> object:
        return (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()

    for is_long, synchronous in (
        (True, 2),
        (False, 1),
    ):  # 1: the wait for the disk is ours, see tests/diary/test_sqlite
        async with store.database.write(is_long=is_long) as connection:
            found = {
                name: await pragma(connection, name)
                for name in ("journal_mode", "busy_timeout", "synchronous", "foreign_keys", "secure_delete")
            }
        assert found == {
            "journal_mode": "wal", "busy_timeout": 10_000, "synchronous": synchronous, "foreign_keys": 1,
            "secure_delete": 1,
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
