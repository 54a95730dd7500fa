"""One question over a diary, from its arrival to its last event: its place in the line, the search, the answer.

What is answered is kept, so that another process can go on with the talk, and so that a question which comes twice is
answered once. It must not know sockets: it is given what sends an event.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo

from bot.chat import EXCHANGES, Answering, pieces
from bot.conversation.texts import table
from bot.diary.chats import (
    Answer,
    Answered,
    Chats,
    Exchange,
    InTheMaking,
    LineFull,
    OtherContent,
    UnknownSession,
    Waiting,
)
from bot.diary.library import Library
from bot.diary.records import day_of
from bot.diary.search import Hit
from bot.errors import LeaseLost, ModelError, StoreError, where
from bot.protocols.chat import (
    NEW_SESSION,
    Event,
    Fault,
    Message,
    Source,
    StreamEnd,
    StreamSources,
    StreamStart,
    StreamToken,
    failure,
)

log = logging.getLogger(__name__)

MOST_HITS = 5
MOST_DAYS = 3
"""So many days of the answer before are looked at for a question that goes on from it."""
ANSWER_S = 60.0
RENEW_S = 10.0
LOOK_S = 0.25
"""So often a question that waits looks whether another process has answered the one before it."""
ELSEWHERE_S = 60.0
"""So long a question waits for its answer to somebody else."""

Send = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Question:
    """A message that was taken, and is to be answered to this person."""

    caller_id: int
    message: Message
    arrival: Waiting | Answered | InTheMaking

    @property
    def session_id(self) -> str | None:
        """The session it is in, if that is known yet."""
        return None if isinstance(self.arrival, InTheMaking) else self.arrival.session_id


@dataclass(slots=True)
class _Said:
    """What of an answer has left, so that it can be kept whenever it ends."""

    tokens: list[str] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    def answer(self, *, is_whole: bool) -> Answer:
        return Answer("".join(self.tokens), self.sources, is_whole)


class Chatting:
    """The chats of one process. `clock` gives aware moments, `timezone` decides what day it is."""

    def __init__(
        self,
        store: Chats,
        library: Library,
        answering: Answering,
        *,
        clock: Callable[[], datetime],
        timezone: tzinfo,
    ) -> None:
        self._store = store
        self._library = library
        self._answering = answering
        self._clock = clock
        self._timezone = timezone
        self._moved = asyncio.Event()

    async def take(self, caller_id: int, message: Message, current: str | None) -> Question | Fault:
        """Put a message into the line of its session: the one it names, else `current`, else a new one.

        Whoever takes the messages of a person one after the other has them answered in that order.
        """
        session_id = message.session_id or current
        try:
            arrival = await self._arrive(caller_id, message, None if session_id == NEW_SESSION else session_id)
        except StoreError as error:
            log.error("a chat message could not be taken: %s", error)
            return Fault.NOT_READY
        except Exception as error:
            log.error("taking a chat message broke: %s", where(error))
            return Fault.INTERNAL
        return arrival if isinstance(arrival, Fault) else Question(caller_id, message, arrival)

    async def answer(self, question: Question, send: Send) -> None:
        """Answer in turn; what goes wrong is an event. What `send` raises, or a cancellation, ends it in the middle.

        Then the model is asked no further, and what was said so far is kept.
        """
        fault = None
        try:
            arrival = await self._when_it_is_ours(question)
            match arrival:
                case Answered():
                    await self._replay(question, arrival, send)
                case Waiting():
                    fault = await self._in_turn(question, arrival, send)
                case _:
                    fault = arrival
        except LeaseLost:
            fault = Fault.UNKNOWN_SESSION
        except StoreError as error:
            log.error("a chat message could not be answered: %s", error)
            fault = Fault.NOT_READY
        except ConnectionError:
            raise
        except Exception as error:
            log.error("a chat message broke: %s", where(error))
            fault = Fault.INTERNAL
        if fault is not None:
            await send(failure(fault, question.message.message_id))

    async def _arrive(
        self, caller_id: int, message: Message, session_id: str | None
    ) -> Waiting | Answered | InTheMaking | Fault:
        arrival = await self._store.arrive(caller_id, message.message_id.lower(), message.content, session_id)
        match arrival:
            case UnknownSession():
                return Fault.UNKNOWN_SESSION
            case LineFull():
                return Fault.LINE_FULL
            case OtherContent():
                return Fault.OTHER_CONTENT
        return arrival

    async def _when_it_is_ours(self, question: Question) -> Waiting | Answered | Fault:
        """Wait while the same question is being answered to somebody else."""
        arrival: Waiting | Answered | InTheMaking | Fault = question.arrival
        give_up_at = time.monotonic() + ELSEWHERE_S
        while isinstance(arrival, InTheMaking):
            if time.monotonic() >= give_up_at:
                return Fault.TOO_SLOW
            await self._look_again()
            if not await self._store.is_in_the_making(question.caller_id, question.message.message_id.lower()):
                arrival = await self._arrive(question.caller_id, question.message, None)
        return arrival

    async def _in_turn(self, question: Question, waiting: Waiting, send: Send) -> Fault | None:
        said = _Said()
        lease = _Lease(self._store, waiting)
        is_whole = is_kept = False
        try:
            while not (waiting.is_next or await self._store.is_next(waiting)):
                await self._look_again()
                await lease.renew_in_time()
            began = time.monotonic()
            message_id = question.message.message_id
            await send(StreamStart(message_id, waiting.session_id, self._clock()))
            fault = await self._said(question, lease, said, send)
            is_whole = fault is None
            await self._keep(waiting, said.answer(is_whole=is_whole))
            is_kept = True
            if is_whole:
                await self._end(message_id, said, began, send)
            return fault
        finally:
            # Also when the keeping itself was cancelled: nobody else would leave the line for this question.
            if not is_kept:
                await self._keep(waiting, said.answer(is_whole=is_whole))

    async def _said(self, question: Question, lease: "_Lease", said: _Said, send: Send) -> Fault | None:
        """Search and answer; what went wrong, if anything did."""
        message = question.message
        talk = await self._store.talk(lease.waiting, EXCHANGES) if lease.waiting.place > 1 else []
        today = day_of(self._clock(), self._timezone)
        try:
            hits = await self._found(question, talk, today)
        except StoreError as error:
            log.error("a diary could not be searched: %s", error)
            return Fault.SEARCH_FAILED
        reply = self._answering.begin(message.content, talk, hits, today)
        try:
            async with asyncio.timeout(ANSWER_S), aclosing(reply.tokens()) as tokens:
                async for token in tokens:
                    said.tokens.append(token)
                    said.sources = reply.sources
                    await send(StreamToken(message.message_id, token, len(said.tokens) - 1))
                    await lease.renew_in_time()
        except ModelError:
            return Fault.MODEL_FAILED
        except TimeoutError:
            return Fault.TOO_SLOW
        said.sources = reply.sources
        return None

    async def _found(self, question: Question, talk: Sequence[Exchange], today: date) -> list[Hit]:
        """What fits the question; before that, when it goes on from the answer before it, what fits both."""
        content = question.message.content
        hits = await self._library.search(question.caller_id, content, today=today, most=MOST_HITS)
        if talk and (not hits or any(word in content for word in table("chat")["refers"])):
            before: list[Hit] = []
            for query in together(talk[-1], content):
                before.extend(await self._library.search(question.caller_id, query, today=today, most=2))
            hits = [*before, *hits]
        kept: dict[tuple[str, str], Hit] = {}
        for hit in hits:
            kept.setdefault((hit.document.call_sid, hit.document.kind), hit)
        return list(kept.values())[:MOST_HITS]

    async def _end(self, message_id: str, said: _Said, began: float, send: Send) -> None:
        await send(StreamSources(message_id, said.sources))
        await send(StreamEnd(message_id, len(said.tokens), round((time.monotonic() - began) * 1000)))

    async def _replay(self, question: Question, answered: Answered, send: Send) -> None:
        """Send an answer that was given before."""
        began, message_id = time.monotonic(), question.message.message_id
        said = _Said(pieces(answered.answer.text), answered.answer.sources)
        await send(StreamStart(message_id, answered.session_id, self._clock()))
        for index, token in enumerate(said.tokens):
            await send(StreamToken(message_id, token, index))
        await self._end(message_id, said, began, send)

    async def _keep(self, waiting: Waiting, answer: Answer) -> None:
        """Keep an answer and let the next question of its session come; one that cannot be kept was still given."""
        try:
            await self._store.finish(waiting, answer)
        except StoreError as error:
            log.warning("an answer was not kept: %s", error)
        finally:
            self._moved.set()
            self._moved = asyncio.Event()

    async def _look_again(self) -> None:
        """Wait until a question of this process was answered, or for a moment."""
        try:
            async with asyncio.timeout(LOOK_S):
                await self._moved.wait()
        except TimeoutError:
            pass


class _Lease:
    """Tells the other processes, now and then, that this one is still at a question."""

    def __init__(self, store: Chats, waiting: Waiting) -> None:
        self.waiting = waiting
        self._store = store
        self._renew_at = time.monotonic() + RENEW_S

    async def renew_in_time(self) -> None:
        """Renew the lease when it is time to; LeaseLost when the question is no longer this process's."""
        if time.monotonic() < self._renew_at:
            return
        self._renew_at = time.monotonic() + RENEW_S
        try:
            await self._store.renew(self.waiting)
        except LeaseLost:
            raise
        except StoreError as error:
            log.warning("a chat's lease was not renewed: %s", error)


def together(last: Exchange, content: str) -> list[str]:
    """A question that goes on from an answer, as it would be asked alone: about the days that the answer was about."""
    days = [date.fromisoformat(source.metadata.date) for source in last.answer.sources[:MOST_DAYS]]
    form = table("chat")["follow_up"]
    asked = [form.format(year=day.year, month=day.month, day=day.day, question=content) for day in dict.fromkeys(days)]
    return asked or [f"{last.question} {content}"]
