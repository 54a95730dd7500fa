"""A client of the text chat in Python, to be used, or copied: it needs `websockets` and nothing of the bot.

    async with ChatClient("https://diary.example.com", cookie) as chat:
        async for event in chat.ask("지난달에 지수를 언제 만났지?"):
            ...

`cookie` is what a signed-in browser sends, `NAME=VALUE`. Run alone it asks what it reads, a line each:
`CHAT_COOKIE=… python -m bot.lab.chat_client URL`.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Origin

TRIES = 5
FIRST_WAIT_S = 1.0
ANSWER_S = 30.0
BUFFER_S = 0.05
_LASTING = (401, 403, 404)
"""Asking again changes nothing about these."""


class ChatFailed(Exception):
    """The chat cannot be reached, lets us not in, or says nothing."""


class ChatClient:
    """One session of the chat, which goes on over broken connections; one question at a time.

    A connection that fails or breaks is tried again `tries` times, with waits that double from `first_wait_s`.
    `answer_s` is how long the next event may take. Tokens of `buffer_s` are given as one, with the index of its first.
    """

    def __init__(
        self,
        url: str,
        cookie: str,
        *,
        tries: int = TRIES,
        first_wait_s: float = FIRST_WAIT_S,
        answer_s: float = ANSWER_S,
        buffer_s: float = BUFFER_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        parts = urlsplit(url)
        self._origin = Origin(f"{parts.scheme}://{parts.netloc}")
        self._url = f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}{parts.path.rstrip('/')}/chat-ws"
        self._cookie = cookie
        self._tries = tries
        self._first_wait_s = first_wait_s
        self._answer_s = answer_s
        self._buffer_s = buffer_s
        self._sleep = sleep
        self._socket: ClientConnection | None = None
        self._failures = 0
        self._why = ""
        self.session_id: str | None = None

    async def __aenter__(self) -> Self:
        self._socket = await self._connected()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def ask(self, content: str, message_id: str | None = None) -> AsyncGenerator[dict[str, Any]]:
        """Give the events of one answer, up to `stream_end` or `stream_error`; ChatFailed.

        `message_id`, a UUID, is made here if none is given; one that was answered before gets that answer again.
        After a broken connection the same message is sent again. The server does not answer it twice, but begins the
        answer again from its `stream_start`: what was shown of it before is to be thrown away.
        """
        message = {"type": "message", "message_id": message_id or str(uuid4()), "content": content}
        is_over = False
        while not is_over:
            # Without the session that was told last a new one is begun.
            sent = json.dumps(message | {"session_id": self.session_id or "new"}, ensure_ascii=False)
            try:
                if self._socket is None:
                    self._socket = await self._connected()
                await self._socket.send(sent)
                while not is_over:
                    for event in await self._next_events(self._socket):
                        if event.get("message_id") not in (message["message_id"], None):
                            continue  # of an answer that was not read to its end
                        is_over = event["type"] in ("stream_end", "stream_error")
                        self._note(event)
                        yield event
            except ConnectionClosed:
                self._socket = None
                self._failed("it breaks")

    def _note(self, event: dict[str, Any]) -> None:
        if event["type"] == "stream_start":
            self.session_id = event["session_id"]
        elif event.get("reason") == "unknown_session":
            self.session_id = None

    async def _next_events(self, socket: ClientConnection) -> list[dict[str, Any]]:
        """The next event; of tokens all that come within `buffer_s` as one, and the event that ended them, if any."""
        first = await self._next(socket)
        if first["type"] != "stream_token":
            return [first]
        events = [first]
        try:
            async with asyncio.timeout(self._buffer_s):
                while events[-1] is first:
                    event = json.loads(await socket.recv())
                    if event["type"] == "stream_token" and event["message_id"] == first["message_id"]:
                        first["token"] += event["token"]
                    else:
                        events.append(event)
        except (TimeoutError, ConnectionClosed):
            pass  # a socket that is closed says so again
        return events

    async def _next(self, socket: ClientConnection) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._answer_s):
                event: dict[str, Any] = json.loads(await socket.recv())
        except TimeoutError as error:
            raise ChatFailed(f"no event within {self._answer_s:.0f} s") from error
        self._failures = 0
        return event

    async def _connected(self) -> ClientConnection:
        """A connection; after each failure since the last event, the wait before the next try is twice as long."""
        while True:
            if self._failures > self._tries:
                raise ChatFailed(f"no connection: {self._why}")
            if self._failures:
                await self._sleep(self._first_wait_s * 2 ** (self._failures - 1))
            try:
                return await connect(
                    self._url, origin=self._origin, additional_headers={"Cookie": self._cookie}, compression=None
                )
            except InvalidStatus as error:
                self._failed(f"HTTP {error.response.status_code}")
                if error.response.status_code in _LASTING:
                    raise ChatFailed(f"not let in: {self._why}") from error
            except (OSError, TimeoutError, InvalidHandshake) as error:
                self._failed(type(error).__name__)

    def _failed(self, why: str) -> None:
        self._failures += 1
        self._why = why


async def _talk(url: str, cookie: str) -> None:
    async with ChatClient(url, cookie) as chat:
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            async with aclosing(chat.ask(line)) as events:
                async for event in events:
                    _show(event)


def _show(event: dict[str, Any]) -> None:
    match event["type"]:
        case "stream_token":
            print(event["token"], end="", flush=True)
        case "stream_sources":
            print()
            for source in event["sources"]:
                print(f"  {source['metadata']['date']}  {source['title']}  ({source['score']:.2f})")
        case "stream_error":
            print(f"\n{event['message']} ({event['error_code']})", *event["solutions"], sep="\n  ")


def main() -> int:
    """Ask what is read, a line each, until an empty one."""
    if len(sys.argv) != 2 or "CHAT_COOKIE" not in os.environ:
        print("usage: CHAT_COOKIE=NAME=VALUE python -m bot.lab.chat_client URL", file=sys.stderr)
        return 2
    try:
        asyncio.run(_talk(sys.argv[1], os.environ["CHAT_COOKIE"]))
    except ChatFailed as error:
        print(f"chat: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
