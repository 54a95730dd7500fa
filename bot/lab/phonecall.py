"""One call through the Twilio stand-in: the voice webhook, and the verbs that it and the documents after it hold.

Must not know how frames are paced or played. A stream's `action` is requested when the app closed or broke the socket
and, unless told so, not when the caller hung up (Twilio does not say). Source: Twilio's pages on TwiML, <Connect> and
<Record>.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

import httpx2
from websockets.exceptions import WebSocketException

from bot.lab.callbacks import TWIML_TYPES, Callbacks
from bot.lab.caller import Caller
from bot.lab.line import Line, Record, StreamEnd
from bot.lab.recordings import KeptRecordings
from bot.lab.report import CallReport
from bot.lab.tape import HUNG_UP, Tape
from bot.lab.twiml import TwimlFault, Verb, faults, parse
from bot.lab.wire import Wire, voice_parameters

MOST_DOCUMENTS = 100
SAY_S_PER_LETTER = 0.12
GATHER_TIMEOUT_S = 5.0


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
    """What is asked for next; `extra` goes on top of the form that every voice webhook has."""

    url: str
    method: str = "POST"
    extra: Mapping[str, str] = field(default_factory=dict)


class PhoneCall:
    """One incoming call, from ringing to the last callback."""

    def __init__(
        self,
        wire: Wire,
        habits: Habits,
        caller: Caller,
        report: CallReport,
        *,
        record: Record | None,
        lines: set[Line],
        recordings: KeptRecordings,
    ) -> None:
        """`lines` holds the stream while it lasts; `recordings` gets what `<Record>` records."""
        self._wire = wire
        self._habits = habits
        self._caller = caller
        self._report = report
        self._record = record
        self._lines = lines
        self._recordings = recordings
        self._acts = caller.acts()
        self._status = "ringing"
        self._callbacks = Callbacks(wire, report, habits.account_sid)

    async def run(self) -> None:
        """Make the call; everything that happens is in the report."""
        began = asyncio.get_running_loop().time()
        async with self._callbacks:
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
                await self._callbacks.make(self._wire.url(self._habits.status_path), self._completed(duration_s))
        self._report.note("ended", self._report.ended_by)

    def _params(self, extra: Mapping[str, str]) -> dict[str, str]:
        sid, number = self._report.call_sid, self._report.number
        params = voice_parameters(self._habits.account_sid, sid, number, self._habits.called, self._status)
        return {**params, **extra}

    async def _fetch(self, document: _Document) -> tuple[Verb, ...] | None:
        """The verbs of a document, or of the fallback's when it cannot be had; None when the call fails."""
        verbs, error = await self._fetch_once(document)
        self._status = "in-progress"
        if verbs is None and self._habits.fallback_path is not None:
            extra = {"ErrorCode": error, "ErrorUrl": document.url}
            verbs, _ = await self._fetch_once(_Document(self._wire.url(self._habits.fallback_path), extra=extra))
        if verbs is None:
            self._report.ended_by = "failed"
        return verbs

    async def _fetch_once(self, document: _Document) -> tuple[tuple[Verb, ...] | None, str]:
        path = urlsplit(document.url).path
        try:
            answer = await self._wire.request(document.url, self._params(document.extra), method=document.method)
        except httpx2.TooManyRedirects:
            self._report.breach(f"11215: {path} redirects too often")
            return None, "11215"
        except httpx2.TimeoutException:
            self._report.breach(f"11205: {path} took longer than Twilio waits")
            return None, "11205"
        except httpx2.HTTPError as error:
            self._report.breach(f"11205: {path}: {type(error).__name__}")
            return None, "11205"
        self._report.webhook(path, answer.status, answer.took_ms)
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
                    then = _action(verb, url) if "action" in verb.attributes else None
                    if end is StreamEnd.HUNG_UP:
                        await self._hung_up(then if self._habits.action_on_hangup else None)
                        return None
                    self._report.sounds.broke(self._report.clock_ms())
                    self._caller.line_broke()
                    if then is not None:
                        return then
        self._report.ended_by = "app"
        return None

    async def _hung_up(self, action: _Document | None) -> None:
        """The caller is gone; what `action` answers is not run any more."""
        self._report.ended_by = "caller"
        self._status = "completed"
        if action is not None:
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
        """`<Record>`: its action is always asked for, also when the caller hung up."""
        taped = await Tape(verb, self._caller, self._acts, self._report).run()
        recorded = self._recordings.keep(self._report.call_sid, taped.mulaw)
        self._report.note("recorded", f"{recorded.duration_s} s")
        extra = {
            "RecordingUrl": self._recordings.url_of(recorded, self._habits.account_sid),
            "RecordingSid": recorded.sid,
            "RecordingDuration": str(recorded.duration_s),
            "Digits": taped.digits,
        }
        self._callbacks.recording(verb, recorded, extra["RecordingUrl"], url, self._recordings.ready_after_s)
        action = _action(verb, url, extra)
        if taped.digits != HUNG_UP:
            return action
        await self._hung_up(action)
        return None

    async def _gather(self, verb: Verb, url: str) -> _Document | None:
        key = self._caller.next_key()
        if key is not None:
            self._report.note("pressed", key)
            return _action(verb, url, {"Digits": key})
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
            self._callbacks.stream(stream, stream_sid, "stream-error")
            return StreamEnd.REFUSED
        self._report.stream_sids.append(stream_sid)
        self._callbacks.stream(stream, stream_sid, "stream-started")
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
            self._callbacks.stream(stream, stream_sid, "stream-stopped")

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


def _action(verb: Verb, url: str, extra: Mapping[str, str] | None = None) -> _Document:
    """The `action` of a verb in the document at `url`: by default that document once more."""
    action = urljoin(url, verb.attributes.get("action", url))
    return _Document(action, verb.attributes.get("method", "POST"), extra or {})
