"""The lines of a load: how each is connected, what its caller says, what drives all of them, and what they have heard.

It must not know what is measured with them, or what else is done to the bot.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from statistics import median
from typing import Any, Protocol
from uuid import uuid4

from bot.audio.frames import FRAME_MS
from bot.lab.caller import Caller
from bot.lab.load_line import LoadLine
from bot.lab.script import Step, Tell
from bot.lab.turn_scripts import VOICES
from bot.lab.twilio import ACCOUNT_SID, BOT_NUMBER, new_call_sid
from bot.lab.twiml import parse
from bot.lab.wire import Wire, voice_parameters

GREETED_S = 15.0
ANSWER_MS = 8_000
QUIET_MS = (500, 700, 900, 1100)
WEBHOOK_PATH = "/twilio/voice"


def cores(workers: int = 1) -> tuple[set[int], int]:
    """The cores of the bot, as many as it has processes if there are, and the one of all else. ValueError."""
    *others, last = sorted(os.sched_getaffinity(0))
    if not others:
        raise ValueError("one core is for the bot, and another for those who phone it")
    return set(others[:workers]), last


def scripts(seconds: float, *, each: int | None = None) -> list[list[Step]]:
    """What the callers say, for so long at least: the recorded people's days, or `each` of them, again and again.

    Only what is whole: after a sentence that has just begun the bot waits longer, whoever else is on the line.
    """
    found: list[list[Step]] = []
    for material in VOICES:
        says = material.days
        for quiet_ms in QUIET_MS:
            first = len(found) % len(says)
            days = islice(cycle((says[first:] + says[:first])[:each]), int(seconds / 4) + 8)
            found.append([Tell(material.named((day,)), 1, None, quiet_ms, ANSWER_MS) for day in days])
    return found


class Refused(Exception):
    """The bot takes no more calls."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What the bot has a call connected to, and the ids of both."""

    url: str
    parameters: dict[str, str]
    sids: dict[str, Any]


@asynccontextmanager
async def answered(wire: Wire, number: str) -> AsyncIterator[Stream]:
    """A call that the bot answers with a stream; told to be over at the end. Refused."""
    call_sid, stream_sid = new_call_sid(), "MZ" + uuid4().hex
    params = voice_parameters(ACCOUNT_SID, call_sid, number, BOT_NUMBER, "ringing")
    answer = await wire.request(WEBHOOK_PATH, params)
    verbs = [verb.child("Stream") for verb in parse(answer.body)] if answer.status == 200 else []
    if (stream := next(filter(None, verbs), None)) is None:
        raise Refused
    url = wire.socket_url(stream.attributes["url"], wire.url(WEBHOOK_PATH))
    parameters = {each.attributes["name"]: each.attributes["value"] for each in stream.children}
    sids = {"account_sid": ACCOUNT_SID, "call_sid": call_sid, "stream_sid": stream_sid}
    try:
        yield Stream(url, parameters, sids)
    finally:
        await wire.request("/twilio/status", params | {"CallStatus": "completed", "CallDuration": "60"})


@asynccontextmanager
async def dialled(wire: Wire, number: str, caller: Caller) -> AsyncIterator[LoadLine]:
    """A call that is connected; hung up at the end, and told to be over. Refused."""
    async with answered(wire, number) as stream:
        line = LoadLine(await wire.dial(stream.url), caller, sids=stream.sids, parameters=stream.parameters)
        try:
            yield line
        finally:
            line.hang_up()


class Ticked(Protocol):
    """Something that is driven."""

    @property
    def is_over(self) -> bool:
        """Whether it wants no more ticks."""

    def tick(self) -> None:
        """20 ms have gone by."""


class Ticker:
    """Drives every line 50 times a second, each at a time of its own within the 20 ms."""

    def __init__(self, slots: int = FRAME_MS) -> None:
        self.late_ms: list[float] = []
        self._slots: list[list[Ticked]] = [[] for _ in range(slots)]
        self._count = 0

    def add(self, line: Ticked) -> None:
        """Drive one more."""
        self._slots[self._count % len(self._slots)].append(line)
        self._count += 1

    async def run(self) -> None:
        """Drive them until it is cancelled; what is late is made up for, so that no line drifts."""
        loop = asyncio.get_running_loop()
        began_s, step = loop.time(), 0
        while True:
            due_s = began_s + step * FRAME_MS / 1000 / len(self._slots)
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            lines = self._slots[step % len(self._slots)]
            if lines:
                self.late_ms.append((loop.time() - due_s) * 1000)
                for line in lines:
                    line.tick()
                self._slots[step % len(self._slots)] = [line for line in lines if not line.is_over]
            step += 1


@dataclass(slots=True, kw_only=True)
class Talked:
    """How it went on all lines for a while."""

    voice_to_voice_ms: list[int] = field(default_factory=list)
    later_ms: list[float] = field(default_factory=list)
    """Each answer, but those of a line's first while, beside the median of all that its line had before that while."""
    unanswered: int = 0
    gaps_ms: list[int] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)


class Lines:
    """All lines, driven by one ticker, and what is new of them since it was taken before."""

    def __init__(self) -> None:
        self.ticker = Ticker()
        self._taken: dict[LoadLine, tuple[int, int, int, int]] = {}

    def __iter__(self) -> Iterator[LoadLine]:
        return iter(self._taken)

    def __len__(self) -> int:
        return len(self._taken)

    def add(self, line: LoadLine) -> None:
        """One more, to be driven from now on."""
        self._taken[line] = (0, 0, 0, 0)
        self.ticker.add(line)

    def take(self, into: Talked) -> None:
        """Add what is new to `into`."""
        for line, (answers, unanswered, gaps, breaches) in self._taken.items():
            heard = line.heard
            before_ms, new_ms = heard.voice_to_voice_ms[:answers], heard.voice_to_voice_ms[answers:]
            into.voice_to_voice_ms += new_ms
            if before_ms:
                usual_ms = median(before_ms)
                into.later_ms += [ms - usual_ms for ms in new_ms]
            into.unanswered += heard.unanswered - unanswered
            into.gaps_ms += heard.gaps_ms[gaps:]
            into.breaches += heard.breaches[breaches:]
            self._taken[line] = heard.counts
        into.late_ms += self.ticker.late_ms
        self.ticker.late_ms.clear()

    @property
    def ended(self) -> list[int | None]:
        """The close codes of those that are over by now."""
        return [line.heard.close_code for line in self if line.is_over]
