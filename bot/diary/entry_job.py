"""The job that writes the entry of a call after it, from what is kept of the call.

It may be run any number of times, and by several processes: an entry that is whole is left alone. While the model fails
there is a provisional entry in the caller's own sentences; with the last try that one is whole. It must not know
telephones, or why a call ended.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.conversation.commands import Status
from bot.diary.after_call import AfterCall, call_after, save_entry_after
from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.entries import Entry, Scribe, own_sentences
from bot.diary.outbox import Job, Later, Outbox
from bot.diary.plain import tells
from bot.diary.schema import entries
from bot.errors import ModelBusy, ModelError, ModelRests

log = logging.getLogger(__name__)

MODEL_S = 300.0
"""For the entry, all answers of the model together: less than the worker gives one try."""
LIVE_AGAIN_S = 5.0
"""How long to leave a call alone whose process may still be committing words of it."""
CHANGED_AGAIN_S = 1.0
RESTS_S, BUSY_S = 10.0, 30.0
"""How long to wait for a model that rests, or has enough of us for now. It was not asked, or did nothing, so this is no
try: all calls that end while a service is down, or a limit is reached, would use theirs up in minutes."""


@dataclass(frozen=True, slots=True)
class EntryJob:
    """The handler of `entry` jobs, whose argument is `call_sid`."""

    database: Database
    keys: Keys
    scribe: Scribe
    clock: Callable[[], datetime]

    async def __call__(self, job: Job, outbox: Outbox) -> None:
        """Write the entry if it is missing or provisional; ModelError when another try is worth it."""
        call_sid = job.args["call_sid"]
        async with outbox.fenced(job) as connection:
            call = await self._call(connection, call_sid)
        if call is None or not _is_wanted(call):
            async with outbox.finish(job) as connection:
                await self._finish_without(connection, call_sid)
            return
        try:
            # No transaction is open here: the model takes its time.
            async with asyncio.timeout(MODEL_S):
                entry = await self.scribe.compose(call.said, call.corrections, call.day)
        except (ModelError, TimeoutError) as error:
            is_no_try = isinstance(error, ModelRests | ModelBusy)
            entry = await own_sentences(call.said, call.corrections, call.day)
            if is_no_try or not job.is_last_try:
                if call.entry_status is None:
                    async with outbox.fenced(job) as connection:
                        await self._save(connection, call_sid, entry, call, provisional=True)
                if is_no_try:
                    raise Later(BUSY_S if isinstance(error, ModelBusy) else RESTS_S) from None
                failure = ModelError("the entry took too long") if isinstance(error, TimeoutError) else error
                raise failure from None
            log.warning("call %s: its entry stays in the caller's own sentences", call_sid)
        async with outbox.finish(job) as connection:
            if not await self._save(connection, call_sid, entry, call, provisional=False):
                await self._finish_without(connection, call_sid)

    async def _call(self, connection: AsyncConnection, call_sid: str) -> AfterCall | None:
        """The call, when nobody else is at it; Later when somebody may be."""
        call = await call_after(connection, self.keys, call_sid)
        if call is None:
            return None
        if call.lease_until is not None and (left_s := (call.lease_until - self.clock()).total_seconds()) > 0:
            raise Later(min(left_s, LIVE_AGAIN_S))
        if call.entry_status is Status.APPROVED and await _unapprove_overtaken(connection, call_sid):
            return await call_after(connection, self.keys, call_sid)
        return call

    async def _save(
        self, connection: AsyncConnection, call_sid: str, entry: Entry, call: AfterCall, *, provisional: bool
    ) -> bool:
        return await save_entry_after(
            self.database,
            self.keys,
            connection,
            call_sid,
            entry.title,
            entry.body,
            entry.mood,
            provisional=provisional,
            of=(call.said, call.corrections),
            now=self.clock(),
        )

    async def _finish_without(self, connection: AsyncConnection, call_sid: str) -> None:
        """Leave the call as it is; Later when there is something to write by now."""
        call = await self._call(connection, call_sid)
        if call is not None and _is_wanted(call):
            raise Later(CHANGED_AGAIN_S)
        # Nothing better comes: what was told since is nothing for a diary.
        whole = update(entries).where(entries.c.call_sid == call_sid, entries.c.provisional.is_(True))
        await connection.execute(whole.values(provisional=False))


def _is_wanted(call: AfterCall) -> bool:
    """Whether there is an entry to write, and something for it."""
    return call.awaits_entry and tells(call.said, call.corrections)


async def _unapprove_overtaken(connection: AsyncConnection, call_sid: str) -> bool:
    """Whether more was told after the caller approved of the day: then the entry is unconfirmed from now on."""
    overtaken = update(entries).where(
        entries.c.call_sid == call_sid,
        entries.c.status == Status.APPROVED.value,
        entries.c.provisional.is_(True),
    )
    return (await connection.execute(overtaken.values(status=Status.UNCONFIRMED.value))).rowcount == 1
