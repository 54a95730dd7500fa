"""The diary in its database: calls, what was said and heard in them, and the entries that became of it.

Every method is one short transaction, committed when it returns; any number of calls in any number of processes may use
the same database. Failures are StoreError (WrongKey when only the key is wrong). It must not know telephones, models or
how an entry is written. Text is encrypted before it gets here: no statement, error or log line holds a word of it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Self
from zoneinfo import ZoneInfo

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.conversation.commands import Mood, Status
from bot.conversation.habit import PauseHabit
from bot.conversation.waterfall import Waterfall
from bot.diary import arrivals, forgetting, migrate, queries, rotation, rows
from bot.diary.crypto import Keys
from bot.diary.database import Database, sqlite_file
from bot.diary.records import Arrival, EntryRecord, TurnRecord, day_of, said_in
from bot.diary.schema import callers, calls, entries, turns
from bot.errors import SettingError, StoreError

ABANDONED_AFTER = timedelta(minutes=10)
HEALTH_TIMEOUT_S = 2.0


def _wall_clock() -> datetime:
    return datetime.now(UTC)


class Store:
    """One diary, for one event loop; made by `open`."""

    def __init__(self, database: Database, keys: Keys, clock: Callable[[], datetime], timezone: tzinfo) -> None:
        """Take a database whose tables are there; `open` makes sure of that."""
        self._database = database
        self._keys = keys
        self._clock = clock
        self._timezone = timezone

    @classmethod
    async def open(
        cls,
        database_url: str,
        keys: Keys,
        *,
        clock: Callable[[], datetime] = _wall_clock,
        timezone: tzinfo | None = None,
    ) -> Self:
        """Open the diary; `clock` gives aware moments, `timezone` (Asia/Seoul) decides the day of a call.

        An SQLite diary gets its file and this release's tables; a PostgreSQL one without them is a StoreError, since
        there the release step migrates. WrongKey when `keys` lacks a key that the diary is written with.
        """
        database = Database(database_url)
        try:
            await database.prepare()
            if not await migrate.is_current(database):
                if database.file is None:
                    raise StoreError("the diary's tables are not of this release: run python -m bot.diary.migrate")
                await migrate.upgrade_in(database)
            await rotation.check_keys(database, keys, clock)
        except BaseException:
            await database.close()
            raise
        return cls(database, keys, clock, timezone or ZoneInfo("Asia/Seoul"))

    async def close(self) -> None:
        """Close every connection."""
        await self._database.close()

    async def is_up(self) -> bool:
        """Tell within 2 s whether the diary can be read."""
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S), self._database.read() as connection:
                await connection.execute(select(calls.c.call_sid).limit(1))
        except (StoreError, TimeoutError):
            return False
        return True

    # Calls and their media streams

    async def call_arrived(self, call_sid: str, number: str | None) -> Arrival:
        """Note a call, once however often it is told; a number that is not E.164 or is withheld makes no caller."""
        now = self._clock()
        day = day_of(now, self._timezone)
        return await arrivals.call_arrived(self._database, self._keys, call_sid, number, now=now, day=day)

    async def media_token(self, call_sid: str) -> str:
        """The token for the next media stream of a call: the same until it is used or 10 min old, then a new one."""
        return await arrivals.media_token(self._database, self._keys, call_sid, self._clock())

    async def claim_media_token(self, call_sid: str, token: str) -> bool:
        """Use a token up: True exactly once for each, whichever process asks; False for any other."""
        return await arrivals.claim_media_token(self._database, self._keys, call_sid, token, self._clock())

    async def call_ended(self, call_sid: str, why: str) -> None:
        """Note how a call ended (the first word counts, 64 characters); a draft nobody approved is unconfirmed now."""
        values = {"ended_at": self._clock(), "why": why[:64]}
        drafts = update(entries).where(entries.c.call_sid == call_sid, entries.c.status == Status.DRAFT.value)
        async with self._database.write() as connection:
            ended = update(calls).where(calls.c.call_sid == call_sid, calls.c.ended_at.is_(None))
            await connection.execute(ended.values(values))
            await connection.execute(drafts.values(status=Status.UNCONFIRMED.value))

    async def is_ended(self, call_sid: str) -> bool:
        """Tell whether `call_ended` was told of this call."""
        async with self._database.read() as connection:
            query = select(calls.c.ended_at).where(calls.c.call_sid == call_sid)
            return await connection.scalar(query) is not None

    # The talk

    async def add_said(self, call_sid: str, turn: int, text: str, from_ms: int, to_ms: int) -> None:
        """Keep what the caller said in a turn; said again, it replaces. Nothing is kept of what was forgotten."""
        sealed = self._keys.encrypt(text)
        await self._add_to_turn(call_sid, turn, {"said_sealed": sealed, "from_ms": from_ms, "to_ms": to_ms})

    async def add_heard(self, call_sid: str, turn: int, text: str) -> None:
        """Keep what the caller heard in answer to a turn (-1: the greeting); otherwise as `add_said`."""
        await self._add_to_turn(call_sid, turn, {"heard_sealed": self._keys.encrypt(text)})

    async def keep_waterfall(self, call_sid: str, turn: int, waterfall: Waterfall) -> None:
        """Keep when what happened before the answer to a turn; otherwise as `add_said`."""
        await self._add_to_turn(call_sid, turn, {"waterfall": rows.as_json(waterfall)})

    async def _add_to_turn(self, call_sid: str, turn: int, values: Mapping[str, Any]) -> None:
        key = {"call_sid": call_sid, "turn": turn}
        async with self._database.write() as connection:
            if not await queries.is_forgotten(connection, call_sid, turn):
                await self._database.upsert(connection, turns, key, {**values, "at": self._clock()})

    async def turns(self, call_sid: str) -> list[TurnRecord]:
        """The talk so far, in order; a turn that was forgotten is there with nothing but its number."""
        async with self._database.read() as connection:
            return await self._turns(connection, call_sid)

    async def _turns(self, connection: AsyncConnection, call_sid: str) -> list[TurnRecord]:
        query = select(turns).where(turns.c.call_sid == call_sid).order_by(turns.c.turn)
        return [rows.turn_record(row, self._keys) for row in (await connection.execute(query)).all()]

    async def said(self, call_sid: str) -> list[str]:
        """What the caller said, turn by turn."""
        return said_in(await self.turns(call_sid))

    async def habit(self, call_sid: str) -> PauseHabit:
        """What is known of the pauses of the caller of a call; of an anonymous one, nothing."""
        async with self._database.read() as connection:
            return rows.habit_of(await connection.scalar(queries.pause_habit(call_sid)), call_sid)

    async def keep_habit(self, call_sid: str, habit: PauseHabit) -> None:
        """Keep what is known of the caller's pauses for the next call; nobody's, when the caller is anonymous."""
        caller_id = select(calls.c.caller_id).where(calls.c.call_sid == call_sid).scalar_subquery()
        change = update(callers).where(callers.c.id == caller_id).values(pause_habit=rows.as_json(habit))
        async with self._database.write() as connection:
            await connection.execute(change)

    # The entry

    async def save_entry(
        self, call_sid: str, title: str, body: str, mood: Mood, status: Status, *, of: Sequence[str] | None = None
    ) -> bool:
        """Keep the entry of a call in place of the one before; `of`: only if what was said is still just that.

        False, and nothing is kept, when the day was forgotten or deleted, or when the caller approved another text and
        this one is not approved. Status DISCARDED is `forget_day`.
        """
        if status is Status.DISCARDED:
            await self.forget_day(call_sid)
            return True
        values = {
            "title_sealed": self._keys.encrypt(title),
            "body_sealed": self._keys.encrypt(body),
            "mood": mood.value,
            "status": status.value,
            "written_at": self._clock(),
        }
        async with self._database.write() as connection:
            call = await queries.known_call(connection, call_sid)
            before = await connection.scalar(select(entries.c.status).where(entries.c.call_sid == call_sid))
            approved_before = before == Status.APPROVED.value and status is not Status.APPROVED
            if call.forgotten_at is not None or approved_before:
                return False
            if of is not None and list(of) != said_in(await self._turns(connection, call_sid)):
                return False
            await self._database.upsert(connection, entries, {"call_sid": call_sid}, {**values, "day": call.day})
        return True

    async def rewrite_entry(self, call_sid: str, stream: int, title: str, body: str, mood: Mood) -> bool:
        """Put an unconfirmed entry into other words; False when stream `stream` is not the call's last any more."""
        last = select(calls.c.stream).where(calls.c.call_sid == call_sid).scalar_subquery()
        change = update(entries).where(
            entries.c.call_sid == call_sid, entries.c.status == Status.UNCONFIRMED.value, last == stream
        )
        values = {
            "title_sealed": self._keys.encrypt(title),
            "body_sealed": self._keys.encrypt(body),
            "mood": mood.value,
            "written_at": self._clock(),
        }
        async with self._database.write() as connection:
            return (await connection.execute(change.values(values))).rowcount == 1

    async def reopen(self, call_sid: str) -> None:
        """The talk goes on: an entry that the caller has not approved is void, and will be written again."""
        void = delete(entries).where(
            entries.c.call_sid == call_sid, entries.c.status.in_([Status.DRAFT.value, Status.UNCONFIRMED.value])
        )
        async with self._database.write() as connection:
            await connection.execute(void)

    async def set_entry_status(self, call_sid: str, status: Status) -> bool:
        """Change what became of an entry; False when there is none to change. Status DISCARDED is `forget_day`."""
        if status is Status.DISCARDED:
            await self.forget_day(call_sid)
            return True
        change = update(entries).where(entries.c.call_sid == call_sid, entries.c.status != Status.DISCARDED.value)
        async with self._database.write() as connection:
            return (await connection.execute(change.values(status=status.value))).rowcount == 1

    # Forgetting

    async def forget_turn(self, call_sid: str, turn: int) -> None:
        """Remove all text of one turn for good, and the entry of its call; no text comes after into that turn."""
        await forgetting.forget_turn(self._database, call_sid, turn, self._clock())

    async def forget_day(self, call_sid: str, *, whole_day: bool = False) -> list[str]:
        """Remove all text of a call for good; what remains is an entry that is discarded, and no text comes after.

        `whole_day`: and of the caller's other calls of the same day, whose sids are given.
        """
        return await forgetting.forget_day(self._database, call_sid, self._clock(), whole_day=whole_day)

    async def forget_so_far(self, call_sid: str, *, whole_day: bool = False) -> list[str]:
        """Remove all text of a call up to now; what is said after it is kept. `whole_day`: as in `forget_day`."""
        return await forgetting.forget_so_far(self._database, call_sid, self._clock(), whole_day=whole_day)

    async def delete(self, call_sid: str) -> bool:
        """Remove the entry of a call and what was said in it; False when there was neither."""
        return await forgetting.delete_call(self._database, call_sid, self._clock())

    # All calls

    async def entries(self, number: str | None = None) -> list[EntryRecord]:
        """The entries of everybody, or of one caller, oldest call first."""
        async with self._database.read() as connection:
            number_hash = None
            if number is not None:
                number_hash = self._keys.number_hash(number, await rotation.number_key(connection))
            found = (await connection.execute(queries.entries_with_callers(number_hash))).all()
        return [rows.entry_record(row, self._keys) for row in found]

    async def calls_without_entry(self) -> list[str]:
        """Calls with something said and no entry that ended, or where nothing happened for 10 min; oldest first."""
        query = queries.calls_without_entry(self._clock() - ABANDONED_AFTER)
        async with self._database.read() as connection:
            return list((await connection.scalars(query)).all())

    async def abandoned_drafts(self) -> list[str]:
        """Calls whose entry is a draft, that nobody ended, and where nothing happened for 10 min; oldest first."""
        query = queries.abandoned_drafts(self._clock() - ABANDONED_AFTER)
        async with self._database.read() as connection:
            return list((await connection.scalars(query)).all())

    async def rotate(self) -> int:
        """Bring everything to the newest key, so that the older ones can be dropped; returns how many texts changed."""
        return await rotation.rotate(self._database, self._keys)


async def open_store(database_url: str, diary_key: str | None, timezone: tzinfo) -> Store:
    """Open the diary as the settings say; SettingError when they cannot be used, StoreError as `Store.open`."""
    return await Store.open(database_url, keys_of(database_url, diary_key), timezone=timezone)


def keys_of(database_url: str, diary_key: str | None) -> Keys:
    """The keys of DIARY_KEY, or of the file NAME.key (mode 0600, made when missing) beside the SQLite file NAME.

    SettingError when DIARY_KEY is malformed, or not set with another database than SQLite.
    """
    if diary_key is not None:
        return Keys.parse(diary_key)
    file = sqlite_file(database_url)
    if file is None:
        raise SettingError("DIARY_KEY", "is required with PostgreSQL")
    return Keys.load_or_create(file.with_name(file.name + ".key"))
