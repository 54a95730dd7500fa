"""The recogniser's channels, which all processes share: who has one, and whether one is free.

Nothing is counted twice: a call has its channel for as long as its lease says that it lives, and so has a streaming
job. Besides, a place is kept for what is about to come: for a call that was let in until its media socket is there, and
for a talk that was handed over until it is taken up again. A process that is killed renews nothing, so all that it had
is free within a minute. Who asks for a channel waits for those who asked before. It must not know what a channel is
used for, or what is said to whoever gets none.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import ScalarSelect, Select, and_, func, or_, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.diary import queries
from bot.diary.database import Database
from bot.diary.schema import calls, stream_jobs
from bot.diary.stream_records import RESUMABLE_FOR, JobState

ARRIVED_FOR = timedelta(seconds=15)
"""So long a place is kept for a media socket; Twilio opens it within a second or two of our answer."""
HANDED_OVER_FOR = timedelta(seconds=30)
"""So long it is kept for a talk that broke off; a browser may come back for so long, a telephone call does at once."""


class Channels:
    """The channels of one recogniser's account, as the diary knows them. `most` None: nobody counts them."""

    def __init__(self, database: Database, clock: Callable[[], datetime], most: int | None = None) -> None:
        """`clock` gives aware moments."""
        self._database = database
        self._clock = clock
        self._most = most

    async def is_free(self, connection: AsyncConnection) -> bool:
        """Tell whether there is one more; until this transaction ends nobody else is told.

        To be asked before any row is locked, since others hold rows and wait for none of these answers.
        """
        if self._most is None:
            return True
        await self._database.lock_channels(connection)
        return int((await connection.execute(_taken(self._clock()))).scalar_one()) < self._most

    async def take_place(self, call_sid: str, *, is_full: bool) -> bool:
        """Keep a place for a call that has arrived; False: there is none. LeaseLost for a call that never arrived.

        A call that has one, or had a stream already, is never refused. `is_full`: no other may have one here now.
        """
        if self._most is None and not is_full:
            return True
        async with self._database.write() as connection:
            is_free = not is_full and await self.is_free(connection)
            call = await queries.known_call(connection, call_sid)
            now = self._clock()
            has_one = call.owner is not None or (call.place_until is not None and call.place_until > now)
            if has_one or is_free:
                # One that was refused before is not, when Twilio asks again.
                next_step = None if call.owner is None else call.next_step
                kept = update(calls).where(calls.c.call_sid == call_sid)
                await connection.execute(kept.values(place_until=now + ARRIVED_FOR, next_step=next_step))
        return bool(has_one or is_free)


def _taken(now: datetime) -> Select[int]:
    """How many channels are taken."""
    living = and_(calls.c.ended_at.is_(None), calls.c.next_step.is_(None))
    kept = or_(calls.c.lease_until > now, calls.c.place_until > now)
    # A job that broke off may be gone on with: its place is kept for as long.
    streamed = and_(
        stream_jobs.c.ended_at.is_(None),
        stream_jobs.c.state == JobState.STREAMING.value,
        stream_jobs.c.lease_until > now - RESUMABLE_FOR,
    )
    return select(_count(select(func.count()).where(living, kept)) + _count(select(func.count()).where(streamed)))


def _count(query: Select[int]) -> ScalarSelect[int]:
    return query.scalar_subquery()
