"""PostgreSQL for `Database`: a server that may be away, or there and silent.

Every wait for it ends within 10 s, and the first use after its return works. What writes is READ COMMITTED (rows that a
decision rests on are locked), what reads is REPEATABLE READ and may not lock. It must not know tables or keys.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any
from weakref import WeakSet

from sqlalchemy import URL, ExceptionContext, event, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine, create_async_engine

from bot.errors import StoreError

CONNECT_S = 5.0  # to have a connection that answers, from the pool or new
FAREWELL_S = 1.0
IDLE_S = 15.0  # then the server frees what a process that is frozen in a transaction holds


class Postgresql:
    """One database of a server; what its public methods do is told in `Database`."""

    insert = staticmethod(insert)

    def __init__(self, url: URL, statement_s: float) -> None:
        """`statement_s` is how long one statement may take. StoreError when the driver is not installed."""
        self._idle: WeakSet[Any] = WeakSet()  # the driver's connections in the pool
        try:
            self._engine = _engine(url, statement_s, self._idle)
        except ModuleNotFoundError as error:
            raise StoreError(f"PostgreSQL needs the package {error.name}") from error
        self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    async def prepare(self) -> None:
        """Nothing to do."""

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._transaction(self._reader)

    def writing(self, *, is_long: bool) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._transaction(self._engine)

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        async with AsyncExitStack() as connected:
            async with asyncio.timeout(CONNECT_S):
                connection = await connected.enter_async_context(engine.connect())
            async with connection.begin():
                yield connection

    async def lock(self, connection: AsyncConnection, lock: int) -> None:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})

    async def scrub(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        # The pool would wait for a silent server, for one connection after the other.
        await asyncio.gather(*(driver.close(timeout=FAREWELL_S) for driver in self._idle), return_exceptions=True)
        await self._engine.dispose()


def _engine(url: URL, statement_s: float, idle: WeakSet[Any]) -> AsyncEngine:
    # Six processes fit into the 20 connections of a small hosted database.
    pool = {"pool_size": 2, "max_overflow": 1, "pool_timeout": CONNECT_S, "pool_pre_ping": True}
    limits = {"timeout": CONNECT_S, "command_timeout": statement_s}
    engine = create_async_engine(url, connect_args=limits, hide_parameters=True, **pool)
    # Sent as a statement: a connection pooler in front of the server refuses them among the startup parameters.
    # The server gives a statement up a little before we do, so that the connection stays good.
    settings = (
        f"SET application_name = 'ilgi'; SET statement_timeout = {int(statement_s * 900)}; "
        f"SET idle_in_transaction_session_timeout = {int(IDLE_S * 1000)}; SET client_connection_check_interval = 1000"
    )

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        connection.run_async(lambda driver: driver.execute(settings))

    @event.listens_for(engine.sync_engine, "handle_error")
    def end_what_is_silent(context: ExceptionContext) -> None:
        # The driver has told its own time limit: nobody answers, and there is no use in asking for a rollback.
        if isinstance(context.original_exception, TimeoutError):
            context.is_disconnect = True
            if context.connection is not None:
                driver: Any = context.connection.connection.driver_connection
                driver.terminate()

    @event.listens_for(engine.sync_engine, "checkin")
    def given_back(connection: Any, _record: object) -> None:
        if connection is not None:
            idle.add(connection.driver_connection)

    event.listen(engine.sync_engine, "checkout", lambda given, *_: idle.discard(given.driver_connection))
    return engine
