"""What work after a call reads and writes of it, inside a transaction of its job; and how that work is asked for.

Every function takes the connection of a `write` transaction and ends none. It must not know how an entry is written,
or what else a job does. Rows are locked in one order in the whole diary, so that no two transactions wait for each
other: the job that is being done, callers, calls (by their sids), then turns, entries and the jobs that are asked for.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.conversation.commands import Mood, Status
from bot.conversation.snapshot import decode
from bot.diary import queries, rows
from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.outbox import enqueue
from bot.diary.schema import entries, jobs
from bot.diary.told_after import told_after

ENTRY = "entry"
RECORDING = "recording"
SEARCH = "search"

RECORDED_FOR = timedelta(minutes=30)
"""So long Twilio may record the rest of a call: longer than `maxLength` in twiml/record.xml."""


@dataclass(frozen=True, slots=True)
class AfterCall:
    """A call as its work finds it: what was told in it, what corrects that, and what there is of an entry.

    `provisional`: the entry may be written anew. Until `lease_until` a process may still be committing words of the
    call.
    """

    day: date
    said: list[str]
    corrections: list[str]
    forgotten: bool
    entry_status: Status | None
    provisional: bool
    lease_until: datetime | None

    @property
    def awaits_entry(self) -> bool:
        """Whether an entry is missing, or there is one that may be written anew."""
        return not self.forgotten and (self.entry_status is None or self.provisional)


async def call_after(connection: AsyncConnection, keys: Keys, call_sid: str) -> AfterCall | None:
    """What there is of a call, which stays so until the transaction ends; None for one that is not in the diary."""
    call = await queries.call(connection, call_sid)
    if call is None:
        return None
    query = select(entries.c.status, entries.c.provisional).where(entries.c.call_sid == call_sid)
    entry = (await connection.execute(query)).one_or_none()
    stage = rows.opened(call.stage_sealed, call_sid, keys)
    snapshot = decode(stage) if stage is not None else None
    said, corrections = told_after(await rows.turns_of(connection, keys, call_sid), snapshot)
    return AfterCall(
        day=call.day,
        said=said,
        corrections=corrections,
        forgotten=call.forgotten_at is not None,
        entry_status=None if entry is None else Status(entry.status),
        provisional=entry is not None and entry.provisional and entry.status != Status.APPROVED.value,
        lease_until=call.lease_until,
    )


async def save_entry_after(  # noqa: PLR0917 (what, where, and the entry's three parts)
    database: Database,
    keys: Keys,
    connection: AsyncConnection,
    call_sid: str,
    title: str,
    body: str,
    mood: Mood,
    *,
    provisional: bool,
    of: tuple[list[str], list[str]],
    now: datetime,
) -> bool:
    """Keep an unconfirmed entry of a call, written from `of`: what was told, and what corrects it.

    `provisional`: better words for it are still awaited. False, and nothing is kept: what was told is not just that any
    more, it was forgotten, or another entry is there that is not provisional.
    """
    call = await call_after(connection, keys, call_sid)
    if call is None or not call.awaits_entry or (call.said, call.corrections) != of:
        return False
    values = entry_values(keys, title, body, mood, Status.UNCONFIRMED, day=call.day, now=now)
    await database.upsert(connection, entries, {"call_sid": call_sid}, values | {"provisional": provisional})
    return True


def entry_values(
    keys: Keys, title: str, body: str, mood: Mood, status: Status, *, day: date, now: datetime
) -> dict[str, object]:
    """The columns of an entry of which nothing more is awaited."""
    return {
        "day": day,
        "title_sealed": keys.encrypt(title),
        "body_sealed": keys.encrypt(body),
        "mood": mood.value,
        "status": status.value,
        "written_at": now,
        "provisional": False,
    }


async def ask_for_search(database: Database, connection: AsyncConnection, call_sid: str, now: datetime) -> None:
    """Have somebody ask for the recordings of a call once they must be there.

    That one was made is told once, and no process may be there to hear it.
    """
    due = now + RECORDED_FOR
    await enqueue(database, connection, SEARCH, f"{SEARCH}:{call_sid}", {"call_sid": call_sid}, now=due)


async def ask_for_entry(database: Database, connection: AsyncConnection, call_sid: str, now: datetime) -> None:
    """Have the entry of a call written after it; once more if that is over, and the entry is missing or provisional.

    The call is locked already. It touches no job that is in somebody's hands.
    """
    key = f"{ENTRY}:{call_sid}"
    await enqueue(database, connection, ENTRY, key, {"call_sid": call_sid}, now=now)
    whole = exists().where(entries.c.call_sid == call_sid, entries.c.provisional.is_(False))
    over = update(jobs).where(jobs.c.key == key, jobs.c.state.in_(["done", "dead"]), ~whole)
    await connection.execute(over.values(state="ready", run_at=now, attempt=0, error=None))
