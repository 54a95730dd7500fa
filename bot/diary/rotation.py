"""Which keys a diary is written with, checked when it is opened, and the change to a new one.

To rotate: put a new secret in front of DIARY_KEY (`new,old`) in every process, run `rotate`, then drop the old one. The
database notes the keys in use, so a key that is missing shows at the start and not in the middle of a call.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, delete, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.diary.crypto import KEY_ID_BYTES, Keys
from bot.diary.database import Database
from bot.diary.schema import SEALED, callers, calls, diary_keys, sign_in_codes
from bot.errors import WrongKey

BATCH_ROWS = 100


async def check_keys(database: Database, keys: Keys, clock: Callable[[], datetime]) -> None:
    """Raise WrongKey unless `keys` holds every key in use, and note that its newest is in use from now."""
    async with database.read() as connection:
        used = set((await connection.scalars(select(diary_keys.c.key_id))).all())
    if used and keys.newest_id in used:
        _must_have(keys, used)
        return
    async with database.write(is_long=True) as connection:
        used = set((await connection.scalars(select(diary_keys.c.key_id).with_for_update())).all())
        _must_have(keys, used)
        if not used:
            values = {"hashes_numbers": True, "since": clock()}
            await database.upsert(connection, diary_keys, {"key_id": keys.oldest_id}, values)
        values = {"hashes_numbers": False, "since": clock()}
        await database.upsert(connection, diary_keys, {"key_id": keys.newest_id}, values, only_new=list(values))
    async with database.read() as connection:
        _must_have(keys, set((await connection.scalars(select(diary_keys.c.key_id))).all()))


async def number_key(connection: AsyncConnection, *, to_write: bool = True) -> bytes:
    """The id of the key that numbers are hashed with; it stays so until the transaction of `connection` ends."""
    query = select(diary_keys.c.key_id).where(diary_keys.c.hashes_numbers)
    if to_write:
        query = query.with_for_update(read=True)
        # Where this has waited for a rotation, its row is gone, and only a second look sees the row of the new key.
        found = (await connection.scalars(query)).one_or_none()
        if found is not None:
            return bytes(found)
    return bytes((await connection.scalars(query)).one())


async def rotate(database: Database, keys: Keys) -> int:
    """Encrypt everything anew with the newest key and hash all numbers with it; returns how many texts were changed.

    Texts go in batches, so that calls go on meanwhile; numbers in one transaction. May be run again at any time.
    StoreError when a text is damaged, WrongKey when its key is missing: what came before stays rotated.
    """
    changed, now_changed = 0, -1
    while now_changed:
        now_changed = 0
        for table, order, columns in SEALED:
            now_changed += await _reseal(database, keys, table, order, columns)
        changed += now_changed
    async with database.write(is_long=True) as connection:
        # The look-ups of `number_key` in other processes wait here, so no number is hashed with the old key afterwards.
        await connection.execute(select(diary_keys).with_for_update())
        for table, order in ((callers, callers.c.id), (sign_in_codes, sign_in_codes.c.browser_hash)):
            rows = (await connection.execute(select(order, table.c.number_sealed).order_by(order))).all()
            for place, sealed in rows:
                new_hash = keys.number_hash(keys.decrypt(sealed), keys.newest_id)
                await connection.execute(update(table).where(order == place).values(number_hash=new_hash))
        await connection.execute(delete(diary_keys).where(diary_keys.c.key_id != keys.newest_id))
        await connection.execute(update(diary_keys).values(hashes_numbers=True))
    await database.scrub()
    return changed


async def _reseal(
    database: Database, keys: Keys, table: Table, order: Column[Any], columns: tuple[Column[Any], ...]
) -> int:
    changed = 0
    next_ones = select(order).order_by(order).limit(BATCH_ROWS)
    last: Any = None
    while True:
        async with database.write(is_long=True) as connection:
            batch = next_ones if last is None else next_ones.where(order > last)
            places = (await connection.scalars(batch)).all()
            await _lock_calls(connection, table, order.in_(places))
            query = select(order, *columns).where(order.in_(places)).order_by(order).with_for_update()
            for place, *blobs in (await connection.execute(query)).all():
                old = {
                    column.name: blob
                    for column, blob in zip(columns, blobs, strict=True)
                    if blob is not None and blob[:KEY_ID_BYTES] != keys.newest_id
                }
                if old:
                    new = {name: keys.encrypt(keys.decrypt(blob)) for name, blob in old.items()}
                    await connection.execute(update(table).where(order == place).values(new))
                    changed += len(old)
        if len(places) < BATCH_ROWS:
            return changed
        last = places[-1]


async def _lock_calls(connection: AsyncConnection, table: Table, which: ColumnElement[bool]) -> None:
    """Lock the calls that rows of `table` belong to, as everybody does who writes such rows, and in the same order."""
    if "call_sid" in table.c:
        sids = select(table.c.call_sid).where(which).scalar_subquery()
        query = select(calls.c.call_sid).where(calls.c.call_sid.in_(sids)).order_by(calls.c.call_sid)
        await connection.execute(query.with_for_update(of=calls))


def _must_have(keys: Keys, used: set[bytes]) -> None:
    if not used <= set(keys.ids):
        raise WrongKey("DIARY_KEY does not open this diary: a key that it was written with is missing")
