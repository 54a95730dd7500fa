"""Who is signed in on the web: codes, sessions, how often a thing is done, and what the signed-in person may read.

A person is a caller, who need not have phoned yet. Codes and session tokens are kept as their hashes alone. Every
method is one short transaction; failures are StoreError. It must not know cookies, addresses of pages, or how a code
reaches the person. No error or log line holds a number or a code.
"""

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Table, case, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.conversation.commands import Status
from bot.diary import queries, rotation, rows
from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.records import EntryRecord, phone_number
from bot.diary.schema import callers, calls, entries, limits, sessions, sign_in_codes

CODE_DIGITS = 6
CODE_LIFE = timedelta(minutes=10)
MOST_TRIES = 5
SESSION_LIFE = timedelta(days=30)
TOKEN_BYTES = 32
BATCH_ROWS = 500

_SEPARATORS = re.compile(r"[\s().\-‐‑–—]")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in: a row of `callers`, and the number in E.164 form."""

    caller_id: int
    number: str = field(repr=False)


def korean_number(text: str) -> str | None:
    """The E.164 number of what a person typed: with its country, or as it is dialled in Korea (010…); None for none."""
    typed = _SEPARATORS.sub("", unicodedata.normalize("NFKC", text))
    for dialled, meant in (("00", "+"), ("0", "+82"), ("+820", "+82")):
        if typed.startswith(dialled):
            typed = meant + typed[len(dialled) :]
    return phone_number(typed)


class People:
    """The people of one diary; `store.people`."""

    def __init__(self, database: Database, keys: Keys, clock: Callable[[], datetime]) -> None:
        """Take the store's own; `clock` gives aware moments."""
        self._database = database
        self._keys = keys
        self._clock = clock

    # Signing in

    async def new_code(self, number: str) -> str:
        """Make the code of a number in E.164 form: six digits, which take the place of those before.

        It is good for 10 min and for 5 tries.
        """
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        values = {
            "code_hash": self._keys.web_proof("code", number, code),
            "expires_at": self._clock() + CODE_LIFE,
            "tries": 0,
        }
        async with self._database.write() as connection:
            key = {"number_hash": await self._number_hash(connection, number)}
            await self._database.upsert(connection, sign_in_codes, key, values)
        return code

    async def sign_in(self, number: str, code: str, *, instead_of: str | None = None) -> str | None:
        """Use a code up: the token of a new session, 43 characters; None when the code is not the number's.

        Any code counts as a try. What is done, and how long it takes, is the same whether or not the number is known
        here. `instead_of` is the token of a session that ends with this.
        """
        now = self._clock()
        # Also of the right code: of many tries at once no more are looked at than are allowed.
        tried = (
            update(sign_in_codes)
            .where(sign_in_codes.c.expires_at > now, sign_in_codes.c.tries < MOST_TRIES)
            .values(tries=sign_in_codes.c.tries + 1)
            .returning(sign_in_codes.c.code_hash)
        )
        async with self._database.write() as connection:
            of_number = sign_in_codes.c.number_hash == await self._number_hash(connection, number)
            kept = (await connection.scalars(tried.where(of_number))).one_or_none()
            if not self._keys.is_web_proof(bytes(kept or bytes(32)), "code", number, code):
                return None
            await connection.execute(delete(sign_in_codes).where(of_number))
            if instead_of is not None:
                await connection.execute(delete(sessions).where(sessions.c.token_hash == _token_hash(instead_of)))
            token = secrets.token_urlsafe(TOKEN_BYTES)
            values = {
                "token_hash": _token_hash(token),
                "caller_id": await self._caller_id(connection, number, now),
                "made_at": now,
                "expires_at": now + SESSION_LIFE,
            }
            await connection.execute(sessions.insert().values(values))
        return token

    async def person(self, token: str) -> Person | None:
        """Whose session this is; None when it is nobody's, or over."""
        query = (
            select(callers.c.id, callers.c.number_sealed)
            .join(sessions, sessions.c.caller_id == callers.c.id)
            .where(sessions.c.token_hash == _token_hash(token), sessions.c.expires_at > self._clock())
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else Person(row.id, self._keys.decrypt(row.number_sealed))

    async def sign_out(self, token: str) -> None:
        """End a session; one that is over already stays so."""
        async with self._database.write() as connection:
            await connection.execute(delete(sessions).where(sessions.c.token_hash == _token_hash(token)))

    # Forms

    def form_token(self, secret: str) -> str:
        """What a form must bring from who has `secret` in a cookie: 64 characters."""
        return self._keys.web_proof("form", secret).hex()

    def is_form_token(self, secret: str, token: str) -> bool:
        """Tell in constant time whether `token` is that."""
        try:
            given = bytes.fromhex(token)
        except ValueError:
            return False
        return self._keys.is_web_proof(given, "form", secret)

    # How often

    async def allow(self, what: str, subject: str, most: int, within_s: float) -> bool:
        """Count that `subject` did `what`; False when that was more than `most` times within `within_s`.

        The time begins with the first and does not grow by what is refused. Neither word is kept, only their hash.
        """
        now = self._clock()
        row = self._database.insert(limits).values(
            key=self._keys.web_proof("limit", what, subject), count=1, until=now + timedelta(seconds=within_s)
        )
        is_over = limits.c.until <= now
        counted = row.on_conflict_do_update(
            index_elements=[limits.c.key],
            set_={
                "count": case((is_over, 1), (limits.c.count > most, limits.c.count), else_=limits.c.count + 1),
                "until": case((is_over, row.excluded.until), else_=limits.c.until),
            },
        ).returning(limits.c.count)
        async with self._database.write() as connection:
            count: int = (await connection.scalars(counted)).one()
        return count <= most

    async def remove_expired(self) -> int:
        """Remove codes, sessions and counts that are over; gives how many. To be called now and then."""
        now, removed = self._clock(), 0
        over: tuple[tuple[Table, ColumnElement[bytes], ColumnElement[bool]], ...] = (
            (sign_in_codes, sign_in_codes.c.number_hash, sign_in_codes.c.expires_at <= now),
            (sessions, sessions.c.token_hash, sessions.c.expires_at <= now),
            (limits, limits.c.key, limits.c.until <= now),
        )
        for table, key, is_over in over:
            query = select(key).where(is_over).limit(BATCH_ROWS)
            async with self._database.read() as connection:
                found = (await connection.scalars(query)).all()
            while found:
                async with self._database.write() as connection:
                    found = (await connection.scalars(query.with_for_update(skip_locked=True))).all()
                    await connection.execute(delete(table).where(key.in_(found)))
                removed += len(found)
        return removed

    # What a person may read

    async def entries(self, person: Person, *, skip: int, most: int) -> list[EntryRecord]:
        """The person's own entries, newest first, without those that were discarded."""
        query = queries.entries_with_callers(None).where(
            callers.c.id == person.caller_id, entries.c.status != Status.DISCARDED.value
        )
        query = query.order_by(None).order_by(calls.c.arrived_at.desc(), calls.c.call_sid.desc())
        async with self._database.read() as connection:
            found = (await connection.execute(query.offset(skip).limit(most))).all()
        return [rows.entry_record(row, self._keys) for row in found]

    async def _number_hash(self, connection: AsyncConnection, number: str) -> bytes:
        return self._keys.number_hash(number, await rotation.number_key(connection))

    async def _caller_id(self, connection: AsyncConnection, number: str, now: datetime) -> int:
        """The caller of a number, made when there is none. To have called is another thing: see `queries.is_first`."""
        number_hash = await self._number_hash(connection, number)
        values = {"number_sealed": self._keys.encrypt(number), "first_call_at": now, "last_call_at": now}
        await self._database.upsert(connection, callers, {"number_hash": number_hash}, values, only_new=list(values))
        # Locked: a caller who is being removed for good is not signed in.
        query = select(callers.c.id).where(callers.c.number_hash == number_hash).with_for_update()
        return int((await connection.scalars(query)).one())


def _token_hash(token: str) -> bytes:
    """A token has 256 random bits, so that no key is needed to keep it."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
