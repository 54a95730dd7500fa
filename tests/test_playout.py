"""The writer of a media stream: pace, marks, and what happens when a reply is stopped."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator

import pytest

from bot import playout as playout_module
from bot.audio.frames import MULAW_FRAME_BYTES
from bot.conversation.events import Event, ReplyEnded, SentenceSent, SentenceStarted
from bot.playout import LEAD_MS, Playout
from bot.protocols.twilio import MediaStream

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

    def audio(self) -> bytes:
        return b"".join(b64decode(m["media"]["payload"]) for _, m in self.sent if m["event"] == "media")

    async def until(self, kind: str, count: int = 1) -> None:
        async with asyncio.timeout(5):
            while self.kinds().count(kind) < count:
                await asyncio.sleep(0.005)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    wire = Wire()
    writing = asyncio.create_task(wire.playout.run())
    yield wire
    writing.cancel()


async def frames(count: int, fill: bytes = b"\x55", chunk: int = 3) -> AsyncIterator[bytes]:
    for begin in range(0, count, chunk):
        yield fill * MULAW_FRAME_BYTES * min(chunk, count - begin)


async def test_sentences_leave_in_order_each_with_its_mark(wire: Wire) -> None:
    wire.playout.begin(7)
    await wire.playout.sentence(7, 0, frames(4, b"\x11"))
    await wire.playout.sentence(7, 1, frames(2, b"\x22"))
    wire.playout.end(7)
    await wire.until("mark", 2)
    await asyncio.sleep(0)
    assert wire.audio() == b"\x11" * 640 + b"\x22" * 320
    assert [m["mark"]["name"] for _, m in wire.sent if m["event"] == "mark"] == ["7:0", "7:1"]
    assert wire.events == [
        SentenceStarted(7, 0),
        SentenceSent(7, 0, 80),
        SentenceStarted(7, 1),
        SentenceSent(7, 1, 40),
        ReplyEnded(7),
    ]


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


async def test_nothing_sent_needs_no_clear(wire: Wire) -> None:
    wire.playout.begin(1)
    wire.playout.stop(1)
    wire.playout.begin(2)
    await wire.playout.sentence(2, 0, frames(2))
    await wire.until("mark")
    assert "clear" not in wire.kinds()


async def test_a_voice_that_is_faster_than_speech_waits(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playout_module, "QUEUE_BYTES", 10 * MULAW_FRAME_BYTES)
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


async def test_a_waiting_voice_goes_on_when_there_is_room(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playout_module, "QUEUE_BYTES", 4 * MULAW_FRAME_BYTES)
    wire.playout.begin(1)
    async with asyncio.timeout(3):
        await wire.playout.sentence(1, 0, frames(30, chunk=5))
        await wire.until("mark")
    assert len(wire.audio()) == 30 * MULAW_FRAME_BYTES


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


async def test_a_sentence_without_sound_never_starts(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(0))
    await wire.playout.sentence(1, 1, frames(2))
    wire.playout.end(1)
    await wire.until("mark")
    await asyncio.sleep(0)
    assert wire.events == [SentenceStarted(1, 1), SentenceSent(1, 1, 40), ReplyEnded(1)]
