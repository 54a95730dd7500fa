"""One database, SQLite or PostgreSQL: everything that the two do differently is here.

Gives transactions (`read`, `write`) on SQLAlchemy connections, and turns what drivers raise into StoreError. It must
not know tables or keys.

SQLite has one writer at a time. `write` takes the database's lock at its first statement (BEGIN IMMEDIATE), so that no
transaction fails half way; writers of one process wait for each other in order, writers of two wait up to 10 s. Its
statements run in the event loop, for they are short: what changes many rows says so, and has a thread, as `read` has.

PostgreSQL is a server that may be away, or there and silent: every wait for it ends within 10 s in a StoreError, and
the first use after its return works. `write` is READ COMMITTED (rows that a decision rests on are locked), `read` is
REPEATABLE READ and may not lock.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

from sqlalchemy import URL, Connection, ExceptionContext, Table, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine, create_async_engine

from bot.diary.sqlite import BEGIN, LogOnDisk, ShortTransactions
from bot.errors import SettingError, StoreError

log = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 10_000
SCRUB_TIMEOUT_MS = 500
CACHE_KIB = 512  # of each of ten connections; the system keeps the file in memory anyway
CHECKPOINT_COMMITS = 250  # some 4 MiB of log
CONNECT_S = 5.0  # to have a connection of PostgreSQL that answers, from the pool or new
STATEMENT_S = 5.0
FAREWELL_S = 1.0
IDLE_S = 15.0  # then PostgreSQL frees what a process that is frozen in a transaction holds
# isolation_level None keeps the driver from beginning transactions by its own rules.
_OPENED: dict[str, Any] = {"isolation_level": None, "timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False}
_POSTGRESQL_QUERY = frozenset({"sslmode", "ssl"})
_SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
SCHEMA_LOCK, CHANNELS_LOCK = 0x696C6769, 0x696C676A  # any numbers, the same in every process


def parse_url(database_url: str) -> URL:
    """Read DATABASE_URL, `postgres://` included, and name the asyncio driver; SettingError when it cannot be used."""
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError) as error:
        raise SettingError("DATABASE_URL", "is not the address of a database") from error
    kind = url.drivername.partition("+")[0]
    if kind == "sqlite":
        if url.host is not None or url.username is not None or url.query:
            raise SettingError("DATABASE_URL", "has more than a file: an SQLite diary is sqlite:///FILE")
        file = url.database
        if not file or file == ":memory:" or file.startswith("file:") or "\0" in file:
            raise SettingError("DATABASE_URL", "names no file: an SQLite diary is sqlite:///FILE")
        return url.set(drivername="sqlite+aiosqlite")
    if kind in ("postgres", "postgresql"):
        if url.port is not None and not 0 < url.port < 65536:
            raise SettingError("DATABASE_URL", "has a port that is none")
        if url.query.keys() - _POSTGRESQL_QUERY:
            raise SettingError("DATABASE_URL", "may have nothing but sslmode=… after its ?")
        sslmode = url.query.get("sslmode", url.query.get("ssl"))
        url = url.difference_update_query(_POSTGRESQL_QUERY).set(drivername="postgresql+asyncpg")
        if sslmode is None:
            return url
        if not isinstance(sslmode, str) or sslmode not in _SSL_MODES:
            raise SettingError("DATABASE_URL", f"has an sslmode that is none of {', '.join(sorted(_SSL_MODES))}")
        return url.update_query_dict({"ssl": sslmode})
    raise SettingError("DATABASE_URL", "is neither sqlite:///FILE nor postgres://…")


def sqlite_file(database_url: str) -> Path | None:
    """The file of an SQLite diary, None for another database; SettingError as in `parse_url`, or for a directory."""
    url = parse_url(database_url)
    if url.drivername != "sqlite+aiosqlite":
        return None
    file = Path(url.database or "")
    if os.path.isdir(file):
        raise SettingError("DATABASE_URL", "names a directory: an SQLite diary is sqlite:///FILE")
    return file


class Database:
    """The engine of one database, for one event loop."""

    def __init__(self, database_url: str, *, statement_s: float = STATEMENT_S) -> None:
        """Take DATABASE_URL; opens nothing yet. SettingError, or StoreError when the driver is not installed.

        `statement_s` is how long PostgreSQL may take for one statement.
        """
        url = parse_url(database_url)
        self.file = sqlite_file(database_url)
        self._turn = asyncio.Lock()
        self._connect_s: float | None
        self._log: LogOnDisk | None = None
        self._log_begins_anew = False
        self._commits = 0
        self._checkpointing: asyncio.Task[None] | None = None
        self._idle: WeakSet[Any] = WeakSet()  # the driver's connections in PostgreSQL's pool
        if self.file:
            self._connect_s = None
            file = Path(os.path.realpath(self.file))
            self._log = LogOnDisk(file)
            self._engine = self._reader = _sqlite_engine(url, "FULL", pool_size=4, max_overflow=4, connect_args=_OPENED)
            self._long_writer = self._engine.execution_options(ilgi_begin=BEGIN)
            self._bare = self._engine.execution_options(ilgi_begin="")
            opened = partial(ShortTransactions, partial(sqlite3.connect, str(file), **_OPENED))
            # One writes at a time, while the connection of the one before is given back.
            short = _sqlite_engine(url, "NORMAL", pool_size=2, max_overflow=0, async_creator=opened)
            self._writer = short.execution_options(ilgi_begin=BEGIN)
        else:
            try:
                self._engine = _postgresql_engine(url, statement_s, self._idle)
            except ModuleNotFoundError as error:
                raise StoreError(f"PostgreSQL needs the package {error.name}") from error
            self._connect_s = CONNECT_S
            self._writer = self._long_writer = self._bare = self._engine
            self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    async def prepare(self) -> None:
        """Make the SQLite file (mode 0600) with its write-ahead log; nothing to do elsewhere. StoreError on failure."""
        if self.file is None:
            return
        try:
            os.close(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreError(f"the diary {self.file} cannot be opened: {error.strerror}") from error
        # The change to WAL does not wait for other processes by itself.
        for last_try in (*[False] * (BUSY_TIMEOUT_MS // 100), True):
            try:
                with _translated():
                    async with self._bare.connect() as connection:
                        await connection.execute(text("PRAGMA journal_mode = WAL"))
                return
            except StoreError as error:
                if last_try or not isinstance(error.__cause__, OperationalError) or "locked" not in str(error):
                    raise
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that only reads, on one state of the database; StoreError when the database fails."""
        with _translated():
            async with AsyncExitStack() as connected:
                connection = await self._connected(self._reader, connected)
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def write(self, *, is_long: bool = False) -> AsyncIterator[AsyncConnection]:
        """One transaction that writes, committed at the end of the block, undone by an exception in it.

        `is_long`: it may read or change more rows than can be had while a call waits. A StoreError at the end of the
        block leaves open whether it was kept, as when a server goes away in a COMMIT.
        """
        turn: AbstractAsyncContextManager[None] = self._turn if self.file else nullcontext()
        with _translated():
            if self._log and self._log.error:
                await self._heal(self._log)
            async with AsyncExitStack() as connected, turn:
                is_long, self._log_begins_anew = is_long or self._log_begins_anew, False
                connection = await self._connected(self._long_writer if is_long else self._writer, connected)
                async with connection.begin():
                    yield connection
            if self._log:
                if not is_long:
                    await self._log.synced()
                self._checkpoint_now_and_then()

    async def _connected(self, engine: AsyncEngine, connected: AsyncExitStack) -> AsyncConnection:
        async with asyncio.timeout(self._connect_s):
            return await connected.enter_async_context(engine.connect())

    def _checkpoint_now_and_then(self) -> None:
        self._commits += 1
        if self._commits % CHECKPOINT_COMMITS == 0 and self._checkpointing is None:
            self._checkpointing = asyncio.create_task(self._checkpoint())

    async def _checkpoint(self) -> None:
        """Take the write-ahead log into the database; nobody writes meanwhile, so that it can begin anew."""
        try:
            with _translated():
                async with self._turn, self._bare.connect() as connection:
                    await connection.execute(text("PRAGMA wal_checkpoint(PASSIVE)"))
                    self._log_begins_anew = True
        except StoreError as error:
            log.warning("the diary's log goes on growing: %s", error)
        finally:
            self._checkpointing = None

    async def _heal(self, log_on_disk: LogOnDisk) -> None:
        """After a failure to write the log to the disk: all that it holds, into the database. StoreError."""
        async with self._turn, self._bare.connect() as connection:
            is_busy, *_ = (await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))).one()
            self._log_begins_anew = True
        if is_busy:
            raise StoreError(f"the diary's database failed: {log_on_disk.error}")
        log_on_disk.healed()

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT of this database, which can say what becomes of a row that is there already."""
        return sqlite.insert(table) if self.file else postgresql.insert(table)

    async def upsert(
        self,
        connection: AsyncConnection,
        table: Table,
        key: Mapping[str, Any],
        values: Mapping[str, Any],
        *,
        only_new: Sequence[str] = (),
    ) -> None:
        """Insert a row, or change the one with that key; columns in `only_new` keep what a row there already has."""
        changes = {name: value for name, value in values.items() if name not in only_new}
        row = self.insert(table).values({**key, **values})
        if changes:
            await connection.execute(row.on_conflict_do_update(index_elements=list(key), set_=changes))
        else:
            await connection.execute(row.on_conflict_do_nothing(index_elements=list(key)))

    async def lock_schema(self, connection: AsyncConnection) -> None:
        """Keep other processes from migrating until this `write` ends."""
        await self._lock(connection, SCHEMA_LOCK)

    async def lock_channels(self, connection: AsyncConnection) -> None:
        """Keep others from counting the recogniser's channels until this `write` ends."""
        await self._lock(connection, CHANNELS_LOCK)

    async def _lock(self, connection: AsyncConnection, lock: int) -> None:
        if self.file is None:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})

    async def scrub(self) -> None:
        """Take deleted bytes out of SQLite's write-ahead log now if no reader is in the way; else a later one does."""
        if self.file is None:
            return
        with _translated():
            async with self._turn, self._bare.connect() as connection:
                await connection.execute(text(f"PRAGMA busy_timeout = {SCRUB_TIMEOUT_MS}"))
                try:
                    await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
                    self._log_begins_anew = True
                finally:
                    await connection.execute(text(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}"))

    async def close(self) -> None:
        """Close every connection that nobody uses; the others are closed when they are given back."""
        # The pool would wait for a silent server, for one connection after the other.
        await asyncio.gather(*(driver.close(timeout=FAREWELL_S) for driver in self._idle), return_exceptions=True)
        if self._checkpointing:
            await asyncio.wait([self._checkpointing])
        if self._log:
            await self._log.close()
        await self._engine.dispose()
        await self._writer.dispose()


def _sqlite_engine(url: URL, synchronous: str, **how: Any) -> AsyncEngine:
    engine = create_async_engine(url, hide_parameters=True, **how)

    def set_pragmas(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute(f"PRAGMA synchronous = {synchronous}")
        cursor.execute("PRAGMA wal_autocheckpoint = 0")
        cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA secure_delete = ON")
        cursor.close()

    def begin(connection: Connection) -> None:
        statement = connection.get_execution_options().get("ilgi_begin", "BEGIN")
        if statement:
            connection.exec_driver_sql(statement)

    def roll_back(connection: Any, _record: object, _error: object) -> None:
        # Closed in the middle of a query it would keep its lock, for as long as anybody holds on to that query.
        connection.rollback()

    event.listen(engine.sync_engine, "connect", set_pragmas)
    event.listen(engine.sync_engine, "begin", begin)
    event.listen(engine.sync_engine, "invalidate", roll_back)
    return engine


def _postgresql_engine(url: URL, statement_s: float, idle: WeakSet[Any]) -> AsyncEngine:
    # Six processes fit into the 20 connections of a small hosted database.
    engine = create_async_engine(
        url,
        connect_args={"timeout": CONNECT_S, "command_timeout": statement_s},
        pool_size=2,
        max_overflow=1,
        pool_timeout=CONNECT_S,
        pool_pre_ping=True,
        hide_parameters=True,
    )
    # Sent as a statement: a connection pooler in front of the server refuses them among the startup parameters.
    # The server gives a statement up a little before we do, so that the connection stays good.
    settings = {
        "application_name": "ilgi",
        "statement_timeout": int(statement_s * 900),
        "idle_in_transaction_session_timeout": int(IDLE_S * 1000),
        "client_connection_check_interval": 1000,
    }
    statements = "; ".join(f"SET {name} = '{value}'" for name, value in settings.items())

    def set_up(connection: Any, _record: object) -> None:
        connection.run_async(lambda driver: driver.execute(statements))

    def end_what_is_silent(context: ExceptionContext) -> None:
        # The driver has told its own time limit: nobody answers, and there is no use in asking for a rollback.
        if isinstance(context.original_exception, TimeoutError):
            context.is_disconnect = True
            if context.connection is not None:
                driver: Any = context.connection.connection.driver_connection
                driver.terminate()

    def given(connection: Any, _record: object, _proxy: object) -> None:
        idle.discard(connection.driver_connection)

    def given_back(connection: Any, _record: object) -> None:
        if connection is not None:
            idle.add(connection.driver_connection)

    event.listen(engine.sync_engine, "connect", set_up)
    event.listen(engine.sync_engine, "checkout", given)
    event.listen(engine.sync_engine, "checkin", given_back)
    event.listen(engine.sync_engine, "handle_error", end_what_is_silent)
    return engine


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        # SQLite's own sentences hold no values; other drivers may quote a row, so theirs is the name of the error.
        cause = error.orig or error
        named = type(cause.__cause__ or cause).__name__
        sentence = str(cause) if type(cause).__module__ == "sqlite3" else named
        raise StoreError(f"the diary's database failed: {sentence}") from error
    except SQLAlchemyError as error:
        raise StoreError(f"the diary's database failed: {type(error).__name__}") from error
    except OSError as error:
        raise StoreError(f"the diary's database cannot be reached: {error.strerror or type(error).__name__}") from error
