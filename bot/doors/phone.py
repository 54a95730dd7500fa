"""The telephone's door: Twilio's webhooks and the media socket.

Every request is checked to be signed by Twilio before anything is opened for it. The webhooks steer the call with
TwiML; the talk itself is in the media socket, which is handed to a call. It must not know what is said in one.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from quart import Blueprint, Response, request, websocket

from bot.doors.asgi import BAD_FRAME, LARGEST_MESSAGE_BYTES, NOT_UTF8, TOO_BIG, MediaSocket
from bot.doors.live import SETTLE_S, LiveCalls, NewCall
from bot.doors.signature import SIGNATURE_HEADER, Form, Signatures, parse_form
from bot.doors.twiml import CONTENT_TYPE, Documents
from bot.errors import StoreError
from bot.settings import MEDIA_PATH, Settings

log = logging.getLogger(__name__)

MOST_RESUMES = 3
BROKEN = 1011
_FAULTS = {
    TOO_BIG: f"a message over {LARGEST_MESSAGE_BYTES} bytes",
    NOT_UTF8: "not UTF-8",
    BAD_FRAME: "not the frames of a WebSocket",
}
_FINAL = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
_CALL_SID = re.compile(r"CA[0-9a-fA-F]{32}")


class DoorStore(Protocol):
    """What the door needs of the store."""

    async def call_arrived(self, call_sid: str, number: str | None) -> Any: ...
    async def media_token(self, call_sid: str) -> str: ...
    async def call_ended(self, call_sid: str, why: str) -> None: ...
    async def is_ended(self, call_sid: str) -> bool: ...
    async def is_up(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Running:
    """What the door works with while the process serves.

    `call_ended` is told of a CallSid whose call is over at Twilio and is not live here.
    """

    store: DoorStore
    live: LiveCalls
    new_call: NewCall
    call_ended: Callable[[str], None]


def caller_number(form: Form) -> str | None:
    """The person's number as Twilio tells it, also `anonymous`. A call that we made has the person in `To`."""
    outbound = form.get("Direction", "").startswith("outbound")
    return form.get("To" if outbound else "From")


