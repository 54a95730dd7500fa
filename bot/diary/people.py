"""Who is signed in on the web: codes, sessions, and what the signed-in person may read.

A person is a caller, who need not have phoned yet. A code belongs to the browser that asked for it, named by a secret
of its own: what others ask or try for the same number touches another row. Codes and numbers are kept sealed, the
secrets of browsers and the tokens of sessions as their hashes. Every method is one short transaction; failures are
StoreError. It must not know cookies, addresses of pages, or how a code reaches the person. No error or log line holds a
number or a code.
"""

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, case, delete, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.conversation.commands import Status
from bot.diary import queries, rotation, rows
from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.limits import Limits
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
        self.limits = Limits(database, keys, clock)
        """How often anybody may do a thing."""

    # Signing in

    async def new_code(self, browser: str, number: str) -> str:
        """The code that a browser is to bring back to be signed in as a number in E.164 form: six digits.

        It is good for 10 min and for 5 tries. Asked for again it is the same code while it is good, for 10 min more:
        whichever message comes late, its code is right. That for another number takes its place.
        """
        now, made = self._clock(), f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        async with self._database.write() as connection:
            row = self._database.insert(sign_in_codes).values(
                browser_hash=_token_hash(browser),
                number_hash=await self._number_hash(connection, number),
                number_sealed=self._keys.encrypt(number),
                code_sealed=self._keys.encrypt(made),
                expires_at=now + CODE_LIFE,
                tries=0,
            )
            # One statement: of two that come at once from a browser the second finds the code of the first.
            known, new = sign_in_codes.c, row.excluded
            stays = and_(known.number_hash == new.number_hash, *_good(now))
            changes: dict[str, ColumnElement[Any]] = {
                **dict(new.items()),
                "code_sealed": case((stays, known.code_sealed), else_=new.code_sealed),
                "tries": case((stays, known.tries), else_=new.tries),
            }
            asked = row.on_conflict_do_update(index_elements=[known.browser_hash], set_=changes)
            sealed = (await connection.scalars(asked.returning(known.code_sealed))).one()
        return self._keys.decrypt(sealed)

    async def number_asked(self, browser: str) -> str | None:
        """The number that a browser has a code for; None when it has none, or its time is over."""
        query = select(sign_in_codes.c.number_sealed).where(
            sign_in_codes.c.browser_hash == _token_hash(browser), sign_in_codes.c.expires_at > self._clock()
        )
        async with self._database.read() as connection:
            sealed = await connection.scalar(query)
        return None if sealed is None else self._keys.decrypt(sealed)

    @staticmethod
    def code_name(browser: str) -> str:
        """What names the code of a browser to others, and gives it to nobody: 64 characters."""
        return _token_hash(browser).hex()

    async def code_to_speak(self, name: str, number: str) -> str | None:
        """The code of that name, to be spoken to its own number; None when it is another number's, or not good."""
        try:
            browser_hash = bytes.fromhex(name)
        except ValueError:
            return None
        query = select(sign_in_codes.c.number_sealed, sign_in_codes.c.code_sealed)
        query = query.where(sign_in_codes.c.browser_hash == browser_hash, *_good(self._clock()))
        async with self._database.read() as connection:
            kept = (await connection.execute(query)).one_or_none()
        # Meanwhile the browser may have asked for somebody else's.
        if kept is None or self._keys.decrypt(kept.number_sealed) != number:
            return None
        return self._keys.decrypt(kept.code_sealed)

    async def sign_in(self, browser: str, code: str, *, instead_of: str | None = None) -> str | None:
        """Use a code up: the token of a new session, 43 characters; None when it is not the browser's.

        Any code counts as a try. What is done, and how long it takes, is the same whether or not the number is known
        here. `instead_of` is the token of a session that ends with this.
        """
        now = self._clock()
        of_browser = sign_in_codes.c.browser_hash == _token_hash(browser)
        # Who has no try left must not make those wait who write.
        async with self._database.read() as connection:
            if await connection.scalar(select(sign_in_codes.c.tries).where(of_browser, *_good(now))) is None:
                return None
        # Also of the right code: of many tries at once no more are looked at than are allowed.
        tried = (
            update(sign_in_codes)
            .where(of_browser, *_good(now))
            .values(tries=sign_in_codes.c.tries + 1)
            .returning(sign_in_codes.c.number_sealed, sign_in_codes.c.code_sealed)
        )
        async with self._database.write() as connection:
            # First, as `new_code` does, so that a rotation and this do not wait for each other.
            await rotation.number_key(connection)
            kept = (await connection.execute(tried)).one_or_none()
            if kept is None or not _is_same(self._keys.decrypt(kept.code_sealed), code):
                return None
            await connection.execute(delete(sign_in_codes).where(of_browser))
            return await self._new_session(connection, self._keys.decrypt(kept.number_sealed), now, instead_of)

    async def begin_session(self, number: str) -> str:
        """The token of a new session without any proof: for the lab and the tests, and no door."""
        async with self._database.write() as connection:
            return await self._new_session(connection, number, self._clock(), None)

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
        return self._is_proof(token, "form", secret)

    def known_token(self, number: str) -> str:
        """What a browser keeps on which somebody was signed in as `number`: 64 characters. It lets nobody in."""
        return self._keys.web_proof("known", number).hex()

    def is_known_token(self, number: str, token: str) -> bool:
        """Tell in constant time whether `token` is that."""
        return self._is_proof(token, "known", number)

    # What is over

    async def remove_expired(self) -> int:
        """Remove codes, sessions and counts that are over; gives how many. To be called now and then."""
        now, removed = self._clock(), 0
        over: tuple[tuple[Table, ColumnElement[bytes], ColumnElement[bool]], ...] = (
            (sign_in_codes, sign_in_codes.c.browser_hash, sign_in_codes.c.expires_at <= now),
            (sessions, sessions.c.token_hash, sessions.c.expires_at <= now),
            (limits, limits.c.key, limits.c.until <= now),
        )
        for table, key, is_over in over:
            query = select(key).where(is_over).limit(BATCH_ROWS)
            async with self._database.read() as connection:
                found = (await connection.scalars(query)).all()
            while found:
                async with self._database.write(is_long=True) as connection:
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

    def _is_proof(self, token: str, use: str, subject: str) -> bool:
        try:
            given = bytes.fromhex(token)
        except ValueError:
            return False
        return self._keys.is_web_proof(given, use, subject)

    async def _new_session(
        self, connection: AsyncConnection, number: str, now: datetime, instead_of: str | None
    ) -> str:
        # First the caller, as who removes one does, so that neither waits for the other.
        caller_id = await self._caller_id(connection, number, now)
        if instead_of is not None:
            await connection.execute(delete(sessions).where(sessions.c.token_hash == _token_hash(instead_of)))
        token = secrets.token_urlsafe(TOKEN_BYTES)
        values = {
            "token_hash": _token_hash(token),
            "caller_id": caller_id,
            "made_at": now,
            "expires_at": now + SESSION_LIFE,
        }
        await connection.execute(sessions.insert().values(values))
        return token

    async def _number_hash(self, connection: AsyncConnection, number: str) -> bytes:
        return self._keys.number_hash(number, await rotation.number_key(connection))

    async def _caller_id(self, connection: AsyncConnection, number: str, now: datetime) -> int:
        """The caller of a number, made when there is none. To have called is another thing: see `queries.is_first`."""
        number_hash = await self._number_hash(connection, number)
        values = {"number_sealed": self._keys.encrypt(number), "first_call_at": now, "last_call_at": now}
        # The number is written again so that the row is locked: of a caller who is being removed a new one is made.
        only_new = ["first_call_at", "last_call_at"]
        await self._database.upsert(connection, callers, {"number_hash": number_hash}, values, only_new=only_new)
        query = select(callers.c.id).where(callers.c.number_hash == number_hash)
        return int((await connection.scalars(query)).one())


def _good(now: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Which codes are good for something."""
    return sign_in_codes.c.expires_at > now, sign_in_codes.c.tries < MOST_TRIES


def _is_same(code: str, given: str) -> bool:
    return hmac.compare_digest(code.encode(), given.encode("utf-8", "replace"))


def _token_hash(token: str) -> bytes:
    """A token, or the secret of a browser, has 256 random bits, so that no key is needed to keep it."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
