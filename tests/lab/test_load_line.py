"""bot/lab/load_line.py: the socket of a load, against the `websockets` that everybody uses."""

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from bot.lab.load_line import LoadSocket

SIZES = (0, 1, 125, 126, 380, 65_535)


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_messages_of_every_length_arrive_both_ways() -> None:
    seen: list[str | bytes] = []
    taken: list[bytes] = []

    async def echo(ws: ServerConnection) -> None:
        async for message in ws:
            seen.append(message)
            await ws.send(message)

    async with serve(echo, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        ws = await connect(f"ws://127.0.0.1:{port}", compression=None, proxy=None)
        socket = LoadSocket.over(ws, taken.append)
        texts = [("가" * size).encode()[:size] if size % 3 == 0 else b"x" * size for size in SIZES]
        for text in texts:
            socket.send(text)
        await until(lambda: len(taken) == len(texts))
        assert taken == texts
        assert seen == [text.decode() for text in texts]
        socket.close()
        assert socket.close_code == 1000


@pytest.mark.parametrize("code", [1000, 1012])
async def test_pings_are_answered_and_a_close_is_told(code: int) -> None:
    async def ask(ws: ServerConnection) -> None:
        await (await ws.ping())
        await ws.close(code)

    async with serve(ask, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]
        ws = await connect(f"ws://127.0.0.1:{port}", compression=None, proxy=None, ping_interval=None)
        socket = LoadSocket.over(ws, lambda message: None)
        await until(lambda: socket.close_code is not None)
        assert socket.close_code == code


async def test_a_connection_that_breaks_is_told() -> None:
    async with serve(lambda ws: ws.transport.abort(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        ws = await connect(f"ws://127.0.0.1:{port}", compression=None, proxy=None)
        socket = LoadSocket.over(ws, lambda message: None)
        await until(lambda: socket.close_code == 1006)
