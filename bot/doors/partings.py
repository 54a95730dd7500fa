"""Talks whose browser is gone: each is waited for, and then ended.

A process that goes away ends none: another one may go on with them, and else their lease ends them. It must not know
how a talk is ended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from bot.errors import StoreError

WAIT_S = 30.0
AGAIN_S = 5.0


class Partings:
    """Waits for each talk in a task of its own."""

    def __init__(
        self, tasks: asyncio.TaskGroup, run: Callable[[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]
    ) -> None:
        """`run` carries one out and must not raise, or everything else in `tasks` ends with it."""
        self._tasks = tasks
        self._run = run
        self._waiting: set[asyncio.Task[None]] = set()
        self._over = False

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, end: Callable[[], Awaitable[None]], wait_s: float = WAIT_S) -> None:
        """Call `end` in `wait_s`, again and again while it raises StoreError."""
        if self._over:
            return
        task = self._tasks.create_task(self._run(self._wait(end, wait_s)))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    def cancel(self) -> None:
        """The process goes away: wait for nobody any more."""
        self._over = True
        for task in self._waiting:
            task.cancel()

    async def _wait(self, end: Callable[[], Awaitable[None]], wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        while True:
            try:
                await end()
                return
            except StoreError:
                await asyncio.sleep(AGAIN_S)
