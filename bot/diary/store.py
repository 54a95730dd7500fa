"""The diary in its database: calls, what was said and heard in them, and the entries that became of it.

Every method is one short transaction, committed when it returns, `remove_before` and its like many; any number of calls
in any number of processes may use the same database. Failures are StoreError (WrongKey when only the key is wrong).
What a media stream writes is in `owned.py`, and what a job does in `after_call.py`. It must not know telephones, models
or how an entry is written. Text is encrypted before the database sees it: no statement, error or log line holds a word.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, tzinfo
from typing import Self
from zoneinfo import ZoneInfo

from sqlalchemy import select

from bot.conversation.habit import PauseHabit
from bot.diary import arrivals, ending, forgetting, queries, removal, rotation, rows
from bot.diary.browser_talks import BrowserTalks
from bot.diary.channels import Channels
from bot.diary.chats import Chats
from bot.diary.crypto import Keys
from bot.diary.database import Database, sqlite_file
from bot.diary.library import Library
from bot.diary.outbox import Outbox
from bot.diary.owned import OwnedCall
from bot.diary.people import People
from bot.diary.records import Arrival, EntryRecord, TurnRecord, day_of, said_in
from bot.diary.revision import is_current
from bot.diary.schema import calls
from bot.diary.server_clock import ServerClock
from bot.diary.stream_jobs import StreamJobs
from bot.errors import SettingError, StoreError

HEALTH_TIMEOUT_S = 2.0


def _wall_clock() -> datetime:
    return datetime.now(UTC)


class Store:
    """One diary, for one event loop; made by `open`.

    `outbox` holds the work that is still to be done. Its handlers write in transactions of their own: for them are
    `database`, `keys`, which open and seal, and `clock`, which gives aware moments.
    """

    def __init__(
        self,
        database: Database,
        keys: Keys,
        clock: Callable[[], datetime],
        timezone: tzinfo,
        most_channels: int | None = None,
    ) -> None:
        """Take a database whose tables are there; `open` makes sure of that."""
        self.database = database
        self.keys = keys
        self.clock = clock
        self.outbox = Outbox(database, clock=clock)
        self.people = People(database, keys, clock)
        self.browser_talks = BrowserTalks(database, keys, clock)
        self.chats = Chats(database, keys, clock)
        self.library = Library(database, keys)
        self._channels = Channels(database, clock, most_channels)
        self.stream_jobs = StreamJobs(database, keys, clock, self._channels)
        self._timezone = timezone

    @classmethod
    async def open(
        cls,
        database_url: str,
        keys: Keys,
        *,
        clock: Callable[[], datetime] | None = None,
        timezone: tzinfo | None = None,
        most_channels: int | None = None,
    ) -> Self:
        """Open the diary; `timezone` (Asia/Seoul) decides the day of a call. `most_channels`: of the recogniser.

        `clock` gives aware moments: if none is given it is PostgreSQL's own, or for SQLite, which has one machine, the
        wall clock.

        An SQLite diary gets its file and this release's tables; a PostgreSQL one without them is a StoreError, since
        there the release step migrates. WrongKey when `keys` lacks a key that the diary is written with.
        """
        database = Database(database_url)
        async with AsyncExitStack() as on_failure:
            on_failure.push_async_callback(database.close)
            await database.prepare()
            if not await is_current(database):
                if database.file is None:
                    raise StoreError("the diary's tables are not of this release: run python -m bot.diary.migrate")
                from bot.diary.migrate import upgrade_in  # noqa: PLC0415 (Alembic is big, and seldom needed)

                await upgrade_in(database)
            if clock is None:
                clock = _wall_clock if database.file else await ServerClock.ask(database)
            await rotation.check_keys(database, keys, clock)
            on_failure.pop_all()
        return cls(database, keys, clock, timezone or ZoneInfo("Asia/Seoul"), most_channels)

    async def close(self) -> None:
        """Close every connection."""
        await self.database.close()

    async def set_clock(self) -> None:
        """Set PostgreSQL's own clock right, if that is in use; to be called now and then. StoreError: it goes on."""
        if isinstance(self.clock, ServerClock):
            await self.clock.set()

    async def is_up(self) -> bool:
        """Tell within 2 s whether the diary can be read."""
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S), self.database.read() as connection:
                await connection.execute(select(calls.c.call_sid).limit(1))
        except (StoreError, TimeoutError):
            return False
        return True

    # Calls and their media streams

    async def call_arrived(self, call_sid: str, number: str | None) -> Arrival:
        """Note a call, once however often it is told; a number that is not E.164 or is withheld makes no caller."""
        now = self.clock()
        day = day_of(now, self._timezone)
        return await arrivals.call_arrived(self.database, self.keys, call_sid, number, now=now, day=day)

    async def take_place(self, call_sid: str, *, is_full: bool) -> bool:
        """Keep a place for the stream of a call; False when the recogniser's channels are taken, or `is_full`.

        A call that has its place already, or had a stream, is never refused.
        """
        return await self._channels.take_place(call_sid, is_full=is_full)

    async def record_instead(self, call_sid: str) -> None:
        """A call has no stream: Twilio records what is said in it."""
        await arrivals.record_instead(self.database, call_sid, self.clock())

    async def media_token(self, call_sid: str) -> str:
        """The token for the next media stream of a call: the same until it is used or 10 min old, then a new one."""
        return await arrivals.media_token(self.database, self.keys, call_sid, self.clock())

    async def claim_media_token(self, call_sid: str, token: str) -> int:
        """Use a token up: the number of its stream, exactly once for each, whichever process asks; 0 for any other.

        That stream owns the call from now on. A call that ended takes none.
        """
        return await arrivals.claim_media_token(self.database, self.keys, call_sid, token, self.clock())

    def owned(self, call_sid: str, stream: int) -> OwnedCall:
        """What stream `stream` of a call writes."""
        return OwnedCall(self.database, self.keys, self.clock, call_sid, stream)

    async def next_step(self, call_sid: str) -> str | None:
        """What follows the last stream of a call ("record"); None: the talk is taken up."""
        async with self.database.read() as connection:
            return await connection.scalar(select(calls.c.next_step).where(calls.c.call_sid == call_sid))

    # The end

    async def call_ended(self, call_sid: str, why: str) -> None:
        """Note how a call ended (the first word counts, 64 characters), and have its entry written; nothing if unknown.

        A draft nobody approved is unconfirmed now.
        """
        async with self.database.write() as connection:
            if (call := await queries.call(connection, call_sid)) is not None:
                await ending.end_call(self.database, connection, call, why, self.clock())

    async def recording_made(self, call_sid: str, recording_sid: str) -> None:
        """As `call_ended`, and have the recording of its rest written down, once."""
        async with self.database.write() as connection:
            await ending.recording_made(self.database, connection, call_sid, recording_sid, self.clock())

    async def close_lapsed(self) -> int:
        """End the calls that nobody ended and whose process is gone, as abandoned; have every missing entry written.

        Gives how many calls were ended or given work. Calls in which nothing was said are left alone.
        """
        return await ending.close_lapsed(self.database, self.clock())

    async def is_ended(self, call_sid: str) -> bool:
        """Tell whether `call_ended` was told of this call."""
        async with self.database.read() as connection:
            query = select(calls.c.ended_at).where(calls.c.call_sid == call_sid)
            return await connection.scalar(query) is not None

    # The talk

    async def turns(self, call_sid: str) -> list[TurnRecord]:
        """The talk so far, stream by stream; a turn that was forgotten is there with nothing but its number."""
        async with self.database.read() as connection:
            return await rows.turns_of(connection, self.keys, call_sid)

    async def said(self, call_sid: str) -> list[str]:
        """What the caller said, turn by turn: for the lab and the tests."""
        return said_in(await self.turns(call_sid))

    async def habit(self, call_sid: str) -> PauseHabit:
        """What is known of the pauses of the caller of a call; of an anonymous one, nothing."""
        async with self.database.read() as connection:
            return rows.habit_of(await connection.scalar(queries.pause_habit(call_sid)), call_sid)

    async def stage(self, call_sid: str) -> str | None:
        """Where the talk of a call was when it was kept last; None: it was not, or it was forgotten."""
        async with self.database.read() as connection:
            sealed = await connection.scalar(select(calls.c.stage_sealed).where(calls.c.call_sid == call_sid))
        return rows.opened(sealed, call_sid, self.keys)

    # Removal

    async def delete(self, call_sid: str) -> bool:
        """Remove the entry of a call and what was said in it; False when there was neither."""
        return await forgetting.delete_call(self.database, call_sid, self.clock())

    async def forget_number(self, number: str) -> list[str]:
        """Remove a caller with every call and all that is kept of it, also of calls that go on; gives their sids."""
        return await removal.forget_number(self.database, self.keys, number)

    async def remove_before(self, day: date) -> list[str]:
        """Remove all calls of days before `day`, and callers who have nothing left; gives the sids of the calls."""
        return await removal.remove_before(self.database, day, self.clock())

    async def remove_done_jobs(self) -> int:
        """Remove the jobs that were done 30 days ago; gives how many."""
        return await removal.remove_done_jobs(self.database, self.clock())

    # All calls

    async def entries(self, number: str | None = None) -> list[EntryRecord]:
        """The entries of everybody, or of one caller, oldest call first."""
        async with self.database.read() as connection:
            number_hash = None
            if number is not None:
                number_hash = self.keys.number_hash(number, await rotation.number_key(connection, to_write=False))
            found = (await connection.execute(queries.entries_with_callers(number_hash))).all()
        return [rows.entry_record(row, self.keys) for row in found]

    async def rotate(self) -> int:
        """Bring everything to the newest key, so that the older ones can be dropped; returns how many texts changed."""
        return await rotation.rotate(self.database, self.keys)


async def open_store(database_url: str, diary_key: str | None, timezone: tzinfo) -> Store:
    """Open the diary as the settings say; SettingError when they cannot be used, StoreError as `Store.open`."""
    return await Store.open(database_url, keys_of(database_url, diary_key), timezone=timezone)


def keys_of(database_url: str, diary_key: str | None) -> Keys:
    """The keys of DIARY_KEY, or of the file NAME.key (mode 0600, made when missing) beside the SQLite file NAME.

    SettingError when DIARY_KEY is malformed, or not set with another database than SQLite, or a directory is missing.
    """
    if diary_key is not None:
        return Keys.parse(diary_key)
    file = sqlite_file(database_url)
    if file is None:
        raise SettingError("DIARY_KEY", "is required with PostgreSQL")
    if not os.path.isdir(file.parent):  # where it may not even be looked for, too
        raise SettingError("DATABASE_URL", f"names a directory that is not there: {file.parent}")
    return Keys.load_or_create(file.with_name(file.name + ".key"))
