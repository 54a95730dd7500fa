"""The writer of a media stream: pace, marks, and what happens when a reply is held, paused or stopped."""

import asyncio
import functools
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import track as track_module
from bot.audio.frames import MULAW_FRAME_BYTES
from bot.conversation.events import AudioSent, Event, ReplyEnded, SentenceSent, SentenceStarted
from bot.conversation.talk import parse_mark
from bot.playout import BUNDLE_MS, LEAD_MS, Playout
from bot.protocols.twilio import MediaStream
from tests import virtual_time

START = json.dumps(
    {
        "event": "start",
        "streamSid": "MZ" + "0" * 32,
        "start": {
            "streamSid": "MZ" + "0" * 32,
            "callSid": "CA" + "0" * 32,
            "accountSid": "AC" + "0" * 32,
            "tracks": ["inbound"],
            "customParameters": {},
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        },
    }
)


class Wire:
    """A media socket that writes down what was sent, and when."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, dict]] = []
        self.events: list[Event] = []
        stream = MediaStream()
        stream.receive(START)
        self.playout = Playout(stream, self.send, self.events.append)

    async def send(self, text: str) -> None:
        self.sent.append((asyncio.get_running_loop().time(), json.loads(text)))

    def kinds(self) -> list[str]:
        return [message["event"] for _, message in self.sent]

    def marks(self) -> list[str]:
        return [message["mark"]["name"] for _, message in self.sent if message["event"] == "mark"]

    def told(self) -> list[AudioSent]:
        return [event for event in self.events if isinstance(event, AudioSent)]

    def audio(self) -> bytes:
        return b"".join(b64decode(m["media"]["payload"]) for _, m in self.sent if m["event"] == "media")

    async def until(self, kind: str, count: int = 1) -> None:
        async with asyncio.timeout(5):
            while self.kinds().count(kind) < count:
                await asyncio.sleep(0.005)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test, and the writer of its `wire`, where only waiting takes time."""

    @functools.wraps(test)
    def run(wire: Wire, **others: Any) -> None:
        async def both() -> None:
            writing = asyncio.create_task(wire.playout.run())
            try:
                await test(wire, **others)
            finally:
                writing.cancel()

        virtual_time.run(both())

    return run


async def frames(count: int, fill: bytes = b"\x55", chunk: int = 3) -> AsyncIterator[bytes]:
    for begin in range(0, count, chunk):
        yield fill * MULAW_FRAME_BYTES * min(chunk, count - begin)


@in_virtual_time
async def test_sentences_leave_in_order_each_with_its_mark(wire: Wire) -> None:
    wire.playout.begin(7)
    await wire.playout.sentence(7, 0, frames(4, b"\x11"))
    await wire.playout.sentence(7, 1, frames(2, b"\x22"))
    wire.playout.end(7)
    await wire.until("mark", 2)
    await asyncio.sleep(0)
    assert wire.audio() == b"\x11" * 640 + b"\x22" * 320
    assert wire.marks() == ["7:0", "7:1"]
    assert wire.events == [
        SentenceStarted(7, 0),
        SentenceSent(7, 0, 80),
        SentenceStarted(7, 1, 80),
        SentenceSent(7, 1, 40),
        ReplyEnded(7),
    ]


@in_virtual_time
async def test_never_more_than_the_lead_is_out_of_our_hands(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(40))
    await wire.until("mark")
    began = wire.sent[0][0]
    sent_ms = 0
    for at, message in wire.sent:
        if message["event"] == "media":
            sent_ms += len(b64decode(message["media"]["payload"])) // 8
            assert sent_ms - (at - began) * 1000 <= LEAD_MS + 1
    assert sent_ms == 800


