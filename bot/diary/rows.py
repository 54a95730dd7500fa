"""What the rows of the diary say: sealed columns opened with the keys, and JSON columns read.

A row that cannot be read is a StoreError (WrongKey when only the key is wrong) that names its call, and nothing of it.
"""

from typing import Any, TypeVar

import msgspec
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.conversation.commands import Mood, Status
from bot.conversation.habit import UNKNOWN, PauseHabit
from bot.conversation.waterfall import Waterfall
from bot.diary.crypto import Keys
from bot.diary.records import EntryRecord, TurnRecord
from bot.diary.schema import turns
from bot.errors import StoreError, WrongKey

_Numbers = TypeVar("_Numbers", Waterfall, PauseHabit)


async def turns_of(connection: AsyncConnection, keys: Keys, call_sid: str) -> list[TurnRecord]:
    """The turns of a call, stream by stream."""
    query = select(turns).where(turns.c.call_sid == call_sid).order_by(turns.c.stream, turns.c.turn)
    return [turn_record(row, keys) for row in (await connection.execute(query)).all()]


def turn_record(row: Row[Any], keys: Keys) -> TurnRecord:
    """A row of `turns`."""
    said, heard = (opened(sealed, row.call_sid, keys) for sealed in (row.said_sealed, row.heard_sealed))
    waterfall = None if row.waterfall is None else _read(row.waterfall, Waterfall, row.call_sid)
    return TurnRecord(row.turn, said, heard, row.from_ms, row.to_ms, waterfall, row.stream)


def entry_record(row: Row[Any], keys: Keys) -> EntryRecord:
    """A row of `entries`, with the sealed number of its caller."""
    try:
        mood = None if row.mood is None else Mood(row.mood)
        status = Status(row.status)
    except ValueError as error:
        raise StoreError(f"call {row.call_sid}: its entry is damaged") from error
    caller, title, body = (
        opened(sealed, row.call_sid, keys) for sealed in (row.number_sealed, row.title_sealed, row.body_sealed)
    )
    return EntryRecord(row.call_sid, caller, row.day, title, body, mood, status, row.provisional)


def habit_of(text: str | None, call_sid: str) -> PauseHabit:
    """What the column `pause_habit` says of the caller of a call; nothing is known without a text."""
    return UNKNOWN if text is None else _read(text, PauseHabit, call_sid)


def as_json(numbers: Waterfall | PauseHabit) -> str:
    """How a JSON column holds them; `turn_record` and `habit_of` give back the same."""
    return msgspec.json.encode(numbers).decode()


def _read(text: str, kind: type[_Numbers], call_sid: str) -> _Numbers:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise StoreError(f"call {call_sid}: its {kind.__name__} is damaged") from error


def opened(sealed: bytes | None, call_sid: str, keys: Keys) -> str | None:
    """What a sealed column of a call says."""
    try:
        return None if sealed is None else keys.decrypt(sealed)
    except WrongKey as error:
        raise WrongKey(f"call {call_sid}: {error}") from error
    except StoreError as error:
        raise StoreError(f"call {call_sid}: {error}") from error
