"""What lies beneath Quart, at the level of ASGI: WebSockets, and bounds for requests and their bodies.

Quart queues messages without a bound and, when the peer closes, cancels the handler with messages still queued: the
last words and `stop` would be lost. So messages go straight from the server to the call, in order, each within the same
step of the event loop, and Quart only sees the handshake and the end. A server that knows `STRAIGHT` calls the receiver
itself. A door that cannot keep up with what comes asks for one message at a time instead (`hold`, `pull`); what it has
not asked for waits at the peer, since the server reads no further. It must not know what the messages mean.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_MESSAGE_BYTES = 128 * 1024
"""10,000 characters of a chat, each written as two escapes, fit."""
CLOSE_S = 5.0
"""A peer that reads nothing for so long is not told why its socket is closed."""
TOO_BIG, NOT_UTF8, BAD_FRAME = 1009, 1007, 1002
STRAIGHT = "ilgi.straight"
"""The ASGI extension of a server that hands each message over itself; it holds the function that takes the receiver."""
_SCOPE_KEY = "ilgi.socket"
Receiver = Callable[[str | bytes], None]


class StraightSocket:
    """One WebSocket; `close_code` is the code it ended with, None while it is open.

    Messages that come before `deliver_to` wait for it: there can be none before the handshake is answered, and
    `deliver_to` is called in the same step.
    """

    def __init__(self, send: Send, straight: Callable[[Receiver], None] | None = None) -> None:
        self._send = send
        self._straight = straight
        self._early: deque[str | bytes] = deque()
        self._deliver: Receiver = self._early.append
        self._changed: asyncio.Event | None = None  # while messages are pulled
        self.close_code: int | None = None

    @staticmethod
    def of(scope: Any) -> "StraightSocket":
        """The socket behind a WebSocket scope that came through `straight_sockets`."""
        socket = scope[_SCOPE_KEY]
        assert isinstance(socket, StraightSocket)
        return socket

    @property
    def is_faulty(self) -> bool:
        """Whether it was closed over what the peer has sent: a message that is too big, or none of a WebSocket."""
        return self.close_code in (TOO_BIG, NOT_UTF8, BAD_FRAME)

    def deliver_to(self, receiver: Receiver) -> None:
        """From now on `receiver` is called with each message."""
        self._deliver = receiver
        while self._early:
            receiver(self._early.popleft())
        if self._straight:
            self._straight(receiver)

    def hold(self) -> None:
        """From now on messages are pulled; to be called before the handshake is answered."""
        self._changed = asyncio.Event()

    async def pull(self) -> str | bytes | None:
        """The next message, when it is there; None when the socket is over. May be cancelled: nothing is lost."""
        assert self._changed
        while not self._early:
            if self.close_code is not None:
                return None
            self._changed.clear()
            await self._changed.wait()
        message = self._early.popleft()
        self._changed.set()
        return message

    async def has_room(self) -> None:
        """Wait until another message may be read from the server."""
        while self._changed and self._early and self.close_code is None:
            self._changed.clear()
            await self._changed.wait()

    async def send(self, text: str) -> None:
        """Send a text message; ConnectionResetError when the socket is over."""
        if self.close_code is not None:
            raise ConnectionResetError("the socket is closed")
        try:
            await self._send({"type": "websocket.send", "text": text})
        except OSError as error:
            raise ConnectionResetError("the socket is gone") from error

    async def close(self, code: int) -> None:
        """Close with `code`, within `CLOSE_S`; does nothing when the socket is over."""
        if self.close_code is not None:
            return
        self._end(code)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._send({"type": "websocket.close", "code": code, "reason": ""})
        except OSError:
            pass

    def received(self, event: MutableMapping[str, Any]) -> None:
        """A `websocket.receive` of ASGI: text or bytes."""
        text = event.get("text")
        self._deliver(text if text is not None else event.get("bytes") or b"")
        if self._changed:
            self._changed.set()

    def ended(self, event: MutableMapping[str, Any]) -> None:
        """A `websocket.disconnect` of ASGI."""
        if self.close_code is None:
            self._end(event.get("code") or 1006)

    def _end(self, code: int) -> None:
        self.close_code = code
        if self._changed:
            self._changed.set()


def bounded_bodies(app: AsgiApp, most_bytes: int) -> AsgiApp:
    """ASGI middleware that ends a request's body one byte beyond `most_bytes`, so that the rest is never in memory.

    The application then sees a body that is too large and answers so, whatever Content-Length said.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        left_bytes = most_bytes + 1

        async def receive_some() -> MutableMapping[str, Any]:
            nonlocal left_bytes
            while (event := await receive())["type"] == "http.request" and left_bytes <= 0:
                continue
            if event["type"] != "http.request":
                return event
            body = event.get("body", b"")[:left_bytes]
            left_bytes -= len(body)
            return {**event, "body": body, "more_body": event.get("more_body", False) and left_bytes > 0}

        await app(scope, receive_some, send)

    return wrapped


def in_turn(app: AsgiApp) -> AsgiApp:
    """ASGI middleware that lets requests begin one at a time, each in a step of the event loop of its own.

    The calls' frames come between. Else the answers to many that come at once would be made in one step, and all that
    waits would be late by all of them.
    """
    turn = asyncio.Lock()

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            async with turn:
                await asyncio.sleep(0)
        await app(scope, receive, send)

    return wrapped


def straight_sockets(app: AsgiApp) -> AsgiApp:
    """ASGI middleware that puts a `StraightSocket` into the scope of every WebSocket."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await app(scope, receive, send)
            return
        socket = StraightSocket(send, (scope.get("extensions") or {}).get(STRAIGHT))

        async def receive_rest() -> MutableMapping[str, Any]:
            await socket.has_room()
            while (event := await receive())["type"] == "websocket.receive":
                socket.received(event)
                await socket.has_room()
            if event["type"] == "websocket.disconnect":
                socket.ended(event)
            return event

        async def send_rest(event: MutableMapping[str, Any]) -> None:
            # Quart closes what its handler leaves, also when the call has closed it.
            if event["type"] != "websocket.close" or socket.close_code is None:
                await send(event)

        await app({**scope, _SCOPE_KEY: socket}, receive_rest, send_rest)

    return wrapped
