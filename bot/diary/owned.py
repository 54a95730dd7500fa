"""What a media stream writes to its call: words, which are always kept, and the state of the talk, its owner's alone.

A stream owns its call from the moment it is let in until a later one is. Words of a stream that was overtaken are kept
beside those of the next; its stage, entry and end are refused with LeaseLost, and so is all of a call that was removed
from the diary. Every method is one transaction. It must not know telephones, or how an entry is written.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, func, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.conversation.commands import Mood, Status
from bot.conversation.habit import PauseHabit
from bot.conversation.told import is_content
from bot.conversation.waterfall import Waterfall
from bot.diary import after_call, ending, forgetting, queries, rows
from bot.diary.arrivals import LEASE, RECORD
from bot.diary.channels import HANDED_OVER_FOR
from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.schema import callers, calls, entries, turns
from bot.errors import LeaseLost

_CHANGE = update(calls).where(calls.c.call_sid == bindparam("of_call"))  # of the columns that are given with it


class OwnedCall:
    """Stream `stream` of call `call_sid`; made by `Store.owned`."""

    def __init__(
        self, database: Database, keys: Keys, clock: Callable[[], datetime], call_sid: str, stream: int
    ) -> None:
        self.call_sid = call_sid
        self.stream = stream
        self._database = database
        self._keys = keys
        self._clock = clock

    # What was said: of any stream

    async def add_said(self, turn: int, text: str, from_ms: int, to_ms: int) -> None:
        """Keep what the caller said in a turn; said again, it replaces. Nothing is kept of what was forgotten.

        An entry that was written before it does not hold it: then it is provisional from now on, and it is no longer
        approved at the end of the call if it was this stream's to say what is approved.
        """
        sealed = self._keys.encrypt(text)
        async with self._database.write() as connection:
            call = await queries.known_call(connection, self.call_sid)
            values = {"said_sealed": sealed, "from_ms": from_ms, "to_ms": to_ms}
            if not await self._add_to_turn(connection, call, turn, values) or not is_content(text):
                return
            behind = update(entries).where(entries.c.call_sid == self.call_sid)
            if call.owner != self.stream:
                behind = behind.where(entries.c.status != Status.APPROVED.value)
            await connection.execute(behind.values(provisional=True))
            if call.ended_at is not None:
                await after_call.ask_for_entry(self._database, connection, self.call_sid, self._clock())

    async def add_heard(self, turn: int, text: str) -> None:
        """Keep what the caller heard in answer to a turn (-1: the greeting); otherwise as `add_said`."""
        await self._add(turn, {"heard_sealed": self._keys.encrypt(text)})

    async def keep_waterfall(self, turn: int, waterfall: Waterfall) -> None:
        """Keep when what happened before the answer to a turn; otherwise as `add_said`."""
        await self._add(turn, {"waterfall": rows.as_json(waterfall)})

    async def keep_habit(self, habit: PauseHabit) -> None:
        """Keep what is known of the caller's pauses for the next call; nobody's, when the caller is anonymous."""
        caller_id = select(calls.c.caller_id).where(calls.c.call_sid == self.call_sid).scalar_subquery()
        change = update(callers).where(callers.c.id == caller_id).values(pause_habit=rows.as_json(habit))
        async with self._database.write() as connection:
            await connection.execute(change)

    async def forget_turn(self, turn: int) -> None:
        """Remove all text of one turn for good, and the entry of its call; no text comes after into that turn."""
        await forgetting.forget_turn(self._database, self.call_sid, self.stream, turn, self._clock())

    async def forget_day(self, *, whole_day: bool = False) -> list[str]:
        """Remove all text of the call for good; what remains is an entry that is discarded, and no text comes after.

        `whole_day`: and of the caller's other calls of the same day, whose sids are given.
        """
        return await forgetting.forget_day(self._database, self.call_sid, self._clock(), whole_day=whole_day)

    async def forget_so_far(self, *, whole_day: bool = False) -> list[str]:
        """Remove all text of the call up to now; what is said after it is kept. `whole_day`: as in `forget_day`."""
        return await forgetting.forget_so_far(
            self._database, self.call_sid, self.stream, self._clock(), whole_day=whole_day
        )

    # The state of the talk: of its owner

    async def keep_stage(self, snapshot: str) -> None:
        """Keep where the talk is, for the stream that takes it up; of a call that is forgotten, nothing."""
        sealed = self._keys.encrypt(snapshot)
        async with self._database.write() as connection:
            if (await self._own_call(connection)).forgotten_at is None:
                await self._change(connection, stage_sealed=sealed)

    async def save_entry(self, title: str, body: str, mood: Mood, status: Status) -> bool:
        """Keep the entry of the call in place of the one before.

        False, and nothing is kept, when the day was forgotten, or when the caller approved another text, said nothing
        since, and this one is not approved.
        """
        async with self._database.write() as connection:
            call = await self._own_call(connection)
            approved = select(entries.c.call_sid).where(
                entries.c.call_sid == self.call_sid,
                entries.c.status == Status.APPROVED.value,
                entries.c.provisional.is_(False),
            )
            refused = status is not Status.APPROVED and await connection.scalar(approved) is not None
            if call.forgotten_at is not None or refused:
                return False
            status = _status_now(status, call)
            values = after_call.entry_values(self._keys, title, body, mood, status, day=call.day, now=self._clock())
            await self._database.upsert(connection, entries, {"call_sid": self.call_sid}, values)
        return True

    async def reopen_entry(self) -> None:
        """More was told than the entry holds: nobody approves it so, and after the call it is written anew."""
        async with self._database.write() as connection:
            call = await self._own_call(connection)
            behind = update(entries).where(
                entries.c.call_sid == self.call_sid, entries.c.status != Status.DISCARDED.value
            )
            status = _status_now(Status.DRAFT, call)
            await connection.execute(behind.values(status=status.value, provisional=True))

    async def record_next(self) -> None:
        """This stream is over, and Twilio records what is said after it."""
        async with self._database.write() as connection:
            await self._own_call(connection)
            now = self._clock()
            await self._change(connection, next_step=RECORD, lease_until=now)
            await after_call.ask_for_search(self._database, connection, self.call_sid, now)

    async def handed_over(self) -> None:
        """This stream is over, and all of it is kept: another one may take the talk up, and has a place for a while."""
        async with self._database.write() as connection:
            await self._own_call(connection)
            now = self._clock()
            await self._change(connection, lease_until=now, place_until=now + HANDED_OVER_FOR)

    async def ended(self, why: str) -> None:
        """Note how the call ended (the first word counts, 64 characters), and have its entry written, with all of it.

        A draft that nobody approved is unconfirmed from now on. Nothing of this stream comes after.
        """
        async with self._database.write() as connection:
            call = await self._own_call(connection)
            await ending.end_call(self._database, connection, call, why, self._clock())
            await self._change(connection, lease_until=None)

    async def renew(self) -> None:
        """The process of this stream lives: the call is its own for another 60 s.

        A call that was given up for abandoned, since nothing could be renewed, goes on.
        """
        async with self._database.write() as connection:
            call = await self._own_call(connection)
            revived = {"ended_at": None, "why": None} if call.why == ending.ABANDONED else {}
            await self._change(connection, lease_until=self._clock() + LEASE, **revived)

    async def _own_call(self, connection: AsyncConnection) -> Row[Any]:
        call = await queries.known_call(connection, self.call_sid)
        if call.owner != self.stream:
            raise LeaseLost(f"call {self.call_sid}: stream {self.stream} does not own it")
        return call

    async def _change(self, connection: AsyncConnection, **values: object) -> None:
        await connection.execute(_CHANGE, {"of_call": self.call_sid, **values})

    async def _add(self, turn: int, values: Mapping[str, Any]) -> None:
        async with self._database.write() as connection:
            await self._add_to_turn(connection, await queries.known_call(connection, self.call_sid), turn, values)

    async def _add_to_turn(
        self, connection: AsyncConnection, call: Row[Any], turn: int, values: Mapping[str, Any]
    ) -> bool:
        if await queries.is_forgotten(connection, call, self.stream, turn):
            return False
        key = {"call_sid": self.call_sid, "stream": self.stream, "turn": turn}
        await self._database.upsert(connection, turns, key, {**values, "at": self._clock()})
        return True


async def add_recorded(  # noqa: PLR0917 (where, and what)
    database: Database, keys: Keys, connection: AsyncConnection, call_sid: str, text: str, now: datetime
) -> None:
    """Add what was recorded of a call as its last turn, in the transaction of a job, and have its entry written anew.

    An entry that the caller approved of stays. Nothing is kept of a call that is forgotten, or not in the diary.
    """
    call = await queries.call(connection, call_sid)
    if call is None or call.forgotten_at is not None:
        return
    last = select(func.max(turns.c.stream), func.max(turns.c.turn)).where(turns.c.call_sid == call_sid)
    stream, turn = (await connection.execute(last)).one()
    key = {"call_sid": call_sid, "stream": stream or call.owner or 1, "turn": 0 if turn is None else turn + 1}
    await database.upsert(connection, turns, key, {"said_sealed": keys.encrypt(text), "at": now})
    behind = update(entries).where(entries.c.call_sid == call_sid, entries.c.status != Status.APPROVED.value)
    await connection.execute(behind.values(provisional=True))
    await after_call.ask_for_entry(database, connection, call_sid, now)


def _status_now(status: Status, call: Row[Any]) -> Status:
    """A draft of a call that has ended is one that nobody will approve."""
    return Status.UNCONFIRMED if status is Status.DRAFT and call.ended_at is not None else status
