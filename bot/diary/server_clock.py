"""The time by a PostgreSQL server, which is the same for all processes that judge leases and due times by it.

Between two answers it is carried on by this process's monotonic clock, so that steps of the wall clock do not matter.
It is not ahead of the server, and behind by no more than an answer takes: who is behind takes nothing from others too
early. It must not know what it is for.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy import text

from bot.diary.database import Database

LONGEST_S = 1.0
"""An answer that took longer is not worth much."""
TRIES = 3


@dataclass(frozen=True, slots=True)
class _Answer:
    """The server's time some moment before the answer came; `came_s` is by the monotonic clock."""

    time: datetime
    came_s: float
    took_s: float


class ServerClock:
    """The clock; made by `ask`."""

    def __init__(self, database: Database, answer: _Answer) -> None:
        self._database = database
        self._answer = answer

    def __call__(self) -> datetime:
        """The time, aware."""
        return self._answer.time + timedelta(seconds=time.monotonic() - self._answer.came_s)

    @classmethod
    async def ask(cls, database: Database) -> Self:
        """Ask the server of `database`, again if it is slow; StoreError."""
        best = await _ask(database)
        for _ in range(TRIES - 1):
            if best.took_s > LONGEST_S:
                best = min(best, await _ask(database), key=lambda answer: answer.took_s)
        return cls(database, best)

    async def set(self) -> None:
        """Ask again, since clocks drift; goes on as before when the answer is slow, or none comes (StoreError)."""
        answer = await _ask(self._database)
        if answer.took_s <= LONGEST_S:
            self._answer = answer


async def _ask(database: Database) -> _Answer:
    async with database.read() as connection:
        asked_s = time.monotonic()
        answered: datetime = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
        came_s = time.monotonic()
    return _Answer(answered, came_s, came_s - asked_s)
