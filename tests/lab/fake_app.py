"""A small app for the Twilio stand-in to phone: it answers what it is told to; a test says what it does on a stream."""

import asyncio
import json
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

from bot.lab.report import CallReport
from bot.lab.twilio import TwilioLab

TOKEN = "12345"
FRAME = bytes([0x10, 0x90] * 80)
"""20 ms of loud sound."""
CONNECT = (
    '<Response><Connect action="/twilio/after">'
    '<Stream url="/twilio/media" statusCallback="{base}/twilio/stream-status">'
    '<Parameter name="token" value="t0k3n"/></Stream></Connect></Response>'
)
HANG_UP = "<Response><Hangup/></Response>"
SILENCE = b64encode(b"\xff" * 160).decode()


class Stream:
    """The app's side of one media socket, raw."""

    def __init__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        self.headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.raw_query: bytes = scope["query_string"]
        self.messages: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self.sid = ""
        self._receive = receive
        self._send = send

    async def next(self) -> dict[str, Any] | None:
        """The next message, or None when the socket is over."""
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            self.gone.set()
            return None
        message: dict[str, Any] = json.loads(event["text"])
        self.messages.append(message)
        return message

    async def until(self, event: str) -> dict[str, Any] | None:
        while (message := await self.next()) is not None and message["event"] != event:
            pass
        return message

    async def start(self) -> None:
        message = await self.until("start")
        assert message is not None
        self.sid = message["streamSid"]

    async def drain(self) -> None:
        while await self.next() is not None:
            pass

    async def say(self, frames: int, mark: str | None = None) -> None:
        await self.media(FRAME * frames)
        if mark is not None:
            await self.json({"event": "mark", "streamSid": self.sid, "mark": {"name": mark}})

    async def media(self, mulaw: bytes) -> None:
        payload = b64encode(mulaw).decode()
        await self.json({"event": "media", "streamSid": self.sid, "media": {"payload": payload}})

    async def clear(self) -> None:
        await self.json({"event": "clear", "streamSid": self.sid})

    async def json(self, message: Any) -> None:
        await self.text(json.dumps(message))

    async def text(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def binary(self, data: bytes) -> None:
        await self._send({"type": "websocket.send", "bytes": data})

    async def close(self, code: int = 1000) -> None:
        await self._send({"type": "websocket.close", "code": code})

    def of(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["event"] == event]


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    form: dict[str, str]


@dataclass
class FakeApp:
    """`pages` maps a path to (status, content type, body), or to several, one for each request in turn."""

    on_stream: Callable[[Stream], Awaitable[None]]
    pages: dict[str, Any] = field(default_factory=dict)
    refuse_media: bool = False
    delay_s: float = 0.0
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _websocket(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        await receive()
        stream = Stream(scope, receive, send)
        self.streams.append(stream)
        if self.refuse_media:
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept"})
        await self.on_stream(stream)

    async def _http(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        self.requests.append(Request(scope["path"], headers, form))
        await asyncio.sleep(self.delay_s)
        status, kind, text = self._page(scope["path"])
        head = {"type": "http.response.start", "status": status, "headers": [(b"content-type", kind.encode())]}
        await send(head)
        await send({"type": "http.response.body", "body": text.replace("{base}", self.url).encode()})

    def _page(self, path: str) -> tuple[int, str, str]:
        defaults = {
            "/twilio/voice": (200, "text/xml", CONNECT),
            "/twilio/after": (200, "text/xml; charset=utf-8", HANG_UP),
            "/twilio/status": (204, "", ""),
            "/twilio/stream-status": (204, "", ""),
        }
        page = (defaults | self.pages).get(path, (404, "text/plain", "no"))
        if isinstance(page, list):
            page = page.pop(0) if len(page) > 1 else page[0]
        return (200, "text/xml", page) if isinstance(page, str) else page

    def got(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]


@asynccontextmanager
async def serving(app: FakeApp) -> AsyncIterator[FakeApp]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            app, log_level="critical", lifespan="off", ws="websockets-sansio", ws_ping_interval=None
        )
        server = uvicorn.Server(config)
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[listener]))
            try:
                yield app
            finally:
                server.should_exit = True
                server.force_exit = True


async def phone(app: FakeApp, steps: Any, **options: Any) -> CallReport:
    patience_ms = options.pop("patience_ms", 3000)
    number = options.pop("number", "+821012345678")
    async with serving(app), TwilioLab(app.url, auth_token=TOKEN, verb_pace=0, **options) as lab:
        return await lab.call(steps, number=number, patience_ms=patience_ms)


async def greet_and_leave(stream: Stream) -> None:
    """Says 100 ms, waits until it was heard, closes."""
    await stream.start()
    await stream.say(5, "0:0")
    await stream.until("mark")
    await stream.close()
