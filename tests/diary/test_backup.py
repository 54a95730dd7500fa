"""Copies of a diary that is in use, and the diary that is made of one: with the commands that the README gives."""

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.conversation.commands import Status
from bot.diary.crypto import Keys
from bot.diary.records import EntryRecord, TurnRecord
from bot.diary.store import Store, keys_of
from bot.errors import StoreError, WrongKey
from bot.lab.postgres import PostgresLab
from tests.diary.talks import ANOTHER, NUMBER, let_in, opened, told, work

Backup = Callable[[str], str]


@pytest.fixture(params=["usual", "other"])
def backup(request: pytest.FixtureRequest, tmp_path: Path) -> Backup:
    """Copy a database, in the usual way or the other one that there is, and restore it; gives the address of that."""
    usual = request.param == "usual"

    def copy(url: str) -> str:
        if url.startswith("sqlite"):
            return sqlite_copy(url, tmp_path / "restored", vacuum=usual)
        return postgresql_copy(request.getfixturevalue("postgres_lab"), url, tmp_path / "ilgi.dump", custom=usual)

    return copy


def sqlite_copy(url: str, folder: Path, *, vacuum: bool) -> str:
    folder.mkdir()
    file = folder / "diary.db"
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as source:
        if vacuum:
            source.execute(f"VACUUM INTO '{file}'")
        else:
            with closing(sqlite3.connect(file)) as target:
                source.backup(target)
    return f"sqlite:///{file}"


def postgresql_copy(lab: PostgresLab, url: str, file: Path, *, custom: bool) -> str:
    restored = lab.new_database()
    dump = [lab.tool("pg_dump"), f"--format={'custom' if custom else 'plain'}", "--no-owner", "--no-privileges"]
    subprocess.run([*dump, f"--file={file}", url], check=True)
    if custom:
        restore = [lab.tool("pg_restore"), "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
        subprocess.run([*restore, f"--dbname={restored}", file], check=True)
    else:
        restore = [lab.tool("psql"), "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"]
        subprocess.run([*restore, f"--file={file}", restored], check=True, stdout=subprocess.DEVNULL)
    return restored


async def contents(store: Store) -> tuple[list[EntryRecord], dict[str, list[TurnRecord]], list[EntryRecord]]:
    """Every entry, every turn of every call, and the entries that are found by a number."""
    async with store.database.read() as connection:
        sids = (await connection.execute(text("SELECT call_sid FROM calls ORDER BY call_sid"))).scalars().all()
    return await store.entries(), {sid: await store.turns(sid) for sid in sids}, await store.entries(NUMBER)


def bytes_of(url: str) -> bytes:
    return Path(url.removeprefix("sqlite:///")).read_bytes()


async def fill(store: Store, clock) -> None:
    for n in range(6):
        status = Status.APPROVED if n % 2 else Status.DRAFT
        number = (NUMBER, ANOTHER, None)[n % 3]
        await told(store, f"CA{n}", "산책을 했어요", f"{n}시에 밥을 먹었어요", number=number, status=status)
        clock.forward(minutes=5)
    await store.owned("CA5", 1).ended("completed")
    await store.owned("CA4", 1).keep_stage('{"stage": "talk"}')


async def test_a_restored_diary_holds_everything_and_goes_on(
    store: Store, diary_url: str, keys: Keys, clock, backup: Backup
) -> None:
    await fill(store, clock)
    before = await contents(store)
    assert len(before[0]) == 6 and sum(map(len, before[1].values())) == 12 and len(before[2]) == 2
    restored_url = await asyncio.to_thread(backup, diary_url)
    async with opened(restored_url, keys, clock=clock) as restored:
        assert await contents(restored) == before
        assert await restored.stage("CA4") == '{"stage": "talk"}'
        assert await work(restored) == ["entry:CA5"], "what was still to be done is done"
        clock.forward(hours=1)
        assert not (await restored.call_arrived("CA7", NUMBER)).first_time
        for call_sid, number in (("CA8", "+821055555555"), ("CA9", NUMBER)):
            call = await told(restored, call_sid, "다시 전화했어요", number=number)
            await call.ended("completed")
        assert await work(restored) == ["entry:CA8", "entry:CA9"]
        assert len(await restored.entries(NUMBER)) == 3
        assert await restored.rotate() == 0
    assert await contents(store) == before, "the copy is a diary of its own"


async def test_a_copy_that_is_made_while_calls_go_on_is_whole(
    open_store, diary_url: str, clock, backup: Backup
) -> None:
    store = await open_store()
    await fill(store, clock)
    before = await contents(store)
    other, ended, kept = await open_store(), asyncio.Event(), [0]

    async def go_on() -> None:
        call = await let_in(other, "CA-long")
        while not ended.is_set():
            await call.add_said(kept[0], f"말 {kept[0]}", 0, 1)
            await call.add_heard(kept[0], f"답 {kept[0]}")
            kept[0] += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(go_on())
        while kept[0] < 5:
            await asyncio.sleep(0.01)
        at_first = kept[0]
        restored_url = await asyncio.to_thread(backup, diary_url)
        at_last = kept[0]
        await asyncio.sleep(0.1)
        ended.set()
    assert kept[0] > at_last >= at_first, "no backup stops a call"
    async with opened(restored_url, store.keys, clock=clock) as restored:
        entries, turns, _ = await contents(restored)
        of_the_call = turns.pop("CA-long")
        assert (entries, turns) == (before[0], before[1])
        assert at_first <= len(of_the_call) <= at_last + 1
        assert [turn.said for turn in of_the_call] == [f"말 {n}" for n in range(len(of_the_call))]
        assert all(turn.heard for turn in of_the_call[:-1])
        await restored.owned("CA-long", 1).add_said(len(of_the_call), "이어서", 0, 1)
        assert (await restored.said("CA-long"))[-1] == "이어서"


@pytest.mark.sqlite
async def test_a_file_is_restored_with_its_key_and_opens_with_no_other(
    diary_url: str, tmp_path: Path, clock, backup: Backup
) -> None:
    async with opened(diary_url, keys_of(diary_url, None)) as store:
        await fill(store, clock)
    restored_url = backup(diary_url)
    folder = tmp_path / "restored"
    with pytest.raises(WrongKey, match="DIARY_KEY does not open this diary"):
        async with opened(restored_url, keys_of(restored_url, None)):
            pass
    (folder / "diary.db.key").write_bytes((tmp_path / "diary.db.key").read_bytes())
    async with opened(restored_url, keys_of(restored_url, None)) as restored:
        assert len(await restored.entries()) == 6


@pytest.mark.sqlite
async def test_a_damaged_copy_is_no_diary(diary_url: str, keys: Keys, clock, backup: Backup) -> None:
    async with opened(diary_url, keys) as store:
        await fill(store, clock)
    restored_url = backup(diary_url)
    os.truncate(restored_url.removeprefix("sqlite:///"), 10_000)
    with pytest.raises(StoreError):
        async with opened(restored_url, keys) as restored:
            await contents(restored)


@pytest.mark.sqlite
async def test_what_was_removed_is_not_in_a_copy(store: Store, diary_url: str, clock, backup: Backup) -> None:
    await fill(store, clock)
    async with store.database.read() as connection:
        blobs = (await connection.execute(text("SELECT said_sealed FROM turns"))).scalars().all()
    for n in range(6):
        await store.delete(f"CA{n}")
    copied = bytes_of(backup(diary_url))
    assert len(blobs) == 12 and not any(blob[40:60] in copied for blob in blobs)
