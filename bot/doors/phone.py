"""The telephone's door: Twilio's webhooks and the media socket.

Every request is checked to be signed by Twilio before anything is opened for it. The webhooks steer the call with
TwiML; the talk itself is in the media socket, which is handed to a call. It must not know what is said in one.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlencode

from quart import Blueprint, Response, request, websocket

from bot.close_codes import BROKEN
from bot.doors.asgi import BAD_FRAME, LARGEST_MESSAGE_BYTES, NOT_UTF8, TOO_BIG, StraightSocket
from bot.doors.door import Door
from bot.doors.live import LiveCalls, NewCall
from bot.doors.patience import Patience
from bot.doors.signature import Form
from bot.doors.signed import SignedRequests
from bot.doors.twiml import CONTENT_TYPE, Documents
from bot.errors import StoreError
from bot.settings import MEDIA_PATH, Settings

log = logging.getLogger(__name__)

MOST_RESUMES = 8
MOST_STRANGERS = 500
"""So many sockets may wait for their `start`, which Twilio sends at once."""
MOST_WAITS = 6
"""So often a caller is asked to wait for the diary: about half a minute."""
_FAULTS = {
    TOO_BIG: f"a message over {LARGEST_MESSAGE_BYTES} bytes",
    NOT_UTF8: "not UTF-8",
    BAD_FRAME: "not the frames of a WebSocket",
}
_FINAL = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
_RECORDING_SID = re.compile(r"RE[0-9a-fA-F]{32}")


class DoorStore(Protocol):
    """What the door needs of the store."""

    async def call_arrived(self, call_sid: str, number: str | None) -> Any: ...
    async def take_place(self, call_sid: str, *, is_full: bool) -> bool: ...
    async def record_instead(self, call_sid: str) -> None: ...
    async def media_token(self, call_sid: str) -> str: ...
    async def call_ended(self, call_sid: str, why: str) -> None: ...
    async def is_ended(self, call_sid: str) -> bool: ...
    async def next_step(self, call_sid: str) -> str | None: ...
    async def recording_made(self, call_sid: str, recording_sid: str) -> None: ...
    async def is_up(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Running:
    """What the door works with while the process serves.

    `work_came` is called when something was written that durable work follows from.
    """

    store: DoorStore
    live: LiveCalls
    new_call: NewCall
    work_came: Callable[[], None]
    patience: Patience


def caller_number(form: Form) -> str | None:
    """The person's number as Twilio tells it, also `anonymous`. A call that we made has the person in `To`."""
    outbound = form.get("Direction", "").startswith("outbound")
    return form.get("To" if outbound else "From")


def _recording_sid(form: Form) -> str:
    """The recording that a request is about; empty when nothing was recorded."""
    found = _RECORDING_SID.search(form.get("RecordingSid", "") or form.get("RecordingUrl", ""))
    return found[0] if found and form.get("RecordingDuration", "") != "0" else ""


