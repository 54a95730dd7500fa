"""Time limits of what a service is asked for, of which only the time counts that the event loop was alive.

While a process stands still (a frozen machine, a swap storm) nothing that came is read: that is no failure of the
service. It must not know the service.
"""

import asyncio
from types import TracebackType
from typing import Self

STEP_S = 0.1
"""A limit is looked at so often, and of a time that the loop was not there no more counts than this."""


class AtMost:
    """A limit for blocks of waiting: `async with` raises TimeoutError when `left_s` are over; None: there is none.

    It may be entered again, with what is left then. What is done between two blocks takes no time of it.
    """

    def __init__(self, seconds: float | None) -> None:
        self.left_s = seconds
        self._loop = asyncio.get_running_loop()
        self._looked_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._limit = asyncio.timeout(None)
        await self._limit.__aenter__()
        self._looked_s = self._loop.time()
        self._look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer:
            self._timer.cancel()
        self._count()
        await self._limit.__aexit__(kind, error, trace)

    def _count(self) -> None:
        now_s = self._loop.time()
        if self.left_s is not None:
            self.left_s -= min(now_s - self._looked_s, STEP_S)
        self._looked_s = now_s

    def _look(self) -> None:
        self._count()
        if self.left_s is None:
            return
        if self.left_s <= 0:
            self._limit.reschedule(self._loop.time())
        else:
            self._timer = self._loop.call_later(min(self.left_s, STEP_S), self._look)
