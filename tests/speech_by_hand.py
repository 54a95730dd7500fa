"""A model, a voice and a playout that are played by hand, for what stands between them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from types import SimpleNamespace

from bot.conversation.commands import Exchange, Manner
from bot.conversation.events import Event

FRAME = b"\x55" * 160


class HandAnswer:
    """One answer of the model: it gives `texts` one after the other, and tells how it ended."""

    def __init__(
        self, texts: Sequence[str], history: Sequence[Exchange], on_first_token: Callable[[], None] | None
    ) -> None:
        self.texts = texts
        self.history = history
        self.given = 0
        self.was_kept = False
        self.is_closed = False
        self._on_first_token = on_first_token

    async def pieces(self) -> AsyncIterator[str]:
        try:
            for text in self.texts:
                await asyncio.sleep(0)
                if not self.given and self._on_first_token:
                    self._on_first_token()
                self.given += 1
                yield text
        finally:
            self.is_closed = True

    def kept(self) -> None:
        self.was_kept = True


class HandReplies:
    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.answers: list[HandAnswer] = []
        self.usage = SimpleNamespace(line=lambda: "tokens: 120 kept")
        self.warmed = 0
        self.may_warm = asyncio.Event()

    def begin(self, history: Sequence[Exchange], on_first_token: Callable[[], None] | None = None) -> HandAnswer:
        self.answers.append(HandAnswer(self.texts, history, on_first_token))
        return self.answers[-1]

    def kept(self) -> list[HandAnswer]:
        """The answers that were heard, or might have been."""
        return [answer for answer in self.answers if answer.was_kept]

    async def warm(self) -> None:
        self.warmed += 1
        await self.may_warm.wait()


class HandVoice:
    """A voice that speaks a sentence as two frames; one that is in `slow` waits between them until `go_on`."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, Manner]] = []
        self.running = 0
        self.warmed = 0
        self.slow: set[str] = set()
        self.silent: set[str] = set()
        self.go_on = asyncio.Event()

    async def frames(self, sentence: str, manner: Manner) -> AsyncIterator[bytes]:
        self.begun.append((sentence, manner))
        self.running += 1
        try:
            if sentence in self.silent:
                return
            yield FRAME
            if sentence in self.slow:
                await self.go_on.wait()
            yield FRAME
        finally:
            self.running -= 1

    def sentences(self) -> list[str]:
        return [sentence for sentence, _ in self.begun]

    def cached(self, text: str, manner: Manner) -> bytes | None:
        return FRAME * (2 if manner == Manner() else 3) if text == "음," else None

    async def warm(self) -> None:
        self.warmed += 1


class HandPlayout:
    """Writes down what it is told, in `told`, and the frames of each sentence, in `made`."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int | bytes]] = []
        self.made: dict[tuple[int, int], int] = defaultdict(int)
        self.ended: list[int] = []

    async def sentence(self, reply: int, index: int, frames: AsyncIterable[bytes]) -> None:
        async for frame in frames:
            self.made[reply, index] += len(frame) // 160

    def end(self, reply: int) -> None:
        self.ended.append(reply)

    def begin(self, reply: int) -> None:
        self.told.append(("begin", reply))

    def prepare(self, reply: int) -> None:
        self.told.append(("prepare", reply))

    def play(self, reply: int) -> None:
        self.told.append(("play", reply))

    def pause(self, reply: int) -> None:
        self.told.append(("pause", reply))

    def resume(self, reply: int) -> None:
        self.told.append(("resume", reply))

    def stop(self, reply: int) -> None:
        self.told.append(("stop", reply))

    def interject(self, frames: bytes) -> None:
        self.told.append(("interject", frames))


class Hands:
    """All three, and what was emitted."""

    def __init__(self, *texts: str) -> None:
        self.replies = HandReplies(*texts)
        self.voice = HandVoice()
        self.playout = HandPlayout()
        self.events: list[Event] = []


async def settle() -> None:
    """Let everything happen that can happen now."""
    for _ in range(50):
        await asyncio.sleep(0)
