"""One connection of a small HTTP/1.1 server that a lab stand-in answers with, and can misbehave on.

Knows requests and responses; it must not know what they are about.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import h11

LARGEST_BODY_BYTES = 4_000_000


class PeerGone(Exception):
    """The client closed the connection before its answer was complete."""


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query: str = ""


class Connection:
    """The server's side of one connection: `request()`, then one answer, and again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)

    async def request(self) -> Request | None:
        """Wait for the next request; None when the client has closed. h11.RemoteProtocolError when it is not HTTP."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            match event:
                case h11.Request():
                    head = event
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage():
                    break
                case h11.ConnectionClosed():
                    return None
                case _:
                    data = await self._reader.read(65_536)
                    if head is not None and not data:
                        raise PeerGone
                    self._http.receive_data(data)
            if len(body) > LARGEST_BODY_BYTES:
                raise h11.RemoteProtocolError("body too large", 413)
        if head is None:
            return None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        path, _, query = head.target.decode("latin-1").partition("?")
        return Request(head.method.decode(), path, headers, bytes(body), query)

    async def begin(self, status: int, content_type: str, headers: dict[str, str] | None = None) -> None:
        """Send the head of an answer whose length is not known."""
        fields = {"Content-Type": content_type, "Transfer-Encoding": "chunked", **(headers or {})}
        await self._send(h11.Response(status_code=status, headers=list(fields.items())))

    async def send(self, data: bytes) -> None:
        """Send a piece of the answer."""
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        """The answer is complete."""
        await self._send(h11.EndOfMessage())

    async def answer(self, status: int, value: object) -> None:
        """Send a whole answer as JSON."""
        await self.answer_bytes(status, "application/json", json.dumps(value, ensure_ascii=False).encode())

    async def answer_bytes(self, status: int, content_type: str, body: bytes) -> None:
        """Send a whole answer."""
        fields = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
        await self._send(h11.Response(status_code=status, headers=fields))
        await self.send(body)
        await self.end()

    def cut(self) -> None:
        """Break the connection off, without any closing words."""
        self._writer.transport.abort()

    @property
    def is_over(self) -> bool:
        """Whether no further request can come on this connection."""
        return self._http.our_state is not h11.DONE or self._writer.is_closing()

    @asynccontextmanager
    async def while_peer_stays(self) -> AsyncIterator[None]:
        """Run the body of the `with` while the client listens; PeerGone, at once, when it leaves."""
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch())
                yield
                watch.cancel()
        except BaseExceptionGroup as errors:
            if errors.split((PeerGone, ConnectionError))[1] is None:
                raise PeerGone from None
            raise

    async def _watch(self) -> None:
        while data := await self._reader.read(65_536):
            self._http.receive_data(data)
        raise PeerGone

    async def _send(self, event: h11.Event) -> None:
        self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()


async def converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Callable[[Connection, Request], Awaitable[None]]
) -> None:
    """Have the requests of one connection answered until it is over. PeerGone; h11.RemoteProtocolError: no HTTP."""
    connection = Connection(reader, writer)
    try:
        while (request := await connection.request()) is not None:
            async with connection.while_peer_stays():
                await answer(connection, request)
            if connection.is_over:
                break
    except ConnectionError:
        pass
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
