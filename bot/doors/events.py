"""The body of a response that is a stream of server-sent events, with a heartbeat while there are none.

What makes the events runs beside the response: it ends when the client leaves. It must not know what the events say.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType

from quart.wrappers.response import ResponseBody

from bot.protocols.chat import Event, encode_sse

HEARTBEAT_S = 15.0
HEARTBEAT = b":\n\n"
MOST_UNSENT = 32
"""What makes the events waits when the client reads more slowly."""


class EventBody(ResponseBody):
    """The events of one `answer`, which is given what sends one; the stream ends with it."""

    def __init__(
        self,
        answer: Callable[[Callable[[Event], Awaitable[None]]], Awaitable[object]],
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._answer = answer
        self._heartbeat_s = heartbeat_s
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(MOST_UNSENT)
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> "EventBody":
        await self._tasks.__aenter__()
        self._answering = self._tasks.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answering.cancel()
        # Without the error, which goes on as it is: a group would put it into one.
        await self._tasks.__aexit__(None, None, None)

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        while True:
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    event = await self._events.get()
            except TimeoutError:
                yield HEARTBEAT
                continue
            if event is None:
                return
            yield encode_sse(event)

    async def _run(self) -> None:
        await self._answer(self._events.put)
        await self._events.put(None)
