"""bot/doors/live.py: the live calls, and of two streams of one call the one that goes on."""

import asyncio

import pytest

from bot.doors import live as live_module
from bot.doors.ceiling import FEWEST_CALLS, WINDOW_WAKES, Ceiling
from bot.doors.live import LiveCalls

WAIT_S = 10


class Stream:
    """A call that ends once it is told that its socket is over, and may save."""

    def __init__(self, call_sid):
        self.call_sid = call_sid
        self.over = asyncio.Event()
        self.may_save = asyncio.Event()
        self.saved = False

    def gone(self):
        self.over.set()

    async def run(self):
        await self.over.wait()
        await self.may_save.wait()
        self.saved = True


async def begin(live, *call_sids):
    streams = [Stream(call_sid) for call_sid in call_sids]
    for stream in streams:
        live.start(stream)
    await asyncio.sleep(0)
    return streams


async def test_it_is_full_when_it_is_late_with_many_calls():
    ceiling = Ceiling()
    for _ in range(WINDOW_WAKES):
        ceiling.woke(1000.0)
    async with asyncio.TaskGroup() as tasks:
        live = LiveCalls(tasks, lambda call: call.run(), ceiling)
        assert not live.is_full
        streams = await begin(live, *(f"CA{number}" for number in range(FEWEST_CALLS)))
        assert live.is_full
        for stream in streams:
            stream.may_save.set()
            stream.gone()
    assert not live.is_full


@pytest.fixture
async def live():
    async with asyncio.TaskGroup() as tasks:
        live = LiveCalls(tasks, lambda call: call.run())
        yield live
        live.cancel()


async def test_the_next_stream_ends_the_one_before_it_and_waits_until_it_has_saved(live):
    old, other = await begin(live, "CA1", "CA2")
    await live.alone(old)
    await live.alone(other)
    (new,) = await begin(live, "CA1")
    assert not old.over.is_set()
    waiting = asyncio.create_task(live.alone(new))
    async with asyncio.timeout(WAIT_S):
        await old.over.wait()
    await asyncio.sleep(0.05)
    assert not waiting.done()
    old.may_save.set()
    async with asyncio.timeout(WAIT_S):
        await waiting
    assert old.saved
    assert not new.over.is_set() and not other.over.is_set()


async def test_a_stream_that_nobody_let_in_ends_none_and_is_not_ended(live):
    stranger, first, second = await begin(live, "CA1", "CA1", "CA1")
    first.may_save.set()
    await live.alone(first)
    await live.alone(second)
    assert first.saved
    assert not stranger.over.is_set() and not second.over.is_set()


async def test_of_two_streams_at_once_the_last_let_in_goes_on_whichever_came_first(live):
    early, late = await begin(live, "CA1", "CA1")
    late.may_save.set()
    await live.alone(late)
    await live.alone(early)
    assert late.saved
    assert not early.over.is_set()


async def test_a_stream_that_does_not_save_is_not_waited_for_for_ever(live, monkeypatch):
    monkeypatch.setattr(live_module, "SETTLE_S", 0.01)
    old, new = await begin(live, "CA1", "CA1")
    await live.alone(old)
    async with asyncio.timeout(WAIT_S):
        await live.alone(new)
    assert old.over.is_set() and not old.saved


async def test_all_streams_of_a_call_are_ended_and_waited_for_until_they_have_saved(live):
    one, two, other = await begin(live, "CA1", "CA1", "CA2")
    ending = asyncio.create_task(live.end("CA1"))
    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(one.over.wait(), two.over.wait())
    await asyncio.sleep(0.05)
    assert not ending.done() and not other.over.is_set()
    one.may_save.set()
    two.may_save.set()
    async with asyncio.timeout(WAIT_S):
        await ending
    assert one.saved and two.saved


async def test_a_stream_is_over_when_its_socket_is_closed_though_its_call_still_saves(live):
    (stream,) = await begin(live, "CA1")
    assert not await live.streams_over(0.01)
    live.left(stream)
    assert await live.streams_over(0.01)
    assert len(live) == 1


async def test_with_no_stream_at_all_none_is_waited_for(live):
    assert await live.streams_over(0.01)
