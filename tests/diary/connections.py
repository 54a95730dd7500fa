"""Connections to a diary's database, for the tests of what a server does to them: each is told by who answers on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text

from bot.diary.database import Database


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Database]:
    made = Database(url)
    try:
        yield made
    finally:
        await made.close()


async def ask(database: Database) -> int:
    """Ask the server something; gives the process of the server that answers, another one for each connection."""
    async with database.write() as connection:
        return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())


async def fill_pool(database: Database) -> set[int]:
    """Use as many connections as there may be at once; gives who answered on each."""
    answered = set(await asyncio.gather(*(ask(database) for _ in range(3))))
    assert len(answered) == 3
    return answered