class PhoneDoor:
    """The routes under /twilio; `start` must be called before the first request."""

    def __init__(self, settings: Settings, documents: Documents) -> None:
        self._settings = settings
        self._documents = documents
        self._signatures = Signatures(settings.public_url, settings.media_url, settings.twilio.auth_tokens)
        self._running: Running | None = None

    def start(self, running: Running) -> None:
        """Begin to serve."""
        self._running = running

    @property
    def running(self) -> Running:
        """What `start` gave; RuntimeError before it."""
        if self._running is None:
            raise RuntimeError("the door is not open yet: the application was not started")
        return self._running

    def blueprint(self) -> Blueprint:
        """The routes, for the application."""
        routes = Blueprint("phone", __name__)
        routes.post("/twilio/voice")(self.voice)
        routes.post("/twilio/after")(self.after)
        routes.post("/twilio/status")(self.status)
        routes.post("/twilio/stream-status")(self.stream_status)
        routes.websocket(MEDIA_PATH)(self.media)
        return routes

    async def voice(self) -> Response:
        """A call has come: the document that connects it.

        A repeated request gets the same document until its stream is there, and then one for another stream: Twilio
        may not have seen the first. The talk goes on where it is, until that other stream is let in.
        """
        form, refusal = await self._form()
        if form is None:
            return refusal
        call_sid = form["CallSid"]
        if self.running.live.draining:
            return self._document("busy")
        try:
            await self.running.store.call_arrived(call_sid, caller_number(form))
            return await self._connect(call_sid, resumed=0)
        except StoreError:
            log.error("call %s: cannot be taken, the store failed", call_sid)
            return self._document("fallback")

    async def after(self) -> Response:
        """The stream is over: end it here too, hang up after a goodbye, take up a talk whose socket broke."""
        form, refusal = await self._form()
        if form is None:
            return refusal
        call_sid, running = form["CallSid"], self.running
        resumed = max(0, request.args.get("resumed", default=0, type=int))
        try:
            if form.get("CallStatus", "") in _FINAL:
                await self._ended(call_sid, form["CallStatus"])
                return self._document("empty")
            # Twilio asks only once the stream is over, also when its socket is still open here.
            running.live.end(call_sid)
            await running.live.settled(call_sid, SETTLE_S)
            if await running.store.is_ended(call_sid):
                return self._document("hangup")
            if running.live.draining:
                return self._document("wait", after_url=self._after_url(resumed))
            if resumed >= MOST_RESUMES:
                log.warning("call %s: its stream broke %d times, given up", call_sid, resumed + 1)
                await self._ended(call_sid, "stream-lost")
                return self._document("lost")
            log.info("call %s: its stream broke, taken up again", call_sid)
            return await self._connect(call_sid, resumed + 1)
        except StoreError:
            log.error("call %s: cannot be taken up, the store failed", call_sid)
            return self._document("fallback")

    async def status(self) -> Response:
        """The call itself is over, or on its way."""
        form, refusal = await self._form()
        if form is None:
            return refusal
        if form.get("CallStatus", "") in _FINAL:
            try:
                await self._ended(form["CallSid"], form["CallStatus"])
            except StoreError:
                log.error("call %s: its end is not recorded, the store failed", form["CallSid"])
        return Response(status=204)

    async def stream_status(self) -> Response:
        """What became of a stream, for the log: the code of an error, never its text."""
        form, refusal = await self._form()
        if form is None:
            return refusal
        if form.get("StreamEvent") == "stream-error":
            code = re.search(r"\b[0-9]{5}\b", form.get("StreamError", ""))
            log.warning("call %s: stream error %s", form["CallSid"], code[0] if code else "without a code")
        return Response(status=204)

    async def media(self) -> Response | None:
        """The media stream of one call; answers the handshake with 403 when it is not signed."""
        tokens = self._settings.twilio.auth_tokens
        signature = websocket.headers.get(SIGNATURE_HEADER)
        signed = bool(tokens) and self._signatures.media(websocket.query_string, signature)
        if not signed and not self._unsigned_allowed:
            log.warning("media handshake refused: %s", "not signed by Twilio" if tokens else "no auth token is set")
            return Response(status=403)
        if self.running.live.draining:
            return Response(status=503)
        socket = MediaSocket.of(websocket.scope)
        await websocket.accept()
        call = self.running.new_call(socket.send, socket.close)
        socket.deliver_to(call.receive)
        task = self.running.live.start(call)
        try:
            # Ends by cancellation when the peer closes; the call's task goes on.
            await asyncio.wait({task})
            await socket.close(BROKEN)
        finally:
            call.gone()
            if why := _FAULTS.get(socket.close_code or 0):
                log.warning("call %s: the media socket was closed: %s", call.call_sid or "unknown", why)
        return None

    @property
    def _unsigned_allowed(self) -> bool:
        return self._settings.twilio.allow_unsigned and not self._settings.twilio.auth_tokens

    async def _form(self) -> tuple[Form | None, Response]:
        """The signed fields of this request, or None and what to answer: 403, or 400 without a CallSid."""
        body = await request.get_data(cache=True, as_text=False, parse_form_data=False)
        form = parse_form(request.headers.get("Content-Type"), body)
        why = self._refused(form)
        if form is None or why:
            log.warning("%s refused: %s", request.path, why)
            return None, Response(status=403)
        if not _CALL_SID.fullmatch(form.get("CallSid", "")):
            log.warning("%s refused: no CallSid", request.path)
            return None, Response(status=400)
        return form, Response(status=204)

    def _refused(self, form: Form | None) -> str:
        """Why this request is refused; empty when it is not."""
        twilio = self._settings.twilio
        if form is None:
            return "not a form"
        if not twilio.auth_tokens:
            return "" if twilio.allow_unsigned else "no auth token is set"
        signature = request.headers.get(SIGNATURE_HEADER)
        if not self._signatures.webhook(request.path, request.query_string, form, signature):
            return "not signed by Twilio for PUBLIC_URL"
        return "" if form.get("AccountSid") == twilio.account_sid else "another AccountSid"

    async def _ended(self, call_sid: str, why: str) -> None:
        await self.running.store.call_ended(call_sid, why)
        if not self.running.live.holds(call_sid):
            self.running.call_ended(call_sid)

    async def _connect(self, call_sid: str, resumed: int) -> Response:
        token = await self.running.store.media_token(call_sid)
        return self._document(
            "connect",
            after_url=self._after_url(resumed),
            media_url=self._settings.media_url,
            stream_status_url=f"{self._settings.public_url}/twilio/stream-status",
            token=token,
        )

    def _after_url(self, resumed: int) -> str:
        """How often the talk was taken up travels in the signed URL, so that any process knows it."""
        return f"{self._settings.public_url}/twilio/after" + (f"?resumed={resumed}" if resumed else "")

    def _document(self, name: str, **values: str) -> Response:
        return Response(self._documents.fill(name, **values), content_type=CONTENT_TYPE)
