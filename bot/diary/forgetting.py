"""The ways to remove what was said, for good: a turn, a call, a caller's day, or all of a call up to now.

Each is one transaction, after which the bytes are taken off the disk too, and each may be told again. What is removed
for good leaves a mark, so that nothing which is committed late or twice brings it back. No key is needed to forget.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.conversation.commands import Status
from bot.diary import queries
from bot.diary.chats import forget_chats_about
from bot.diary.database import Database
from bot.diary.schema import calls, entries, turns

_NO_TURN = {"said_sealed": None, "heard_sealed": None, "from_ms": None, "to_ms": None, "waterfall": None}
_NO_ENTRY = {"title_sealed": None, "body_sealed": None, "mood": None, "status": Status.DISCARDED.value}


async def forget_turn(database: Database, call_sid: str, stream: int, turn: int, now: datetime) -> None:
    """Remove one turn, of every stream, and the entry and the stage of its call, which may hold it.

    Only the turn's number stays taken.
    """
    async with database.write() as connection:
        call = await queries.known_call(connection, call_sid)
        if not await queries.is_forgotten(connection, call, stream, turn):
            gone = {**_NO_TURN, "forgotten_at": now, "at": now}
            await database.upsert(connection, turns, {"call_sid": call_sid, "stream": stream, "turn": turn}, gone)
            of_others = update(turns).where(turns.c.call_sid == call_sid, turns.c.turn == turn)
            await connection.execute(of_others.values(gone))
            await connection.execute(delete(entries).where(entries.c.call_sid == call_sid))
            await _forget_quotes(connection, [call_sid])
    await database.scrub()


async def forget_day(database: Database, call_sid: str, now: datetime, *, whole_day: bool) -> list[str]:
    """Remove all text of a call; what remains is a discarded entry. With `whole_day`, see `_forget_others`."""
    async with database.write() as connection:
        others = await _forget_others(connection, call_sid, now) if whole_day else []
        call = await queries.known_call(connection, call_sid)
        await _forget_for_good(connection, [call_sid], now)
        values = {**_NO_ENTRY, "day": call.day, "written_at": now}
        await database.upsert(connection, entries, {"call_sid": call_sid}, values)
    await database.scrub()
    return others


async def forget_so_far(database: Database, call_sid: str, stream: int, now: datetime, *, whole_day: bool) -> list[str]:
    """Remove all text of a call up to its stream `stream`, and keep what comes after it, also on that stream.

    With `whole_day`, see `_forget_others`.
    """
    async with database.write() as connection:
        others = await _forget_others(connection, call_sid, now) if whole_day else []
        call = await queries.known_call(connection, call_sid)
        await connection.execute(delete(entries).where(entries.c.call_sid == call_sid))
        await connection.execute(delete(turns).where(turns.c.call_sid == call_sid, turns.c.stream <= stream))
        before = max(stream, call.forgotten_before or 0)
        await connection.execute(update(calls).where(calls.c.call_sid == call_sid).values(forgotten_before=before))
        await _forget_quotes(connection, [call_sid])
    await database.scrub()
    return others


async def delete_call(database: Database, call_sid: str, now: datetime) -> bool:
    """Remove the entry of a call and what was said in it; False when there was neither."""
    async with database.write() as connection:
        removed = 0
        await queries.call(connection, call_sid)
        for table in (entries, turns):
            removed += (await connection.execute(delete(table).where(table.c.call_sid == call_sid))).rowcount
        if removed:
            await _forget_for_good(connection, [call_sid], now)
    if removed:
        await database.scrub()
    return removed > 0


async def _forget_others(connection: AsyncConnection, call_sid: str, now: datetime) -> list[str]:
    """Remove all text of the other calls that the caller made on the day of this one; give their sids."""
    of_the_day = (await connection.scalars(queries.calls_of_the_same_day(call_sid))).all()
    others = [sid for sid in of_the_day if sid != call_sid]
    await _forget_for_good(connection, others, now)
    return others


async def _forget_for_good(connection: AsyncConnection, call_sids: Sequence[str], now: datetime) -> None:
    discarded = update(entries).where(entries.c.call_sid.in_(call_sids)).values({**_NO_ENTRY, "written_at": now})
    await connection.execute(delete(turns).where(turns.c.call_sid.in_(call_sids)))
    await connection.execute(discarded)
    await connection.execute(update(calls).where(calls.c.call_sid.in_(call_sids)).values(forgotten_at=now))
    await _forget_quotes(connection, call_sids)


async def _forget_quotes(connection: AsyncConnection, call_sids: Sequence[str]) -> None:
    """Remove what may hold some of it too: where the talks were, and chats about them."""
    await connection.execute(update(calls).where(calls.c.call_sid.in_(call_sids)).values(stage_sealed=None))
    await forget_chats_about(connection, call_sids)