@in_virtual_time
async def test_a_stopped_reply_is_cleared_and_heard_no_more(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(100, b"\x11"))
    await wire.until("media", 3)
    wire.playout.stop(1)
    wire.playout.begin(2)
    await wire.playout.sentence(1, 1, frames(3, b"\x33"))
    await wire.playout.sentence(2, 0, frames(3, b"\x22"))
    await wire.until("mark")
    kinds = wire.kinds()
    assert kinds.count("clear") == 1
    after = wire.sent[kinds.index("clear") + 1 :]
    assert b"".join(b64decode(m["media"]["payload"]) for _, m in after if m["event"] == "media") == b"\x22" * 480
    assert ReplyEnded(1) not in wire.events


@in_virtual_time
async def test_what_was_all_sent_is_cleared_too_since_the_ear_may_be_later_than_our_clock(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(2))
    wire.playout.end(1)
    await wire.until("mark")
    await asyncio.sleep(0.06)
    wire.playout.stop(1)
    await wire.until("clear")
    assert wire.kinds()[-1] == "clear"


@in_virtual_time
async def test_after_a_clear_the_next_reply_is_sent_at_once(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(100, b"\x11"))
    await wire.until("media", 5)
    wire.playout.stop(1)
    wire.playout.begin(2)
    await wire.playout.sentence(2, 0, frames(10, b"\x22"))
    await wire.until("mark")
    assert SentenceStarted(2, 0, 0) in wire.events
    cleared = next(at for at, message in wire.sent if message["event"] == "clear")
    assert wire.sent[-1][0] - cleared < 0.1


@in_virtual_time
async def test_a_sentence_that_is_stopped_while_its_mark_is_sent_was_not_sent(wire: Wire) -> None:
    sending, sent = asyncio.Event(), asyncio.Event()
    real = wire.send

    async def slow(text: str) -> None:
        await real(text)
        if wire.kinds()[-1] == "mark":
            sending.set()
            await sent.wait()

    wire.playout._send = slow
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(2))
    await sending.wait()
    wire.playout.stop(1)
    sent.set()
    await wire.until("clear")
    assert wire.events == [SentenceStarted(1, 0)]


@pytest.mark.parametrize("ends", ["stop", "begin", "close"])
@in_virtual_time
async def test_a_producer_whose_reply_is_dropped_makes_no_more(wire: Wire, ends: str) -> None:
    made = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield b"\x11" * MULAW_FRAME_BYTES
            await asyncio.sleep(0.001)

    wire.playout.begin(1)
    speaking = asyncio.create_task(wire.playout.sentence(1, 0, endless()))
    await wire.until("media")
    before = made
    match ends:
        case "stop":
            wire.playout.stop(1)
        case "begin":
            wire.playout.begin(2)
        case "close":
            wire.playout.close()
    async with asyncio.timeout(1):
        await speaking
    assert made <= before + 1


@in_virtual_time
async def test_nothing_sent_needs_no_clear(wire: Wire) -> None:
    wire.playout.begin(1)
    wire.playout.stop(1)
    wire.playout.begin(2)
    await wire.playout.sentence(2, 0, frames(2))
    await wire.until("mark")
    assert "clear" not in wire.kinds()


@in_virtual_time
async def test_a_voice_that_is_faster_than_speech_waits(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_module, "QUEUE_MS", 200)
    made = 0

    async def fast() -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(60):
            made += 1
            yield b"\x11" * MULAW_FRAME_BYTES

    wire.playout.begin(1)
    speaking = asyncio.create_task(wire.playout.sentence(1, 0, fast()))
    await wire.until("media", 3)
    assert made < 40
    wire.playout.stop(1)
    async with asyncio.timeout(1):
        await speaking


@in_virtual_time
async def test_a_waiting_voice_goes_on_when_there_is_room(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_module, "QUEUE_MS", 80)
    wire.playout.begin(1)
    async with asyncio.timeout(3):
        await wire.playout.sentence(1, 0, frames(30, chunk=5))
        await wire.until("mark")
    assert len(wire.audio()) == 30 * MULAW_FRAME_BYTES


