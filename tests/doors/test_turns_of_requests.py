"""bot/doors/asgi.py: requests that come at once begin one at a time, and what else waits comes between."""

import asyncio
from typing import Any

from bot.doors.asgi import Receive, Scope, Send, in_turn


async def never(*message: Any) -> Any:
    raise AssertionError


async def test_of_requests_that_come_at_once_each_begins_in_a_step_of_its_own() -> None:
    begun, frames, done = 0, list[int](), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal begun
        begun += 1
        if begun == 20:
            done.set()

    def frame() -> None:
        frames.append(begun)
        if not done.is_set():
            asyncio.get_running_loop().call_soon(frame)

    asyncio.get_running_loop().call_soon(frame)
    wrapped = in_turn(app)
    await asyncio.gather(*(wrapped({"type": "http"}, never, never) for _ in range(20)))
    assert set(frames) >= set(range(1, 20)), "a frame between each two"


async def test_a_request_that_is_given_up_while_it_waits_leaves_its_turn_to_the_next() -> None:
    begun: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["path"])

    wrapped = in_turn(app)
    tasks = [asyncio.create_task(wrapped({"type": "http", "path": n}, never, never)) for n in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[1].cancel()
    await tasks[2]
    assert begun == [2]


async def test_a_socket_does_not_wait_for_its_turn() -> None:
    begun: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["type"])

    wrapped = in_turn(app)
    waiting = [asyncio.create_task(wrapped({"type": "http"}, never, never)) for _ in range(3)]
    await asyncio.sleep(0)
    await wrapped({"type": "websocket"}, never, never)
    assert begun == ["websocket"]
    await asyncio.gather(*waiting)
