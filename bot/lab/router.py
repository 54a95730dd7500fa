"""A small router in front of several processes, as a platform has one: connections in, bytes to one of the backends.

    async with Router() as router:
        router.backends["a"] = 5001        # PUBLIC_URL of all of them = router.url

Each new connection goes to the next backend, in turn, or to those of `preferred` alone while one of them accepts; a
backend that refuses is passed over. It looks at the first line of a connection, for its path, and at nothing else. The
same class stands in front of any outside service, to break its connections. Must not know what is carried.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from bot.lab.loopback import Loopback, reset

HEAD_S = 15.0
PIECE_BYTES = 65_536


@dataclass(eq=False, slots=True)
class Way:
    """One connection that is being carried; `backend` is None until one has accepted."""

    path: str
    client: asyncio.StreamWriter
    backend: str | None = None
    server: asyncio.StreamWriter | None = None
    held: bool = False
    """Its bytes are taken and go nowhere: half open."""


class Router(Loopback):
    """The router on an ephemeral port. Names of backends are free; a port is all that is known of one."""

    def __init__(self) -> None:
        super().__init__()
        self.backends: dict[str, int] = {}
        self.preferred: set[str] = set()
        self.answers: dict[str, bytes] = {}
        """What new connections of a path, by its beginning, are answered with, in place of a backend."""
        self._ways: set[Way] = set()
        self._next = 0

    def by_backend(self, path: str = "/") -> Counter[str]:
        """How many connections of a path, by its beginning, each backend has now."""
        return Counter(way.backend for way in self._of(path) if way.backend is not None)

    def reset(self, path: str = "/") -> int:
        """Break every connection of a path with a TCP reset, at both ends; returns how many."""
        ways = self._of(path)
        for way in ways:
            for writer in (way.client, way.server):
                if writer is not None:
                    reset(writer.transport)
        return len(ways)

    def hold(self, path: str = "/") -> int:
        """Have every connection of a path that is open now carry nothing any more, and stay open; returns how many."""
        ways = self._of(path)
        for way in ways:
            way.held = True
        return len(ways)

    def _of(self, path: str) -> list[Way]:
        return [way for way in self._ways if way.path.startswith(path)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_S):
                head = await reader.readuntil(b"\r\n")
            way = Way(head.split(b" ", 2)[1].decode("latin-1") if head.count(b" ") > 1 else "/", writer)
            if canned := next((text for path, text in self.answers.items() if way.path.startswith(path)), None):
                async with asyncio.timeout(HEAD_S):
                    await reader.readuntil(b"\r\n\r\n")
                writer.write(canned)
                await writer.drain()
                return
            await self._carry(way, head, reader)
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # a peer that went away, or never said a line
        finally:
            writer.close()

    async def _carry(self, way: Way, head: bytes, reader: asyncio.StreamReader) -> None:
        self._ways.add(way)
        try:
            if (found := await self._reach()) is None:
                way.client.write(answer("503 Service Unavailable"))
                await way.client.drain()
                return
            way.backend, back, way.server = found
            way.server.write(head)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(way, reader, way.server))
                both.create_task(self._pump(way, back, way.client))
        finally:
            self._ways.discard(way)
            if way.server is not None:
                way.server.close()

    async def _reach(self) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter] | None:
        """The next backend that takes a connection."""
        names = sorted(self.backends)
        self._next += 1
        first = self._next % max(len(names), 1)
        for name in sorted(names[first:] + names[:first], key=lambda name: name not in self.preferred):
            with suppress(OSError, KeyError):  # it has gone, or is not there yet
                return name, *(await asyncio.open_connection("127.0.0.1", self.backends[name]))
        return None

    async def _pump(self, way: Way, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Carry one direction to its end; how it ends, by a close or a reset, is carried too.

        Of a connection that is held, the other end learns nothing until this one has gone.
        """
        try:
            while data := await source.read(PIECE_BYTES):
                if not way.held:
                    target.write(data)
                    await target.drain()
            if way.held:
                reset(target.transport)
            else:
                with suppress(OSError):
                    target.write_eof()
        except ConnectionError:
            reset(target.transport)


def answer(status: str, body: bytes = b"", content_type: str = "application/json") -> bytes:
    """A whole HTTP answer, for `Router.answers`; `status`: such as "429 Too Many Requests"."""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
