"""bot/port.py: a port that several processes share, here in one loop."""

import asyncio
import socket
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from bot.errors import IlgiError
from bot.port import SharedPort, Tally, bound, lend
from tests.served import WAIT_S

MANY = 20


class Sharer:
    """One of those who share a port, as a server: it counts who is connected."""

    def __init__(self, listener, tally, number):
        ours, cord = socket.socketpair()
        lend(ours, listener, tally, number)
        self.parent, self.port, self.number, self.orphaned = ours, SharedPort(cord), number, asyncio.Event()
        self.open = set()
        self.port.open(self.orphaned.set)

    def connection(self):
        sharer = self

        class Connection(asyncio.Protocol):
            def connection_made(self, transport):
                sharer.open.add(self)
                transport.write(bytes([sharer.number]))

            def connection_lost(self, error):
                sharer.open.discard(self)

        return Connection()

    async def take(self):
        await self.port.take(self.connection, lambda: len(self.open))


@asynccontextmanager
async def sharing(count):
    """A port, and those who share it."""
    tally = Tally()
    with bound("127.0.0.1", 0) as listener:
        sharers = [Sharer(listener, tally, number) for number in range(count)]
        async with asyncio.TaskGroup() as tasks:
            for sharer in sharers:
                tasks.create_task(sharer.take())
            yield sharers, listener.getsockname()[1]
            for sharer in sharers:
                sharer.port.close()
                sharer.parent.close()


async def called(port):
    """Connect; gives which of them has taken it, and the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    return (await reader.readexactly(1))[0], writer


async def test_of_those_who_share_a_port_who_has_fewest_takes_the_next():
    async with sharing(3) as (_, port):
        came = [await called(port) for _ in range(3 * MANY)]
        assert Counter(number for number, _ in came) == {0: MANY, 1: MANY, 2: MANY}
        for number, writer in came:
            if number == 1:
                writer.close()
                await writer.wait_closed()
        came += [await called(port) for _ in range(MANY)]
        # That they have gone is known once somebody comes.
        assert Counter(number for number, _ in came[3 * MANY :])[1] >= MANY // 2 + 1
        for _, writer in came:
            writer.close()


async def test_who_is_leaving_lets_the_others_go_first():
    async with sharing(2) as (sharers, port):
        before = [await called(port) for _ in range(4)]
        sharers[0].port.leave()
        after = [await called(port) for _ in range(MANY)]
        assert {number for number, _ in after} == {1}
        for _, writer in before + after:
            writer.close()


async def test_many_at_once_are_shared_too():
    async with sharing(2) as (_, port):
        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(called(port)) for _ in range(2 * MANY)]
        shares = Counter(call.result()[0] for call in calls)
        assert min(shares.values()) >= MANY - 1
        for call in calls:
            call.result()[1].close()


async def test_who_hangs_with_none_keeps_nobody_waiting():
    tally = Tally()
    with bound("127.0.0.1", 0) as listener:
        tally.note(1, 0)
        busy = Sharer(listener, tally, 0)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(busy.take())
            for _ in range(MANY):
                (await called(listener.getsockname()[1]))[1].close()
            busy.port.close()
        busy.parent.close()


async def test_who_leaves_takes_nobody_more_and_loses_nobody():
    async with sharing(2) as (sharers, port):
        await called(port)
        sharers[0].port.close()
        came = [await called(port) for _ in range(MANY)]
        assert {number for number, _ in came} == {1}
        for _, writer in came:
            writer.close()


async def test_the_parent_is_told_who_serves_and_its_end_is_heard_once():
    async with sharing(1) as ((sharer,), _):
        sharer.parent.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(sharer.parent, 10) == b"."
        sharer.parent.close()
        await sharer.orphaned.wait()
        sharer.orphaned.clear()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not sharer.orphaned.is_set()


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(IlgiError, match="PORT: cannot listen on 127"):
        bound("127.0.0.1", taken.getsockname()[1])


async def test_who_cannot_open_a_file_tries_again(monkeypatch):
    monkeypatch.setattr("bot.port.NO_FILES_S", 0.01)
    async with sharing(1) as ((sharer,), port):
        real, refused = sharer.port.listener, [OSError(24, "Too many open files")] * 2

        class Refusing:
            def accept(self):
                if refused:
                    raise refused.pop()
                return real.accept()

            def __getattr__(self, name):
                return getattr(real, name)

        sharer.port.listener = Refusing()
        number, writer = await called(port)
        assert (number, refused) == (0, [])
        writer.close()


async def test_who_is_ready_when_the_parent_has_gone_is_told_so():
    with bound("127.0.0.1", 0) as listener:
        ours, cord = socket.socketpair()
        lend(ours, listener, Tally(), 0)
        port, orphaned = SharedPort(cord), asyncio.Event()
        ours.close()
        port.open(orphaned.set)
        async with asyncio.timeout(WAIT_S):
            await orphaned.wait()
