"""The writer of a browser's socket: frames of its own form, notes between them, and an ear that tells how far it is."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from bot.audio.forms import WIDE
from bot.conversation.events import AudioSent, Event, ReplyEnded, SentenceSent, SentenceStarted
from bot.line import BROWSER_LEAD_MS
from bot.playout import MOST_UNPLAYED_MS, Playout
from bot.protocols.browser import BrowserStream
from tests import virtual_time


class Wire:
    """A page's socket that writes down what was sent, and when; it tells what `heard` says."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, dict[str, Any]]] = []
        self.events: list[Event] = []
        self.stream = BrowserStream()
        self.stream.receive('{"type":"init","config":{}}')
        self.stream.begin("WB", "token")
        self.playout = Playout(
            self.stream,
            self.send,
            self.events.append,
            form=WIDE,
            lead_ms=BROWSER_LEAD_MS,
            unplayed_ms=lambda: self.stream.unplayed_ms,
        )

    async def send(self, text: str) -> None:
        self.sent.append((asyncio.get_running_loop().time(), json.loads(text)))

    def heard(self, sentence: str, ms: int) -> None:
        self.stream.receive(json.dumps({"type": "audio", "audio": "", "heard": {"sentence": sentence, "ms": ms}}))
        self.playout.ear_told()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for _, message in self.sent if message["type"] == kind]

    def sound(self) -> bytes:
        return b"".join(b64decode(message["audio"]) for message in self.of("audio"))

    def told(self) -> list[AudioSent]:
        return [event for event in self.events if isinstance(event, AudioSent)]


@pytest.fixture
def wire() -> Wire:
    return Wire()


def in_virtual_time(test: Callable[[Wire], Coroutine[Any, Any, None]]) -> Callable[[Wire], None]:
    """Run a test, and the writer of its `wire`, where only waiting takes time."""

    @wraps(test)
    def run(wire: Wire) -> None:
        async def both() -> None:
            writing = asyncio.create_task(wire.playout.run())
            try:
                await test(wire)
            finally:
                writing.cancel()

        virtual_time.run(both())

    return run


async def frames(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"\1\2" * 480


@in_virtual_time
async def test_sentences_leave_as_wide_frames_with_their_names(wire: Wire) -> None:
    wire.playout.begin(7)
    await wire.playout.sentence(7, 0, frames(4))
    await wire.playout.sentence(7, 1, frames(3))
    wire.playout.end(7)
    await asyncio.sleep(1)
    assert [message["sentence"] for message in wire.of("audio")] == ["7:0"] * 4 + ["7:1"] * 3
    assert len(wire.sound()) == 7 * 960
    assert [event for event in wire.events if not isinstance(event, AudioSent)] == [
        SentenceStarted(7, 0),
        SentenceSent(7, 0, 80),
        SentenceStarted(7, 1, 80),
        SentenceSent(7, 1, 60),
        ReplyEnded(7),
    ]
    assert {message["type"] for _, message in wire.sent} == {"audio"}


@in_virtual_time
async def test_never_more_than_the_lead_is_ahead_of_the_wall(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(60))
    await asyncio.sleep(2)
    began, sent_ms = wire.sent[0][0], 0
    for at, message in wire.sent:
        sent_ms += len(b64decode(message["audio"])) // 48
        assert sent_ms - (at - began) * 1000 <= BROWSER_LEAD_MS + 1
    assert sent_ms == 1_200


@in_virtual_time
async def test_what_is_told_of_a_reply_is_what_the_page_has_played(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(60))
    await asyncio.sleep(0.3)
    wire.heard("1:0", 40)
    wire.playout.pause(1)
    paused = wire.told()[-1]
    assert paused.sent_ms - paused.ahead_ms == 40
    await asyncio.sleep(0.3)
    wire.heard("1:0", 240)
    later = wire.told()[-1]
    assert (later.sent_ms, later.ahead_ms) == (paused.sent_ms, paused.sent_ms - 240)
    assert sum(len(b64decode(message["audio"])) for message in wire.of("audio")) == paused.sent_ms * 48


@in_virtual_time
async def test_what_is_told_as_more_leaves_is_no_more_than_the_page_has_played(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(60))
    await asyncio.sleep(0.1)
    wire.heard("1:0", 40)
    told = len(wire.told())
    await asyncio.sleep(0.6)
    assert len(wire.told()) >= told + 2
    assert {sent.sent_ms - sent.ahead_ms for sent in wire.told()[told:]} == {40}


@in_virtual_time
async def test_an_ear_that_has_stalled_gets_no_more_until_it_plays(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(400))
    wire.heard("1:0", 20)
    await asyncio.sleep(0.1)
    wire.heard("1:0", 40)
    await asyncio.sleep(6)
    sent_ms = len(wire.sound()) // 48
    assert MOST_UNPLAYED_MS <= sent_ms - 40 <= MOST_UNPLAYED_MS + 100
    wire.heard("1:0", 1_000)
    await asyncio.sleep(0.4)
    assert len(wire.sound()) // 48 > sent_ms


@in_virtual_time
async def test_a_stopped_reply_is_told_and_heard_no_more(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(60))
    await asyncio.sleep(0.3)
    wire.stream.stopping(1, "안녕")
    wire.playout.stop(1)
    wire.playout.begin(2)
    await wire.playout.sentence(2, 0, frames(2))
    await asyncio.sleep(0.5)
    assert wire.of("interrupted") == [{"type": "interrupted", "heard": "안녕"}]
    after = [message for _, message in wire.sent][[m["type"] for _, m in wire.sent].index("interrupted") + 1 :]
    assert {message["sentence"] for message in after} == {"2:0"}


@in_virtual_time
async def test_what_happened_before_a_reply_was_stopped_is_told_before_that(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(60))
    await asyncio.sleep(0.3)
    wire.playout.note('{"type":"before"}')
    wire.playout.stop(1)
    wire.playout.note('{"type":"after"}')
    await asyncio.sleep(0.3)
    assert [message["type"] for _, message in wire.sent][-3:] == ["before", "interrupted", "after"]


@in_virtual_time
async def test_a_note_goes_before_more_sound_and_also_at_the_end(wire: Wire) -> None:
    wire.playout.begin(1)
    await wire.playout.sentence(1, 0, frames(60))
    await asyncio.sleep(0.3)
    before = len(wire.sent)
    wire.playout.note('{"type":"transcript"}')
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert wire.sent[before][1]["type"] == "transcript"
    wire.playout.note('{"type":"error"}')
    wire.playout.close()
    wire.playout.note('{"type":"transcript"}')
    await asyncio.sleep(0.1)
    assert wire.sent[-1][1]["type"] == "error" and len(wire.of("transcript")) == 1


@in_virtual_time
async def test_an_aside_is_a_sentence_of_its_own_and_ends_with_a_voice(wire: Wire) -> None:
    wire.playout.interject(b"\1\2" * 480 * 3)
    await asyncio.sleep(0.3)
    assert [message["sentence"] for message in wire.of("audio")] == ["aside:0"] * 2
    assert len(wire.sound()) == 3 * 960
    assert wire.events == []
