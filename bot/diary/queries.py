"""The store's questions that take more than a line of SQL.

They know tables alone: no keys, no clock, and nothing of what the columns hold.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Exists, Row, Select, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.conversation.commands import Status
from bot.diary.schema import callers, calls, entries, turns
from bot.errors import StoreError


async def call(connection: AsyncConnection, call_sid: str) -> Row[Any] | None:
    """The row of a call, which stays as it is until the transaction ends; None for a call that never arrived."""
    query = select(calls).where(calls.c.call_sid == call_sid).with_for_update()
    return (await connection.execute(query)).one_or_none()


async def known_call(connection: AsyncConnection, call_sid: str) -> Row[Any]:
    """As `call`; StoreError for a call that never arrived."""
    row = await call(connection, call_sid)
    if row is None:
        raise StoreError(f"call {call_sid} is not in the diary")
    return row


async def is_forgotten(connection: AsyncConnection, call_sid: str, turn: int) -> bool:
    """Tell whether nothing of a turn is kept any more, or of its whole call; it stays so. Else as `known_call`."""
    if (await known_call(connection, call_sid)).forgotten_at is not None:
        return True
    query = select(turns.c.forgotten_at).where(turns.c.call_sid == call_sid, turns.c.turn == turn)
    return await connection.scalar(query) is not None


def calls_of_the_same_day(call_sid: str) -> Select[str]:
    """The sids of the calls that the caller of this one made on its day, this one too; of an anonymous one, none.

    They stay as they are until the transaction ends, in an order in which no two transactions wait for each other.
    """
    this = select(calls.c.caller_id, calls.c.day).where(calls.c.call_sid == call_sid).subquery()
    query = select(calls.c.call_sid).join(this, and_(calls.c.caller_id == this.c.caller_id, calls.c.day == this.c.day))
    return query.order_by(calls.c.call_sid).with_for_update(of=calls)


def pause_habit(call_sid: str) -> Select[str | None]:
    """The column `pause_habit` of the caller of a call."""
    return (
        select(callers.c.pause_habit).join(calls, calls.c.caller_id == callers.c.id).where(calls.c.call_sid == call_sid)
    )


async def is_first(connection: AsyncConnection, row: Row[Any]) -> bool:
    """Tell whether the caller of a call never had a talk before it; nobody knows for an anonymous one: True."""
    if row.caller_id is None:
        return True
    talked_before = select(calls.c.call_sid).where(
        calls.c.caller_id == row.caller_id,
        calls.c.call_sid != row.call_sid,
        calls.c.arrived_at <= row.arrived_at,
        or_(calls.c.forgotten_at.is_not(None), _something_said(), _something_forgotten()),
    )
    return (await connection.scalars(talked_before.limit(1))).first() is None


def calls_without_entry(then: datetime) -> Select[str]:
    """The sids of calls with something said and no entry that have ended, or where nothing happened since `then`."""
    query = select(calls.c.call_sid).where(
        calls.c.forgotten_at.is_(None),
        _something_said(),
        ~exists().where(entries.c.call_sid == calls.c.call_sid),
        or_(calls.c.ended_at.is_not(None), _abandoned(then)),
    )
    return query.order_by(calls.c.arrived_at, calls.c.call_sid)


def abandoned_drafts(then: datetime) -> Select[str]:
    """The sids of calls whose entry is a draft, that nobody ended, and where nothing happened since `then`."""
    query = select(calls.c.call_sid).join(entries, entries.c.call_sid == calls.c.call_sid)
    query = query.where(entries.c.status == Status.DRAFT.value, calls.c.ended_at.is_(None), _abandoned(then))
    return query.order_by(calls.c.arrived_at, calls.c.call_sid)


def _abandoned(then: datetime) -> ColumnElement[bool]:
    last_turn_at = select(func.max(turns.c.at)).where(turns.c.call_sid == calls.c.call_sid).scalar_subquery()
    return and_(
        calls.c.arrived_at < then,
        last_turn_at < then,
        or_(calls.c.token_used_at.is_(None), calls.c.token_used_at < then),
    )


def entries_with_callers(number_hash: bytes | None) -> Select[Any]:
    """Entries beside their callers' sealed numbers, oldest call first; of one caller when a hash is given."""
    query = select(entries, callers.c.number_sealed).order_by(calls.c.arrived_at, calls.c.call_sid)
    query = query.select_from(entries.join(calls).outerjoin(callers, calls.c.caller_id == callers.c.id))
    return query if number_hash is None else query.where(callers.c.number_hash == number_hash)


def _something_said() -> Exists:
    return exists().where(turns.c.call_sid == calls.c.call_sid, turns.c.said_sealed.is_not(None))


def _something_forgotten() -> Exists:
    return exists().where(turns.c.call_sid == calls.c.call_sid, turns.c.forgotten_at.is_not(None))
