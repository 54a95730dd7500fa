"""The calls that are live in this process, streaming jobs among them, and their owner.

A call outlives its socket: after the caller is gone it still saves. So its task belongs to the process's TaskGroup and
not to the handler of the socket. It must not know what a call does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from bot.doors.ceiling import Ceiling


class LiveCall(Protocol):
    """What the door needs of a call: one socket, from accept to everything saved."""

    call_sid: str | None
    """Of a streaming job its id."""

    def receive(self, message: str | bytes) -> None:
        """Take one message of the socket; never raises for what the peer sent."""

    def gone(self) -> None:
        """The socket is over; may be said more than once."""

    def drain(self) -> None:
        """The process is going away: say so, save, close."""

    async def run(self) -> None:
        """Live; returns when all is saved."""


SETTLE_S = 3.0
"""How long a stream that was ended is waited for while it saves."""

NewCall = Callable[[Callable[[str], Awaitable[None]], Callable[[int], Awaitable[None]]], LiveCall]


class LiveCalls:
    """The live calls of a process; `run` carries one out and must not raise, or every other call ends with it."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        run: Callable[[LiveCall], Coroutine[Any, Any, None]],
        ceiling: Ceiling | None = None,
    ) -> None:
        self._ceiling = ceiling or Ceiling()
        self._tasks = tasks
        self._run = run
        self._live: dict[asyncio.Task[None], LiveCall] = {}
        self._admitted: set[LiveCall] = set()
        self._streaming: set[LiveCall] = set()
        self._no_stream = asyncio.Event()
        self._no_stream.set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._live)

    @property
    def is_full(self) -> bool:
        """Whether one more would be one too many for those that are live."""
        return self._ceiling.is_reached(len(self) - self.strangers)

    @property
    def strangers(self) -> int:
        """How many sockets have not told yet whose call they are."""
        return sum(call.call_sid is None for call in self._live.values())

    def start(self, call: LiveCall) -> asyncio.Task[None]:
        """Begin a call and own it."""
        task = self._tasks.create_task(self._run(call))
        self._live[task] = call
        self._streaming.add(call)
        self._no_stream.clear()
        task.add_done_callback(self._over)
        if self.draining:
            call.drain()
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        call = self._live.pop(task)
        self._admitted.discard(call)
        self.left(call)

    def left(self, call: LiveCall) -> None:
        """The socket of a call is closed; it may still be saving."""
        self._streaming.discard(call)
        if not self._streaming:
            self._no_stream.set()

    async def streams_over(self, timeout_s: float) -> bool:
        """Wait until no socket is open; False when the time was over first."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._no_stream.wait()
        except TimeoutError:
            return False
        return True

    async def end(self, call_sid: str) -> None:
        """End every stream of this CallSid; returns when they have saved, after `SETTLE_S` at the latest."""
        await self._end(self._of(call_sid))

    async def alone(self, call: LiveCall) -> None:
        """Make `call` the only stream of its CallSid: end those that were before it, and wait until they have saved.

        Returns after `SETTLE_S` at the latest. Each stream says this when it is let in, so that a stream nobody let in
        ends none, and of two that come at once the one that says it last goes on.
        """
        self._admitted.add(call)
        others = {
            task: other
            for task, other in self._of(call.call_sid).items()
            if other is not call and other in self._admitted
        }
        await self._end(others)

    def drain(self) -> None:
        """Ask every live call to end, and every later one at once."""
        self.draining = True
        for call in self._live.values():
            call.drain()

    def cancel(self) -> None:
        """Cancel what is left."""
        for task in list(self._live):
            task.cancel()

    async def finished(self, timeout_s: float) -> bool:
        """Wait until no call is live; False when the time was over first."""
        await self._wait(set(self._live), timeout_s)
        return not self._live

    def _of(self, call_sid: str | None) -> dict[asyncio.Task[None], LiveCall]:
        return {task: call for task, call in self._live.items() if call.call_sid == call_sid}

    async def _end(self, calls: dict[asyncio.Task[None], LiveCall]) -> None:
        for call in calls.values():
            call.gone()
        await self._wait(set(calls), SETTLE_S)

    async def _wait(self, tasks: set[asyncio.Task[None]], timeout_s: float) -> None:
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)
