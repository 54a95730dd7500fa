"""The router in front of several processes: where a connection goes, what is passed over, how a break is carried."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from bot.lab.loopback import reset
from bot.lab.router import Router, answer

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Reached = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def backend(talk: Talk) -> AsyncIterator[int]:
    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(taken, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def saying(name: str) -> Talk:
    """A backend that says its name, and then whatever it is told."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(f"{name}\n".encode())
        while line := await reader.readline():
            writer.write(line)

    return talk


async def reach(router: Router, path: str = "/") -> Reached:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(router.url.rpartition(":")[2]))
    writer.write(f"GET {path} HTTP/1.1\r\n".encode())
    return reader, writer


async def asked(router: Router, path: str = "/") -> str:
    reader, writer = await reach(router, path)
    async with asyncio.timeout(5):
        line = (await reader.readline()).decode().strip()
    writer.close()
    return line


@asynccontextmanager
async def routed(*names: str) -> AsyncIterator[Router]:
    async with AsyncExitStack() as stack:
        router = await stack.enter_async_context(Router())
        for name in names:
            router.backends[name] = await stack.enter_async_context(backend(saying(name)))
        yield router


async def closed_port() -> int:
    async with backend(saying("gone")) as port:
        return port


async def test_connections_go_to_each_backend_in_turn() -> None:
    async with routed("a", "b") as router:
        assert sorted([await asked(router) for _ in range(4)]) == ["a", "a", "b", "b"]


async def test_a_backend_that_refuses_is_passed_over() -> None:
    async with routed("b") as router:
        router.backends["a"] = await closed_port()
        assert [await asked(router) for _ in range(3)] == ["b"] * 3


async def test_with_no_backend_at_all_it_answers_itself() -> None:
    async with routed() as router:
        router.backends["a"] = await closed_port()
        assert await asked(router) == "HTTP/1.1 503 Service Unavailable"


async def test_the_preferred_one_gets_all_until_it_is_gone() -> None:
    async with routed("a", "b") as router:
        router.preferred = {"b"}
        assert [await asked(router) for _ in range(4)] == ["b"] * 4
        router.backends["b"] = await closed_port()
        assert await asked(router) == "a"


async def test_bytes_are_carried_both_ways_and_so_is_the_end() -> None:
    async with routed("a") as router, asyncio.timeout(5):
        reader, writer = await reach(router)
        assert await reader.readline() == b"a\n"
        writer.write(b"hello\n" * 20_000)
        assert await reader.readexactly(120_000) == b"hello\n" * 20_000
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


async def test_every_connection_of_a_path_can_be_reset() -> None:
    async with routed("a") as router, asyncio.timeout(5):
        media, other = await reach(router, "/twilio/media"), await reach(router, "/twilio/voice")
        for reader, _ in (media, other):
            assert await reader.readline() == b"a\n"
        assert router.by_backend("/twilio/") == {"a": 2}
        assert router.reset("/twilio/media") == 1
        with pytest.raises(ConnectionResetError):
            await media[0].read()
        other[1].write(b"still here\n")
        assert await other[0].readline() == b"still here\n"
        other[1].close()


async def test_a_connection_that_is_held_carries_nothing_and_stays_open() -> None:
    async with routed("a") as router, asyncio.timeout(5):
        held = await reach(router)
        assert await held[0].readline() == b"a\n"
        assert router.hold() == 1
        held[1].write(b"hello\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await held[0].read(1)
        late = await reach(router)
        assert await late[0].readline() == b"a\n"
        for _, writer in (held, late):
            writer.close()


async def test_a_reset_by_the_backend_reaches_the_caller_as_one() -> None:
    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"a\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        reset(writer.transport)

    async with Router() as router, backend(breaks) as port, asyncio.timeout(5):
        router.backends["a"] = port
        reader, _ = await reach(router)
        assert await reader.readline() == b"a\n"
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_it_can_answer_in_place_of_a_backend() -> None:
    async with routed("a") as router, asyncio.timeout(5):
        router.answers["/v1/"] = answer("429 Too Many Requests", b"{}")
        reader, writer = await reach(router, "/v1/transcribe?x=1")
        writer.write(b"Host: x\r\n\r\n")
        whole = await reader.read()
        assert whole.startswith(b"HTTP/1.1 429 Too Many Requests\r\n") and whole.endswith(b"\r\n\r\n{}")
        assert await asked(router, "/other") == "a"


async def test_it_tells_which_backend_has_how_many() -> None:
    async with routed("a", "b") as router, asyncio.timeout(5):
        router.preferred = {"a"}
        ways = [await reach(router, "/twilio/media") for _ in range(3)]
        for reader, _ in ways:
            await reader.readline()
        assert router.by_backend("/twilio/media") == {"a": 3}
        for _, writer in ways:
            writer.close()
