"""The calls that are live in this process, and their owner.

A call outlives its socket: after the caller is gone it still saves. So its task belongs to the process's TaskGroup and
not to the handler of the socket. It must not know what a call does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol


class LiveCall(Protocol):
    """What the door needs of a call: one media socket, from accept to everything saved."""

    call_sid: str | None

    def receive(self, message: str | bytes) -> None:
        """Take one message of the socket; never raises for what the peer sent."""

    def gone(self) -> None:
        """The socket is over; may be said more than once."""

    def drain(self) -> None:
        """The process is going away: say so, save, close."""

    async def run(self) -> None:
        """Live; returns when all is saved."""


NewCall = Callable[[Callable[[str], Awaitable[None]], Callable[[int], Awaitable[None]]], LiveCall]


class LiveCalls:
    """The live calls of a process; `run` carries one out and must not raise, or every other call ends with it."""

    def __init__(self, tasks: asyncio.TaskGroup, run: Callable[[LiveCall], Coroutine[Any, Any, None]]) -> None:
        self._tasks = tasks
        self._run = run
        self._live: dict[asyncio.Task[None], LiveCall] = {}
        self.draining = False

    def __len__(self) -> int:
        return len(self._live)

    def start(self, call: LiveCall) -> asyncio.Task[None]:
        """Begin a call and own it."""
        task = self._tasks.create_task(self._run(call))
        self._live[task] = call
        task.add_done_callback(self._live.pop)
        if self.draining:
            call.drain()
        return task

    def drain(self) -> None:
        """Ask every live call to end, and every later one at once."""
        self.draining = True
        for call in self._live.values():
            call.drain()

    def cancel(self) -> None:
        """Cancel what is left."""
        for task in list(self._live):
            task.cancel()

    def holds(self, call_sid: str) -> bool:
        """Whether a call of this CallSid is live here, or still saving."""
        return any(call.call_sid == call_sid for call in self._live.values())

    async def settled(self, call_sid: str, timeout_s: float) -> None:
        """Wait until no call of this CallSid is live here, or until the time is over."""
        await self._wait({task for task, call in self._live.items() if call.call_sid == call_sid}, timeout_s)

    async def finished(self, timeout_s: float) -> bool:
        """Wait until no call is live; False when the time was over first."""
        await self._wait(set(self._live), timeout_s)
        return not self._live

    async def _wait(self, tasks: set[asyncio.Task[None]], timeout_s: float) -> None:
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)