@in_virtual_time
async def test_a_sentence_has_not_started_before_its_first_sound(wire: Wire) -> None:
    made = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        await made.wait()
        yield b"\x11" * MULAW_FRAME_BYTES

    wire.playout.begin(1)
    speaking = asyncio.create_task(wire.playout.sentence(1, 0, slow()))
    for _ in range(10):
        await asyncio.sleep(0)
    assert wire.events == []
    made.set()
    await speaking
    await wire.until("mark")
    assert wire.events[0] == SentenceStarted(1, 0)


@in_virtual_time
async def test_a_sentence_without_sound_never_starts(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(0))
    await wire.playout.sentence(1, 1, frames(2))
    wire.playout.end(1)
    await wire.until("mark")
    await asyncio.sleep(0)
    assert wire.events == [SentenceStarted(1, 1), SentenceSent(1, 1, 40), ReplyEnded(1)]


@in_virtual_time
async def test_what_is_prepared_is_held_and_plays_at_once(wire: Wire) -> None:
    wire.playout.begin(1)
    wire.playout.prepare(2)
    await wire.playout.sentence(2, 0, frames(4, b"\x22"))
    wire.playout.end(2)
    await wire.playout.sentence(1, 0, frames(2, b"\x11"))
    wire.playout.end(1)
    await wire.until("mark")
    await asyncio.sleep(0.02)
    assert wire.audio() == b"\x11" * 320
    wire.playout.play(2)
    await wire.until("mark", 2)
    await asyncio.sleep(0)
    assert wire.audio() == b"\x11" * 320 + b"\x22" * 640
    assert wire.marks() == ["1:0", "2:0"]
    assert wire.events[-1] == ReplyEnded(2)
    assert "clear" not in wire.kinds()


@in_virtual_time
async def test_what_is_prepared_and_stopped_costs_the_live_reply_nothing(wire: Wire) -> None:
    wire.playout.begin(1)
    wire.playout.prepare(2)
    await wire.playout.sentence(2, 0, frames(4, b"\x22"))
    await wire.playout.sentence(1, 0, frames(20, b"\x11"))
    await wire.until("media", 2)
    wire.playout.stop(2)
    wire.playout.play(2)
    await wire.playout.sentence(2, 1, frames(4, b"\x22"))
    await wire.until("mark")
    assert wire.audio() == b"\x11" * 3200
    assert "clear" not in wire.kinds()


@in_virtual_time
async def test_the_queue_of_a_prepared_reply_is_bounded_by_itself(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_module, "QUEUE_MS", 80)
    wire.playout.begin(1)
    wire.playout.prepare(2)
    making = asyncio.create_task(wire.playout.sentence(2, 0, frames(30, b"\x22", chunk=5)))
    async with asyncio.timeout(3):
        await wire.playout.sentence(1, 0, frames(12, b"\x11", chunk=5))
        await wire.until("mark")
        assert not making.done()
        wire.playout.play(2)
        await making
        await wire.until("mark", 2)
    assert wire.audio() == b"\x11" * 12 * 160 + b"\x22" * 30 * 160


@in_virtual_time
async def test_the_end_of_the_stream_lets_every_producer_go(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_module, "QUEUE_MS", 80)
    wire.playout.begin(1)
    wire.playout.prepare(2)
    making = [asyncio.create_task(wire.playout.sentence(reply, 0, frames(90))) for reply in (1, 2)]
    await wire.until("media")
    wire.playout.close()
    async with asyncio.timeout(1):
        await asyncio.gather(*making)
    sent = len(wire.sent)
    wire.playout.begin(3)
    wire.playout.interject(b"\x33" * 160)
    await wire.playout.sentence(3, 0, frames(3))
    await asyncio.sleep(0.02)
    assert len(wire.sent) == sent


