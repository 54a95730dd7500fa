"""bot/lab/abusers.py, abuser_peer.py: what an abuser does to a server, and what is noted of it."""

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve

from bot.lab import abusers
from bot.lab.abuser_peer import Peer, Target, frame
from bot.lab.abusers import CASES, all_files

WAIT_S = 10


@pytest.fixture
async def echoing() -> AsyncIterator[str]:
    """The address of an ordinary WebSocket server."""

    async def echo(ws: ServerConnection) -> None:
        async for message in ws:
            await ws.send(message)

    async with serve(echo, "127.0.0.1", 0, compression=None, max_size=128 * 1024) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


Take = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def served(take: Take) -> tuple[str, asyncio.Server]:
    server = await asyncio.start_server(take, "127.0.0.1", 0)
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", server


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
async def test_frames_of_every_length_are_understood(echoing: str, size: int) -> None:
    peer = await abusers._shaken(Target(echoing, 1))
    peer.transport.write(frame(1, b"x" * size))
    async with asyncio.timeout(WAIT_S):
        while not peer.got.endswith(b"x" * min(size, 900)) or not peer.got:
            peer.more.clear()
            await peer.more.wait()
    peer.reset()


async def test_what_is_too_big_is_noted_with_how_it_was_closed(echoing: str) -> None:
    target = Target(echoing, 0.2)
    async with asyncio.timeout(WAIT_S):
        await CASES["huge"](target)
    assert target.seen["a message of 1 MiB: closed with 1009"] >= 1
    assert not [what for what in target.seen if "left open" in what]


async def test_idle_connections_are_opened_and_those_that_were_closed_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[asyncio.StreamWriter] = []

    async def close_every_other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)
        if len(taken) % 2:
            writer.close()

    monkeypatch.setattr(abusers, "IDLE", 6)
    url, server = await served(close_every_other)
    target = Target(url, 0.3)
    await CASES["idle-tcp"](target)
    server.close()
    assert target.seen == {"opened": 6, "closed by the bot": 3, "open at the end": 3}


async def test_a_flood_notes_every_answer_and_a_connection_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await reader.readuntil(b"\r\n\r\n")
        if count % 2:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    monkeypatch.setattr(abusers, "FLOODERS", 3)
    url, server = await served(refuse)
    target = Target(url, 0.3)
    await CASES["handshakes"](target)
    server.close()
    assert target.seen["403"] > 0
    assert target.seen["closed"] > 0
    assert set(target.seen) == {"403", "closed"}


async def test_who_lets_go_leaves_nothing_in_the_system() -> None:
    broken = asyncio.Event()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        except ConnectionResetError:
            broken.set()
        writer.close()

    url, server = await served(read)
    peer = await Peer.to(Target(url, 1))
    await asyncio.sleep(0.05)
    peer.reset()
    async with asyncio.timeout(WAIT_S):
        await broken.wait()
    server.close()


def test_all_files_that_the_system_allows_may_be_open() -> None:
    assert all_files() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
