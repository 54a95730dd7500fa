"""The removal of whole calls: of a person who asks for it, or of days that are not kept any longer.

Nothing is left of such a call, not even a mark that it was. Calls go in batches, so that others go on meanwhile; what
was begun and broken off is ended by another run. The order of locks is that of `after_call.py`.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, exists, literal, or_, select

from bot.diary import rotation
from bot.diary.after_call import ENTRY
from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.records import phone_number
from bot.diary.schema import callers, calls, entries, jobs, sessions, sign_in_codes, stream_jobs

BATCH_ROWS = 100
JOBS_KEPT = timedelta(days=30)
"""So long a job that is done is remembered as done."""
_HAS_CALLED = exists().where(calls.c.caller_id == callers.c.id)


async def forget_number(database: Database, keys: Keys, number: str) -> list[str]:
    """Remove a caller with everything that is theirs; gives the sids of the calls. A number that is none is nobody's.

    Who calls or signs in while this ends is somebody new.
    """
    if (e164 := phone_number(number)) is None:
        return []
    async with database.write(is_long=True) as connection:
        number_hash = keys.number_hash(e164, await rotation.number_key(connection))
        caller_id = await connection.scalar(select(callers.c.id).where(callers.c.number_hash == number_hash))
        await connection.execute(delete(sign_in_codes).where(sign_in_codes.c.number_hash == number_hash))
    if caller_id is None:
        return []
    removed: list[str] = []
    while batch := await _remove_batch(database, calls.c.caller_id == caller_id):
        removed += batch
    removed += await _remove_caller(database, caller_id)
    await database.scrub()
    return removed


async def remove_before(database: Database, day: date, now: datetime) -> list[str]:
    """Remove calls of days before `day` with their jobs, and callers who have nothing left; gives the sids.

    A caller who is signed in, or for whom something was streamed, is kept as long as that is.
    """
    removed: list[str] = []
    while batch := await _remove_batch(database, calls.c.day < day):
        removed += batch
    is_signed_in = exists().where(sessions.c.caller_id == callers.c.id, sessions.c.expires_at > now)
    has_streamed = exists().where(stream_jobs.c.caller_id == callers.c.id)
    while await _remove_callers(database, and_(~_HAS_CALLED, ~is_signed_in, ~has_streamed)):
        pass
    await database.scrub()
    return removed


async def remove_done_jobs(database: Database, now: datetime) -> int:
    """Remove the jobs that were done JOBS_KEPT ago; gives how many.

    One that wrote no entry stays as long as its call: else the entry would be asked for again.
    """
    found_nothing = exists().where(
        jobs.c.key == literal(f"{ENTRY}:") + calls.c.call_sid, ~exists().where(entries.c.call_sid == calls.c.call_sid)
    )
    old = select(jobs.c.id).where(jobs.c.state == "done", jobs.c.run_at < now - JOBS_KEPT, ~found_nothing)
    old = old.order_by(jobs.c.id).limit(BATCH_ROWS).with_for_update(of=jobs, skip_locked=True)
    removed, batch = 0, -1
    while batch:
        async with database.write(is_long=True) as connection:
            ids = (await connection.scalars(old)).all()
            await connection.execute(delete(jobs).where(jobs.c.id.in_(ids)))
        batch = len(ids)
        removed += batch
    return removed


async def _remove_batch(database: Database, which: ColumnElement[bool]) -> Sequence[str]:
    query = select(calls.c.call_sid).where(which).order_by(calls.c.call_sid).limit(BATCH_ROWS).with_for_update()
    async with database.write(is_long=True) as connection:
        sids = (await connection.scalars(query)).all()
        await connection.execute(delete(calls).where(calls.c.call_sid.in_(sids)))
    await _remove_jobs(database, sids)
    return sids


async def _remove_caller(database: Database, caller_id: int) -> Sequence[str]:
    """Remove a caller, with the calls that have come meanwhile; gives their sids."""
    async with database.write(is_long=True) as connection:
        # Held until the end: a call, a chat or a session that begins now waits, and then finds nobody.
        await connection.execute(select(callers.c.id).where(callers.c.id == caller_id).with_for_update())
        query = select(calls.c.call_sid).where(calls.c.caller_id == caller_id).order_by(calls.c.call_sid)
        sids = (await connection.scalars(query.with_for_update())).all()
        streamed = (
            await connection.scalars(select(stream_jobs.c.job_id).where(stream_jobs.c.caller_id == caller_id))
        ).all()
        await connection.execute(delete(calls).where(calls.c.call_sid.in_(sids)))
        await connection.execute(delete(callers).where(callers.c.id == caller_id))
    await _remove_jobs(database, [*sids, *streamed])
    return sids


async def _remove_jobs(database: Database, ids: Sequence[str]) -> None:
    """By itself: who finishes a job holds the job, and waits for the call, or the stream."""
    for start in range(0, len(ids), BATCH_ROWS):
        async with database.write(is_long=True) as connection:
            await connection.execute(delete(jobs).where(_names_one_of(ids[start : start + BATCH_ROWS])))


def _names_one_of(sids: Sequence[str]) -> ColumnElement[bool]:
    return or_(*(jobs.c.args.contains(f'"{sid}"', autoescape=True) for sid in sids))


async def _remove_callers(database: Database, which: ColumnElement[bool]) -> int:
    """Remove callers who have no call; a call, or whatever `which` asks for, that comes meanwhile keeps its caller."""
    query = select(callers.c.id).where(which).order_by(callers.c.id).limit(BATCH_ROWS).with_for_update()
    async with database.write(is_long=True) as connection:
        ids = (await connection.scalars(query)).all()
        # Asked again: what was committed while the rows were waited for is only seen now.
        gone = delete(callers).where(callers.c.id.in_(ids), which, ~_HAS_CALLED)
        return (await connection.execute(gone)).rowcount
