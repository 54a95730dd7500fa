"""One person's diary as documents to be searched, kept in memory while that person asks.

An index is made anew when something of the diary has changed, which each search looks at first, so that what was
removed is found no more. Texts are opened and read beside the event loop. It must not know who asks, or what for.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import Row, Select, exists, func, select, true

from bot.conversation.commands import Status
from bot.conversation.texts import table
from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.schema import calls, entries, turns
from bot.diary.search import Document, Hit, Index

MOST_PEOPLE = 64
"""So many diaries are in memory at once …"""
IDLE_S = 600.0
"""… and none that nobody asked about for so long."""
REST_S = 0.0005


@dataclass(slots=True)
class _Shelf:
    """The index of a person, of which state of the diary it is, and when it was used last."""

    state: tuple[object, ...]
    index: Index
    used_at: float


class Library:
    """The diaries of everybody; failures are StoreError. `clock` counts seconds."""

    def __init__(self, database: Database, keys: Keys, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._shelves: OrderedDict[int, _Shelf] = OrderedDict()
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def search(self, caller_id: int, question: str, *, today: date, most: int) -> Sequence[Hit]:
        """What of a person's diary fits a question, best first; `today` is in the diary's timezone."""
        # One at a time for each person: an index is made once, however many questions come.
        lock = self._locks.setdefault(caller_id, asyncio.Lock())
        async with lock:
            index = await self._index(caller_id)
        if not len(index):
            return []
        return await asyncio.to_thread(index.search, question, today=today, most=most)

    def forget_idle(self) -> None:
        """Drop what nobody asked about for `IDLE_S`; each search does so, too."""
        before = self._clock() - IDLE_S
        for caller_id, shelf in list(self._shelves.items()):
            if shelf.used_at < before:
                del self._shelves[caller_id]

    async def _index(self, caller_id: int) -> Index:
        self.forget_idle()
        shelf = self._shelves.get(caller_id)
        async with self._database.read() as connection:
            state = tuple((await connection.execute(_state(caller_id))).one())
            if shelf is not None and shelf.state == state:
                shelf.used_at = self._clock()
                self._shelves.move_to_end(caller_id)
                return shelf.index
            written = (await connection.execute(_entries(caller_id))).all()
            said = (await connection.execute(_talks(caller_id))).all()
        index = await asyncio.to_thread(self._read, written, said)
        self._shelves[caller_id] = _Shelf(state, index, self._clock())
        self._shelves.move_to_end(caller_id)
        while len(self._shelves) > MOST_PEOPLE:
            self._shelves.popitem(last=False)
        return index

    def _read(self, written: Sequence[Row[Any]], said: Sequence[Row[Any]]) -> Index:
        documents = [
            Document(
                row.call_sid,
                row.day,
                self._keys.decrypt(row.title_sealed),
                self._keys.decrypt(row.body_sealed),
                "entry",
            )
            for row in written
        ]
        talks: dict[tuple[str, date], list[str]] = {}
        for row in said:
            talks.setdefault((row.call_sid, row.day), []).append(self._keys.decrypt(row.said_sealed))
        for (call_sid, day), words in talks.items():
            title = str(table("chat")["talk_title"]).format(month=day.month, day=day.day)
            documents.append(Document(call_sid, day, title, "\n".join(words), "talk"))
        # A rest after each: reading holds the interpreter, and the event loop would be late by a whole slice of it.
        return Index(documents, after_each=lambda: time.sleep(REST_S))


def _state(caller_id: int) -> Select[Any]:
    """What differs once an entry or a turn of a person came, changed or went."""
    of_person = select(calls.c.call_sid).where(calls.c.caller_id == caller_id).scalar_subquery()
    of_entries = select(func.count(), func.max(entries.c.written_at)).where(entries.c.call_sid.in_(of_person))
    of_turns = select(func.count(), func.max(turns.c.at), func.max(turns.c.id)).where(turns.c.call_sid.in_(of_person))
    one, two = of_entries.subquery(), of_turns.subquery()
    return select(*one.c, *two.c).select_from(one.join(two, true()))


def _entries(caller_id: int) -> Select[Any]:
    """The entries of a person that hold something."""
    query = select(entries).join(calls).where(calls.c.caller_id == caller_id, entries.c.body_sealed.is_not(None))
    return query.where(entries.c.title_sealed.is_not(None), entries.c.status != Status.DISCARDED.value).order_by(
        entries.c.day, entries.c.call_sid
    )


def _talks(caller_id: int) -> Select[Any]:
    """What a person said in calls that have no entry."""
    query = select(calls.c.call_sid, calls.c.day, turns.c.said_sealed).join(turns)
    return query.where(
        calls.c.caller_id == caller_id,
        calls.c.forgotten_at.is_(None),
        turns.c.said_sealed.is_not(None),
        ~exists().where(entries.c.call_sid == calls.c.call_sid),
    ).order_by(calls.c.day, calls.c.call_sid, turns.c.stream, turns.c.turn)
