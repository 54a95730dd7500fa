"""The door of the text chat: a WebSocket, and a POST that is answered with server-sent events.

Both are for signed-in people alone, and for our own pages. It must not know how a question is answered, or what a diary
holds.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from quart import Blueprint, Response, copy_current_request_context, request, websocket
from werkzeug.exceptions import RequestEntityTooLarge

from bot.chatting import Chatting, Question, Send
from bot.close_codes import GOING_AWAY, NORMAL, POLICY
from bot.diary.people import Person
from bot.doors.asgi import StraightSocket
from bot.doors.door import Door
from bot.doors.events import EventBody
from bot.doors.identity import Identity, Whose, is_still
from bot.doors.places import Places
from bot.errors import StoreError
from bot.protocols.chat import BadMessage, Event, Fault, Message, encode, encode_sse, failure, named_session, parse

MOST_A_MINUTE = 30
MOST_SOCKETS = 16
"""So many one person may have open in one process."""
MOST_FAULTS = 20
"""After so many messages in a row that were refused a socket is closed."""
SIGNED_IN_S = 5.0
"""So often, while an answer is given, it is looked whether the person is still signed in."""
EVENT_STREAM = "text/event-stream; charset=utf-8"
_STATUS = {Fault.NOT_READY: 503, Fault.LINE_FULL: 429, Fault.TOO_OFTEN: 429}
_RETRY_AFTER_S = {Fault.NOT_READY: 5, Fault.LINE_FULL: 10, Fault.TOO_OFTEN: 60}
_OUR_OWN = (Fault.NOT_READY, Fault.INTERNAL)


@dataclass(frozen=True, slots=True)
class Running:
    """What the door works with while the process serves."""

    identity: Identity
    chats: Chatting


class ChatDoor(Door[Running]):
    """The routes /chat-ws and /chat/stream."""

    def __init__(self) -> None:
        self._talks: set[_Talk] = set()
        self._sockets = Places(MOST_SOCKETS)
        self._is_leaving = False

    def leave(self) -> None:
        """The process is going away: take no more, and close each socket once its last answer is given."""
        self._is_leaving = True
        for talk in list(self._talks):
            talk.end(GOING_AWAY)

    def blueprint(self) -> Blueprint:
        """The routes, for the application."""
        routes = Blueprint("chat", __name__)
        routes.websocket("/chat-ws")(self.socket)
        routes.post("/chat/stream")(self.stream)
        return routes

    async def socket(self) -> Response | None:
        """One socket, with any number of messages; 401 or 403 instead of the handshake for who may not have it."""
        person, refusal = await self._let_in()
        if person is None:
            return refusal
        with self._sockets.taken(person.caller_id) as has_place:
            if not has_place:
                return _refused(429, Fault.TOO_OFTEN)
            await self._serve(person)
        return None

    async def _serve(self, person: Person) -> None:
        socket = StraightSocket.of(websocket.scope)
        socket.hold()
        talk = _Talk(self.running, person.caller_id, socket, named_session(websocket.args.get("session_id")))
        self._talks.add(talk)
        try:
            await websocket.accept()
            if self._is_leaving:
                talk.end(GOING_AWAY)
            await talk.run()
        finally:
            self._talks.discard(talk)

    async def stream(self) -> Response:
        """One message, answered with events until the last; what is wrong before the first has a status of its own."""
        person, refusal = await self._let_in()
        if person is None:
            return refusal
        if request.mimetype != "application/json":
            return _failed(Fault.NOT_JSON, None)
        try:
            message = parse(await request.get_data(as_text=False))
        except RequestEntityTooLarge:
            return _failed(Fault.BAD_CONTENT, None)
        except BadMessage as error:
            return _failed(error.fault, error.message_id)
        question = await _taken(self.running, person.caller_id, message, named_session(request.args.get("session_id")))
        if isinstance(question, Fault):
            return _failed(question, message.message_id)
        # The request's context is gone when its answer is given.
        whose = copy_current_request_context(self.running.identity.person)
        response = _events(EventBody(partial(_answered, self.running.chats, question, whose)))
        response.timeout = None
        return response

    async def _let_in(self) -> tuple[Person | None, Response]:
        """Who asks, and what to answer when that is nobody."""
        identity = self.running.identity
        if self._is_leaving:
            return None, _refused(503, Fault.NOT_READY)
        if not identity.is_ours():
            return None, _refused(403, Fault.NOT_OURS)
        try:
            return await identity.person(), _refused(401, Fault.SIGNED_OUT)
        except StoreError:
            return None, _refused(503, Fault.NOT_READY)


class _Talk:
    """One socket: takes its messages in order, and answers them beside each other as far as their sessions let it."""

    def __init__(self, running: Running, caller_id: int, socket: StraightSocket, session_id: str | None) -> None:
        self._running = running
        self._caller_id = caller_id
        self._socket = socket
        self._current = session_id
        self._reading: asyncio.Task[None] | None = None
        self._is_pulling = False
        self._faults = 0
        self._close_code: int | None = None

    async def run(self) -> None:
        """Live until the socket is over. A peer that leaves ends this by cancellation, and so its answers."""
        async with asyncio.TaskGroup() as answers:
            self._reading = answers.create_task(self._read(answers))
        await self._socket.close(self._close_code or NORMAL)

    def end(self, close_code: int) -> None:
        """Take no more messages; the socket is closed when the last answer is given."""
        self._close_code = self._close_code or close_code
        if self._reading and self._is_pulling:
            self._reading.cancel()

    async def _read(self, answers: asyncio.TaskGroup) -> None:
        while self._close_code is None:
            self._is_pulling = True
            text = await self._socket.pull()
            self._is_pulling = False
            if text is None:
                return
            await self._take(text, answers)

    async def _take(self, text: str | bytes, answers: asyncio.TaskGroup) -> None:
        message_id = None
        try:
            message = parse(text)
            message_id = message.message_id
            fault = await self._begin(message, answers)
        except BadMessage as error:
            fault, message_id = error.fault, error.message_id
        if fault is None:
            self._faults = 0
            return
        await self._tell(fault, message_id)
        self._faults += fault not in _OUR_OWN
        if fault is Fault.SIGNED_OUT or self._faults >= MOST_FAULTS:
            self.end(POLICY)

    async def _begin(self, message: Message, answers: asyncio.TaskGroup) -> Fault | None:
        """Have a message answered; what speaks against it, if anything does."""
        try:
            person = await self._running.identity.person()
        except StoreError:
            return Fault.NOT_READY
        if person is None or person.caller_id != self._caller_id:
            return Fault.SIGNED_OUT
        taken: asyncio.Future[Fault | None] = asyncio.get_running_loop().create_future()
        answers.create_task(self._answer(message, taken))
        return await taken

    async def _answer(self, message: Message, taken: asyncio.Future[Fault | None]) -> None:
        """Take a message and answer it, or have `taken` tell what speaks against it.

        One task does both: cancelled before its first step, it leaves no question in the line that nobody answers.
        """
        question = await _taken(self._running, self._caller_id, message, self._current)
        if isinstance(question, Fault):
            taken.set_result(question)
            return
        self._current = question.session_id or self._current
        taken.set_result(None)
        try:
            if not await _answered(self._running.chats, question, self._running.identity.person, self._send):
                self.end(POLICY)
        except ConnectionResetError:
            pass

    async def _send(self, event: Event) -> None:
        await self._socket.send(encode(event))

    async def _tell(self, fault: Fault, message_id: str | None) -> None:
        try:
            await self._send(failure(fault, message_id))
        except ConnectionResetError:
            pass


async def _taken(running: Running, caller_id: int, message: Message, current: str | None) -> Question | Fault:
    """Put a message into its line, unless the person sends too many."""
    try:
        if not await running.identity.allow("chat", str(caller_id), MOST_A_MINUTE, 60):
            return Fault.TOO_OFTEN
    except StoreError:
        return Fault.NOT_READY
    return await running.chats.take(caller_id, message, current)


class _SignedOut(ConnectionError):
    """Who asked is not signed in any more."""


async def _answered(chats: Chatting, question: Question, whose: Whose, send: Send) -> bool:
    """Answer as long as the person is signed in, who is looked for with `whose`; False when they are not to the end."""
    look_at = time.monotonic() + SIGNED_IN_S

    async def send_on(event: Event) -> None:
        nonlocal look_at
        if time.monotonic() >= look_at:
            look_at = time.monotonic() + SIGNED_IN_S
            if not await is_still(whose, question.caller_id):
                raise _SignedOut
        await send(event)

    try:
        await chats.answer(question, send_on)
    except _SignedOut:
        await send(failure(Fault.SIGNED_OUT, question.message.message_id))
        return False
    return True


def _refused(status: int, fault: Fault) -> Response:
    """The answer to who is not let in: the event as JSON."""
    return Response(encode(failure(fault, None)), status, _when(fault), content_type="application/json")


def _failed(fault: Fault, message_id: str | None) -> Response:
    """The event stream of a message that is not answered."""
    return _events(encode_sse(failure(fault, message_id)), _STATUS.get(fault, 400), _when(fault))


def _events(body: EventBody | bytes, status: int = 200, more: Mapping[str, str] | None = None) -> Response:
    """An event stream that no proxy holds back or keeps."""
    headers = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no", **(more or {})}
    return Response(body, status, headers, content_type=EVENT_STREAM)


def _when(fault: Fault) -> dict[str, str]:
    """The header that says when to try again, where that helps."""
    after_s = _RETRY_AFTER_S.get(fault)
    return {} if after_s is None else {"Retry-After": str(after_s)}
