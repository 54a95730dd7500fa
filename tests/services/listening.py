"""A call's end of the recogniser, played by hand: what it says, and what it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache

from bot.audio import mulaw
from bot.audio.resample import Resampler
from bot.conversation.events import Event, Final
from bot.lab.matching import FIXTURES
from bot.lab.rtzr import RtzrLab
from bot.services.stt import Recogniser, SttStream
from bot.settings import RtzrSettings

FRAME = 640
FRAME_S = 0.02
TEXTS = {entry["name"]: entry["text"] for entry in json.loads((FIXTURES / "utterances.json").read_text("utf-8"))}
SHORT = ["jia-right", "minho-fix", "sunja-uh", "jia-delete", "minho-hello", "sunja-no"]
LONG = ["jia-rain", "minho-cat", "sunja-walk"]
PATIENCE_S = 10.0


def settings_of(lab: RtzrLab) -> RtzrSettings:
    return RtzrSettings(client_id=lab.client_id, client_secret=lab.client_secret, api_url=lab.url)


@cache
def spoken(name: str, lead_ms: int = 300, trail_ms: int = 300) -> bytes:
    """An utterance of the fixtures as the call hears it: 16 kHz, whole frames, quiet on both sides."""
    resampler = Resampler(8000, 16000)
    pcm = resampler.push(mulaw.decode((FIXTURES / "utterances" / f"{name}.ulaw").read_bytes())) + resampler.flush()
    pcm = bytes(lead_ms * 32) + pcm + bytes(trail_ms * 32)
    return pcm + bytes(-len(pcm) % FRAME)


class Listener:
    """A call's end of a stream: what it pushes, and what it is told."""

    def __init__(self, recogniser: Recogniser) -> None:
        self.events: list[Event] = []
        self.told_at: list[float] = []
        self.journal: list[tuple[str, str | bytes]] = []
        self.stream: SttStream = recogniser.stream(
            self._take, journal=lambda direction, message: self.journal.append((direction, message))
        )

    def _take(self, event: Event) -> None:
        self.events.append(event)
        self.told_at.append(asyncio.get_running_loop().time())

    @property
    def finals(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Final)]

    def told(self, kind: type[Event]) -> list[float]:
        """When events of a kind were told."""
        return [at for at, event in zip(self.told_at, self.events, strict=True) if isinstance(event, kind)]

    def say(self, name: str) -> None:
        """All of an utterance at once, with no voice noticed."""
        pcm = spoken(name)
        for begin in range(0, len(pcm), FRAME):
            self.stream.push(pcm[begin : begin + FRAME])
        self.stream.finalize()

    async def speak(self, name: str, *, speed: float = 1.0, lead_ms: int = 300, trail_ms: int = 200) -> float:
        """An utterance as it is spoken, frame by frame, with a voice noticed, and Finalize; returns when that was."""
        pcm = spoken(name, lead_ms, trail_ms)
        await self.hold(pcm, urgent=True, speed=speed)
        self.stream.finalize()
        return asyncio.get_running_loop().time()

    async def hold(self, pcm: bytes, *, urgent: bool = False, speed: float = 1.0) -> None:
        """Any audio, frame by frame."""
        now = asyncio.get_running_loop().time
        begins = now()
        for index in range(len(pcm) // FRAME):
            await asyncio.sleep(max(0.0, begins + index * FRAME_S / speed - now()))
            self.stream.push(pcm[index * FRAME : (index + 1) * FRAME], urgent=urgent)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.005)

    async def talk(self, names: list[str]) -> None:
        """Say each when the one before was understood."""
        for number, name in enumerate(names, 1):
            self.say(name)
            await self.until(lambda number=number: len(self.finals) >= number)


@asynccontextmanager
async def live(listener: Listener, within_s: float = PATIENCE_S) -> AsyncIterator[None]:
    """The stream runs, and is ended behind the block; all of it takes no longer than this."""
    async with asyncio.timeout(within_s), asyncio.TaskGroup() as tasks:
        tasks.create_task(listener.stream.run())
        yield
        listener.stream.end()


async def call(listener: Listener, names: list[str]) -> None:
    async with live(listener):
        await listener.talk(names)
