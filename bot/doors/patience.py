"""Notes for the diary that could not be written yet: tried until they are, as long as the process lives.

It must not know what they say.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from bot.errors import StoreError

log = logging.getLogger(__name__)

PAUSES_S = (1.0, 2.0, 5.0)
MOST_NOTES = 1_000


class Patience:
    """Tries each note in a task of its own, with growing pauses."""

    def __init__(
        self, tasks: asyncio.TaskGroup, run: Callable[[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]
    ) -> None:
        """`run` carries the tries of one note out and must not raise, or everything else in `tasks` ends with it."""
        self._tasks = tasks
        self._run = run
        self._waiting: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def keep_trying(self, what: str, write: Callable[[], Awaitable[None]]) -> None:
        """Call `write` until it raises no StoreError; `what` names it in the log."""
        if len(self._waiting) >= MOST_NOTES:
            log.error("%s: not noted, too much waits for the store already", what)
            return
        task = self._tasks.create_task(self._run(self._try(what, write)))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def finished(self, timeout_s: float) -> None:
        """Wait until no note waits, or until the time is over."""
        if self._waiting:
            await asyncio.wait(set(self._waiting), timeout=timeout_s)

    def cancel(self) -> None:
        """Give up: the process ends."""
        for task in self._waiting:
            task.cancel()

    async def _try(self, what: str, write: Callable[[], Awaitable[None]]) -> None:
        tries = 0
        while True:
            await asyncio.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
            tries += 1
            try:
                await write()
            except StoreError:
                log.warning("%s: still not noted after %d tries", what, tries)
            else:
                return
