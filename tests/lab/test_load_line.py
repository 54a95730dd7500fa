"""bot/lab/load_line.py: the socket of a load, against the `websockets` that everybody uses, and what a line notes."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from bot.audio.frames import FRAME_MS
from bot.lab import messages
from bot.lab.acts import SILENT_FRAME, Act, SaidFrame, TurnBegan, TurnEnded
from bot.lab.caller import Caller, Ear
from bot.lab.load_line import LoadLine, LoadSocket
from bot.lab.script import Tell
from bot.lab.utterances import FIXTURES

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


LOUD = (FIXTURES / "noises" / "street.ulaw").read_bytes()[:160]
SIDS = {"account_sid": messages.ACCOUNT_SID, "call_sid": messages.CALL_SID, "stream_sid": messages.STREAM_SID}


class Ready:
    """A caller who does what is given, and then is silent."""

    def __init__(self, *acts: Act) -> None:
        self.ear = Ear()
        self._acts = acts

    def acts(self) -> Iterator[Act]:
        for act in self._acts:
            if isinstance(act, SaidFrame) and act.voiced:
                self.ear.speak()
            yield act
        while True:
            yield SaidFrame(SILENT_FRAME)


class Wired:
    """A line whose socket is a list; `play` is what the bot sends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, caller: Any) -> None:
        self.sent: list[dict[str, Any]] = []

        def send(text: bytes) -> None:
            self.sent.append(json.loads(text))

        socket = SimpleNamespace(close_code=None, send=send, close=lambda: None)
        monkeypatch.setattr(LoadSocket, "over", lambda ws, take: socket)
        self.line = LoadLine(None, caller, sids=SIDS, parameters={})  # type: ignore[arg-type]

    def play(self, *items: bytes | str) -> None:
        for item in items:
            if isinstance(item, bytes):
                told = {"event": "media", "media": {"payload": b64encode(item).decode()}}
            else:
                told = {"event": "mark", "mark": {"name": item}}
            self.line._take(json.dumps({"streamSid": messages.STREAM_SID, **told}).encode())

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.line.tick()


def test_silence_in_a_piece_is_a_gap_and_silence_behind_its_mark_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    wired = Wired(monkeypatch, Ready())
    wired.play(LOUD)
    wired.tick(4)
    wired.play(LOUD, "1:0")
    wired.tick(50)
    wired.play(LOUD)
    wired.tick(3)
    wired.play("2:0")  # late: its sound is over
    wired.tick(50)
    wired.play(LOUD)
    wired.tick()
    assert wired.line.heard.gaps_ms == [3 * FRAME_MS]
    assert not wired.line.heard.breaches


def test_a_frame_is_sent_when_it_is_whole_and_an_answer_is_timed_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    said = SaidFrame(LOUD, voiced=True)
    wired = Wired(monkeypatch, Ready(TurnBegan("", ()), said, TurnEnded()))
    before = len(wired.sent)
    wired.tick()
    assert len(wired.sent) == before
    wired.tick()
    assert [message["event"] for message in wired.sent[before:]] == ["media"]
    wired.play(LOUD)
    wired.tick()
    assert wired.line.heard.voice_to_voice_ms == [FRAME_MS]


def test_who_is_never_answered_is_counted_once_for_the_greeting_and_once_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caller = Caller([Tell(("jia-um",), 1, None, 500, 1000)] * 2, patience_ms=0)
    wired = Wired(monkeypatch, caller)
    while not wired.line.is_over:
        wired.tick()
    assert wired.line.heard.unanswered == 3
    assert not wired.line.heard.voice_to_voice_ms
