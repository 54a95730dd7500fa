"""The store's questions that take more than a line of SQL.

They know tables alone: no keys, no clock, and nothing of what the columns hold.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Exists, Row, Select, and_, exists, func, or_, select, update
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


async def mark_forgotten(connection: AsyncConnection, call_sid: str, now: datetime) -> None:
    """Note that no text of a call is kept from now."""
    await connection.execute(update(calls).where(calls.c.call_sid == call_sid).values(forgotten_at=now))


async def is_first(connection: AsyncConnection, row: Row[Any]) -> bool:
    """Tell whether the caller of a call never had a talk before it; nobody knows for an anonymous one: True."""
    if row.caller_id is None:
        return True
    talked_before = select(calls.c.call_sid).where(
        calls.c.caller_id == row.caller_id,
        calls.c.call_sid != row.call_sid,
        calls.c.arrived_at <= row.arrived_at,
        or_(calls.c.forgotten_at.is_not(None), _something_said()),
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
