"""A road between a browser and a server that a test can break: every connection at once, and for a while."""

import asyncio
from contextlib import asynccontextmanager


class Relay:
    """Passes bytes on to `port`; while `closed` it drops who comes, while `silent` they wait: so many are `held`.

    It is `broken` once it has dropped anybody.
    """

    def __init__(self):
        self.port = 0
        self.closed = False
        self.silent = False
        self.broken = False
        self.held = self.came = 0
        self.own_port = 0
        self._open = set()

    def cut(self):
        """Break every connection, without a word."""
        self.broken = True
        for writer in list(self._open):
            writer.transport.abort()

    async def _pass(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort() if writer.is_closing() else writer.close()

    async def _hold(self, reader, writer):
        self.held += 1
        self.came += 1
        try:
            while await reader.read(65536):
                pass
        except OSError:
            pass
        finally:
            self.held -= 1
            writer.close()

    async def serve(self, reader, writer):
        """One connection."""
        if self.closed:
            self.broken = True
            writer.transport.abort()
            return
        if self.silent:
            await self._hold(reader, writer)
            return
        there, here = await asyncio.open_connection("127.0.0.1", self.port)
        pair = {writer, here}
        self._open |= pair
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, here))
                both.create_task(self._pass(there, writer))
        finally:
            self._open -= pair


@asynccontextmanager
async def open_relay():
    """A relay on a port of the loopback."""
    relay = Relay()
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.own_port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        relay.closed = True
        server.close()
        relay.cut()
