"""The talks over a diary: sessions, the line of questions in each, and what was answered.

A session belongs to one person and ends half an hour after its last use; then its words are removed. Its questions are
answered one after the other, whichever processes ask: each has a place in the session's line, and a lease as long as
its process lives; the first one with a lease is next. A question whose process is gone is passed over, and asked again
it stands at the end of the line; what is written under an older place is refused with LeaseLost. Every method is one
transaction. It must not know sockets, or how an answer is made.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import ColumnElement, Row, and_, case, delete, func, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.schema import callers, calls, chat_messages, chat_sessions
from bot.errors import LeaseLost, StoreError
from bot.protocols.chat import Source

SESSION = timedelta(minutes=30)
LEASE = timedelta(seconds=30)
MOST_WAITING = 8
"""So many questions of a session stand in its line, the one that is being answered too."""

_QUESTION, _ANSWER = "user", "assistant"


class Answer(msgspec.Struct, frozen=True):
    """What was answered; not whole when the person left, or the model failed, in the middle."""

    text: str
    sources: list[Source]
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and what was answered to it."""

    question: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Waiting:
    """The question stands in the line, and is this process's to answer.

    `is_next`: nothing was before it when it came; then nothing will be.
    """

    session_id: str
    number: int
    place: int
    is_next: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """The question was answered before."""

    session_id: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class InTheMaking:
    """The question is being answered to somebody else, or stands in the line for them."""


@dataclass(frozen=True, slots=True)
class UnknownSession:
    """The person has no such session, or has it no more."""


@dataclass(frozen=True, slots=True)
class LineFull:
    """Too many questions of the session wait."""


@dataclass(frozen=True, slots=True)
class OtherContent:
    """The person asked something else under this message id."""


Arrival = Waiting | Answered | InTheMaking | UnknownSession | LineFull | OtherContent


