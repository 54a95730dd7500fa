"""One call through the Twilio stand-in: the voice webhook, the verbs it answers, streams, and the status callbacks.

Must not know how frames are paced or played. A stream's `action` is requested when the app closed or broke the socket
and, unless told so, not when the caller hung up (Twilio does not say). Source: Twilio's pages on TwiML, <Connect> and
<Record>.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

import httpx2
from websockets.exceptions import WebSocketException

from bot.lab.caller import Caller
from bot.lab.line import Line, Record, StreamEnd
from bot.lab.recordings import Recorded, Recordings, recording_form
from bot.lab.report import CallReport
from bot.lab.tape import HUNG_UP, Tape
from bot.lab.twiml import TwimlFault, Verb, faults, parse
from bot.lab.wire import Answer, Wire, voice_parameters

MOST_DOCUMENTS = 100
SAY_S_PER_LETTER = 0.12
GATHER_TIMEOUT_S = 5.0
TWIML_TYPES = ("text/xml", "application/xml", "text/html")


@dataclass(frozen=True, slots=True)
class Habits:
    """What is the same for all calls: the account, the number that is called, and what Twilio was set up to do."""

    account_sid: str
    called: str
    voice_path: str = "/twilio/voice"
    status_path: str | None = "/twilio/status"
    fallback_path: str | None = None
    action_on_hangup: bool = False
    echo_marks: bool = True
    verb_pace: float = 1.0


@dataclass(frozen=True, slots=True)
class _Document:
    url: str
    method: str = "POST"
    extra: tuple[tuple[str, str], ...] = ()


class PhoneCall:
    """One incoming call, from ringing to the last callback."""

    def __init__(
        self,
        wire: Wire,
        habits: Habits,
        caller: Caller,
        report: CallReport,
        record: Record | None = None,
        *,
        lines: set[Line] | None = None,
        recordings: Recordings | None = None,
    ) -> None:
        """`lines` holds the stream while it lasts; `recordings` gets what `<Record>` records."""
        self._wire = wire
        self._habits = habits
        self._caller = caller
        self._report = report
        self._record = record
        self._lines = set() if lines is None else lines
        self._recordings = recordings or Recordings()
        self._acts = caller.acts()
        self._status = "ringing"
        self._callbacks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Make the call; everything that happens is in the report."""
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as self._callbacks:
            document: _Document | None = _Document(self._wire.url(self._habits.voice_path))
            for _ in range(MOST_DOCUMENTS):
                if document is None:
                    break
                verbs = await self._fetch(document)
                document = None if verbs is None else await self._execute(verbs, document.url)
            else:
                self._report.breach(f"TwiML: more than {MOST_DOCUMENTS} documents in one call")
            self._report.sounds.ended(self._report.clock_ms())
            if self._habits.status_path is not None:
                duration_s = round(asyncio.get_running_loop().time() - began)
                await self._callback(self._wire.url(self._habits.status_path), self._completed(duration_s))
        self._report.note("ended", self._report.ended_by)

    def _params(self, extra: Mapping[str, str]) -> dict[str, str]:
        sid, number = self._report.call_sid, self._report.number
        return voice_parameters(self._habits.account_sid, sid, number, self._habits.called, self._status) | dict(extra)

    async def _fetch(self, document: _Document) -> tuple[Verb, ...] | None:
        """The verbs of a document, or of the fallback's when it cannot be had; None when the call fails."""
        verbs, error = await self._fetch_once(document)
        self._status = "in-progress"
        if verbs is None and self._habits.fallback_path is not None:
            extra = (("ErrorCode", error), ("ErrorUrl", document.url))
            verbs, _ = await self._fetch_once(_Document(self._wire.url(self._habits.fallback_path), extra=extra))
        if verbs is None:
            self._report.ended_by = "failed"
        return verbs

    async def _fetch_once(self, document: _Document) -> tuple[tuple[Verb, ...] | None, str]:
        path = urlsplit(document.url).path
        try:
            answer = await self._wire.request(document.url, self._params(dict(document.extra)), method=document.method)
        except httpx2.TooManyRedirects:
            self._report.breach(f"11215: {path} redirects too often")
            return None, "11215"
        except httpx2.TimeoutException:
            self._report.breach(f"11205: {path} took longer than Twilio waits")
            return None, "11205"
        except httpx2.HTTPError as error:
            self._report.breach(f"11205: {path}: {type(error).__name__}")
            return None, "11205"
        self._keep(path, answer)
        if not 200 <= answer.status < 300:
            self._report.breach(f"11200: {path} answered {answer.status}")
            return None, "11200"
        if not answer.content_type.startswith(TWIML_TYPES):
            self._report.breach(f"12300: {path} answered {answer.content_type or 'no type'}")
            return None, "12300"
        try:
            verbs = parse(answer.body)
        except TwimlFault as fault:
            self._report.breach(f"{path}: {fault}")
            return None, "12100"
        for fault_text in faults(verbs, secure=self._wire.is_secure):
            self._report.breach(f"{path}: {fault_text}")
        return verbs, ""

    def _keep(self, path: str, answer: Answer) -> None:
        self._report.webhooks.append((path, answer.status, answer.took_ms))
        self._report.note("webhook", f"{path} {answer.status} {answer.took_ms} ms")

    async def _execute(self, verbs: tuple[Verb, ...], url: str) -> _Document | None:
        """Run verbs until one leads elsewhere, or the call is over (None)."""
        self._report.sounds.answered(self._report.clock_ms())
        for verb in verbs:
            match verb.name:
                case "Say" | "Play" | "Pause":
                    await self._perform(verb)
                case "Gather":
                    if (document := await self._gather(verb, url)) is not None:
                        return document
                case "Record":
                    return await self._tape(verb, url)
                case "Redirect":
                    return _Document(urljoin(url, verb.text), verb.attributes.get("method", "POST"))
                case "Hangup" | "Reject":
                    break
                case "Connect" if (stream := verb.child("Stream")) is not None:
                    end = await self._connect(stream, url)
                    action = verb.attributes.get("action")
                    then = (
                        None
                        if action is None
                        else _Document(urljoin(url, action), verb.attributes.get("method", "POST"))
                    )
                    if end is StreamEnd.HUNG_UP:
                        await self._hung_up(then)
                        return None
                    self._report.sounds.broke(self._report.clock_ms())
                    self._caller.line_broke()
                    if then is not None:
                        return then
        self._report.ended_by = "app"
        return None

    async def _hung_up(self, action: _Document | None) -> None:
        self._report.ended_by = "caller"
        self._status = "completed"
        if action is not None and self._habits.action_on_hangup:
            await self._fetch_once(action)

    async def _perform(self, verb: Verb) -> None:
        self._report.note(verb.name, verb.text)
        seconds = len(verb.text) * SAY_S_PER_LETTER
        if verb.name == "Pause":
            seconds = float(verb.attributes.get("length", "1"))
        seconds *= self._habits.verb_pace
        if verb.name != "Pause":
            self._report.sounds.bot(self._report.clock_ms(), round(seconds * 1000))
        await asyncio.sleep(seconds)

    async def _tape(self, verb: Verb, url: str) -> _Document | None:
        """`<Record>`: its action is always asked for, also when the caller hung up; that answer is not run any more."""
        taped = await Tape(verb, self._caller, self._acts, self._report).run()
        recorded = self._recordings.keep(self._report.call_sid, taped.mulaw)
        self._report.note("recorded", f"{recorded.duration_s} s")
        extra = {
            "RecordingUrl": self._recordings.url_of(recorded, self._habits.account_sid),
            "RecordingSid": recorded.sid,
            "RecordingDuration": str(recorded.duration_s),
            "Digits": taped.digits,
        }
        self._recording_event(verb, recorded, extra, url)
        action = _Document(
            urljoin(url, verb.attributes.get("action", url)),
            verb.attributes.get("method", "POST"),
            tuple(extra.items()),
        )
        if taped.digits != HUNG_UP:
            return action
        self._report.ended_by = "caller"
        self._status = "completed"
        await self._fetch_once(action)
        return None

    def _recording_event(self, verb: Verb, recorded: Recorded, extra: Mapping[str, str], url: str) -> None:
        """Tell the recording's own callback, once the file is there."""
        callback = verb.attributes.get("recordingStatusCallback")
        event = "completed" if recorded.duration_s else "absent"
        if not callback or self._callbacks is None:
            return
        if event not in verb.attributes.get("recordingStatusCallbackEvent", "completed").split():
            return
        params = recording_form(recorded, extra["RecordingUrl"], self._habits.account_sid, event)
        method = verb.attributes.get("recordingStatusCallbackMethod", "POST")
        self._callbacks.create_task(self._when_ready(urljoin(url, callback), params, method))

    async def _when_ready(self, url: str, params: Mapping[str, str], method: str) -> None:
        await asyncio.sleep(self._recordings.ready_after_s)
        await self._callback(url, params, method)

    async def _gather(self, verb: Verb, url: str) -> _Document | None:
        key = self._caller.next_key()
        if key is not None:
            self._report.note("pressed", key)
            action = urljoin(url, verb.attributes.get("action", url))
            return _Document(action, verb.attributes.get("method", "POST"), (("Digits", key),))
        for child in verb.children:
            await self._perform(child)
        await asyncio.sleep(float(verb.attributes.get("timeout", GATHER_TIMEOUT_S)) * self._habits.verb_pace)
        return None

    async def _connect(self, stream: Verb, url: str) -> StreamEnd:
        stream_sid = "MZ" + uuid4().hex
        try:
            ws = await self._wire.dial(self._wire.socket_url(stream.attributes.get("url", ""), url))
        except (OSError, TimeoutError, WebSocketException, ValueError) as error:
            self._report.breach(f"31920: the media handshake failed: {error}")
            self._stream_event(stream, stream_sid, "stream-error")
            return StreamEnd.REFUSED
        self._report.stream_sids.append(stream_sid)
        self._stream_event(stream, stream_sid, "stream-started")
        parameters = {p.attributes.get("name", ""): p.attributes.get("value", "") for p in stream.children}
        line = Line(
            ws,
            self._acts,
            self._caller.ear,
            self._report,
            stream_sid=stream_sid,
            account_sid=self._habits.account_sid,
            parameters=parameters,
            echo_marks=self._habits.echo_marks,
            record=self._record,
        )
        self._lines.add(line)
        try:
            return await line.run()
        finally:
            self._lines.discard(line)
            ws.transport.abort()
            self._stream_event(stream, stream_sid, "stream-stopped")

    def _stream_event(self, stream: Verb, stream_sid: str, event: str) -> None:
        url = stream.attributes.get("statusCallback")
        if not url or self._callbacks is None:
            return
        params = {
            "AccountSid": self._habits.account_sid,
            "CallSid": self._report.call_sid,
            "StreamSid": stream_sid,
            "StreamName": stream.attributes.get("name", stream_sid),
            "StreamEvent": event,
            "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z"),
        }
        if event == "stream-error":
            params["StreamError"] = "31920"
        self._callbacks.create_task(self._callback(url, params, stream.attributes.get("statusCallbackMethod", "POST")))

    def _completed(self, duration_s: int) -> dict[str, str]:
        self._status = "completed"
        return self._params(
            {
                "CallDuration": str(duration_s),
                "Duration": str(-(-duration_s // 60)),
                "Timestamp": format_datetime(datetime.now(UTC)),
                "CallbackSource": "call-progress-events",
                "SequenceNumber": "0",
            }
        )

    async def _callback(self, url: str, params: Mapping[str, str], method: str = "POST") -> None:
        path = urlsplit(url).path
        try:
            answer = await self._wire.request(url, params, method=method)
        except httpx2.HTTPError as error:
            self._report.breach(f"11205: {path}: {type(error).__name__}")
            return
        self._keep(path, answer)
        is_twiml = answer.status == 200 and answer.content_type.startswith(TWIML_TYPES)
        if answer.status != 204 and not is_twiml:
            self._report.breach(f"{path} answered {answer.status} {answer.content_type}: neither 204 nor TwiML")
