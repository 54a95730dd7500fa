"""bot/services/stt_feed.py and stt.py: audio that comes faster than it is spoken waits, and none of it is dropped."""

import asyncio

import pytest

from bot.conversation.events import Event, Final
from bot.lab.rtzr import RtzrLab
from bot.lab.rtzr_behaviour import Close, Faults, Profile
from bot.services import stt, stt_feed
from bot.services.stt import Recogniser, SttStream
from bot.services.stt_feed import FASTEST, Feed
from tests.services.listening import FRAME, LONG, TEXTS, settings_of, spoken

SECOND = 32_000


async def is_waiting(feed: Feed) -> bool:
    try:
        async with asyncio.timeout(0.05):
            await feed.room()
    except TimeoutError:
        return True
    return False


async def test_there_is_room_until_two_seconds_wait_to_be_sent() -> None:
    feed = Feed()
    feed.push(bytes(2 * SECOND), urgent=False)
    assert not await is_waiting(feed)
    feed.push(bytes(FRAME), urgent=False)
    assert await is_waiting(feed)
    waiting = asyncio.create_task(feed.room())
    await asyncio.sleep(0)
    await feed.next()
    async with asyncio.timeout(1):
        await waiting


async def test_at_the_end_nobody_waits() -> None:
    feed = Feed()
    feed.push(bytes(10 * SECOND), urgent=True)
    waiting = asyncio.create_task(feed.room())
    await asyncio.sleep(0)
    feed.end()
    async with asyncio.timeout(1):
        await waiting


async def send_all(feed: Feed) -> None:
    while feed.outbox.unsent_bytes >= stt_feed.BUNDLE_BYTES:
        await feed.next()


async def test_a_voice_that_has_no_final_for_long_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stt_feed, "WORDLESS_S", 10.0)
    feed = Feed()
    feed.push(bytes(31 * SECOND), urgent=True)
    await send_all(feed)
    assert await is_waiting(feed)
    feed.outbox.settled(0, 20_000)
    feed.moved()
    assert not await is_waiting(feed)


async def test_a_noise_for_which_there_is_no_word_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stt_feed, "WORDLESS_S", 0.02)
    feed = Feed()
    feed.connected = True
    feed.push(bytes(31 * SECOND), urgent=True)
    await send_all(feed)
    async with asyncio.timeout(1):
        await feed.room()
    assert feed.outbox.voice_bytes < SECOND // 10


async def test_a_voice_that_nobody_hears_is_no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stt_feed, "WORDLESS_S", 0.01)
    feed = Feed()
    feed.push(bytes(31 * SECOND), urgent=True)
    await send_all(feed)
    assert await is_waiting(feed)
    assert feed.outbox.voice_bytes == 31 * SECOND


class Listener:
    """Pushes as fast as there is room, and notes where each final was."""

    def __init__(self, recogniser: Recogniser) -> None:
        self.finals: list[tuple[str, int, int]] = []
        self.stream: SttStream = recogniser.stream(self._take, drain_s=10)

    def _take(self, event: Event) -> None:
        if isinstance(event, Final):
            self.finals.append((event.text, *self.stream.final_ms))

    async def say(self, names: list[str]) -> None:
        for name in names:
            pcm = spoken(name)
            for at in range(0, len(pcm), FRAME):
                self.stream.push(pcm[at : at + FRAME], urgent=True)
                await self.stream.room()
            self.stream.finalize()
        self.stream.end()


@pytest.mark.parametrize("closes", [[], [Close(after_ms=9000, code=1011), Close(after_ms=4000, code=None)]])
async def test_half_a_minute_is_recognised_at_the_fastest_pace_and_each_final_has_its_place(
    closes: list[Close], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stt, "DELAYS_S", (0.0, 0.01, 0.02, 0.04))
    names = LONG * 3
    async with RtzrLab(profile=Profile(open_ms=10, final_ms=15), faults=Faults(closes=list(closes))) as lab:
        recogniser = Recogniser(settings_of(lab))
        listener = Listener(recogniser)
        now = asyncio.get_running_loop().time
        began_s = now()
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            tasks.create_task(listener.stream.run())
            tasks.create_task(listener.say(names))
        took_s = now() - began_s
        await recogniser.close()
    assert [text for text, _, _ in listener.finals] == [TEXTS[name] for name in names]
    begins_ms = 0.0
    for (_, start_ms, end_ms), name in zip(listener.finals, names, strict=True):
        length_ms = len(spoken(name)) / 32
        assert start_ms == pytest.approx(begins_ms + 300, abs=250)
        assert start_ms < end_ms <= begins_ms + length_ms
        begins_ms += length_ms
    assert listener.stream.heard_all
    assert listener.stream.stats.dropped_bytes == 0
    assert took_s >= begins_ms / 1000 / FASTEST * 0.8


async def test_who_could_not_be_heard_is_known() -> None:
    async with RtzrLab(profile=Profile(open_ms=10), faults=Faults(channels=0)) as lab:
        recogniser = Recogniser(settings_of(lab))
        stream = recogniser.stream(lambda _: None)
        assert stream.heard_all
        stream.push(bytes(SECOND))
        assert stream.heard_all
        stream.push(bytes(SECOND), urgent=True)
        assert not stream.heard_all
        await stream.run()
        assert not stream.heard_all
        await recogniser.close()
