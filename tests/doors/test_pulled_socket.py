"""bot/doors/asgi.py: a socket whose messages are pulled, so that a peer that is too fast waits."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from quart import Quart, websocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bot.doors.asgi import StraightSocket, straight_sockets
from tests.doors.test_media import WAIT_S, serving

MESSAGE = bytes(32_000)


class Reader:
    """A door that pulls as often as it is told, and notes what comes."""

    def __init__(self):
        self.socket = None
        self.messages = []
        self.may_pull = asyncio.Event()
        self.over = asyncio.Event()

    async def __call__(self):
        self.socket = StraightSocket.of(websocket.scope)
        self.socket.hold()
        await websocket.accept()
        reading = asyncio.ensure_future(self.read())
        await asyncio.wait({reading})

    async def read(self):
        await self.may_pull.wait()
        while (message := await self.socket.pull()) is not None:
            self.messages.append(message)
        self.over.set()


@asynccontextmanager
async def opened():
    reader = Reader()
    app = Quart("door", static_folder=None)
    app.websocket("/twilio/media")(reader.__call__)
    app.asgi_app = straight_sockets(app.asgi_app)
    async with serving(app) as url:
        yield reader, url


async def test_messages_are_pulled_in_order_and_the_end_comes_last():
    async with opened() as (reader, url):
        async with connect(url, compression=None) as peer:
            for number in range(200):
                await peer.send(str(number))
            await peer.send(b"")
            asyncio.get_running_loop().call_later(0.1, reader.may_pull.set)
        async with asyncio.timeout(WAIT_S):
            await reader.over.wait()
        assert reader.messages == [*map(str, range(200)), b""]
        assert await reader.socket.pull() is None


async def test_a_peer_that_is_too_fast_waits_and_what_it_sent_is_not_in_memory():
    async with opened() as (reader, url), connect(url, compression=None) as peer:
        sent = 0

        async def flood():
            nonlocal sent
            for _ in range(2_000):
                await peer.send(MESSAGE)
                sent += 1

        flooding = asyncio.create_task(flood())
        await asyncio.sleep(0.5)
        stuck_at = sent
        await asyncio.sleep(0.5)
        assert stuck_at == sent < 1_000
        assert len(reader.socket._early) == 1
        reader.may_pull.set()
        async with asyncio.timeout(WAIT_S):
            await flooding
        await peer.close()
        async with asyncio.timeout(WAIT_S):
            await reader.over.wait()
        assert len(reader.messages) == 2_000


async def test_a_pull_that_is_cancelled_loses_nothing():
    async with opened() as (reader, url), connect(url, compression=None) as peer:
        while reader.socket is None:
            await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await reader.socket.pull()
        await peer.send("one")
        async with asyncio.timeout(WAIT_S):
            assert await reader.socket.pull() == "one"


async def test_who_closes_the_socket_is_not_held_up_by_what_nobody_pulls():
    async with opened() as (reader, url), connect(url, compression=None) as peer:
        for _ in range(5):
            await peer.send("more")
        await asyncio.sleep(0.1)
        await reader.socket.close(1008)
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(WAIT_S):
                await peer.recv()
        assert peer.close_code == 1008
        reader.may_pull.set()
        async with asyncio.timeout(WAIT_S):
            await reader.over.wait()
