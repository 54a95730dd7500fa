"""The browser's door: a WebSocket on which a signed-in person talks, as on a telephone.

Who is there and where the page is from is checked before the handshake is answered. Then the client says which talk it
wants: a new one, which is a call of that person from then on, or one of theirs that has just broken off. The talk
itself is a call's, which the socket is handed to. It must not know what is said in one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from quart import Blueprint, Response, websocket

from bot.diary.browser_talks import new_session, sid_of
from bot.diary.people import Person
from bot.diary.store import Store
from bot.doors.asgi import MediaSocket
from bot.doors.door import Door
from bot.doors.identity import Identity
from bot.doors.live import LiveCalls
from bot.doors.partings import Partings
from bot.doors.places import Places
from bot.errors import StoreError
from bot.protocols.browser import BrowserStream, Hello
from bot.protocols.browser_messages import BadMessage, Config, Fault, failure

log = logging.getLogger(__name__)

INIT_S = 10.0
"""How long a socket may be open without `init`."""

MOST_FAULTS = 20
MOST_TALKS, MOST_RESUMES, WITHIN_S = 30, 300, 3600.0
MOST_SOCKETS = 4
"""So many one person may have open in one process: a socket that broke unnoticed counts too."""
REPLIES_APART = 10_000
"""More than the bot says on one socket."""

POLICY, BROKEN, GOING_AWAY = 1008, 1011, 1012


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
        self._openings: set[_Opening] = set()
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
            return Response(status=503)
        if not running.identity.is_ours():
            return Response(status=403)
        try:
            person = await running.identity.person()
        except StoreError:
            return Response(status=503)
        if person is None:
            return Response(status=401)
        with self._sockets.taken(person.caller_id) as has_place:
            if not has_place:
                return Response(status=429)
            await self._serve(running, person)
        return None

    async def _serve(self, running: Running, person: Person) -> None:
        socket = MediaSocket.of(websocket.scope)
        opening = _Opening(running, person, socket)
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
            await asyncio.wait({task})
            await socket.close(BROKEN)
        finally:
            call.gone()
            running.live.left(call)


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


@dataclass(frozen=True, slots=True)
class _Session:
    """A talk that may begin."""

    config: Config
    call_sid: str
    token: str
    first_reply: int


class _Opening:
    """A socket before its talk: it says which it wants, as often as it takes."""

    def __init__(self, running: Running, person: Person, socket: MediaSocket) -> None:
        self.stream = BrowserStream()
        self.close_code = POLICY
        self._running = running
        self._person = person
        self._socket = socket
        self._hello: Hello | None = None
        self._answers: list[str] = []
        self._changed = asyncio.Event()
        self._faults = 0
        self._is_over = False

    def receive(self, message: str | bytes) -> None:
        """Take a message of the socket."""
        if self._is_over:
            return
        try:
            for inbound in self.stream.receive(message):
                if isinstance(inbound, Hello):
                    self._hello = inbound
                    self._changed.set()
        except BadMessage as error:
            self._faults += 1
            self._answers.append(failure(error.fault, error.where))
            if self._faults >= MOST_FAULTS:
                self._answers.append(failure(Fault.TOO_MANY_FAULTS))
                self.end(POLICY)
            self._changed.set()

    def end(self, close_code: int) -> None:
        """Begin no talk, and close the socket with this code."""
        if not self._is_over:
            self._is_over, self.close_code = True, close_code
            self._changed.set()

    async def run(self) -> _Session | None:
        """The talk that may begin; None: the socket is to be closed."""
        try:
            async with asyncio.timeout(INIT_S) as waiting:
                while True:
                    await self._tell()
                    if self._is_over:
                        return None
                    if hello := self._hello:
                        self._hello = None
                        waiting.reschedule(None)
                        if session := await self._opened(hello):
                            return session
                        waiting.reschedule(asyncio.get_running_loop().time() + INIT_S)
                    else:
                        self._changed.clear()
                        await self._changed.wait()
        except TimeoutError:
            self._answers.append(failure(Fault.NO_INIT))
            await self._tell()
        except ConnectionError:
            pass
        return None

    async def _tell(self) -> None:
        while self._answers:
            await self._socket.send(self._answers.pop(0))

    async def _opened(self, hello: Hello) -> _Session | None:
        try:
            found = await self._found(hello)
        except StoreError as error:
            log.error("a talk in a browser: %s", error)
            found = Fault.STORE_UNAVAILABLE
        if isinstance(found, Fault):
            self.stream.refuse()
            self._answers.append(failure(found))
            return None
        session_id, session = found
        await self._socket.send(self.stream.connected(session_id, resumed=hello.session_id is not None))
        return None if self._is_over else session

    async def _found(self, hello: Hello) -> tuple[str, _Session] | Fault:
        running, person = self._running, self._person
        what, most = ("talk-resume", MOST_RESUMES) if hello.session_id else ("talk", MOST_TALKS)
        if not await running.identity.allow(what, str(person.caller_id), most, WITHIN_S):
            return Fault.TOO_MANY
        if hello.session_id is None:
            session_id = new_session()
        elif await running.store.browser_talks.may_resume(hello.session_id, person.caller_id):
            session_id = hello.session_id
            # Its socket may seem open here: what was said on it is kept before the talk goes on.
            await running.live.end(sid_of(session_id))
        else:
            return Fault.NO_SESSION
        call_sid = sid_of(session_id)
        arrival = await running.store.call_arrived(call_sid, person.number)
        first_reply = REPLIES_APART * arrival.stream if hello.session_id else 0
        token = await running.store.media_token(call_sid)
        return session_id, _Session(hello.config, call_sid, token, first_reply)
