"""What a call keeps: its turns and its entry, committed in the order in which they came about.

The talk never waits for the database; one task per call commits behind it. It knows the store and the scribe, and not
what the talk is doing now.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from bot.conversation.commands import (
    CloseDay,
    ForgetDay,
    ForgetTurn,
    HangUp,
    KeepEntry,
    KeepHabit,
    KeepHeard,
    KeepSaid,
    KeepWaterfall,
    ReopenDay,
    Status,
    WriteEntry,
)
from bot.conversation.events import EntryWritten
from bot.diary.entries import Entry, Scribe, plain_entry
from bot.diary.records import Arrival
from bot.diary.store import Store
from bot.errors import StoreError

log = logging.getLogger(__name__)

Keepable = (
    KeepSaid
    | KeepHeard
    | KeepWaterfall
    | KeepHabit
    | KeepEntry
    | CloseDay
    | ForgetDay
    | ForgetTurn
    | ReopenDay
    | HangUp
)

DRAFT_S = 8.0
"""How long a caller waits for the day to be put into words; then it is read back in their own."""

TRIES = 20
"""How often a commit is tried, a second apart, while the database is away."""


class Keeper:
    """The keeper of one media stream of call `call_sid`."""

    def __init__(
        self,
        store: Store,
        scribe: Scribe,
        call_sid: str,
        arrival: Arrival,
        forget_journals: Callable[[str], object] | None = None,
    ) -> None:
        """`forget_journals` removes the journals of a call; this one's own are not the keeper's."""
        self._store = store
        self._scribe = scribe
        self._forget_journals = forget_journals
        self._call_sid = call_sid
        self._day = arrival.day
        self._stream = arrival.stream
        self._waiting: deque[tuple[Keepable, Entry | None]] = deque()
        self._more = asyncio.Event()
        self._finished = False
        self._draft = 0
        self._entry: Entry | None = None
        self._unwritten: CloseDay | None = None

    def keep(self, command: Keepable) -> None:
        """Commit this after all that came before it."""
        self._waiting.append((command, self._entry))
        if isinstance(command, ForgetDay | ForgetTurn):
            self._entry = None
            self._draft = 0
        self._more.set()

    def finish(self) -> None:
        """Nothing more will come; `run` returns once all is committed."""
        self._finished = True
        self._more.set()

    async def run(self) -> None:
        """Commit until `finish`; when it was cancelled it can be run again, and goes on where it was."""
        while self._waiting or not self._finished:
            if self._waiting:
                await self._commit_patiently(*self._waiting[0])
                self._waiting.popleft()
            else:
                self._more.clear()
                await self._more.wait()

    async def _commit_patiently(self, command: Keepable, entry: Entry | None) -> None:
        for left in range(TRIES - 1, -1, -1):
            try:
                return await self._commit(command, entry)
            except StoreError as error:
                log.error("call %s: not kept yet, %d tries left: %s", self._call_sid, left, error)
                await asyncio.sleep(1)
        log.error("call %s: something was not kept: the diary could not be written for %d s", self._call_sid, TRIES)

    async def draft(self, command: WriteEntry) -> EntryWritten | None:
        """Write the day as an entry; None: meanwhile another draft was asked for, or something was forgotten."""
        self._draft = command.draft
        try:
            async with asyncio.timeout(DRAFT_S):
                entry = await self._scribe.write(command.said, command.corrections, self._day)
        except TimeoutError:
            entry = plain_entry(command.said, command.corrections, self._day)
        if command.draft != self._draft:
            return None
        self._entry = entry
        return EntryWritten(command.draft, entry.title, entry.body, entry.mood)

    async def write_what_is_left(self) -> None:
        """After the call: put the day into better words than those that were kept at once."""
        if (left := self._unwritten) is None:
            return
        entry = await self._scribe.write(left.said, left.corrections, self._day)
        if not entry.body:
            return
        try:
            await self._store.rewrite_entry(self._call_sid, self._stream, entry.title, entry.body, entry.mood)
        except StoreError as error:
            log.error("call %s: its entry stays in the caller's own sentences: %s", self._call_sid, error)

    async def _commit(self, command: Keepable, entry: Entry | None) -> None:
        match command:
            case KeepSaid(turn, text, from_ms, to_ms):
                await self._store.add_said(self._call_sid, turn, text, from_ms, to_ms)
            case KeepHeard(turn, text):
                await self._store.add_heard(self._call_sid, turn, text)
            case KeepWaterfall(turn, waterfall):
                await self._store.keep_waterfall(self._call_sid, turn, waterfall)
            case KeepHabit(habit):
                await self._store.keep_habit(self._call_sid, habit)
            case KeepEntry(status):
                if entry:
                    await self._save(entry, status)
            case CloseDay(said, corrections):
                await self._save(plain_entry(said, corrections, self._day), Status.UNCONFIRMED)
                self._unwritten = command
            case ReopenDay():
                await self._store.set_entry_status(self._call_sid, Status.DRAFT)
            case HangUp(why):
                await self._store.call_ended(self._call_sid, why)
            case ForgetTurn(turn):
                self._unwritten = None
                await self._store.forget_turn(self._call_sid, turn)
            case ForgetDay():
                self._unwritten = None
                await self._forget(command)

    async def _forget(self, command: ForgetDay) -> None:
        forget = self._store.forget_day if command.for_good else self._store.forget_so_far
        others = await forget(self._call_sid, whole_day=command.whole_day)
        if self._forget_journals:
            for call_sid in others:
                self._forget_journals(call_sid)

    async def _save(self, entry: Entry, status: Status) -> None:
        if entry.body:
            await self._store.save_entry(self._call_sid, entry.title, entry.body, entry.mood, status)
