"""How a call comes in: the call itself, its caller, and the one-time tokens that bind a media stream to it.

What is said on a stream is none of theirs. Numbers are kept sealed, and looked up by their hash.
"""

from datetime import date, datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.diary import after_call, queries, rotation
from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.records import Arrival, phone_number
from bot.diary.schema import callers, calls

TOKEN_LIFE = timedelta(minutes=10)
LEASE = timedelta(seconds=60)
"""So long a call surely has a living owner after its stream was let in, and after each renewal."""

RECORD = "record"
"""The next step of a call that Twilio records: its rest, or all of it."""


async def call_arrived(
    database: Database, keys: Keys, call_sid: str, number: str | None, *, now: datetime, day: date
) -> Arrival:
    """Note a call of `day`; told again, it changes nothing, and gives the call's own day."""
    number = phone_number(number)
    async with database.write() as connection:
        call = await queries.call(connection, call_sid)
        if call is None:
            values = {
                "caller_id": await _caller_id(database, connection, keys, number, now) if number else None,
                "day": day,
                "arrived_at": now,
                "stream": 1,
                "token_expires_at": now + TOKEN_LIFE,
            }
            await database.upsert(connection, calls, {"call_sid": call_sid}, values, only_new=list(values))
            call = await queries.known_call(connection, call_sid)
        return Arrival(await queries.is_first(connection, call), call.owner or call.stream, call.day)


async def _caller_id(database: Database, connection: AsyncConnection, keys: Keys, number: str, now: datetime) -> int:
    number_hash = keys.number_hash(number, await rotation.number_key(connection))
    values = {"number_sealed": keys.encrypt(number), "first_call_at": now, "last_call_at": now}
    only_new = ["number_sealed", "first_call_at"]
    await database.upsert(connection, callers, {"number_hash": number_hash}, values, only_new=only_new)
    query = select(callers.c.id).where(callers.c.number_hash == number_hash)
    return int((await connection.scalars(query)).one())


async def record_instead(database: Database, call_sid: str, now: datetime) -> None:
    """A call gets no stream: what is said in it is recorded. One that has had a stream may still be taken up."""
    refused = update(calls).where(calls.c.call_sid == call_sid, calls.c.owner.is_(None))
    async with database.write() as connection:
        await connection.execute(refused.values(next_step=RECORD))
        await after_call.ask_for_search(database, connection, call_sid, now)


async def media_token(database: Database, keys: Keys, call_sid: str, now: datetime) -> str:
    """The token for the next media stream of a call; a new one, and a new stream, when the last is used or too old."""
    async with database.write() as connection:
        call = await queries.known_call(connection, call_sid)
        stream = int(call.stream)
        if call.token_used_at is not None or call.token_expires_at <= now:
            stream += 1
            values = {"stream": stream, "token_expires_at": now + TOKEN_LIFE, "token_used_at": None}
            await connection.execute(update(calls).where(calls.c.call_sid == call_sid).values(values))
    return keys.media_token(call_sid, stream)


async def claim_media_token(database: Database, keys: Keys, call_sid: str, token: str, now: datetime) -> int:
    """Use a token up: the number of its stream, which owns the call from now on; 0 when it lets none in.

    It does so exactly once for each, whichever process asks, and of a call that ended for none.
    """
    async with database.read() as connection:
        stream = await connection.scalar(select(calls.c.stream).where(calls.c.call_sid == call_sid))
    if stream is None or not keys.is_media_token(call_sid, stream, token):
        return 0
    claim = update(calls).where(
        calls.c.call_sid == call_sid,
        calls.c.stream == stream,
        calls.c.token_used_at.is_(None),
        calls.c.token_expires_at > now,
        calls.c.ended_at.is_(None),
    )
    values = {"token_used_at": now, "owner": stream, "lease_until": now + LEASE, "next_step": None}
    async with database.write() as connection:
        let_in = (await connection.execute(claim.values(values))).rowcount == 1
    return int(stream) if let_in else 0
