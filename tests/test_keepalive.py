"""bot/keepalive.py: a peer that is busy sending is kept, and one that is gone is not."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from quart import Quart, websocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bot.doors.asgi import MediaSocket, media_sockets
from bot.keepalive import PatientProtocol
from tests.doors.test_media import WAIT_S, QuietServer, until

PING_S = 0.2
LATER_S = 1.5


class Slow:
    """A door that pulls nothing until it is told to."""

    def __init__(self) -> None:
        self.may_pull = asyncio.Event()
        self.messages = 0
        self.over = asyncio.Event()

    async def stream(self) -> None:
        media = MediaSocket.of(websocket.scope)
        media.hold()
        await websocket.accept()
        reading = asyncio.ensure_future(self._read(media))
        await asyncio.wait({reading})

    async def _read(self, media: MediaSocket) -> None:
        await self.may_pull.wait()
        while await media.pull() is not None:
            self.messages += 1
        self.over.set()


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Slow, str]]:
    slow = Slow()
    app = Quart("door", static_folder=None)
    app.websocket("/stream")(slow.stream)
    app.asgi_app = media_sockets(app.asgi_app)  # type: ignore[method-assign, assignment, arg-type]
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, ws=PatientProtocol, log_config=None, lifespan="off", ws_ping_interval=PING_S, ws_ping_timeout=PING_S
    )
    server = QuietServer(config)
    running = asyncio.create_task(server.serve([listener]))
    await until(lambda: server.started)
    try:
        yield slow, f"ws://127.0.0.1:{listener.getsockname()[1]}/stream"
    finally:
        server.should_exit = True
        await running


async def test_a_peer_whose_messages_wait_to_be_read_is_kept() -> None:
    async with serving() as (slow, url), connect(url, compression=None, ping_interval=None) as peer:
        sending = asyncio.create_task(_send(peer, 400))
        await asyncio.sleep(LATER_S)
        assert not sending.done()
        slow.may_pull.set()
        await sending
        await peer.close()
        await until(slow.over.is_set)
        assert slow.messages == 400


async def _send(peer: ClientConnection, count: int) -> None:
    async with asyncio.timeout(WAIT_S):
        for _ in range(count):
            await peer.send(bytes(32_000))


async def test_a_peer_that_answers_pings_is_kept() -> None:
    async with serving() as (slow, url), connect(url, ping_interval=None) as peer:
        slow.may_pull.set()
        await asyncio.sleep(LATER_S)
        await peer.send("still here")
        await until(lambda: slow.messages == 1)


@pytest.mark.parametrize("sends_before", [False, True])
async def test_a_peer_of_which_nothing_comes_is_given_up(sends_before: bool) -> None:
    async with serving() as (slow, url), connect(url, ping_interval=None, close_timeout=0.1) as peer:
        slow.may_pull.set()
        if sends_before:
            await peer.send("here")
            await until(lambda: slow.messages == 1)
        peer.transport.pause_reading()
        async with asyncio.timeout(LATER_S * 3):
            await slow.over.wait()
        peer.transport.resume_reading()
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(LATER_S):
                await peer.recv()
