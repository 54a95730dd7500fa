"""How often somebody may do a thing, counted for all processes together.

It must not know what the thing is, or who does it: of both only a hash is kept. Failures are StoreError.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import case, or_, select, update
from sqlalchemy.sql.dml import ReturningInsert

from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.schema import limits


@dataclass(frozen=True, slots=True, order=True)
class Bound:
    """That `subject` does `what` at most so many times within so many seconds."""

    what: str
    subject: str = field(repr=False)
    most: int
    within_s: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was done too often, and in how many seconds it may be done again."""

    bound: Bound
    wait_s: float


class _TooLateError(Exception):
    """Others have counted meanwhile."""


class Limits:
    """The counts of one diary."""

    def __init__(self, database: Database, keys: Keys, clock: Callable[[], datetime]) -> None:
        """`clock` gives aware moments."""
        self._database = database
        self._keys = keys
        self._clock = clock

    async def allow(self, what: str, subject: str, most: int, within_s: float) -> bool:
        """Count that `subject` did `what`; False when that was more than `most` times within `within_s`."""
        return await self.refusal([Bound(what, subject, most, within_s)]) is None

    async def refusal(self, bounds: Sequence[Bound]) -> Refusal | None:
        """Count one against every bound; when one has had its most, count nothing: that whose time ends last.

        No two of them have both thing and subject in common. The time of a bound begins with the first and does not
        grow. To refuse writes nothing.
        """
        now = self._clock()
        if refused := await self._full(bounds, now):
            return refused
        try:
            async with self._database.write() as connection:
                # In one order everywhere, so that no two of many at once wait for each other.
                for key, bound in sorted((self._limit_key(bound), bound) for bound in bounds):
                    counted = self._counted(key, bound, now)
                    if await connection.scalar(counted) is None:
                        raise _TooLateError
        except _TooLateError:
            return await self._full(bounds, now) or Refusal(bounds[0], 1.0)
        return None

    async def uncount(self, bound: Bound) -> None:
        """Take back one that was counted."""
        counted = update(limits).where(limits.c.key == self._limit_key(bound), limits.c.count > 0)
        async with self._database.write() as connection:
            await connection.execute(counted.values(count=limits.c.count - 1))

    async def _full(self, bounds: Sequence[Bound], now: datetime) -> Refusal | None:
        known = {self._limit_key(bound): bound for bound in bounds}
        query = select(limits.c.key, limits.c.count.label("times"), limits.c.until)
        query = query.where(limits.c.key.in_(known), limits.c.until > now).order_by(limits.c.until.desc())
        async with self._database.read() as connection:
            found = (await connection.execute(query)).all()
        for row in found:
            if row.times >= (bound := known[bytes(row.key)]).most:
                return Refusal(bound, (row.until - now).total_seconds())
        return None

    def _counted(self, key: bytes, bound: Bound, now: datetime) -> ReturningInsert[tuple[bytes]]:
        """Counts one, and gives the key; nothing when the bound has had its most."""
        row = self._database.insert(limits).values(key=key, count=1, until=now + timedelta(seconds=bound.within_s))
        is_over = limits.c.until <= now
        return row.on_conflict_do_update(
            index_elements=[limits.c.key],
            set_={
                "count": case((is_over, 1), else_=limits.c.count + 1),
                "until": case((is_over, row.excluded.until), else_=limits.c.until),
            },
            where=or_(is_over, limits.c.count < bound.most),
        ).returning(limits.c.key)

    def _limit_key(self, bound: Bound) -> bytes:
        return self._keys.web_proof("limit", bound.what, bound.subject)
