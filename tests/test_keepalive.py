"""bot/keepalive.py: a peer that is busy sending is kept; one that is gone, asks nothing or reads nothing is not."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from quart import Quart, websocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bot import keepalive
from bot.doors.asgi import StraightSocket, straight_sockets
from bot.keepalive import PatientProtocol, PromptProtocol, give_up_unread
from tests.doors.test_media import WAIT_S, QuietServer, until

PING_S = 0.2
LATER_S = 1.5
HEAD_S, UNREAD_S = 0.3, 1.0
MIB = 1 << 20
SHORT = 60_000


class Slow:
    """A door that pulls nothing until it is told to."""

    def __init__(self) -> None:
        self.may_pull = asyncio.Event()
        self.messages = 0
        self.over = asyncio.Event()

    async def stream(self) -> None:
        media = StraightSocket.of(websocket.scope)
        media.hold()
        await websocket.accept()
        reading = asyncio.ensure_future(self._read(media))
        await asyncio.wait({reading})

    async def _read(self, media: StraightSocket) -> None:
        await self.may_pull.wait()
        while await media.pull() is not None:
            self.messages += 1
        self.over.set()

    async def page(self) -> str:
        await asyncio.sleep(HEAD_S * 4)
        return "late"

    async def short_page(self) -> bytes:
        return bytes(SHORT)

    async def long_page(self) -> bytes:
        return bytes(64 * MIB)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Slow, str]]:
    async with served() as (slow, url, _):
        yield slow, url


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Slow, str, QuietServer]]:
    slow = Slow()
    app = Quart("door", static_folder=None)
    app.websocket("/stream")(slow.stream)
    app.get("/late")(slow.page)
    app.get("/short")(slow.short_page)
    app.get("/long")(slow.long_page)
    app.asgi_app = straight_sockets(app.asgi_app)  # type: ignore[method-assign, assignment, arg-type]
    listener = socket.create_server(("127.0.0.1", 0))
    give_up_unread(listener, UNREAD_S)
    config = uvicorn.Config(
        app,
        http=PromptProtocol,
        ws=PatientProtocol,
        log_config=None,
        lifespan="off",
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
    )
    server = QuietServer(config)
    running = asyncio.create_task(server.serve([listener]))
    await until(lambda: server.started)
    try:
        yield slow, f"ws://127.0.0.1:{listener.getsockname()[1]}/stream", server
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


@pytest.fixture
def promptly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive, "HEAD_S", HEAD_S)


async def reached(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0]))


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server closes or breaks the connection."""
    found = b""
    async with asyncio.timeout(WAIT_S):
        try:
            while piece := await reader.read(MIB):
                found += piece
        except ConnectionResetError:
            pass
    return found


@pytest.mark.usefixtures("promptly")
@pytest.mark.parametrize("sent", [b"", b"GET /late HT", b"GET /late HTTP/1.1\r\nHost: bot\r\nX-More: "])
async def test_a_connection_without_a_request_is_broken(sent: bytes) -> None:
    async with serving() as (_, url):
        reader, writer = await reached(url)
        writer.write(sent)
        assert await all_of(reader) == b""
        writer.close()


@pytest.mark.usefixtures("promptly")
async def test_a_head_that_comes_in_drops_does_not_last() -> None:
    async with serving() as (_, url):
        reader, writer = await reached(url)
        reading = asyncio.create_task(all_of(reader))
        writer.write(b"GET /late HTTP/1.1\r\nX-More: ")
        async with asyncio.timeout(WAIT_S):
            while not reading.done():
                writer.write(b"a")
                await asyncio.sleep(HEAD_S / 10)
        assert await reading == b""
        writer.close()


@pytest.mark.usefixtures("promptly")
async def test_an_answer_may_take_longer_and_after_it_a_half_request_does_not_last() -> None:
    async with serving() as (_, url):
        reader, writer = await reached(url)
        writer.write(b"GET /late HTTP/1.1\r\nHost: bot\r\n\r\n")
        async with asyncio.timeout(WAIT_S):
            assert (await reader.readuntil(b"late")).startswith(b"HTTP/1.1 200")
        writer.write(b"GET /late HTTP/1.1\r\n")
        assert await all_of(reader) == b""
        writer.close()


