"""The same bot, in a process that notes how late its event loop is: `python -m bot.lab.timed serve`.

Every 10 ms the loop is to do something; when it ends, the moments for which that was asked and by how much it was late,
in seconds, are written to the file that LATENESS_FILE names, as doubles in turn. Nothing in the bot knows of it.
"""

import asyncio
import os
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from bot import server

LATENESS = "LATENESS_FILE"
TICK_S = 0.01


class Ticks:
    """What was noted of one loop."""

    def __init__(self) -> None:
        self.noted = array("d")
        self._due_s = 0.0

    def made(self, factory: Callable[[], asyncio.AbstractEventLoop]) -> asyncio.AbstractEventLoop:
        """A loop of the factory, which is watched from its first step on."""
        loop = factory()
        loop.call_soon(self._begin, loop)
        return loop

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due_s = time.monotonic() + TICK_S
        loop.call_later(TICK_S, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.noted.extend((self._due_s, max(0.0, time.monotonic() - self._due_s)))
        self._begin(loop)


def noted(path: Path) -> list[tuple[float, float]]:
    """When, by `time.monotonic`, and how late; both in seconds."""
    values = array("d", path.read_bytes())
    return list(zip(values[::2], values[1::2], strict=True))


if __name__ == "__main__":
    ticks, bots = Ticks(), cast(Any, server)
    made = bots.auto_loop_factory()
    bots.auto_loop_factory = lambda: lambda: ticks.made(made)
    status = server.run(os.environ)
    Path(os.environ[LATENESS]).write_bytes(ticks.noted.tobytes())
    sys.exit(status)
