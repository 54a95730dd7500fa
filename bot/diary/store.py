"""The diary in its database: calls, what was said and heard in them, and the entries that became of it.

Every method is one short transaction, committed when it returns; any number of calls in any number of processes may use
the same database. Failures are StoreError (WrongKey when only the key is wrong). It must not know telephones, models or
how an entry is written. Text is encrypted before it gets here: no statement, error or log line holds a word of it.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Self
from zoneinfo import ZoneInfo

from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.conversation.commands import Mood, Status
from bot.diary import migrate, queries, rotation
from bot.diary.crypto import Keys
from bot.diary.database import Database, sqlite_file
from bot.diary.records import Arrival, EntryRecord, TurnRecord, day_of, phone_number
from bot.diary.schema import callers, calls, entries, turns
from bot.errors import SettingError, StoreError, WrongKey

TOKEN_LIFE = timedelta(minutes=10)
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
        number = phone_number(number)
        now = self._clock()
        async with self._database.write() as connection:
            call = await queries.call(connection, call_sid)
            if call is None:
                values = {
                    "caller_id": await self._caller_id(connection, number, now) if number else None,
                    "day": day_of(now, self._timezone),
                    "arrived_at": now,
                    "stream": 1,
                    "token_expires_at": now + TOKEN_LIFE,
                }
                await self._database.upsert(connection, calls, {"call_sid": call_sid}, values, only_new=list(values))
                call = await queries.known_call(connection, call_sid)
            return Arrival(await queries.is_first(connection, call), call.stream, call.day)

    async def _caller_id(self, connection: AsyncConnection, number: str, now: datetime) -> int:
        number_hash = self._keys.number_hash(number, await rotation.number_key(connection))
        values = {"number_sealed": self._keys.encrypt(number), "first_call_at": now, "last_call_at": now}
        only_new = ["number_sealed", "first_call_at"]
        await self._database.upsert(connection, callers, {"number_hash": number_hash}, values, only_new=only_new)
        query = select(callers.c.id).where(callers.c.number_hash == number_hash)
        return int((await connection.scalars(query)).one())

    async def media_token(self, call_sid: str) -> str:
        """The token for the next media stream of a call: the same until it is used or 10 min old, then a new one."""
        now = self._clock()
        async with self._database.write() as connection:
            call = await queries.known_call(connection, call_sid)
            stream = int(call.stream)
            if call.token_used_at is not None or call.token_expires_at <= now:
                stream += 1
                values = {"stream": stream, "token_expires_at": now + TOKEN_LIFE, "token_used_at": None}
                await connection.execute(update(calls).where(calls.c.call_sid == call_sid).values(values))
        return self._keys.media_token(call_sid, stream)

    async def claim_media_token(self, call_sid: str, token: str) -> bool:
        """Use a token up: True exactly once for each, whichever process asks; False for any other."""
        async with self._database.read() as connection:
            stream = await connection.scalar(select(calls.c.stream).where(calls.c.call_sid == call_sid))
        if stream is None or not self._keys.is_media_token(call_sid, stream, token):
            return False
        now = self._clock()
        claim = update(calls).where(
            calls.c.call_sid == call_sid,
            calls.c.stream == stream,
            calls.c.token_used_at.is_(None),
            calls.c.token_expires_at > now,
        )
        async with self._database.write() as connection:
            return (await connection.execute(claim.values(token_used_at=now))).rowcount == 1

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
        """Keep what the caller said in a turn; said again, it replaces. Nothing is kept once the day was forgotten."""
        sealed = self._keys.encrypt(text)
        await self._add_turn(call_sid, turn, {"said_sealed": sealed, "from_ms": from_ms, "to_ms": to_ms})

    async def add_heard(self, call_sid: str, turn: int, text: str) -> None:
        """Keep what the caller heard in answer to a turn (-1: the greeting); otherwise as `add_said`."""
        await self._add_turn(call_sid, turn, {"heard_sealed": self._keys.encrypt(text)})

    async def _add_turn(self, call_sid: str, turn: int, values: Mapping[str, Any]) -> None:
        key = {"call_sid": call_sid, "turn": turn}
        async with self._database.write() as connection:
            if (await queries.known_call(connection, call_sid)).forgotten_at is None:
                await self._database.upsert(connection, turns, key, {**values, "at": self._clock()})

    async def turns(self, call_sid: str) -> list[TurnRecord]:
        """The talk so far, in order."""
        async with self._database.read() as connection:
            query = select(turns).where(turns.c.call_sid == call_sid).order_by(turns.c.turn)
            rows = (await connection.execute(query)).all()
        return [
            TurnRecord(
                row.turn,
                self._open(row.said_sealed, call_sid),
                self._open(row.heard_sealed, call_sid),
                row.from_ms,
                row.to_ms,
            )
            for row in rows
        ]

    async def said(self, call_sid: str) -> list[str]:
        """What the caller said, turn by turn."""
        return [turn.said for turn in await self.turns(call_sid) if turn.said is not None]

    # The entry

    async def save_entry(self, call_sid: str, title: str, body: str, mood: Mood, status: Status) -> bool:
        """Keep the entry of a call in place of the one before.

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

    async def forget_day(self, call_sid: str) -> None:
        """Remove all text of a call for good; what remains is an entry that is discarded, and no text comes after."""
        now = self._clock()
        gone = {"title_sealed": None, "body_sealed": None, "mood": None, "status": Status.DISCARDED.value}
        async with self._database.write() as connection:
            call = await queries.known_call(connection, call_sid)
            await connection.execute(delete(turns).where(turns.c.call_sid == call_sid))
            values = {**gone, "day": call.day, "written_at": now}
            await self._database.upsert(connection, entries, {"call_sid": call_sid}, values)
            await queries.mark_forgotten(connection, call_sid, now)
        await self._database.scrub()

    async def forget_so_far(self, call_sid: str) -> None:
        """Remove all text of a call up to now; what is said after it is kept."""
        async with self._database.write() as connection:
            await queries.known_call(connection, call_sid)
            for table in (entries, turns):
                await connection.execute(delete(table).where(table.c.call_sid == call_sid))
        await self._database.scrub()

    async def delete(self, call_sid: str) -> bool:
        """Remove the entry of a call and what was said in it; False when there was neither."""
        async with self._database.write() as connection:
            removed = 0
            for table in (entries, turns):
                removed += (await connection.execute(delete(table).where(table.c.call_sid == call_sid))).rowcount
            if removed:
                await queries.mark_forgotten(connection, call_sid, self._clock())
        if removed:
            await self._database.scrub()
        return removed > 0

    async def entries(self, number: str | None = None) -> list[EntryRecord]:
        """The entries of everybody, or of one caller, oldest call first."""
        async with self._database.read() as connection:
            number_hash = None
            if number is not None:
                number_hash = self._keys.number_hash(number, await rotation.number_key(connection))
            rows = (await connection.execute(queries.entries_with_callers(number_hash))).all()
        return [self._entry(row) for row in rows]

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

    def _entry(self, row: Row[Any]) -> EntryRecord:
        try:
            mood = None if row.mood is None else Mood(row.mood)
            status = Status(row.status)
        except ValueError as error:
            raise StoreError(f"call {row.call_sid}: its entry is damaged") from error
        return EntryRecord(
            row.call_sid,
            self._open(row.number_sealed, row.call_sid),
            row.day,
            self._open(row.title_sealed, row.call_sid),
            self._open(row.body_sealed, row.call_sid),
            mood,
            status,
        )

    def _open(self, sealed: bytes | None, call_sid: str) -> str | None:
        try:
            return None if sealed is None else self._keys.decrypt(sealed)
        except WrongKey as error:
            raise WrongKey(f"call {call_sid}: {error}") from error
        except StoreError as error:
            raise StoreError(f"call {call_sid}: {error}") from error


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
