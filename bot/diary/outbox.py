"""Work that outlives its process: jobs in the diary's own database, asked for in the transaction that records a fact.

A job is ready, or run under a lease that its worker renews; a lease that ran out is anybody's. Every claim gives a job
a new token, and whoever writes with an older one is refused with LeaseLost: a process that was frozen writes nothing.
It keeps nothing in the process, so that any other one takes over, of an older or a newer release too: `kind` and `args`
are all that two releases must agree on. It must not know what a job does.
"""

import logging
import random
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, and_, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.diary import schedules
from bot.diary.database import Database
from bot.diary.schema import jobs
from bot.errors import LeaseLost

log = logging.getLogger(__name__)

LEASE_S = 60.0
TRIES = 8
LONGEST_BACKOFF_S = 900
MOST_ERROR_LETTERS = 200
SUSPECT_AFTER = 2
"""So many processes may end with a job in their hands before it is run with no other beside it."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job in somebody's hands; `attempt` counts from 1, `token` is what its owner shows."""

    id: int
    kind: str
    key: str
    args: Mapping[str, str] = field(hash=False)
    attempt: int
    token: int
    made_at: datetime
    is_last_try: bool
    is_suspect: bool
    """Processes ended with it: nothing else may run beside it."""


class Later(Exception):
    """It is too early for this job: try again in `seconds`; not a failed try."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


async def enqueue(
    database: Database,
    connection: AsyncConnection,
    kind: str,
    key: str,
    args: Mapping[str, str],
    *,
    now: datetime,
) -> None:
    """Ask for a job in the transaction of `connection`; nothing happens when one with this key was ever asked for."""
    values = {
        "kind": kind,
        "args": _as_json(args),
        "state": "ready",
        "run_at": now,
        "attempt": 0,
        "token": 0,
        "made_at": now,
    }
    await database.upsert(connection, jobs, {"key": key}, values, only_new=list(values))


class Outbox:
    """The jobs of one database, as one process sees them; failures are StoreError."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], datetime],
        lease_s: float = LEASE_S,
        tries: int = TRIES,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`clock` gives aware moments, `chance` numbers from 0 to 1 that part the tries of many jobs."""
        self.lease_s = lease_s
        self._database = database
        self._clock = clock
        self._tries = tries
        self._chance = chance
        self._unreadable: dict[str, datetime] = {}  # schedules that are left alone here, until then

    async def claim(self, kinds: Collection[str], at_most: int, *, idle: bool = True) -> list[Job]:
        """Take due jobs of known kinds, those longest due first; LEASE_S long they are nobody else's.

        A job that processes ended with comes alone, and only to one that is `idle`; till then nothing comes. One that
        has no try left is dead.
        """
        now = self._clock()
        due = _due(kinds, now)
        async with self._database.read() as connection:
            if await connection.scalar(select(jobs.c.id).where(due).limit(1)) is None:
                return []
        is_suspect = and_(jobs.c.state == "run", jobs.c.attempt >= SUSPECT_AFTER)
        query = select(jobs, is_suspect.label("is_suspect")).where(due)
        query = query.order_by(is_suspect.desc(), jobs.c.run_at, jobs.c.id)
        async with self._database.write() as connection:
            # Two statements: one UPDATE over a locking subselect with a LIMIT can take more than the limit.
            rows = (await connection.execute(query.limit(at_most).with_for_update(skip_locked=True))).all()
            claimed = [job for row in rows if (job := await self._checked(connection, row)) is not None]
            if claimed and claimed[0].is_suspect:
                claimed = claimed[:1] if idle else []
            ids = [job.id for job in claimed]
            lease = now + timedelta(seconds=self.lease_s)
            taken = {"state": "run", "run_at": lease, "attempt": jobs.c.attempt + 1, "token": jobs.c.token + 1}
            await connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(taken))
        return claimed

    async def renew(self, job: Job) -> None:
        """Keep a job for another LEASE_S; LeaseLost when it is somebody else's."""
        async with self._database.write() as connection:
            await self._change(connection, job, run_at=self._clock() + timedelta(seconds=self.lease_s))

    async def keep_args(self, job: Job, args: Mapping[str, str]) -> None:
        """Change the arguments of a job for its next tries; LeaseLost when it is somebody else's."""
        async with self._database.write() as connection:
            await self._change(connection, job, args=_as_json(args))

    @asynccontextmanager
    async def fenced(self, job: Job) -> AsyncIterator[AsyncConnection]:
        """One transaction that writes for a job; LeaseLost, and nothing is written, when it is somebody else's."""
        async with self._database.write() as connection:
            query = select(jobs.c.id).where(_owned(job)).with_for_update()
            if await connection.scalar(query) is None:
                raise _lost(job)
            yield connection

    @asynccontextmanager
    async def finish(self, job: Job) -> AsyncIterator[AsyncConnection]:
        """The transaction with which a job is done: its results and its end are written together, or neither."""
        async with self.fenced(job) as connection:
            yield connection
            # Last, so that whoever asks for the same job again while it holds other rows never waits for this one.
            await self._change(connection, job, state="done", error=None)

    async def failed(self, job: Job, error: str) -> None:
        """End a try that failed: the next one comes after a while, or the job is dead; `error` holds nothing said."""
        if job.is_last_try:
            async with self._database.write() as connection:
                await self._change(connection, job, state="dead", error=error[:MOST_ERROR_LETTERS])
            _log_dead(job.kind, job.id, job.attempt, error)
            return
        wait_s = backoff_s(job.attempt, self._chance())
        values = {"state": "ready", "run_at": self._clock() + timedelta(seconds=wait_s)}
        async with self._database.write() as connection:
            await self._change(connection, job, **values, error=error[:MOST_ERROR_LETTERS])
        log.warning("job %d (%s) failed, try %d, again in %.0f s: %s", job.id, job.kind, job.attempt, wait_s, error)

    async def later(self, job: Job, seconds: float) -> None:
        """Put a job off; this was no try."""
        run_at = self._clock() + timedelta(seconds=seconds)
        async with self._database.write() as connection:
            await self._change(connection, job, state="ready", run_at=run_at, attempt=jobs.c.attempt - 1)

    async def hand_back(self, held: Iterable[Job]) -> None:
        """Let others have these at once, whatever was begun of them; what is somebody else's already stays so."""
        now = self._clock()
        async with self._database.write() as connection:
            for job in sorted(held, key=lambda job: job.id):
                values = {"state": "ready", "run_at": now, "attempt": jobs.c.attempt - 1}
                await connection.execute(update(jobs).where(_owned(job)).values(values))

    async def schedule(
        self, name: str, kind: str, args: Mapping[str, str], *, hhmm: str, tz: str, grace_s: float
    ) -> None:
        """Have a job made every day at `hhmm` by the clock of `tz`; told again, it changes the schedule `name`.

        What nobody was there for is made up for `grace_s` long, and left out after that.
        """
        plan = schedules.Plan(name, kind, args, hhmm, tz, grace_s)
        await schedules.keep(self._database, plan, self._clock())
        self._unreadable.pop(name, None)

    async def run_due_schedules(self) -> int:
        """Make the jobs that schedules ask for by now, each once whoever runs this; returns how many."""
        now = self._clock()
        self._unreadable = {name: until for name, until in self._unreadable.items() if until > now}
        if not await schedules.any_due(self._database, now, self._unreadable):
            return 0
        async with self._database.write() as connection:
            due, unread = await schedules.take_due(connection, now, self._unreadable)
            self._unreadable |= dict.fromkeys(unread, now + schedules.UNREADABLE_AGAIN)
            for one in due:
                key = f"{one.name}:{one.date.isoformat()}"
                await enqueue(self._database, connection, one.kind, key, one.args, now=now)
        return len(due)

    async def _checked(self, connection: AsyncConnection, row: Row[Any]) -> Job | None:
        """The job of a locked row as it is about to be claimed; None for one that is dead now."""
        try:
            args = msgspec.json.decode(row.args, type=dict[str, str])
            error = None
        except msgspec.MsgspecError:
            args, error = {}, "its arguments are damaged"
        if row.attempt >= self._tries:
            error = row.error if row.state == "ready" and row.error else "its process ended in the last try"
        if error is not None:
            await connection.execute(update(jobs).where(jobs.c.id == row.id).values(state="dead", error=error))
            _log_dead(row.kind, row.id, row.attempt, error)
            return None
        attempt = row.attempt + 1
        return Job(
            id=row.id,
            kind=row.kind,
            key=row.key,
            args=args,
            attempt=attempt,
            token=row.token + 1,
            made_at=row.made_at,
            is_last_try=attempt >= self._tries,
            is_suspect=row.is_suspect,
        )

    async def _change(self, connection: AsyncConnection, job: Job, **values: object) -> None:
        if (await connection.execute(update(jobs).where(_owned(job)).values(values))).rowcount != 1:
            raise _lost(job)


def backoff_s(attempt: int, chance: float) -> float:
    """How long to wait after a failed try: doubling up to 15 min, and a half less or more by `chance` from 0 to 1."""
    return float(min(LONGEST_BACKOFF_S, 2**attempt)) * (0.5 + chance)


def _due(kinds: Collection[str], now: datetime) -> ColumnElement[bool]:
    return and_(jobs.c.state.in_(["ready", "run"]), jobs.c.run_at <= now, jobs.c.kind.in_(sorted(kinds)))


def _owned(job: Job) -> ColumnElement[bool]:
    # The key too: SQLite gives the id of a job that was removed to another one.
    return and_(jobs.c.id == job.id, jobs.c.key == job.key, jobs.c.token == job.token, jobs.c.state == "run")


def _as_json(args: Mapping[str, str]) -> str:
    return msgspec.json.encode(dict(args)).decode()


def _lost(job: Job) -> LeaseLost:
    return LeaseLost(f"job {job.id} ({job.kind}) is somebody else's, or done")


def _log_dead(kind: str, job_id: int, attempt: int, error: str) -> None:
    log.error("job %d (%s) is dead after %d tries: %s", job_id, kind, attempt, error)
