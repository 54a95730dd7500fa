"""The diary's database, its keys, its clock and its jobs; the folder of the journals. Everything is read, or undone.

It must not know what is said in the diary: of a text it only sees that a key opens it.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.diary.crypto import Keys
from bot.diary.database import Database, sqlite_file
from bot.diary.revision import is_current
from bot.diary.schema import SEALED, diary_keys, jobs, schedules
from bot.doctor.advice import advice
from bot.doctor.row import Row, fail, off, ok, took, warn
from bot.errors import SettingError, StoreError, WrongKey

SKEW_WARN_S, SKEW_FAIL_S = 5.0, 30.0
OVERDUE = timedelta(minutes=10)
LEAST_FREE_BYTES = 200_000_000
_REVIVE = "mend the cause, then: UPDATE jobs SET state = 'ready', attempt = 0 WHERE state = 'dead'"
_NO_DIARY = "no diary yet: it is made at the first start"


class _Undone(Exception):
    """Ends a transaction that was only tried."""


async def database(
    database_url: str, diary_key: str | None, *, clock: Callable[[], datetime], is_hosted: bool
) -> list[Row]:
    """Whether it is reached and takes what is written, has this release's tables, and opens with these keys.

    `is_hosted`: this machine's files are gone with every deploy.
    """
    try:
        file = sqlite_file(database_url)
        keys = _keys(diary_key, file)
        if file is not None and not file.exists():
            return [_nothing_yet(file, is_hosted=is_hosted), ok("DIARY_KEY", "well-formed" if keys else _NO_DIARY)]
        opened = Database(database_url)
    except SettingError as error:
        return [fail(error.name, error.why, advice(error))]
    except StoreError as error:
        return [fail("database", str(error), "pip install -r requirements.txt")]
    try:
        return await _diary(opened, keys, clock, is_hosted=is_hosted)
    finally:
        await opened.close()


def _keys(diary_key: str | None, file: Path | None) -> Keys | None:
    """The keys that there are; None when there is neither the setting nor its file, which the first start makes."""
    if diary_key is not None:
        return Keys.parse(diary_key)
    beside = file.with_name(file.name + ".key") if file else None
    return Keys.load_or_create(beside) if beside and beside.exists() else None


def _nothing_yet(file: Path, *, is_hosted: bool) -> Row:
    if not os.access(file.absolute().parent, os.W_OK | os.X_OK):
        return fail(
            "database", "its folder is not there, or cannot be written to", f"mkdir -p {file.absolute().parent}"
        )
    return _in_a_file(_NO_DIARY, file, is_hosted=is_hosted)


def _in_a_file(found: str, file: Path, *, is_hosted: bool) -> Row:
    if is_hosted:
        mend = "set DATABASE_URL to a PostgreSQL database, or mount a disk and keep the file there"
        return warn("database", f"{found}; a file of this machine may be gone with the next deploy", mend)
    status = os.statvfs(file.absolute().parent)
    if status.f_bavail * status.f_frsize < LEAST_FREE_BYTES:
        return warn("database", f"{found}; its disk is almost full", f"make room in {file.absolute().parent}")
    return ok("database", found)


async def _diary(database: Database, keys: Keys | None, clock: Callable[[], datetime], *, is_hosted: bool) -> list[Row]:
    began_s = time.monotonic()
    try:
        has_our_tables = await is_current(database)
        read = took(time.monotonic() - began_s)
        if not has_our_tables:
            return [ok("database", f"reached in {read}"), _other_tables(database)]
        await _write_and_undo(database, clock())
        found = f"read in {read}, and writable"
        rows = [_in_a_file(found, database.file, is_hosted=is_hosted) if database.file else ok("database", found)]
        rows.append(ok("tables", "of this release"))
        async with database.read() as connection:
            rows.append(await _opens(connection, keys))
            if database.file is None:
                rows.append(await _clock(connection, clock))
            rows.append(await _jobs(connection, clock()))
        return rows
    except StoreError as error:
        mend = "see that DATABASE_URL is right, and that its server is up and reached from here"
        if database.file is not None:
            mend = f"see that this user may write to {database.file.absolute()} and its folder"
        return [fail("database", str(error), mend)]


def _other_tables(database: Database) -> Row:
    mend = "python -m bot.diary.migrate; should it refuse, the tables are of a newer release: deploy that"
    if database.file is not None:
        return warn("tables", "not of this release: the next start brings them up to date", mend)
    return fail("tables", "not of this release", mend)


async def _write_and_undo(database: Database, now: datetime) -> None:
    values = {"name": "doctor", "kind": "", "args": "{}", "hhmm": "00:00", "tz": "UTC", "grace_s": 0, "next_at": now}
    try:
        async with database.write() as connection:
            await connection.execute(insert(schedules).values(values))
            raise _Undone
    except _Undone:
        pass


async def _opens(connection: AsyncConnection, keys: Keys | None) -> Row:
    """Whether every key in use is there, and opens what it should."""
    what, mend = "DIARY_KEY", "put the missing key behind the others, with a comma: without it nothing can be opened"
    used = {bytes(key_id) for key_id in await connection.scalars(select(diary_keys.c.key_id))}
    if keys is None:
        if used:
            return fail(what, "not set, and the key file beside the diary is not there", "bring back FILE.key")
        return ok(what, _NO_DIARY)
    if missing := len(used - set(keys.ids)):
        return fail(what, f"{missing} of the diary's keys is not in it", mend)
    try:
        for _, _, columns in SEALED:
            for column in columns:
                sealed = await connection.scalar(select(column).where(column.is_not(None)).limit(1))
                if sealed is not None:
                    keys.decrypt(bytes(sealed))
    except WrongKey as error:
        return fail(what, str(error), mend)
    except StoreError as error:
        return fail(what, str(error), "bring back the database from its backup")
    if old := len(used - {keys.newest_id}):
        return warn(what, f"opens the diary; {old} older key is still in use", "python -m bot rotate")
    return ok(what, "opens the diary" if used else "well-formed, and nothing is written yet")


async def _clock(connection: AsyncConnection, clock: Callable[[], datetime]) -> Row:
    """How far this machine's clock is from the database's: leases are read on other machines."""
    what, mend = "clock", "set this machine's clock by NTP"
    before = clock()
    theirs: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    after = clock()
    # Between the two readings it was right at some moment, if it is.
    skew_s = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    found = f"{skew_s:.1f} s from the database's"
    if skew_s > SKEW_FAIL_S:
        return fail(what, found, mend)
    return warn(what, found, mend) if skew_s > SKEW_WARN_S else ok(what, found)


async def _jobs(connection: AsyncConnection, now: datetime) -> Row:
    """What nobody works on any more."""
    dead = {
        str(kind): int(count)
        for kind, count in await connection.execute(
            select(jobs.c.kind, func.count()).where(jobs.c.state == "dead").group_by(jobs.c.kind).order_by(jobs.c.kind)
        )
    }
    if dead:
        told = ", ".join(f"{count} {kind}" for kind, count in dead.items())
        return warn("jobs", f"dead after every try: {told}", _REVIVE)
    waiting = select(func.count()).where(jobs.c.state.in_(["ready", "run"]))
    overdue = await connection.scalar(waiting.where(jobs.c.run_at < now - OVERDUE)) or 0
    if overdue:
        return warn("jobs", f"{overdue} were due 10 min ago", "see that a bot of this release runs with this database")
    return ok("jobs", f"{await connection.scalar(waiting) or 0} waiting, none dead")


async def journals(folder: Path | None) -> list[Row]:
    """Whether journals can be written."""
    if folder is None:
        return [off("journals", "not configured: calls are not recorded for replay")]
    return [await asyncio.to_thread(_journals, folder)]


def _journals(folder: Path) -> Row:
    what, mend = "journals", f"JOURNAL_DIR: a folder that this user may write to; mkdir -p {folder.absolute()}"
    if not folder.exists():
        nearest = next(parent for parent in folder.absolute().parents if parent.exists())
        if not os.access(nearest, os.W_OK | os.X_OK):
            return fail(what, "the folder cannot be made", mend)
        return ok(what, "the folder is made at the next start")
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        return fail(what, f"the folder cannot be written to: {error.strerror}", mend)
    return ok(what, "the folder can be written to")
