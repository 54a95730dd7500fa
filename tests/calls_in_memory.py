"""A call with real audio and real turn-taking, on a media socket in memory, with services that are played by hand."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bot.call import Call
from bot.conversation.commands import Mood
from bot.conversation.events import Event, Final
from bot.diary.crypto import Keys, make_secret
from bot.diary.entries import Entry
from bot.diary.store import Store
from bot.jobs import handlers
from bot.journal import Journal
from bot.process import Services
from tests.speech_by_hand import HandReplies, HandVoice

FIXTURES = Path(__file__).parents[1] / "fixtures"
CALL, STREAM, ACCOUNT = "CA" + "1" * 32, "MZ" + "2" * 32, "AC" + "3" * 32
SILENCE = b"\xff" * 160
KEYS = Keys.parse(make_secret())


class HandStt:
    """A recogniser's stream that knows what will be said: one text for each `Finalize` after audio."""

    def __init__(self, emit: Callable[[Event], None], texts: list[str]) -> None:
        self.emit = emit
        self.texts = texts
        self.pushed = 0
        self.utterances = 0
        self.ended = asyncio.Event()

    def push(self, pcm: bytes, *, urgent: bool = False) -> None:
        self.pushed += len(pcm)

    def finalize(self) -> None:
        if self.texts:
            self.utterances += 1
            asyncio.get_running_loop().call_soon(self.emit, Final((1, self.utterances), self.texts.pop(0)))

    def end(self) -> None:
        self.ended.set()

    async def run(self) -> None:
        await self.ended.wait()


class HandScribe:
    """A scribe who writes at once, unless `may_write` is cleared."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.may_write = asyncio.Event()
        self.may_write.set()

    async def write(self, said: Sequence[str], corrections: Sequence[str], day: date) -> Entry:
        self.asked.append(tuple(said))
        await self.may_write.wait()
        return Entry("하루", "좋은 하루였다.", Mood.JOY)

    compose = write


class Phone:
    """Twilio's end of the socket: plays what it gets at once, and says what the test tells it to say."""

    def __init__(self, services: Services, texts: list[str]) -> None:
        self.texts = texts
        self.sent: list[dict[str, Any]] = []
        self.closed: list[int] = []
        self.at_ms = 155
        self.hold_marks = False
        self.call = Call(services, self._send, self._close)

    async def _send(self, text: str) -> None:
        message = json.loads(text)
        self.sent.append(message)
        if message["event"] == "mark" and not self.hold_marks:
            asyncio.get_running_loop().call_soon(self.say, {"event": "mark", "mark": message["mark"]})

    async def _close(self, code: int) -> None:
        self.closed.append(code)

    def say(self, message: dict[str, Any] | str | bytes) -> None:
        if isinstance(message, dict):
            message = json.dumps(message | {"streamSid": STREAM})
        self.call.receive(message)

    def start(self, token: str, call_sid: str = CALL) -> None:
        start = {
            "streamSid": STREAM,
            "callSid": call_sid,
            "accountSid": ACCOUNT,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": token},
        }
        self.call.receive('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        self.say({"event": "start", "sequenceNumber": "1", "start": start})

    def hang_up(self) -> None:
        """The caller puts the phone down; `call.gone` alone is a socket that breaks."""
        self.say({"event": "stop", "stop": {"accountSid": ACCOUNT, "callSid": CALL}})
        self.call.gone()

    async def play(self, mulaw: bytes) -> None:
        for begin in range(0, len(mulaw) - 159, 160):
            payload = b64encode(mulaw[begin : begin + 160]).decode()
            self.say(
                {"event": "media", "media": {"timestamp": str(self.at_ms), "payload": payload, "track": "inbound"}}
            )
            self.at_ms += 20
            if begin % 3200 == 0:
                await asyncio.sleep(0)

    async def quiet(self, ms: int) -> None:
        await self.play(SILENCE * (ms // 20))

    async def utter(self, name: str, text: str) -> None:
        """Say an utterance and be quiet until the turn is over."""
        self.texts.append(text)
        await self.quiet(300)
        await self.play((FIXTURES / "utterances" / f"{name}.ulaw").read_bytes())
        await self.quiet(300)
        await asyncio.sleep(0.01)
        await self.quiet(700)

    async def heard(self, count: int) -> None:
        """Wait until so many marks were sent in all."""
        await self.sent_one("mark", count)
        await asyncio.sleep(0.02)

    async def sent_one(self, kind: str, count: int = 1) -> None:
        """Wait until so many messages of a kind were sent in all."""
        async with asyncio.timeout(10):
            while sum(message["event"] == kind for message in self.sent) < count:
                await asyncio.sleep(0.005)


@dataclass
class Stage:
    """What a process has; `texts` is what will be recognised, `folder` holds the diary and the journals."""

    store: Store
    replies: HandReplies
    voice: HandVoice
    scribe: HandScribe
    services: Services
    stts: list[HandStt]
    texts: list[str]
    folder: Path


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """A diary in `folder`, and the services of a process."""
    store = await Store.open(f"sqlite:///{folder / 'diary.db'}", KEYS)
    texts: list[str] = []
    stts: list[HandStt] = []

    def stream(emit: Callable[[Event], None], **_: Any) -> HandStt:
        stts.append(HandStt(emit, texts))
        return stts[-1]

    replies, voice, scribe = HandReplies("그러셨군요.", "그다음에는요?"), HandVoice(), HandScribe()
    services = Services(
        store=store,
        recogniser=SimpleNamespace(stream=stream),  # type: ignore[arg-type]
        replies=replies,  # type: ignore[arg-type]
        scribe=scribe,  # type: ignore[arg-type]
        voice=voice,  # type: ignore[arg-type]
        max_call_ms=1_800_000,
        journal=partial(Journal.begin, folder / "journals", keys=KEYS),
    )
    try:
        yield Stage(store, replies, voice, scribe, services, stts, texts, folder)
    finally:
        await store.close()


async def ringing(stage: Stage, number: str | None = "+821012345678") -> Phone:
    await stage.store.call_arrived(CALL, number)
    phone = Phone(stage.services, stage.texts)
    phone.start(await stage.store.media_token(CALL))
    return phone


async def work(stage: Stage) -> None:
    """Do what a process does after its calls, until nothing is left to do now."""
    found = handlers(stage.services)
    while jobs := await stage.store.outbox.claim(found, 4):
        for job in jobs:
            await found[job.kind](job, stage.store.outbox)