class PhoneDoor(Door[Running]):
    """The routes under /twilio, but for the code that is spoken to sign in."""

    def __init__(self, settings: Settings, documents: Documents) -> None:
        self._settings = settings
        self._documents = documents
        self._signed = SignedRequests(settings)

    def blueprint(self) -> Blueprint:
        """The routes, for the application."""
        routes = Blueprint("phone", __name__)
        routes.post("/twilio/voice")(self.voice)
        routes.post("/twilio/after")(self.after)
        routes.post("/twilio/status")(self.status)
        routes.post("/twilio/stream-status")(self.stream_status)
        routes.post("/twilio/recorded")(self.recorded)
        routes.post("/twilio/recording-status")(self.recording_status)
        routes.websocket(MEDIA_PATH)(self.media)
        return routes

    async def voice(self) -> Response:
        """A call has come: the document that connects it.

        A repeated request gets the same document until its stream is there, and then one for another stream: Twilio
        may not have seen the first. The talk goes on where it is, until that other stream is let in. Who finds no place
        leaves the day as a recording.
        """
        form, refusal = await self._signed.form()
        if form is None:
            return refusal
        call_sid, store, live = form["CallSid"], self.running.store, self.running.live
        if live.draining:
            return self._document("again", url=self._url("voice"))
        try:
            await store.call_arrived(call_sid, caller_number(form))
            if not await store.take_place(call_sid, is_full=live.is_full):
                log.warning("call %s: no place for it, it is recorded", call_sid)
                await store.record_instead(call_sid)
                return self._record("full")
            return await self._connect(call_sid, resumed=0)
        except StoreError:
            return self._wait_for_the_diary(call_sid, "voice")

    async def after(self) -> Response:
        """The stream is over: end it here too, then do what its talk decided, or take it up again."""
        form, refusal = await self._signed.form()
        if form is None:
            return refusal
        call_sid, running = form["CallSid"], self.running
        resumed = self._counted("resumed")
        try:
            if form.get("CallStatus", "") in _FINAL:
                # Nobody follows a redirect any more.
                await self._note(call_sid, partial(self._ended, call_sid, form["CallStatus"]))
                return self._document("empty")
            # Twilio asks only once the stream is over, also when its socket is still open here.
            await running.live.end(call_sid)
            if await running.store.is_ended(call_sid):
                running.work_came()
                return self._document("hangup")
            if await running.store.next_step(call_sid) == "record":
                return self._record("record")
            if running.live.draining:
                return self._document("again", url=self._url("after", resumed=resumed))
            if resumed >= MOST_RESUMES:
                log.warning("call %s: its stream broke %d times, given up", call_sid, resumed + 1)
                await self._ended(call_sid, "stream-lost")
                return self._document("lost")
            log.info("call %s: taken up again", call_sid)
            return await self._connect(call_sid, resumed + 1)
        except StoreError:
            return self._wait_for_the_diary(call_sid, "after", resumed=resumed)

    async def recorded(self) -> Response:
        """The caller has left the rest of the day as a recording."""
        form, refusal = await self._signed.form()
        if form is None:
            return refusal
        call_sid, recording_sid = form["CallSid"], _recording_sid(form) or request.args.get("recording", "")
        note = partial(self._note_recording, call_sid, recording_sid)
        try:
            if form.get("CallStatus", "") in _FINAL:
                # Who leaves a recording mostly ends it by hanging up, and nobody follows a redirect then.
                await self._note(call_sid, note)
                return self._document("empty")
            await note()
        except StoreError:
            return self._wait_for_the_diary(call_sid, "recorded", recording=recording_sid)
        return self._document("recorded")

    async def recording_status(self) -> Response:
        """A recording can be fetched: told besides `recorded`, and maybe before it."""
        form, refusal = await self._signed.form()
        if form is None:
            return refusal
        if form.get("RecordingStatus") == "completed":
            await self._note(form["CallSid"], partial(self._note_recording, form["CallSid"], _recording_sid(form)))
        return Response(status=204)

    async def status(self) -> Response:
        """The call itself is over, or on its way."""
        form, refusal = await self._signed.form()
        if form is None:
            return refusal
        if form.get("CallStatus", "") in _FINAL:
            await self._note(form["CallSid"], partial(self._ended, form["CallSid"], form["CallStatus"]))
        return Response(status=204)

    async def stream_status(self) -> Response:
        """What became of a stream, for the log: the code of an error, never its text."""
        form, refusal = await self._signed.form()
        if form is None:
            return refusal
        if form.get("StreamEvent") == "stream-error":
            code = re.search(r"\b[0-9]{5}\b", form.get("StreamError", ""))
            log.warning("call %s: stream error %s", form["CallSid"], code[0] if code else "without a code")
        return Response(status=204)

    async def media(self) -> Response | None:
        """The media stream of one call; answers the handshake with 403 when it is not signed."""
        if not self._signed.is_media():
            return Response(status=403)
        live = self.running.live
        if live.draining or live.strangers >= MOST_STRANGERS:
            return Response(status=503)
        socket = StraightSocket.of(websocket.scope)
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
            self.running.live.left(call)
            if why := _FAULTS.get(socket.close_code or 0):
                log.warning("call %s: the media socket was closed: %s", call.call_sid or "unknown", why)
        return None

    async def _ended(self, call_sid: str, why: str) -> None:
        await self.running.store.call_ended(call_sid, why)
        self.running.work_came()

    async def _note_recording(self, call_sid: str, recording_sid: str) -> None:
        """Note a recording that is to be written down; without one the call is simply over."""
        if not recording_sid:
            await self._ended(call_sid, "nothing recorded")
            return
        await self.running.store.recording_made(call_sid, recording_sid)
        self.running.work_came()

    async def _note(self, call_sid: str, write: Callable[[], Awaitable[None]]) -> None:
        """Write it, now or as soon as the store takes it: nobody tells us again."""
        try:
            await write()
        except StoreError:
            self.running.patience.keep_trying(f"call {call_sid}", write)

    async def _connect(self, call_sid: str, resumed: int) -> Response:
        token = await self.running.store.media_token(call_sid)
        return self._document(
            "connect",
            after_url=self._url("after", resumed=resumed),
            media_url=self._settings.media_url,
            stream_status_url=self._url("stream-status"),
            token=token,
        )

    def _record(self, document: str) -> Response:
        return self._document(document, recorded_url=self._url("recorded"), status_url=self._url("recording-status"))

    def _wait_for_the_diary(self, call_sid: str, path: str, **query: int | str) -> Response:
        """The store failed: the caller waits a little, and Twilio asks the same again."""
        waited = self._counted("waited") + 1
        log.error("call %s: the store failed, %d of %d", call_sid, waited, MOST_WAITS)
        if waited > MOST_WAITS:
            return self._document("fallback")
        return self._document("wait", url=self._url(path, **query, waited=waited))

    def _counted(self, name: str) -> int:
        return max(0, request.args.get(name, default=0, type=int))

    def _url(self, path: str, **query: int | str) -> str:
        """An address of ours; what is in its query travels signed, so that any process knows it."""
        known = urlencode({name: value for name, value in query.items() if value})
        return f"{self._settings.public_url}/twilio/{path}" + (f"?{known}" if known else "")

    def _document(self, name: str, **values: str) -> Response:
        return Response(self._documents.fill(name, **values), content_type=CONTENT_TYPE)