@in_virtual_time
async def test_a_paused_reply_tells_at_once_how_far_it_is(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(100))
    await wire.until("media", 3)
    wire.playout.pause(1)
    [told] = wire.told()
    assert told == AudioSent(1, 0, len(wire.audio()) // 8, told.ahead_ms, 2000)
    assert 0 < told.ahead_ms <= LEAD_MS
    wire.playout.pause(1)
    assert wire.told() == [told]
    sent = len(wire.sent)
    await asyncio.sleep(0.1)
    assert len(wire.sent) == sent
    wire.playout.resume(1)
    await wire.until("media", 5)


@in_virtual_time
async def test_how_far_a_reply_is_is_told_every_200_ms_and_its_length_once_it_is_known(wire: Wire) -> None:
    made = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"\x11" * MULAW_FRAME_BYTES * 14
        await made.wait()
        yield b"\x11" * MULAW_FRAME_BYTES * 10

    wire.playout.begin(1)
    speaking = asyncio.create_task(wire.playout.sentence(1, 0, slow()))
    await wire.until("media", 7)
    made.set()
    await speaking
    await wire.until("mark")
    assert [(told.sent_ms, told.audio_ms) for told in wire.told()] == [(200, None), (400, 480)]
    assert [told.ahead_ms for told in wire.told()] == [LEAD_MS, LEAD_MS]


@in_virtual_time
async def test_a_reply_that_is_paused_before_its_first_frame_does_not_begin(wire: Wire) -> None:
    wire.playout.prepare(1)
    wire.playout.pause(1)
    await wire.playout.sentence(1, 0, frames(3))
    wire.playout.play(1)
    await asyncio.sleep(0.02)
    assert wire.sent == [] and wire.events == []
    wire.playout.resume(1)
    await wire.until("mark")
    assert wire.events == [SentenceStarted(1, 0), SentenceSent(1, 0, 60)]


@in_virtual_time
async def test_marks_and_ends_pass_a_paused_reply(wire: Wire) -> None:
    made = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"\x11" * MULAW_FRAME_BYTES * 2
        await made.wait()

    wire.playout.begin(1)
    speaking = asyncio.create_task(wire.playout.sentence(1, 0, slow()))
    await wire.until("media")
    wire.playout.pause(1)
    made.set()
    await speaking
    wire.playout.end(1)
    await wire.until("mark")
    await asyncio.sleep(0)
    assert wire.events[-2:] == [SentenceSent(1, 0, 40), ReplyEnded(1)]


@in_virtual_time
async def test_a_paused_reply_that_is_stopped_is_cleared_and_the_next_one_is_not_paused(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(20, b"\x11"))
    await wire.until("media", 2)
    wire.playout.pause(1)
    wire.playout.prepare(2)
    await wire.playout.sentence(2, 0, frames(3, b"\x22"))
    wire.playout.stop(1)
    wire.playout.play(2)
    wire.playout.resume(1)
    await wire.until("mark")
    kinds = wire.kinds()
    assert kinds[kinds.index("clear") :] == ["clear", "media", "media", "mark"]
    assert wire.marks() == ["2:0"]


@in_virtual_time
async def test_an_aside_stands_between_two_marks_before_whatever_comes_next(wire: Wire) -> None:
    wire.playout.begin(1)
    wire.playout.interject(b"\x33" * 160 * 20)
    wire.playout.interject(b"\x44" * 160)
    await wire.playout.sentence(1, 0, frames(3, b"\x11"))
    wire.playout.end(1)
    await wire.until("mark", 3)
    assert wire.marks() == ["aside:0", "aside:0:end", "1:0"]
    assert wire.audio() == b"\x33" * 160 * 20 + b"\x11" * 160 * 3
    began = wire.sent[0][0]
    assert wire.sent[-1][0] - began < 0.4
    assert [parse_mark(name) for name in wire.marks()[:2]] == [None, None]
    await asyncio.sleep(0)
    started = wire.events[0]
    assert isinstance(started, SentenceStarted) and started.ahead_ms == LEAD_MS - BUNDLE_MS
    wire.playout.interject(b"\x55" * 160)
    await wire.until("mark", 5)
    assert wire.marks()[3:] == ["aside:1", "aside:1:end"]


@in_virtual_time
async def test_no_aside_is_heard_in_the_middle_of_a_reply(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(3))
    await wire.until("mark")
    wire.playout.interject(b"\x33" * 160)
    await wire.playout.sentence(1, 1, frames(3))
    await wire.until("mark", 2)
    assert wire.marks() == ["1:0", "1:1"]


@in_virtual_time
async def test_an_aside_goes_with_the_reply_that_is_stopped(wire: Wire) -> None:
    wire.playout.begin(1)
    wire.playout.interject(b"\x33" * 160 * 30)
    await wire.until("media", 2)
    wire.playout.stop(1)
    wire.playout.begin(2)
    await wire.playout.sentence(2, 0, frames(2, b"\x22"))
    await wire.until("clear")
    await wire.until("mark", 2)
    assert wire.marks() == ["aside:0", "2:0"]
    kinds = wire.kinds()
    assert kinds[kinds.index("clear") :] == ["clear", "media", "mark"]


SENTENCES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), min_size=1, max_size=4)
MOVES = st.lists(st.tuples(st.sampled_from(["pause", "resume"]), st.integers(0, 500)), max_size=12)