class Chats:
    """The chats of everybody; failures are StoreError."""

    def __init__(self, database: Database, keys: Keys, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock

    async def arrive(self, caller_id: int, message_id: str, content: str, session_id: str | None) -> Arrival:
        """Put a question into the line of a session, a new one if None is given; once for each `message_id`.

        A question that is known is looked up in all sessions of the person; if nobody is at it and it has no whole
        answer, it stands in the line anew. A cancellation leaves the line again.
        """
        arrived: list[Waiting] = []
        try:
            return await self._arrive(caller_id, message_id, content, session_id, arrived)
        except asyncio.CancelledError:
            for waiting in arrived:
                with suppress(StoreError):
                    await self._leave(waiting)
            raise

    async def _arrive(
        self, caller_id: int, message_id: str, content: str, session_id: str | None, arrived: list[Waiting]
    ) -> Arrival:
        """`arrived` gets what is about to be committed."""
        now = self._clock()
        async with self._database.write() as connection:
            # One after the other, so that no place is taken twice and no question is put in twice.
            person = select(callers.c.id).where(callers.c.id == caller_id).with_for_update(key_share=True)
            if await connection.scalar(person) is None:
                return UnknownSession()
            known = await _known(connection, caller_id, message_id, now - SESSION)
            if known is not None:
                if self._keys.decrypt(known.content_sealed) != content:
                    return OtherContent()
                if (answer := await self._answer_to(connection, known)) is not None and answer.is_whole:
                    return Answered(known.session_id, answer)
                if _is_attended(known, now):
                    return InTheMaking()
                session_id = known.session_id
            if session_id is None:
                session_id = str(uuid4())
                values = {"session_id": session_id, "caller_id": caller_id, "made_at": now, "used_at": now}
                await connection.execute(chat_sessions.insert().values(values))
            elif not await _use(connection, caller_id, session_id, now):
                return UnknownSession()
            waiting, last = await _line(connection, session_id, now)
            if waiting >= MOST_WAITING:
                return LineFull()
            fresh = {"message_id": message_id, "content_sealed": self._keys.encrypt(content)}
            number = await self._stand_in_line(connection, session_id, last + 1, known, fresh)
            arrived.append(Waiting(session_id, number, last + 1, is_next=not waiting))
        return arrived[0]

    async def _leave(self, waiting: Waiting) -> None:
        """Leave the line without an answer; LeaseLost when it does not stand there."""
        async with self._database.write() as connection:
            await _change(connection, waiting, lease_until=None)

    async def is_in_the_making(self, caller_id: int, message_id: str) -> bool:
        """Whether a process is still at a question, or has it in the line."""
        now = self._clock()
        async with self._database.read() as connection:
            known = await _known(connection, caller_id, message_id, now - SESSION)
        return known is not None and _is_attended(known, now)

    async def is_next(self, waiting: Waiting) -> bool:
        """Whether it is this question's turn; LeaseLost when it is no longer this process's."""
        async with self._database.read() as connection:
            in_line = select(chat_messages.c.id, chat_messages.c.place).where(
                chat_messages.c.session_id == waiting.session_id,
                chat_messages.c.role == _QUESTION,
                chat_messages.c.lease_until.is_not(None),
            )
            before = in_line.where(
                chat_messages.c.place < waiting.place, chat_messages.c.lease_until > self._clock()
            ).limit(1)
            mine = in_line.where(chat_messages.c.id == waiting.number, chat_messages.c.place == waiting.place)
            if (await connection.execute(mine)).first() is None:
                raise _lost(waiting)
            return (await connection.execute(before)).first() is None

    async def renew(self, waiting: Waiting) -> None:
        """The process that waits, or answers, lives; LeaseLost when the question was passed over, or taken up anew."""
        async with self._database.write() as connection:
            now = self._clock()
            await _change(connection, waiting, chat_messages.c.lease_until > now, lease_until=now + LEASE)

    async def talk(self, waiting: Waiting, at_most: int) -> list[Exchange]:
        """What was asked and answered in the session before this question, oldest first."""
        answers = chat_messages.alias()
        query = (
            select(chat_messages.c.content_sealed, answers.c.content_sealed)
            .join(
                answers,
                (answers.c.session_id == chat_messages.c.session_id)
                & (answers.c.message_id == chat_messages.c.message_id)
                & (answers.c.role == _ANSWER),
            )
            .where(
                chat_messages.c.session_id == waiting.session_id,
                chat_messages.c.role == _QUESTION,
                chat_messages.c.place < waiting.place,
            )
            .order_by(chat_messages.c.place.desc())
            .limit(at_most)
        )
        async with self._database.read() as connection:
            found = (await connection.execute(query)).all()
        exchanges = [Exchange(self._keys.decrypt(question), self._read(answer)) for question, answer in found]
        return [one for one in reversed(exchanges) if one.answer.text]

    async def finish(self, waiting: Waiting, answer: Answer) -> None:
        """Keep the answer and leave the line; LeaseLost, and nothing is kept, when it is another process's turn."""
        now = self._clock()
        async with self._database.write() as connection:
            # First, as `arrive` does, so that neither waits for the other.
            used = update(chat_sessions).where(chat_sessions.c.session_id == waiting.session_id)
            await connection.execute(used.values(used_at=now))
            message_id = await _change(connection, waiting, lease_until=None)
            key = {"session_id": waiting.session_id, "message_id": message_id, "role": _ANSWER}
            sealed = self._keys.encrypt(msgspec.json.encode(answer).decode())
            values = {"content_sealed": sealed, "at": now, "place": waiting.place, "lease_until": None}
            await self._database.upsert(connection, chat_messages, key, values)

    async def remove_expired(self) -> int:
        """Remove the sessions that nobody used for half an hour, with all that was said; gives how many."""
        expired = chat_sessions.c.used_at <= self._clock() - SESSION
        async with self._database.read() as connection:
            if await connection.scalar(select(chat_sessions.c.session_id).where(expired).limit(1)) is None:
                return 0
        async with self._database.write() as connection:
            removed = (await connection.execute(delete(chat_sessions).where(expired))).rowcount
        if removed:
            await self._database.scrub()
        return removed

    async def _stand_in_line(
        self, connection: AsyncConnection, session_id: str, place: int, known: Row[Any] | None, fresh: dict[str, Any]
    ) -> int:
        """At a place; gives the row's id. `fresh` are the columns of a question that is not `known`."""
        now = self._clock()
        in_line = {"place": place, "lease_until": now + LEASE, "at": now}
        if known is not None:
            await connection.execute(update(chat_messages).where(chat_messages.c.id == known.id).values(in_line))
            return int(known.id)
        row = {"session_id": session_id, "role": _QUESTION, **fresh, **in_line}
        added = chat_messages.insert().values(row).returning(chat_messages.c.id)
        return int((await connection.execute(added)).scalar_one())

    async def _answer_to(self, connection: AsyncConnection, question: Row[Any]) -> Answer | None:
        query = select(chat_messages.c.content_sealed).where(
            chat_messages.c.session_id == question.session_id,
            chat_messages.c.message_id == question.message_id,
            chat_messages.c.role == _ANSWER,
        )
        sealed = await connection.scalar(query)
        return None if sealed is None else self._read(sealed)

    def _read(self, sealed: bytes) -> Answer:
        try:
            return msgspec.json.decode(self._keys.decrypt(sealed), type=Answer)
        except msgspec.MsgspecError as error:
            raise StoreError("a kept answer is damaged") from error


async def forget_chats_about(connection: AsyncConnection, call_sids: Sequence[str]) -> None:
    """Remove the chats of the people who made these calls, in the transaction that removes what was said in them."""
    people = select(calls.c.caller_id).where(calls.c.call_sid.in_(call_sids), calls.c.caller_id.is_not(None))
    await connection.execute(delete(chat_sessions).where(chat_sessions.c.caller_id.in_(people.scalar_subquery())))


async def _known(connection: AsyncConnection, caller_id: int, message_id: str, since: datetime) -> Row[Any] | None:
    """The question that a person asked under an id, in a session that is not expired."""
    query = (
        select(chat_messages)
        .join(chat_sessions)
        .where(
            chat_sessions.c.caller_id == caller_id,
            chat_sessions.c.used_at > since,
            chat_messages.c.message_id == message_id,
            chat_messages.c.role == _QUESTION,
        )
    )
    return (await connection.execute(query)).first()


def _is_attended(question: Row[Any], now: datetime) -> bool:
    return question.lease_until is not None and question.lease_until > now


async def _use(connection: AsyncConnection, caller_id: int, session_id: str, now: datetime) -> bool:
    """Note the use of a session; False when the person has it not, or no more."""
    alive = update(chat_sessions).where(
        chat_sessions.c.session_id == session_id,
        chat_sessions.c.caller_id == caller_id,
        chat_sessions.c.used_at > now - SESSION,
    )
    return (await connection.execute(alive.values(used_at=now))).rowcount == 1


async def _line(connection: AsyncConnection, session_id: str, now: datetime) -> tuple[int, int]:
    """How many questions of a session wait, or are being answered; and the last place that was taken."""
    is_waiting = and_(chat_messages.c.role == _QUESTION, chat_messages.c.lease_until > now)
    query = select(func.count(case((is_waiting, 1))), func.max(chat_messages.c.place)).where(
        chat_messages.c.session_id == session_id
    )
    waiting, last = (await connection.execute(query)).one()
    return waiting, last or 0


async def _change(connection: AsyncConnection, waiting: Waiting, *more: ColumnElement[bool], **values: object) -> str:
    """Change the row of a question that stands in the line; gives its message id. LeaseLost when it does not."""
    mine = update(chat_messages).where(
        # SQLite gives the id of a row that was removed to another one, so the session is looked at too.
        chat_messages.c.id == waiting.number,
        chat_messages.c.session_id == waiting.session_id,
        chat_messages.c.place == waiting.place,
        chat_messages.c.lease_until.is_not(None),
        *more,
    )
    message_id = (await connection.execute(mine.values(values).returning(chat_messages.c.message_id))).scalar()
    if message_id is None:
        raise _lost(waiting)
    return str(message_id)


def _lost(waiting: Waiting) -> LeaseLost:
    return LeaseLost(f"chat {waiting.session_id}: question {waiting.place} is not this process's any more")
