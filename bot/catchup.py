"""Entries for the calls that ended without one: a process died in them, or the caller hung up between two streams.

What was said is in the store; the entry is written from it as after a hang-up in the middle. It must not know
telephones.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import date
from typing import Protocol

from bot.conversation.commands import Mood, Status
from bot.conversation.told import day_of_turns
from bot.errors import StoreError

log = logging.getLogger(__name__)

MOST_AT_ONCE = 200
AGAIN_S = 60.0
# Long enough for a call that is live in another process to have written its own entry.
SOON_S = 10.0


class Entry(Protocol):
    """An entry as it was written."""

    @property
    def title(self) -> str: ...
    @property
    def body(self) -> str: ...
    @property
    def mood(self) -> Mood: ...


class Writer(Protocol):
    """What writes an entry; never fails. An entry without a body: nothing was told that is one."""

    async def write(self, said: Sequence[str], corrections: Sequence[str], day: date) -> Entry: ...


class Dated(Protocol):
    """A call that the store knows."""

    @property
    def day(self) -> date: ...


class UnwrittenStore(Protocol):
    """What the catch-up needs of the store."""

    async def calls_without_entry(self) -> list[str]: ...
    async def abandoned_drafts(self) -> list[str]: ...
    async def said(self, call_sid: str) -> list[str]: ...
    async def call_arrived(self, call_sid: str, number: str | None) -> Dated: ...
    async def save_entry(
        self, call_sid: str, title: str, body: str, mood: Mood, status: Status, *, of: Sequence[str]
    ) -> bool: ...
    async def call_ended(self, call_sid: str, why: str) -> None: ...


class CatchUp:
    """Writes what is missing, one call after the other; `is_live` tells which calls are not to be touched."""

    def __init__(self, store: UnwrittenStore, scribe: Writer, is_live: Callable[[str], bool]) -> None:
        self._store = store
        self._scribe = scribe
        self._is_live = is_live
        self._wake = asyncio.Event()
        self._nothing_told: set[str] = set()

    def soon(self, call_sid: str) -> None:
        """Look again in `SOON_S`: this call ended, and is not live here."""
        self._wake.set()

    async def for_ever(self) -> None:
        """Write what is missing now, every `AGAIN_S`, and `SOON_S` after it was asked for."""
        while True:
            # Before the look, so that what ends during it is not missed.
            self._wake.clear()
            await self.run()
            try:
                async with asyncio.timeout(AGAIN_S):
                    await self._wake.wait()
                await asyncio.sleep(SOON_S)
            except TimeoutError:
                pass

    async def run(self) -> int:
        """Write at most `MOST_AT_ONCE` entries; returns how many. A failing store ends it.

        A draft that nobody approved, of a call that nobody ended, becomes unconfirmed by its end.
        """
        written = 0
        try:
            for call_sid in await self._store.abandoned_drafts():
                if not self._is_live(call_sid):
                    await self._store.call_ended(call_sid, "abandoned")
            call_sids = [sid for sid in await self._store.calls_without_entry() if sid not in self._nothing_told]
            for call_sid in call_sids[:MOST_AT_ONCE]:
                if not self._is_live(call_sid):
                    written += await self._write(call_sid)
        except StoreError as error:
            log.error("entries are still missing, the store failed: %s", error)
        if written:
            log.info("%d entries were written for calls that ended without one", written)
        return written

    async def _write(self, call_sid: str) -> bool:
        turns = await self._store.said(call_sid)
        said, corrections = day_of_turns(turns)
        day = (await self._store.call_arrived(call_sid, None)).day
        entry = await self._scribe.write(said, corrections, day)
        await self._store.call_ended(call_sid, "abandoned")
        if not entry.body:
            self._nothing_told.add(call_sid)
            return False
        # What was forgotten while the entry was written must not come back in it: then it is written at another look.
        return await self._store.save_entry(call_sid, entry.title, entry.body, entry.mood, Status.UNCONFIRMED, of=turns)
