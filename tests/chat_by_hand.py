"""For the tests of the chat: a model, a library and an identity by hand, a diary with entries, and a real server."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from uuid import uuid4

import uvicorn
from quart import has_websocket_context, request, websocket
from sqlalchemy import select, update

from bot.conversation.commands import Mood, Status
from bot.diary.schema import callers, calls, entries
from bot.diary.search import Document, Hit
from bot.diary.store import Store
from bot.errors import ModelError
from bot.services.breaker import Breaker
from tests.diary.talks import NUMBER, let_in

WAIT_S = 20


class ModelByHand:
    """Gives `tokens`; an exception among them is raised, an event waited for. Notes what it was sent."""

    def __init__(self, *tokens):
        self.breaker = Breaker("model")
        self.tokens = tokens
        self.asked = []
        self.left = 0
        self.given_at = []

    async def stream(self, messages, bill, *, most_tokens, first_token_s, stall_s):
        """As ChatModel's."""
        assert most_tokens > 300 and first_token_s > 2 and stall_s > 2
        self.asked.append(list(messages))
        bill.sent(1)
        whole = False
        try:
            for token in self.tokens:
                match token:
                    case str():
                        bill.delta()
                        self.given_at.append(asyncio.get_running_loop().time())
                        yield token
                    case asyncio.Event():
                        await token.wait()
                    case float():
                        await asyncio.sleep(token)
                    case _:
                        raise token
            whole = True
        finally:
            self.left += not whole


class LibraryByHand:
    """Finds the same for every question; raises `fails`, if that is set. Notes who asked what."""

    def __init__(self, *hits):
        self.hits = list(hits)
        self.asked = []
        self.fails = None

    async def search(self, caller_id, question, *, today, most):
        """As diary.library.Library's."""
        self.asked.append((caller_id, question, today))
        if self.fails is not None:
            raise self.fails
        return self.hits[:most]


def hit(call_sid="CA1", day=date(2026, 3, 2), title="한강", content="지수랑 한강에 갔다. 라면을 먹었다.", score=0.8):
    """Something that was found; its passage is its first sentence."""
    passage = content.partition(". ")[0] + "."
    return Hit(Document(call_sid, day, title, content, "entry"), score, passage)


CUT = ModelError("cut (None)")


async def write_entry(store: Store, call_sid: str, day: date, title: str, body: str, *, number: str = NUMBER) -> int:
    """An approved entry of a day; gives the person's id."""
    call = await let_in(store, call_sid, number)
    assert await call.save_entry(title, body, Mood.CALM, Status.APPROVED)
    await call.ended("approved")
    async with store.database.write() as connection:
        await connection.execute(update(calls).where(calls.c.call_sid == call_sid).values(day=day))
        await connection.execute(update(entries).where(entries.c.call_sid == call_sid).values(day=day))
        found = await connection.scalar(select(calls.c.caller_id).where(calls.c.call_sid == call_sid))
    assert found is not None
    return int(found)


async def a_person(store: Store, number: str = NUMBER, call_sid: str = "CA0") -> int:
    """Somebody who has called, and said nothing."""
    await store.call_arrived(call_sid, number)
    async with store.database.read() as connection:
        query = select(callers.c.id).join(calls).where(calls.c.call_sid == call_sid)
        return int(await connection.scalar(query) or 0)


@dataclass(frozen=True)
class Somebody:
    caller_id: int


@dataclass
class IdentityByHand:
    """Knows a person by the header `X-Test-Person`; allows so much of anything at all."""

    people: dict[str, Somebody] = field(default_factory=dict)
    ours: bool = True
    left: int = 1_000_000
    fails: Exception | None = None

    async def person(self):
        """As Identity's."""
        if self.fails is not None:
            raise self.fails
        headers = websocket.headers if has_websocket_context() else request.headers
        return self.people.get(headers.get("X-Test-Person", ""))

    def is_ours(self):
        """As Identity's."""
        return self.ours

    async def allow(self, what, subject, most, within_s):
        """As Identity's."""
        assert what and subject and 0 < most <= 100 and within_s == 60
        self.left -= 1
        return self.left >= 0


class QuietServer(uvicorn.Server):
    """A server that leaves the signals alone."""

    async def serve(self, sockets=None):
        """Serve until told to exit."""
        await self._serve(sockets)


@asynccontextmanager
async def serving(app) -> AsyncIterator[str]:
    """`HOST:PORT` of `app`, on a port of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=65536,
        log_config=None,
        lifespan="off",
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
    )
    server = QuietServer(config)
    running = asyncio.create_task(server.serve([listener]))
    async with asyncio.timeout(WAIT_S):
        while not server.started:
            await asyncio.sleep(0.01)
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


def ask(content="어제 뭐 했지?", session_id=None, message_id=None):
    """A message, as a client sends it."""
    message = {"type": "message", "message_id": message_id or str(uuid4()), "content": content}
    return json.dumps(message | ({"session_id": session_id} if session_id else {}), ensure_ascii=False)
