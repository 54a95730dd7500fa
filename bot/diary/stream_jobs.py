"""Streaming jobs in the database: what was asked for, what was heard, and what became of it.

A job is created, then streamed by the socket that claimed it last: its `owner`, which renews a lease for as long as it
lives, and whose writes are refused with LeaseLost once another one has claimed it, or it was removed. A job whose
socket is over has `ended_at`; it is completed when its summary is there too. Every method is one transaction; failures
are StoreError. It must not know sockets, recognisers or how a summary is made. Rows are locked in this order: the work
that is being done, the job, its segments, the work that is asked for; who counts the channels does so before.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import ColumnElement, Exists, Row, and_, delete, exists, func, insert, literal, or_, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.diary.channels import Channels
from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.outbox import enqueue
from bot.diary.schema import jobs, segments, stream_jobs
from bot.diary.stream_records import RESUMABLE_FOR, Claim, ClaimRefused, JobRecord, JobState, Segment
from bot.errors import LeaseLost

SUMMARY = "summary"
LEASE = timedelta(seconds=20)
RENEW_S = 5.0
AWAITED_FOR = timedelta(days=1)
"""So long a job waits for its first socket."""
MOST_AT_ONCE = 200

INTERRUPTED, NEVER_STREAMED, NO_SUMMARY = "interrupted", "never streamed", "no summary could be made"


class StreamJobs:
    """The streaming jobs of one diary."""

    def __init__(
        self, database: Database, keys: Keys, clock: Callable[[], datetime], channels: Channels | None = None
    ) -> None:
        """`clock` gives aware moments. Without `channels` nobody counts them."""
        self._database = database
        self._keys = keys
        self._clock = clock
        self._channels = channels or Channels(database, clock)

    async def create(self, caller_id: int | None, config: str, title: str | None) -> str:
        """Make a job, of a person or of nobody; gives its id."""
        job_id = str(uuid4())
        values = {
            "job_id": job_id,
            "caller_id": caller_id,
            "state": JobState.CREATED.value,
            "config": config,
            "title_sealed": None if title is None else self._keys.encrypt(title),
            "made_at": self._clock(),
            "owner": 0,
            "audio_ms": 0,
        }
        async with self._database.write() as connection:
            await connection.execute(insert(stream_jobs).values(values))
        return job_id

    async def job(self, job_id: str, caller_id: int | None) -> JobRecord | None:
        """A job of that person, or with None one of nobody; None for any other."""
        return await self._one(job_id, stream_jobs.c.caller_id.is_not_distinct_from(caller_id))

    async def claimed(self, claim: Claim) -> JobRecord | None:
        """A job that was claimed, as it is now; None when it was removed."""
        return await self._one(claim.job_id)

    async def segments(self, job_id: str) -> list[Segment]:
        """What was heard so far, in order."""
        async with self._database.read() as connection:
            rows = await segment_rows(connection, job_id)
        return await asyncio.to_thread(opened, self._keys, rows)

    # The socket that streams it

    async def claim(self, job_id: str, *, is_full: bool = False) -> Claim | ClaimRefused:
        """Become the owner of a job that nobody streams, or whose owner is gone and did not end it.

        A job that broke off only now has its channel; any other needs a free one. `is_full`: it may have none now.
        """
        async with self._database.write() as connection:
            is_free = not is_full and await self._channels.is_free(connection)
            now = self._clock()
            row = await locked(connection, job_id)
            if row is None:
                return ClaimRefused.UNKNOWN
            if row.ended_at is not None or row.state not in (JobState.CREATED, JobState.STREAMING):
                return ClaimRefused.OVER
            if row.lease_until is not None and row.lease_until > now:
                return ClaimRefused.BUSY
            has_one = row.lease_until is not None and row.lease_until > now - RESUMABLE_FOR
            if not (has_one or is_free):
                return ClaimRefused.FULL
            owner = row.owner + 1
            values = {"state": JobState.STREAMING.value, "owner": owner, "lease_until": now + LEASE}
            await connection.execute(update(stream_jobs).where(stream_jobs.c.job_id == job_id).values(values))
            count = await connection.scalar(select(func.count()).where(segments.c.job_id == job_id))
        return Claim(job_id, owner, row.config, row.audio_ms, count or 0)

    async def renew(self, claim: Claim) -> None:
        """Say that the owner lives."""
        async with self._database.write() as connection:
            await self._change(connection, claim, lease_until=self._clock() + LEASE)

    async def add_segment(self, claim: Claim, segment: Segment) -> None:
        """Keep a segment; told again, it changes nothing."""
        async with self._database.write() as connection:
            # Held until the end: who claims the job meanwhile counts this segment.
            await self._change(connection, claim, audio_ms=segment.end_ms)
            key = {"job_id": claim.job_id, "number": segment.number}
            values = {
                "start_ms": segment.start_ms,
                "end_ms": segment.end_ms,
                "text_sealed": self._keys.encrypt(segment.text),
            }
            await self._database.upsert(connection, segments, key, values, only_new=list(values))

    async def ended(self, claim: Claim, audio_ms: int) -> None:
        """All audio was heard: complete the job, or have the summary made first if one is wanted."""
        async with self._database.write() as connection:
            await self._change(connection, claim, audio_ms=audio_ms, lease_until=None)
            await self._end(connection, claim.job_id)

    async def failed(self, claim: Claim, audio_ms: int, why: str) -> None:
        """Not all audio could be heard; what was, is kept. `why` holds nothing said."""
        values = {"state": JobState.FAILED.value, "error": why[:200], "ended_at": self._clock()}
        async with self._database.write() as connection:
            await self._change(connection, claim, audio_ms=audio_ms, lease_until=None, **values)

    async def released(self, claim: Claim, audio_ms: int) -> None:
        """Let another socket go on from `audio_ms`, at once."""
        async with self._database.write() as connection:
            await self._change(connection, claim, audio_ms=audio_ms, lease_until=self._clock())

    # Whoever comes after

    async def close_lapsed(self) -> int:
        """End the jobs whose socket is gone, or never came, or whose summary nobody makes any more; gives how many."""
        now = self._clock()
        lapsed = or_(
            and_(stream_jobs.c.ended_at.is_(None), stream_jobs.c.lease_until < now - RESUMABLE_FOR),
            and_(stream_jobs.c.state == JobState.CREATED.value, stream_jobs.c.made_at < now - AWAITED_FOR),
            and_(stream_jobs.c.ended_at.is_not(None), ~_work_on_summary()),
        )
        is_open = stream_jobs.c.state.in_([JobState.CREATED.value, JobState.STREAMING.value])
        query = select(stream_jobs.c.job_id).where(is_open, lapsed).order_by(stream_jobs.c.made_at)
        async with self._database.read() as connection:
            job_ids = (await connection.scalars(query.limit(MOST_AT_ONCE))).all()
        closed = 0
        for job_id in job_ids:
            async with self._database.write() as connection:
                row = await locked(connection, job_id)
                # Another socket may have claimed it since.
                if row is None or await connection.scalar(query.where(stream_jobs.c.job_id == job_id)) is None:
                    continue
                closed += 1
                await self._close(connection, row)
        return closed

    async def remove(self, job_id: str) -> None:
        """Remove a job with what was heard; whoever streams it, or waits for its summary, finds it gone."""
        async with self._database.write() as connection:
            await connection.execute(delete(stream_jobs).where(stream_jobs.c.job_id == job_id))
        await self._database.scrub()

    async def remove_before(self, moment: datetime) -> int:
        """Remove all jobs that were made before `moment`, with what was heard; gives how many."""
        removed = 0
        old = select(stream_jobs.c.job_id).where(stream_jobs.c.made_at < moment).order_by(stream_jobs.c.job_id)
        while True:
            async with self._database.write() as connection:
                job_ids = (await connection.scalars(old.limit(MOST_AT_ONCE).with_for_update())).all()
                await connection.execute(delete(stream_jobs).where(stream_jobs.c.job_id.in_(job_ids)))
            removed += len(job_ids)
            if len(job_ids) < MOST_AT_ONCE:
                return removed

    async def _close(self, connection: AsyncConnection, row: Row[Any]) -> None:
        if row.state == JobState.CREATED:
            await _fail(connection, row.job_id, NEVER_STREAMED, self._clock())
        elif row.ended_at is not None:
            await _fail(connection, row.job_id, NO_SUMMARY, self._clock())
        elif await connection.scalar(select(exists().where(segments.c.job_id == row.job_id))):
            gone = update(stream_jobs).where(stream_jobs.c.job_id == row.job_id)
            # Should its process live after all, what it still writes is refused.
            await connection.execute(gone.values(owner=row.owner + 1, lease_until=None, error=INTERRUPTED))
            await self._end(connection, row.job_id)
        else:
            await _fail(connection, row.job_id, INTERRUPTED, self._clock())

    async def _end(self, connection: AsyncConnection, job_id: str) -> None:
        """Complete a job whose row is locked, or ask for its summary."""
        now = self._clock()
        query = select(stream_jobs.c.config, exists().where(segments.c.job_id == job_id).label("heard"))
        row = (await connection.execute(query.where(stream_jobs.c.job_id == job_id))).one()
        values: dict[str, Any] = {"ended_at": now}
        if wants_summary(row.config) and row.heard:
            await enqueue(self._database, connection, SUMMARY, f"{SUMMARY}:{job_id}", {"job_id": job_id}, now=now)
        else:
            values["state"] = JobState.COMPLETED.value
        await connection.execute(update(stream_jobs).where(stream_jobs.c.job_id == job_id).values(values))

    async def _change(self, connection: AsyncConnection, claim: Claim, **values: object) -> None:
        owned = update(stream_jobs).where(
            stream_jobs.c.job_id == claim.job_id,
            stream_jobs.c.owner == claim.owner,
            stream_jobs.c.ended_at.is_(None),
        )
        if (await connection.execute(owned.values(values))).rowcount != 1:
            raise LeaseLost(f"job {claim.job_id} is somebody else's, or over")

    async def _one(self, job_id: str, *more: ColumnElement[bool]) -> JobRecord | None:
        async with self._database.read() as connection:
            query = select(stream_jobs).where(stream_jobs.c.job_id == job_id, *more)
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else self._record(row)

    def _record(self, row: Row[Any]) -> JobRecord:
        title, summary = (
            None if sealed is None else self._keys.decrypt(sealed) for sealed in (row.title_sealed, row.summary_sealed)
        )
        return JobRecord(
            job_id=row.job_id,
            caller_id=row.caller_id,
            state=JobState(row.state),
            config=row.config,
            title=title,
            made_at=row.made_at,
            ended_at=row.ended_at,
            audio_ms=row.audio_ms,
            summary=summary,
            error=row.error,
        )


async def locked(connection: AsyncConnection, job_id: str) -> Row[Any] | None:
    """The row of a job, which stays as it is until the transaction ends; None for one that is not there."""
    query = select(stream_jobs).where(stream_jobs.c.job_id == job_id).with_for_update()
    return (await connection.execute(query)).one_or_none()


async def segment_rows(connection: AsyncConnection, job_id: str) -> Sequence[Row[Any]]:
    """What was heard of a job, in order and still sealed."""
    query = select(segments).where(segments.c.job_id == job_id).order_by(segments.c.number)
    return (await connection.execute(query)).all()


def opened(keys: Keys, rows: Sequence[Row[Any]]) -> list[Segment]:
    """Segments of their rows; StoreError when one cannot be opened. Takes 0.1 s for an hour: not for the event loop."""
    return [Segment(row.number, row.start_ms, row.end_ms, keys.decrypt(row.text_sealed)) for row in rows]


async def complete(connection: AsyncConnection, keys: Keys, job_id: str, summary: str) -> None:
    """Complete a job whose row is locked with its summary."""
    values = {"state": JobState.COMPLETED.value, "summary_sealed": keys.encrypt(summary)}
    await connection.execute(update(stream_jobs).where(stream_jobs.c.job_id == job_id).values(values))


def wants_summary(config: str) -> bool:
    """Whether a job was created to be summarised."""
    return msgspec.json.decode(config, type=_Config).summary


class _Config(msgspec.Struct):
    summary: bool = True


async def _fail(connection: AsyncConnection, job_id: str, why: str, now: datetime) -> None:
    values = {"state": JobState.FAILED.value, "error": why, "lease_until": None}
    failed = update(stream_jobs).where(stream_jobs.c.job_id == job_id)
    await connection.execute(failed.values(**values, ended_at=func.coalesce(stream_jobs.c.ended_at, now)))


def _work_on_summary() -> Exists:
    work = exists().where(jobs.c.key == literal(f"{SUMMARY}:") + stream_jobs.c.job_id)
    return work.where(jobs.c.state.in_(["ready", "run"]))
