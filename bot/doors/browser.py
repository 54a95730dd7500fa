"""The browser's door: a WebSocket on which a signed-in person talks, as on a telephone.

Who is there and where the page is from is checked before the handshake is answered. Then the client says which talk it
wants: a new one, which is a call of that person from then on, or one of theirs that has just broken off. The talk
itself is a call's, which the socket is handed to. Who has signed out meanwhile keeps neither. It must not know what is
said in a talk.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from quart import Blueprint, Response, websocket

from bot.close_codes import BROKEN, GOING_AWAY, POLICY
from bot.diary.people import Person
from bot.diary.store import Store
from bot.doors.asgi import CLOSE_S, StraightSocket
from bot.doors.door import Door
from bot.doors.identity import Identity, is_still
from bot.doors.live import LiveCalls
from bot.doors.opening import Opening
from bot.doors.partings import Partings
from bot.doors.places import Places
from bot.errors import StoreError
from bot.protocols.browser import BrowserStream
from bot.protocols.browser_messages import Config, Fault, failure

log = logging.getLogger(__name__)

MOST_SOCKETS = 4
"""So many one person may have open in one process: a socket that broke unnoticed counts too."""
STILL_SIGNED_IN_S = 60.0
"""So often it is looked at during a talk."""
RETRY_AFTER_S = {429: 60, 503: 5}


class BrowserCall(Protocol):
    """What the door needs of a call besides what `LiveCalls` does."""

    call_sid: str | None
    stream: int

    @property
    def is_left_open(self) -> bool: ...
    def take(self, inbound: Any, /) -> None: ...
    def receive(self, message: str | bytes) -> None: ...
    def gone(self) -> None: ...
    def drain(self) -> None: ...
    async def run(self) -> None: ...


NewBrowserCall = Callable[
    [Callable[[str], Awaitable[None]], Callable[[int], Awaitable[None]], BrowserStream, Config], BrowserCall
]


@dataclass(frozen=True, slots=True)
class Running:
    """What the door works with while the process serves.

    `work_came` is called when something was written that durable work follows from.
    """

    identity: Identity
    store: Store
    live: LiveCalls
    new_call: NewBrowserCall
    partings: Partings
    work_came: Callable[[], None]


class BrowserDoor(Door[Running]):
    """The route /ws."""

    def __init__(self) -> None:
        self._openings: set[Opening] = set()
        self._sockets = Places(MOST_SOCKETS)

    def leave(self) -> None:
        """The process is going away: begin no talk, and wait for nobody to come back. The calls are not the door's."""
        for opening in self._openings:
            opening.end(GOING_AWAY)
        self.running.partings.cancel()

    def blueprint(self) -> Blueprint:
        """The routes, for the application."""
        routes = Blueprint("browser", __name__)
        routes.websocket("/ws")(self.talk)
        return routes

    async def talk(self) -> Response | None:
        """One socket, for one talk; 403, 401, 429 or 503 instead of the handshake for who may not have it."""
        running = self.running
        if running.live.draining:
            return _not_now(503)
        if not running.identity.is_ours():
            return Response(status=403)
        try:
            person = await running.identity.person()
        except StoreError:
            return _not_now(503)
        if person is None:
            return Response(status=401)
        with self._sockets.taken(person.caller_id) as has_place:
            if not has_place:
                return _not_now(429)
            await self._serve(running, person)
        return None

    async def _serve(self, running: Running, person: Person) -> None:
        socket = StraightSocket.of(websocket.scope)
        opening = Opening(running.identity, running.store, running.live, person, socket)
        self._openings.add(opening)
        try:
            await websocket.accept()
            socket.deliver_to(opening.receive)
            session = await opening.run()
        finally:
            self._openings.discard(opening)
        if session is None:
            await socket.close(opening.close_code)
            return
        call = running.new_call(socket.send, socket.close, opening.stream, session.config)
        socket.deliver_to(call.receive)
        task = running.live.start(call)
        task.add_done_callback(lambda _: _part(running, call))
        call.take(opening.stream.begin(session.call_sid, session.token, session.first_reply))
        try:
            # Ends by cancellation when the peer closes; the call's task goes on.
            while not task.done():
                await asyncio.wait({task}, timeout=STILL_SIGNED_IN_S)
                if not task.done() and not await is_still(running.identity.person, person.caller_id):
                    await _tell_signed_out(socket)
                    return
            await socket.close(BROKEN)
        finally:
            call.gone()
            running.live.left(call)


def _not_now(status: int) -> Response:
    return Response(status=status, headers={"Retry-After": str(RETRY_AFTER_S[status])})


async def _tell_signed_out(socket: StraightSocket) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.send(failure(Fault.SIGNED_OUT))
    except OSError:
        pass
    await socket.close(POLICY)


def _part(running: Running, call: BrowserCall) -> None:
    """A call's stream is over: if the call is not, its browser may come back."""
    if not call.is_left_open or call.call_sid is None or running.live.draining:
        return
    call_sid, stream = call.call_sid, call.stream

    async def end() -> None:
        await running.store.browser_talks.gone(call_sid, stream)
        running.work_came()

    log.info("call %s: its browser is gone, and waited for", call_sid)
    running.partings.begin(end)
