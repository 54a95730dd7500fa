"""What is to be done every day at an hour: rows of `schedules`, and the moments they mean.

Whoever takes a due row moves it to its next moment in the same transaction. One that this process cannot read, of a
newer release or with a zone that it does not know, it leaves to others. It must not know how jobs are run.
"""

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import ColumnElement, Row, and_, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.diary.database import Database
from bot.diary.schema import schedules

log = logging.getLogger(__name__)

MOST_AT_ONCE = 100
UNREADABLE_AGAIN = timedelta(hours=1)
"""So long this process leaves a row alone that it cannot read."""

_DAY = timedelta(days=1)
_HHMM = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule: a job of `kind` every day at `hhmm` by the clock of `tz`."""

    name: str
    kind: str
    args: Mapping[str, str]
    hhmm: str
    tz: str
    grace_s: float


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One day's job of a schedule."""

    name: str
    kind: str
    args: Mapping[str, str]
    date: date


def moments(hhmm: str, tz: str, *, since: datetime) -> Iterator[tuple[date, datetime]]:
    """The days and moments of a schedule from `since` on, for ever; ValueError, KeyError or OSError for no such clock.

    An hour that a day does not have is the hour after the gap; of one that it has twice it is the first.
    """
    if (found := _HHMM.fullmatch(hhmm)) is None:
        raise ValueError("an hour is written HH:MM")
    zone, hour = ZoneInfo(tz), time(int(found[1]), int(found[2]))
    day = since.astimezone(zone).date() - _DAY
    last = since - timedelta.resolution
    while True:
        moment = datetime.combine(day, hour, zone).astimezone(UTC)
        if moment > last:
            yield day, moment
            last = moment
        day += _DAY


async def keep(database: Database, plan: Plan, now: datetime) -> None:
    """Keep a schedule; what was due before stays due, unless its hour changes."""
    _, first = next(moments(plan.hhmm, plan.tz, since=now + timedelta.resolution))
    values: dict[str, Any] = {
        "kind": plan.kind,
        "args": msgspec.json.encode(dict(plan.args)).decode(),
        "hhmm": plan.hhmm,
        "tz": plan.tz,
        "grace_s": round(plan.grace_s),
    }
    query = select(schedules).where(schedules.c.name == plan.name).with_for_update()
    async with database.write() as connection:
        before = (await connection.execute(query)).one_or_none()
        same_hour = before is not None and (before.hhmm, before.tz) == (plan.hhmm, plan.tz)
        if before is not None and all(getattr(before, name) == value for name, value in values.items()):
            return
        only_new = ["next_at"] if same_hour else []
        values["next_at"] = first
        await database.upsert(connection, schedules, {"name": plan.name}, values, only_new=only_new)


async def any_due(database: Database, now: datetime, unreadable: Collection[str]) -> bool:
    """Tell whether `take_due` would find something, without locking anything."""
    async with database.read() as connection:
        query = select(schedules.c.name).where(_due(now, unreadable)).limit(1)
        return await connection.scalar(query) is not None


async def take_due(
    connection: AsyncConnection, now: datetime, unreadable: Collection[str]
) -> tuple[list[Occurrence], list[str]]:
    """What is to be done by now, and not too late for it; the rows are moved on in this transaction.

    Rows named in `unreadable` are left out; gives also the names of more that cannot be read.
    """
    query = select(schedules).where(_due(now, unreadable)).order_by(schedules.c.next_at, schedules.c.name)
    rows = (await connection.execute(query.limit(MOST_AT_ONCE).with_for_update(skip_locked=True))).all()
    taken: list[Occurrence] = []
    unread: list[str] = []
    for row in rows:
        try:
            occurrences, next_at = _occurrences(row, now)
        except (ValueError, KeyError, OSError):
            log.error("the schedule %s cannot be read here", row.name)
            unread.append(row.name)
            continue
        taken += occurrences
        await connection.execute(update(schedules).where(schedules.c.name == row.name).values(next_at=next_at))
    return taken, unread


def _due(now: datetime, unreadable: Collection[str]) -> ColumnElement[bool]:
    return and_(schedules.c.next_at <= now, schedules.c.name.not_in(unreadable))


def _occurrences(row: Row[Any], now: datetime) -> tuple[list[Occurrence], datetime]:
    args = msgspec.json.decode(row.args, type=dict[str, str])
    occurrences: list[Occurrence] = []
    for day, moment in moments(row.hhmm, row.tz, since=row.next_at):
        if moment > now:
            return occurrences, moment
        if now - moment <= timedelta(seconds=row.grace_s):
            occurrences.append(Occurrence(row.name, row.kind, args, day))
        else:
            log.warning("the schedule %s of %s is too late by now, and left out", row.name, day)
    raise AssertionError("a schedule goes on for ever")