async def test_the_end_of_an_answer_waits_for_a_peer_that_reads_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive, "HEAD_S", 0.05)
    async with served() as (_, url, server):
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0])))
        reader, writer = await asyncio.open_connection(sock=raw)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: bool(server.server_state.connections))
        [connection] = server.server_state.connections
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        writer.write(b"GET /short HTTP/1.1\r\nHost: bot\r\n\r\n")
        await until(lambda: connection.cycle is not None and connection.cycle.response_complete)
        assert unread(server) > 0
        await asyncio.sleep(0.2)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (await all_of(reader)).partition(b"\r\n\r\n")[2] == bytes(SHORT)
        writer.close()


@pytest.mark.usefixtures("promptly")
async def test_a_websocket_may_be_quiet_for_longer() -> None:
    async with serving() as (slow, url), connect(url, ping_interval=None) as peer:
        slow.may_pull.set()
        await asyncio.sleep(HEAD_S * 4)
        await peer.send("still here")
        await until(lambda: slow.messages == 1)


def unread(server: QuietServer) -> int:
    """How many bytes wait in this process for peers to read."""
    return sum(each.transport.get_write_buffer_size() for each in server.server_state.connections)


async def poured(peer: ClientConnection, frames: bytes, times: int) -> None:
    """Send the same frames again and again, for as long as they are taken."""
    transport = peer.transport
    for _ in range(times):
        transport.write(frames)
        with_room = time.monotonic() + 0.2
        while transport.get_write_buffer_size() > MIB and time.monotonic() < with_room:
            await asyncio.sleep(0.005)


def frame(first: int, content: bytes) -> bytes:
    return bytes((first, 0x80 | len(content))) + bytes(4) + content


async def test_pings_of_a_peer_that_reads_nothing_are_not_answered_into_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keepalive, "MOST_FRAMES", 1_000_000)
    async with served() as (slow, url, server):
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0])))
        async with connect(url, sock=raw, compression=None, ping_interval=None, close_timeout=0.1) as peer:
            slow.may_pull.set()
            peer.transport.pause_reading()
            await poured(peer, frame(0x89, os.urandom(125)) * 4_000, 40)
            assert 0 < unread(server) < MIB
            peer.transport.abort()


@pytest.mark.parametrize("tiny", [frame(0x00, b""), frame(0x89, b"")], ids=["fragments", "pings"])
async def test_a_read_of_nothing_but_tiny_frames_is_the_end_of_the_socket(tiny: bytes) -> None:
    async with served() as (slow, url, _), connect(url, compression=None, ping_interval=None) as peer:
        slow.may_pull.set()
        peer.transport.write(frame(0x02, b"") + tiny * 2_000_000)
        await until(slow.over.is_set)
        await peer.wait_closed()
        assert peer.close_code in (1006, 1008)


async def test_empty_fragments_are_not_kept() -> None:
    async with served() as (slow, url, server), connect(url, compression=None, ping_interval=None) as peer:
        slow.may_pull.set()
        await poured(peer, frame(0x02, b"") + frame(0x00, b"") * 500 + frame(0x00, b"kept"), 1)
        [connection] = server.server_state.connections
        await until(lambda: b"kept" in connection.frames)
        assert len(connection.frames) == 2
        peer.transport.write(frame(0x80, b""))
        await until(lambda: slow.messages == 1)


async def test_what_nobody_reads_does_not_hold_a_connection() -> None:
    async with served() as (_, url, server):
        _, writer = await reached(url)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /long HTTP/1.1\r\nHost: bot\r\nConnection: close\r\n\r\n")
        await until(lambda: unread(server) > 0)
        try:
            await until(lambda: not server.server_state.connections)
        finally:
            writer.transport.abort()
