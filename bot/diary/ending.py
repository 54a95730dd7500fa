"""How a call ends: by its own stream, by a webhook, or because nobody was heard of any more.

The end and the job that writes the entry are one transaction, whoever tells it first, and however often it is told. It
must not know how the entry is written. The order of locks is that of `after_call.py`.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, or_, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.conversation.commands import Status
from bot.diary import after_call, queries
from bot.diary.database import Database
from bot.diary.outbox import enqueue
from bot.diary.schema import calls, entries

ABANDONED, NOTHING_RECORDED, RECORDED = "abandoned", "nothing recorded", "recorded"
LAPSED_AFTER = timedelta(seconds=60)
"""So long after its lease ended nobody has taken up a call."""

QUIET_FOR = timedelta(minutes=10)
"""So long nothing has happened in a call that never had a lease."""

MOST_AT_ONCE = 200


async def end_call(database: Database, connection: AsyncConnection, call: Row[Any], why: str, now: datetime) -> None:
    """Note how a call, whose row is locked, ended (the first word counts), and have its entry written."""
    if call.ended_at is None:
        ended = update(calls).where(calls.c.call_sid == call.call_sid)
        await connection.execute(ended.values(ended_at=now, why=why[:64]))
    # More was said after the caller approved of the day, and it was not approved anew.
    overtaken = and_(entries.c.status == Status.APPROVED.value, entries.c.provisional)
    open_entry = or_(entries.c.status == Status.DRAFT.value, overtaken)
    unconfirmed = update(entries).where(entries.c.call_sid == call.call_sid, open_entry)
    await connection.execute(unconfirmed.values(status=Status.UNCONFIRMED.value))
    await after_call.ask_for_entry(database, connection, call.call_sid, now)


async def recording_made(
    database: Database, connection: AsyncConnection, call_sid: str, recording_sid: str, now: datetime
) -> None:
    """Note the end of a call whose rest was recorded, and have the recording written down, once.

    That of a call which was removed while it was made is removed by the same job.
    """
    if (call := await queries.call(connection, call_sid)) is not None:
        await end_call(database, connection, call, RECORDED, now)
    args = {"call_sid": call_sid, "recording_sid": recording_sid}
    key = f"{after_call.RECORDING}:{recording_sid}"
    await enqueue(database, connection, after_call.RECORDING, key, args, now=now)


async def nothing_recorded(database: Database, connection: AsyncConnection, call_sid: str, now: datetime) -> None:
    """Note the end of a call that was to be recorded and was not, unless somebody talks in it."""
    call = await queries.call(connection, call_sid)
    if call is not None and (call.lease_until is None or call.lease_until <= now):
        await end_call(database, connection, call, NOTHING_RECORDED, now)


async def close_lapsed(database: Database, now: datetime) -> int:
    """End the calls with something said whose process is gone, and ask for entries nobody asked for; gives how many."""
    lapsed = queries.lapsed(
        lease_before=now - LAPSED_AFTER, recorded_before=now - after_call.RECORDED_FOR, quiet_since=now - QUIET_FOR
    )
    unasked = queries.ended_without_work(after_call.ENTRY)
    closed = 0
    async with database.read() as connection:
        lapsed_sids = (await connection.scalars(lapsed.limit(MOST_AT_ONCE))).all()
        unasked_sids = (await connection.scalars(unasked.limit(MOST_AT_ONCE))).all()
    for call_sid in lapsed_sids:
        async with database.write() as connection:
            call = await queries.call(connection, call_sid)
            # A stream may have taken it up since.
            still_lapsed = await connection.scalar(lapsed.where(calls.c.call_sid == call_sid))
            if call is not None and still_lapsed is not None:
                await end_call(database, connection, call, ABANDONED, now)
                closed += 1
    for call_sid in unasked_sids:
        async with database.write() as connection:
            if await queries.call(connection, call_sid) is not None:
                await after_call.ask_for_entry(database, connection, call_sid, now)
                closed += 1
    return closed
