"""What a call keeps: its turns, its stage and its entry, committed in the order in which they came about.

The talk never waits for the database; one task per call commits behind it, and goes on trying for as long as the
process lives while the database is away. It knows the call's part of the store and the scribe, and not what the talk is
doing now.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from bot.conversation.commands import (
    ForgetDay,
    ForgetTurn,
    HandOver,
    HangUp,
    KeepEntry,
    KeepHabit,
    KeepHeard,
    KeepSaid,
    KeepStage,
    KeepWaterfall,
    Mood,
    RecordRest,
    ReopenDay,
    WriteEntry,
)
from bot.conversation.events import EntryWritten
from bot.conversation.snapshot import encode
from bot.diary.entries import Entry, Scribe, own_sentences
from bot.diary.owned import OwnedCall
from bot.diary.records import Arrival
from bot.errors import LeaseLost, StoreError

log = logging.getLogger(__name__)

Leaving = HangUp | HandOver | RecordRest
"""Why the bot closes the stream; what Twilio does then follows from it."""

Keepable = (
    KeepSaid
    | KeepHeard
    | KeepWaterfall
    | KeepHabit
    | KeepStage
    | KeepEntry
    | ForgetDay
    | ForgetTurn
    | ReopenDay
    | Leaving
)

DRAFT_S = 7.0
"""How long a caller waits for the day to be put into words; then it is read back in their own."""

RENEW_S = 15.0
"""A quarter of the lease of a call."""

COMMIT_S = 15.0
"""How long one commit may take: longer than SQLite waits for another writer."""

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
"""Between two tries of a commit while the database is away; each pause is twice the one before."""


class _Waiting(NamedTuple):
    """A command with the entry as it was when the talk gave it."""

    command: Keepable
    entry: Entry | None


class Keeper:
    """The keeper of one media stream of a call."""

    def __init__(
        self,
        call: OwnedCall,
        scribe: Scribe,
        arrival: Arrival,
        forget_journals: Callable[[str], object] | None = None,
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        """`forget_journals` removes the journals of a call; this one's own are not the keeper's.

        `on_lost` is called once, when a later stream is the call's owner: nothing but facts is kept from then on.
        """
        self._call = call
        self._scribe = scribe
        self._forget_journals = forget_journals
        self._on_lost = on_lost
        self._day = arrival.day
        self._waiting: deque[_Waiting] = deque()
        self._more = asyncio.Event()
        self._finished = False
        self._lease = asyncio.Lock()
        self._released = False
        self._lost = False
        self._draft = 0
        self._entry: Entry | None = None

    def keep(self, command: Keepable) -> None:
        """Commit this after all that came before it; what it supersedes and still waits is left out."""
        if (subject := _subject(command)) is not None:
            self._waiting = deque(one for one in self._waiting if _subject(one.command) != subject)
        self._waiting.append(_Waiting(command, self._entry))
        if isinstance(command, ForgetDay | ForgetTurn):
            self._entry = None
            self._draft = 0
        self._more.set()

    def finish(self) -> None:
        """Nothing more will come; `run` returns once all is committed."""
        self._finished = True
        self._more.set()

    async def run(self) -> None:
        """Commit until `finish`, and renew the lease; cancelled or broken it can be run again, and goes on."""
        async with asyncio.TaskGroup() as tasks:
            renewing = tasks.create_task(self._renew())
            await self._commit_all()
            renewing.cancel()

    async def draft(self, command: WriteEntry) -> EntryWritten | None:
        """Write the day as an entry; None: meanwhile another draft was asked for, or something was forgotten."""
        self._draft = command.draft
        try:
            async with asyncio.timeout(DRAFT_S):
                entry = await self._scribe.write(command.said, command.corrections, self._day)
        except TimeoutError:
            entry = await own_sentences(command.said, command.corrections, self._day)
        if command.draft != self._draft:
            return None
        self._entry = entry
        return EntryWritten(command.draft, entry.title, entry.body, entry.mood)

    async def _commit_all(self) -> None:
        while self._waiting or not self._finished:
            if self._waiting:
                # Taken out first: what breaks by a bug of ours holds up nothing behind it.
                first = self._waiting.popleft()
                try:
                    await self._commit_patiently(*first)
                except asyncio.CancelledError:
                    self._waiting.appendleft(first)
                    raise
            else:
                self._more.clear()
                await self._more.wait()

    async def _commit_patiently(self, command: Keepable, entry: Entry | None) -> None:
        pause_s = FIRST_PAUSE_S
        failing_since: float | None = None
        while True:
            try:
                async with asyncio.timeout(COMMIT_S):
                    await self._commit(command, entry)
                break
            except LeaseLost:
                self._lose()
                break
            except (StoreError, TimeoutError) as error:
                if failing_since is None:
                    failing_since = time.monotonic()
                    log.error("call %s: nothing is kept now, it is tried again: %s", self._call.call_sid, _told(error))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        if failing_since is not None:
            away_s = time.monotonic() - failing_since
            log.warning("call %s: kept again after %.0f s", self._call.call_sid, away_s)

    async def _renew(self) -> None:
        """Tell again and again that the process lives, until the call is given up."""
        while True:
            await asyncio.sleep(RENEW_S)
            async with self._lease:
                if self._released or self._lost:
                    return
                try:
                    async with asyncio.timeout(COMMIT_S):
                        await self._call.renew()
                except LeaseLost:
                    self._lose()
                except (StoreError, TimeoutError) as error:
                    log.warning("call %s: its lease was not renewed: %s", self._call.call_sid, _told(error))

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            log.warning("call %s: stream %d was overtaken", self._call.call_sid, self._call.stream)
            if self._on_lost:
                self._on_lost()

    async def _commit(self, command: Keepable, entry: Entry | None) -> None:
        call = self._call
        match command:
            case KeepSaid(turn, text, from_ms, to_ms):
                await call.add_said(turn, text, from_ms, to_ms)
            case KeepHeard(turn, text):
                await call.add_heard(turn, text)
            case KeepWaterfall(turn, waterfall):
                await call.keep_waterfall(turn, waterfall)
            case KeepHabit(habit):
                await call.keep_habit(habit)
            case KeepStage(snapshot):
                await call.keep_stage(encode(snapshot))
            case KeepEntry(status, written):
                if entry and entry.body:
                    await call.save_entry(entry.title, entry.body, entry.mood, status)
                elif written and written.body:
                    # Another process wrote it, from which this one has taken the call over.
                    mood = next((mood for mood in Mood if mood == written.mood), Mood.ORDINARY)
                    await call.save_entry(written.title, written.body, mood, status)
            case ReopenDay():
                await call.reopen_entry()
            case ForgetTurn(turn):
                await call.forget_turn(turn)
            case ForgetDay():
                await self._forget(command)
            case HandOver() | RecordRest() | HangUp():
                await self._give_up(command)

    async def _give_up(self, command: Leaving) -> None:
        # A renewal that is under way must not come after it.
        async with self._lease:
            match command:
                case HandOver():
                    await self._call.handed_over()
                case RecordRest():
                    await self._call.record_next()
                case HangUp(why):
                    await self._call.ended(why)
            self._released = True

    async def _forget(self, command: ForgetDay) -> None:
        forget = self._call.forget_day if command.for_good else self._call.forget_so_far
        others = await forget(whole_day=command.whole_day)
        if self._forget_journals:
            for call_sid in others:
                self._forget_journals(call_sid)


def _told(error: Exception) -> str:
    return str(error) or f"no answer within {COMMIT_S:.0f} s"


def _subject(command: Keepable) -> object:
    """What a later command of the same kind supersedes in this one; None: each of them counts."""
    match command:
        case KeepHeard(turn, _):
            return KeepHeard, turn
        case KeepStage():
            return KeepStage
        case KeepHabit():
            return KeepHabit
        case _:
            return None
