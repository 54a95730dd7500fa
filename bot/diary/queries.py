"""The store's questions that take more than a line of SQL.

They know tables alone: no keys, no clock, and nothing of what the columns hold.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Exists, Row, Select, and_, bindparam, exists, func, literal, or_, select
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.diary.schema import callers, calls, entries, jobs, turns
from bot.errors import LeaseLost

# Made once: each turn of a call asks them several times, and to make one takes longer than to ask it.
_CALL = select(calls).where(calls.c.call_sid == bindparam("of_call")).with_for_update()
_FORGOTTEN = (
    select(turns.c.id)
    .where(turns.c.call_sid == bindparam("of_call"), turns.c.turn == bindparam("of_turn"))
    .where(turns.c.forgotten_at.is_not(None))
    .limit(1)
)


async def call(connection: AsyncConnection, call_sid: str) -> Row[Any] | None:
    """The row of a call, which stays as it is until the transaction ends; None for a call that never arrived."""
    return (await connection.execute(_CALL, {"of_call": call_sid})).one_or_none()


async def known_call(connection: AsyncConnection, call_sid: str) -> Row[Any]:
    """As `call`; LeaseLost for a call that never arrived, or was removed."""
    row = await call(connection, call_sid)
    if row is None:
        raise LeaseLost(f"call {call_sid} is not in the diary")
    return row


async def is_forgotten(connection: AsyncConnection, row: Row[Any], stream: int, turn: int) -> bool:
    """Tell whether nothing is kept any more of call `row`, of its stream, or of the turn on whichever stream."""
    if row.forgotten_at is not None or stream < (row.forgotten_before or 0):
        return True
    forgotten = await connection.scalars(_FORGOTTEN, {"of_call": row.call_sid, "of_turn": turn})
    return forgotten.first() is not None


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


def lapsed(*, lease_before: datetime, recorded_before: datetime, quiet_since: datetime) -> Select[str]:
    """The sids of calls with something said that nobody ended, and where nobody is any more; oldest first.

    Their lease ended before `lease_before`, or while Twilio recorded before `recorded_before`; or they never had one,
    and nothing happened since `quiet_since`.
    """
    recorded = calls.c.next_step.is_not(None)
    gone = or_(
        and_(~recorded, calls.c.lease_until < lease_before),
        and_(recorded, calls.c.lease_until < recorded_before),
        and_(calls.c.lease_until.is_(None), _quiet(quiet_since)),
    )
    query = select(calls.c.call_sid).where(calls.c.ended_at.is_(None), _something_said(), gone)
    return query.order_by(calls.c.arrived_at, calls.c.call_sid)


def ended_without_work(kind: str) -> Select[str]:
    """The sids of ended calls with something said whose entry is missing or provisional, and nobody writes it.

    `kind` is that of the jobs that would.
    """
    job = select(jobs.c.state).where(jobs.c.key == literal(f"{kind}:") + calls.c.call_sid)
    no_entry = ~exists().where(entries.c.call_sid == calls.c.call_sid)
    provisional = exists().where(entries.c.call_sid == calls.c.call_sid, entries.c.provisional)
    query = select(calls.c.call_sid).where(
        calls.c.ended_at.is_not(None),
        calls.c.forgotten_at.is_(None),
        _something_said(),
        or_(and_(no_entry, ~job.exists()), and_(provisional, ~job.where(jobs.c.state != "done").exists())),
    )
    return query.order_by(calls.c.arrived_at, calls.c.call_sid)


def _quiet(since: datetime) -> ColumnElement[bool]:
    last_turn_at = select(func.max(turns.c.at)).where(turns.c.call_sid == calls.c.call_sid).scalar_subquery()
    return and_(
        calls.c.arrived_at < since,
        last_turn_at < since,
        or_(calls.c.token_used_at.is_(None), calls.c.token_used_at < since),
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
