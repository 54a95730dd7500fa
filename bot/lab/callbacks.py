"""What Twilio tells an app of a call beside asking for its documents: of a stream, of a recording, of the call's end.

An answer to a callback is not run. Must not know what a call does. Source: Twilio's pages on <Stream> and <Record>.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import httpx2

from bot.lab.recordings import Recorded, recording_form
from bot.lab.report import CallReport
from bot.lab.twiml import Verb
from bot.lab.wire import Wire

TWIML_TYPES = ("text/xml", "application/xml", "text/html")


class Callbacks:
    """The callbacks of one call: `async with`, which ends when all of them were made."""

    def __init__(self, wire: Wire, report: CallReport, account_sid: str) -> None:
        self._wire = wire
        self._report = report
        self._account_sid = account_sid
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.__aexit__(kind, error, trace)

    def stream(self, stream: Verb, stream_sid: str, event: str) -> None:
        """Tell of a stream: `stream-started`, `stream-stopped` or `stream-error`."""
        url = stream.attributes.get("statusCallback")
        if not url:
            return
        params = {
            "AccountSid": self._account_sid,
            "CallSid": self._report.call_sid,
            "StreamSid": stream_sid,
            "StreamName": stream.attributes.get("name", stream_sid),
            "StreamEvent": event,
            "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z"),
        }
        if event == "stream-error":
            params["StreamError"] = "31920"
        self._tasks.create_task(self.make(url, params, stream.attributes.get("statusCallbackMethod", "POST")))

    def recording(self, record: Verb, recorded: Recorded, recording_url: str, base: str, after_s: float) -> None:
        """Tell of a recording in `after_s`, when its file is there; `base`: the URL of the document it was made by."""
        url = record.attributes.get("recordingStatusCallback")
        event = "completed" if recorded.duration_s else "absent"
        if not url or event not in record.attributes.get("recordingStatusCallbackEvent", "completed").split():
            return
        params = recording_form(recorded, recording_url, self._account_sid, event)
        method = record.attributes.get("recordingStatusCallbackMethod", "POST")
        self._tasks.create_task(self.make(urljoin(base, url), params, method, after_s=after_s))

    async def make(self, url: str, params: Mapping[str, str], method: str = "POST", *, after_s: float = 0.0) -> None:
        """Make one callback; what it answers must be empty, or TwiML."""
        await asyncio.sleep(after_s)
        path = urlsplit(url).path
        try:
            answer = await self._wire.request(url, params, method=method)
        except httpx2.HTTPError as error:
            self._report.breach(f"11205: {path}: {type(error).__name__}")
            return
        self._report.webhook(path, answer.status, answer.took_ms)
        is_twiml = answer.status == 200 and answer.content_type.startswith(TWIML_TYPES)
        if answer.status != 204 and not is_twiml:
            self._report.breach(f"{path} answered {answer.status} {answer.content_type}: neither 204 nor TwiML")