@settings(max_examples=150, deadline=None)
@given(SENTENCES, MOVES, st.integers(0, 60))
def test_no_pause_loses_repeats_or_hurries_a_frame(
    sentences: list[tuple[int, int]], moves: list[tuple[str, int]], slow_ms: int
) -> None:
    """Frames are numbered; the ear below plays them as Twilio does, and knows what the events say."""
    wire, made = virtual_time.run(_played(sentences, moves, slow_ms))
    assert wire.audio() == made
    ear_until, sent_ms = 0.0, 0
    for at, message in wire.sent:
        if message["event"] == "media":
            length_ms = len(b64decode(message["media"]["payload"])) // 8
            ear_until = max(ear_until, at) + length_ms / 1000
            sent_ms += length_ms
            assert ear_until - at <= LEAD_MS / 1000 + 1e-6
    lengths = {event.index: event.audio_ms for event in wire.events if isinstance(event, SentenceSent)}
    assert sent_ms == sum(lengths.values())
    assert list(lengths) == [index for index, (count, _) in enumerate(sentences) if count]
    for told in wire.told():
        assert told.sent_ms <= lengths[told.index]
        assert told.audio_ms in (None, lengths[told.index])
        assert 0 <= told.ahead_ms <= LEAD_MS
    for before, after in pairwise(wire.told()):
        assert (before.index, before.sent_ms) <= (after.index, after.sent_ms)
    assert [event for event in wire.events if not isinstance(event, AudioSent)][-1] == ReplyEnded(1)


async def _played(sentences: list[tuple[int, int]], moves: list[tuple[str, int]], slow_ms: int) -> tuple[Wire, bytes]:
    wire, made = Wire(), b""

    async def numbered(count: int, chunk: int) -> AsyncIterator[bytes]:
        nonlocal made
        for begin in range(0, count, chunk):
            await asyncio.sleep(slow_ms / 1000)
            numbers = range(len(made) // 160, len(made) // 160 + min(chunk, count - begin))
            part = b"".join(number.to_bytes(2, "big") * 80 for number in numbers)
            made += part
            yield part

    async def make() -> None:
        for index, (count, chunk) in enumerate(sentences):
            await wire.playout.sentence(1, index, numbered(count, chunk))
        wire.playout.end(1)

    wire.playout.begin(1)
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(wire.playout.run())
        making = tasks.create_task(make())
        for move, wait_ms in moves:
            sent = len(wire.audio())
            (wire.playout.pause if move == "pause" else wire.playout.resume)(1)
            await asyncio.sleep(wait_ms / 1000)
            if move == "pause":
                assert len(wire.audio()) == sent
        wire.playout.resume(1)
        await making
        while ReplyEnded(1) not in wire.events:
            await asyncio.sleep(0.02)
        writing.cancel()
    return wire, made
