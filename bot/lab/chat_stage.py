"""A stage for the text chat alone: a model that is a stopwatch, signed-in people with diaries, and the chat served.

The chat is in a process of its own, on an ephemeral port: run alone, this module is that process. It must not know what
is measured.
"""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import date, timedelta
from subprocess import PIPE
from typing import cast

import uvicorn
from quart import Quart

from bot.chat import Answering
from bot.chatting import Chatting
from bot.conversation.commands import Status
from bot.conversation.texts import prompt
from bot.diary.chats import Chats
from bot.diary.library import Library
from bot.diary.people import People
from bot.diary.schema import calls, entries
from bot.diary.store import Store, open_store
from bot.doors.asgi import LARGEST_MESSAGE_BYTES, AsgiApp, straight_sockets
from bot.doors.chat import ChatDoor, Running
from bot.doors.identity import Identity
from bot.lab.http import Connection, PeerGone, Request, converse
from bot.lab.loopback import Loopback
from bot.lab.openai_behaviour import Profile
from bot.services.llm import ChatModel
from bot.settings import OpenAiSettings, load

TOKENS = 25
ENTRIES = 200
START_S = 60.0
FIRST_DAY = date(2026, 1, 1)
WHO = ("지수", "민수", "서윤", "어머니", "은지")
WHERE = ("한강", "바다", "시장", "도서관", "병원")
WHAT = ("라면", "회", "떡", "책", "약")


class StopwatchModel(Loopback):
    """Answers every chat with `TOKENS` tokens, each of which says when it was sent."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self._profile = profile

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(PeerGone):
            await converse(reader, writer, self._answer)

    async def _answer(self, connection: Connection, _request: Request) -> None:
        await connection.begin(200, "text/event-stream")
        began = time.monotonic() + self._profile.first_token_ms / 1000
        for number in range(TOKENS):
            await asyncio.sleep(max(0.0, began + number * self._profile.token_ms / 1000 - time.monotonic()))
            await connection.send(_chunk({"content": f" {time.monotonic_ns()}"}, None))
        await connection.send(_chunk({}, "stop") + b"data: [DONE]\n\n")
        await connection.end()


def _chunk(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


async def sign_in(store: Store, count: int) -> list[str]:
    """People with a year of entries each, signed in; gives what their cookies hold."""
    people, tokens, now = People(store.database, store.keys, store.clock), [], store.clock()
    for number in range(count):
        phone = f"+8210{number:08d}"
        token = await people.begin_session(phone)
        person = await people.person(token) if token else None
        assert token and person
        tokens.append(token)
        made, written = [], []
        for day in range(ENTRIES):
            who, where, what = WHO[day % 5], WHERE[day // 5 % 5], WHAT[day // 25 % 5]
            of = {"call_sid": f"CA{number:04d}{day:04d}", "day": FIRST_DAY + timedelta(days=day)}
            made.append({**of, "caller_id": person.caller_id, "arrived_at": now, "stream": 1, "token_expires_at": now})
            title, body = f"{where}에 간 날", f"{who}랑 {where}에 가서 {what}을 샀다. {day}번째 날이었다."
            sealed = {"title_sealed": store.keys.encrypt(title), "body_sealed": store.keys.encrypt(body)}
            written.append({**of, **sealed, "status": Status.APPROVED.value, "written_at": now})
        async with store.database.write() as connection:
            await connection.execute(calls.insert(), made)
            await connection.execute(entries.insert(), written)
    return tokens


@asynccontextmanager
async def served(url: str, model_url: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The chat in a process of its own, and its HOST:PORT."""
    environ = {
        **os.environ,
        "RTZR_CLIENT_ID": "none",
        "RTZR_CLIENT_SECRET": "none",
        "DATABASE_URL": url,
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": model_url,
        "TTS": "espeak",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.lab.chat_stage", stdin=PIPE, stdout=PIPE, env=environ
    )
    assert process.stdin and process.stdout
    try:
        async with asyncio.timeout(START_S):
            address = (await process.stdout.readline()).decode().strip()
        yield process, address
    finally:
        process.stdin.close()  # it ends with its input
        await process.wait()


async def _serve() -> None:
    """Serve the chat, and end with the standard input."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    settings = load({**os.environ, "PUBLIC_URL": f"http://{address}"})
    store = await open_store(settings.database_url, settings.diary_keys, settings.timezone)
    model = ChatModel(settings.openai or OpenAiSettings())
    door, app = ChatDoor(), Quart("chat", static_folder=None)
    app.register_blueprint(door.blueprint())
    beneath = straight_sockets(cast(AsgiApp, app.asgi_app))
    app.asgi_app = beneath  # type: ignore[method-assign, assignment]
    chats = Chatting(
        Chats(store.database, store.keys, store.clock),
        Library(store.database, store.keys),
        Answering(model, prompt("chat")),
        clock=store.clock,
        timezone=settings.timezone,
    )
    people = People(store.database, store.keys, store.clock)
    door.start(Running(Identity(settings, people), chats))
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=LARGEST_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    print(address, flush=True)
    serving = asyncio.ensure_future(server.serve([listener]))
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving
    await model.close()
    await store.close()


if __name__ == "__main__":
    asyncio.run(_serve())
