"""SQLite for `Database`: one file, with one writer at a time.

A transaction that writes takes the file's lock at its first statement (BEGIN IMMEDIATE), so that none fails half way;
writers of one process wait for each other in order, writers of two up to 10 s. Its statements run in the event loop,
for they are short: what changes many rows says so, and has a thread, as readers have. It must not know tables or keys.

Nobody but us makes a checkpoint (wal_autocheckpoint is 0), and nobody of this process writes meanwhile: a commit at
that moment could, very rarely, be lost by SQLite before 3.51.3. Another process's still could; PostgreSQL is there for
many.
Source: https://sqlite.org/wal.html#walresetbug
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, text
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine, create_async_engine

from bot.diary.short_transactions import BEGIN, LogOnDisk, ShortTransactions
from bot.errors import StoreError

log = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 10_000
SCRUB_TIMEOUT_MS = 500
CACHE_KIB = 512  # of each of ten connections; the system keeps the file in memory anyway
CHECKPOINT_COMMITS = 250  # some 4 MiB of log
# isolation_level None keeps the driver from beginning transactions by its own rules.
_OPENED: dict[str, Any] = {"isolation_level": None, "timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False}


class Sqlite:
    """One file and its write-ahead log; what its public methods do is told in `Database`."""

    insert = staticmethod(insert)

    def __init__(self, url: URL, file: Path) -> None:
        self._file = file
        itself = Path(os.path.realpath(file))
        self._engine = _engine(url, "FULL", pool_size=4, max_overflow=4, connect_args=_OPENED)
        self._long_writer = self._engine.execution_options(ilgi_begin=BEGIN)
        self._bare = self._engine.execution_options(ilgi_begin="")
        opened = partial(ShortTransactions, partial(sqlite3.connect, str(itself), **_OPENED), BUSY_TIMEOUT_MS)
        # One writes at a time, while the connection of the one before is given back.
        short = _engine(url, "NORMAL", pool_size=2, max_overflow=0, async_creator=opened)
        self._short_writer = short.execution_options(ilgi_begin=BEGIN)
        self._turn = asyncio.Lock()
        self._log = LogOnDisk(itself)
        self._log_begins_anew = False
        self._commits = 0
        self._checkpointing: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        try:
            os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreError(f"the diary {self._file} cannot be opened: {error.strerror}") from error
        # The change to WAL does not wait for other processes by itself.
        for last_try in (*[False] * (BUSY_TIMEOUT_MS // 100), True):
            try:
                async with self._bare.connect() as connection:
                    await connection.execute(text("PRAGMA journal_mode = WAL"))
                return
            except OperationalError as error:
                if last_try or "locked" not in str(error.orig):
                    raise
                await asyncio.sleep(0.1)

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._engine.begin()

    @asynccontextmanager
    async def writing(self, *, is_long: bool) -> AsyncIterator[AsyncConnection]:
        if self._log.error:
            await self._heal()
        async with AsyncExitStack() as connected, self._turn:
            is_long, self._log_begins_anew = is_long or self._log_begins_anew, False
            writer = self._long_writer if is_long else self._short_writer
            connection = await connected.enter_async_context(writer.connect())
            async with connection.begin():
                yield connection
        if not is_long:
            await self._log.synced()
        self._commits += 1
        if self._commits % CHECKPOINT_COMMITS == 0 and self._checkpointing is None:
            self._checkpointing = asyncio.create_task(self._checkpoint())

    async def _checkpoint(self) -> None:
        """Take the write-ahead log into the database; nobody writes meanwhile, so that it can begin anew."""
        try:
            async with self._turn, self._bare.connect() as connection:
                await connection.execute(text("PRAGMA wal_checkpoint(PASSIVE)"))
                self._log_begins_anew = True
        except SQLAlchemyError as error:
            log.warning("the diary's log goes on growing: %s", getattr(error, "orig", error))
        finally:
            self._checkpointing = None

    async def _heal(self) -> None:
        """After a failure to write the log to the disk: all that it holds, into the database. StoreError."""
        async with self._turn, self._bare.connect() as connection:
            is_busy, *_ = (await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))).one()
            self._log_begins_anew = True
        if is_busy:
            raise StoreError(f"the diary's database failed: {self._log.error}")
        self._log.healed()

    async def lock(self, connection: AsyncConnection, lock: int) -> None:
        """Nothing to do: who writes is alone."""

    async def scrub(self) -> None:
        async with self._turn, self._bare.connect() as connection:
            await connection.execute(text(f"PRAGMA busy_timeout = {SCRUB_TIMEOUT_MS}"))
            try:
                await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
                self._log_begins_anew = True
            finally:
                await connection.execute(text(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}"))

    async def close(self) -> None:
        if self._checkpointing:
            await asyncio.wait([self._checkpointing])
        await self._log.close()
        await self._engine.dispose()
        await self._short_writer.dispose()


def _engine(url: URL, synchronous: str, **how: Any) -> AsyncEngine:
    engine = create_async_engine(url, hide_parameters=True, **how)

    @event.listens_for(engine.sync_engine, "connect")
    def set_pragmas(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute(f"PRAGMA synchronous = {synchronous}")
        cursor.execute("PRAGMA wal_autocheckpoint = 0")
        cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA secure_delete = ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        if statement := connection.get_execution_options().get("ilgi_begin", "BEGIN"):
            connection.exec_driver_sql(statement)

    @event.listens_for(engine.sync_engine, "invalidate")
    def roll_back(connection: Any, _record: object, _error: object) -> None:
        # Closed in the middle of a query it would keep its lock, for as long as anybody holds on to that query.
        connection.rollback()

    return engine
