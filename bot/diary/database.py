"""One database, SQLite or PostgreSQL: what the two do differently is in `sqlite.py` and `postgresql.py`.

Gives transactions (`read`, `write`) on SQLAlchemy connections, and turns what drivers raise into StoreError. It must
not know tables or keys.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Insert, Table, make_url
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.diary.postgresql import Postgresql
from bot.diary.sqlite import Sqlite
from bot.errors import SettingError, StoreError

STATEMENT_S = 5.0
_POSTGRESQL_QUERY = frozenset({"sslmode", "ssl"})
_SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
SCHEMA_LOCK, CHANNELS_LOCK = 0x696C6769, 0x696C676A  # any numbers, the same in every process

AnyInsert = SqliteInsert | PostgresqlInsert


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
        self._backend = Sqlite(url, self.file) if self.file else Postgresql(url, statement_s)

    async def prepare(self) -> None:
        """Make the SQLite file (mode 0600) with its write-ahead log; nothing to do elsewhere. StoreError on failure."""
        with _translated():
            await self._backend.prepare()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that only reads, on one state of the database; StoreError when the database fails."""
        with _translated():
            async with self._backend.reading() as connection:
                yield connection

    @asynccontextmanager
    async def write(self, *, is_long: bool = False) -> AsyncIterator[AsyncConnection]:
        """One transaction that writes, committed at the end of the block, undone by an exception in it.

        `is_long`: it may read or change more rows than can be had while a call waits. A StoreError at the end of the
        block leaves open whether it was kept, as when a server goes away in a COMMIT.
        """
        with _translated():
            async with self._backend.writing(is_long=is_long) as connection:
                yield connection

    def insert(self, table: Table) -> AnyInsert:
        """An INSERT of this database, which can say what becomes of a row that is there already."""
        return self._backend.insert(table)

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
        changes = tuple(name for name in values if name not in only_new)
        await connection.execute(_upsert(self._backend.insert, table, tuple(key), changes), {**key, **values})

    async def lock_schema(self, connection: AsyncConnection) -> None:
        """Keep other processes from migrating until this `write` ends."""
        await self._backend.lock(connection, SCHEMA_LOCK)

    async def lock_channels(self, connection: AsyncConnection) -> None:
        """Keep others from counting the recogniser's channels until this `write` ends."""
        await self._backend.lock(connection, CHANNELS_LOCK)

    async def scrub(self) -> None:
        """Take deleted bytes out of SQLite's write-ahead log now if no reader is in the way; else a later one does."""
        with _translated():
            await self._backend.scrub()

    async def close(self) -> None:
        """Close every connection that nobody uses; the others are closed when they are given back."""
        await self._backend.close()


@lru_cache(maxsize=64)
def _upsert(
    insert: Callable[[Table], AnyInsert], table: Table, key: tuple[str, ...], changes: tuple[str, ...]
) -> Insert:
    """To make such a statement takes longer than SQLite takes to carry it out, and each turn of a call has several."""
    row = insert(table)
    if not changes:
        return row.on_conflict_do_nothing(index_elements=list(key))
    return row.on_conflict_do_update(index_elements=list(key), set_={name: row.excluded[name] for name in changes})


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
        why = error.strerror or type(error).__name__
        raise StoreError(f"the database of DATABASE_URL cannot be reached: {why}") from error
