"""A socket of the browser's door before its talk: it says which it wants, as often as it takes, within bounds.

It must not know how a socket is let in, or what is done with the talk.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from bot.close_codes import POLICY
from bot.diary.browser_talks import new_session, sid_of
from bot.diary.people import Person
from bot.diary.store import Store
from bot.doors.asgi import StraightSocket
from bot.doors.identity import Identity
from bot.doors.live import LiveCalls
from bot.errors import StoreError
from bot.protocols.browser import BrowserStream, Hello
from bot.protocols.browser_messages import BadMessage, Config, Fault, failure

log = logging.getLogger(__name__)


INIT_S = 10.0
"""How long a socket may be open without `init`."""

MOST_FAULTS = 20
MOST_TALKS, MOST_RESUMES, WITHIN_S = 30, 300, 3600.0
REPLIES_APART = 10_000
"""More than the bot says on one socket."""
STREAMS_APART = 90_000
"""More than the sockets of one talk; a number of a reply may have nine digits."""


@dataclass(frozen=True, slots=True)
class Session:
    """A talk that may begin."""

    config: Config
    call_sid: str
    token: str
    first_reply: int


class Opening:
    """A socket of somebody who was `person` when it was let in."""

    def __init__(
        self, identity: Identity, store: Store, live: LiveCalls, person: Person, socket: StraightSocket
    ) -> None:
        self.stream = BrowserStream()
        self.close_code = POLICY
        self._identity = identity
        self._store = store
        self._live = live
        self._person = person
        self._socket = socket
        self._hello: Hello | None = None
        self._answers: list[str] = []
        self._changed = asyncio.Event()
        self._faults = 0
        self._was_refused = False
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
            self._refuse(error.fault, error.where)

    def _refuse(self, fault: Fault, where: str = "") -> None:
        """Answer with what is wrong; too much of that, or nobody to talk with, is the end of the socket."""
        self._faults += 1
        self._answers.append(failure(fault, where))
        if self._faults >= MOST_FAULTS:
            self._answers.append(failure(Fault.TOO_MANY_FAULTS))
        if self._faults >= MOST_FAULTS or fault is Fault.SIGNED_OUT:
            self.end(POLICY)
        self._changed.set()

    def end(self, close_code: int) -> None:
        """Begin no talk, and close the socket with this code."""
        if not self._is_over:
            self._is_over, self.close_code = True, close_code
            self._changed.set()

    async def run(self) -> Session | None:
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
            with suppress(ConnectionError):
                await self._tell()
        except ConnectionError:
            pass
        return None

    async def _tell(self) -> None:
        while self._answers:
            await self._socket.send(self._answers.pop(0))

    async def _opened(self, hello: Hello) -> Session | None:
        try:
            found = await self._found(hello)
        except StoreError as error:
            log.error("a talk in a browser: %s", error)
            found = Fault.STORE_UNAVAILABLE
        if isinstance(found, Fault):
            self.stream.refuse()
            self._was_refused = self._was_refused or hello.session_id is not None
            self._refuse(found)
            return None
        session_id, session = found
        await self._socket.send(self.stream.connected(session_id, resumed=hello.session_id is not None))
        return None if self._is_over else session

    async def _found(self, hello: Hello) -> tuple[str, Session] | Fault:
        person = self._person
        now = await self._identity.person()
        if now is None or now.caller_id != person.caller_id:
            return Fault.SIGNED_OUT
        what, most = ("talk-resume", MOST_RESUMES) if hello.session_id else ("talk", MOST_TALKS)
        if not await self._identity.allow(what, str(person.caller_id), most, WITHIN_S):
            return Fault.TOO_MANY
        if hello.session_id is None:
            session_id = new_session()
        elif await self._store.browser_talks.may_resume(hello.session_id, person.caller_id):
            session_id = hello.session_id
            # Its socket may seem open here: what was said on it is kept before the talk goes on.
            await self._live.end(sid_of(session_id))
        else:
            return Fault.NO_SESSION
        call_sid = sid_of(session_id)
        arrival = await self._store.call_arrived(call_sid, person.number)
        if not await self._store.take_place(call_sid, is_full=self._live.is_full):
            return Fault.NO_PLACE
        apart = arrival.stream if hello.session_id else 0
        if self._was_refused:
            # The client may still tell what it heard of another talk, whose sentences have names from the beginning.
            apart += UUID(session_id).int % STREAMS_APART + 1
        token = await self._store.media_token(call_sid)
        return session_id, Session(hello.config, call_sid, token, REPLIES_APART * apart)
