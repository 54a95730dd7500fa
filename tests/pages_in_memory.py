"""A talk in a browser with real audio and real turn-taking, on a socket in memory: the page is played by hand."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from typing import Any

from bot.audio import mulaw
from bot.audio.forms import WIDE
from bot.call import Call
from bot.conversation.commands import Manner
from bot.diary.browser_talks import new_session, sid_of
from bot.line import BrowserLine
from bot.protocols.browser import BrowserStream, Hello
from tests.calls_in_memory import FIXTURES, Stage
from tests.speech_by_hand import HandVoice

NUMBER = "+821012345678"
FRAME = b"\x05\x00" * 480
FRAME_MS = 20


class WideHandVoice(HandVoice):
    """A voice that speaks a sentence as ten frames for a browser; one in `slow` waits before the last."""

    form = WIDE

    async def frames(self, sentence: str, manner: Manner) -> AsyncIterator[bytes]:
        self.begun.append((sentence, manner))
        yield FRAME * 9
        if sentence in self.slow:
            await self.go_on.wait()
        yield FRAME

    def cached(self, text: str, manner: Manner) -> bytes | None:
        return FRAME * 2


class LongHandVoice(WideHandVoice):
    """A voice that takes its time: so many ms for each letter."""

    LETTER_MS = 60

    async def frames(self, sentence: str, manner: Manner) -> AsyncIterator[bytes]:
        self.begun.append((sentence, manner))
        letters = sum(char.isalnum() for char in sentence)
        for _ in range(letters * self.LETTER_MS // FRAME_MS):
            yield FRAME


class Page:
    """A browser's end of the socket: plays what it gets at once, unless `plays` is False, and tells so."""

    def __init__(
        self,
        stage: Stage,
        session_id: str | None = None,
        first_reply: int = 0,
        voice: WideHandVoice | None = None,
        **config: Any,
    ) -> None:
        self.stage = stage
        self.session_id = session_id or new_session()
        self.call_sid = sid_of(self.session_id)
        self.sent: list[dict[str, Any]] = []
        self.closed: list[int] = []
        self.plays = True
        self.played: tuple[str, int] | None = None
        self.voice = voice or WideHandVoice()
        self._first_reply = first_reply
        self.stream = BrowserStream()
        config = {"sampleRate": 8000, **config}
        (hello,) = self.stream.receive(json.dumps({"type": "init", "config": config}))
        assert isinstance(hello, Hello)
        line = BrowserLine(self.stream, hello.config, self.voice)  # type: ignore[arg-type]
        self.call = Call(stage.services, self._send, self._close, line=line)

    async def begin(self) -> asyncio.Task[None]:
        await self.stage.store.call_arrived(self.call_sid, NUMBER)
        token = await self.stage.store.media_token(self.call_sid)
        running = asyncio.create_task(self.call.run())
        self.call.take(self.stream.begin(self.call_sid, token, self._first_reply))
        return running

    async def _send(self, text: str) -> None:
        message = json.loads(text)
        self.sent.append(message)
        if message["type"] == "audio" and self.plays:
            self.play(message)
        if message["type"] == "interrupted":
            self.played = None

    def play(self, message: dict[str, Any]) -> None:
        ms = len(b64decode(message["audio"])) // 48
        before_ms = self.played[1] if self.played and self.played[0] == message["sentence"] else 0
        self.played = message["sentence"], before_ms + ms

    async def _close(self, code: int) -> None:
        self.closed.append(code)

    def say(self, message: dict[str, Any] | str | bytes) -> None:
        self.call.receive(json.dumps(message) if isinstance(message, dict) else message)

    def sound(self, pcm: bytes) -> None:
        message: dict[str, Any] = {"type": "audio", "audio": b64encode(pcm).decode()}
        if self.played:
            message["heard"] = {"sentence": self.played[0], "ms": self.played[1]}
        self.say(message)

    async def quiet(self, ms: int) -> None:
        await self.hear(bytes(16 * ms))

    async def hear(self, pcm: bytes) -> None:
        """The microphone brings this, 30 ms at a time."""
        for begin in range(0, len(pcm), 480):
            self.sound(pcm[begin : begin + 480])
            if begin % 4800 == 0:
                await asyncio.sleep(0)

    async def utter(self, name: str, text: str) -> None:
        """Say an utterance and be quiet until the turn is over."""
        self.stage.texts.append(text)
        await self.quiet(300)
        await self.hear(mulaw.decode((FIXTURES / "utterances" / f"{name}.ulaw").read_bytes()))
        await self.quiet(300)
        await asyncio.sleep(0.01)
        await self.quiet(700)

    async def listens(self) -> None:
        """Be quiet, in real time, until the bot listens again."""
        async with asyncio.timeout(10):
            while True:
                await self.quiet(30)
                await asyncio.sleep(0.005)
                if self.call._talk.turns.state == "listening":
                    return

    async def until(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """The messages of a kind, when there are so many."""
        async with asyncio.timeout(10):
            while len(self.of(kind)) < count:
                await asyncio.sleep(0.005)
        return self.of(kind)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.sent if message["type"] == kind]

    def transcript(self, speaker: str) -> list[str]:
        return [
            message["text"]
            for message in self.of("transcript")
            if (message["speaker"], message["final"]) == (speaker, True)
        ]

    def codes(self) -> list[str]:
        return [message["code"] for message in self.of("error")]
