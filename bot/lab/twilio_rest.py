"""A stand-in for Twilio's REST API on the loopback: recordings, messages and calls, the account and its numbers.

    async with TwilioRest(account_sid, auth_token) as rest:
        ...                       # TWILIO_API_URL = rest.url; TwilioLab(..., recordings=rest.recordings)

What it does wrong can be set while it runs. It must not know the bot. Source: Twilio's pages on the Recordings,
IncomingPhoneNumbers and Accounts resources; every request is authenticated with the account's Sid and token.
"""

import asyncio
import base64
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs

import h11

from bot.lab.http import Connection, PeerGone, Request, converse
from bot.lab.loopback import Loopback
from bot.lab.recordings import KeptRecordings
from bot.lab.twilio_messages import Outgoing

_RECORDING = re.compile(r"/Recordings/(RE[0-9a-f]{32})(\.wav|\.json)?")
_RECORDINGS_OF = re.compile(r"/Calls/(CA[0-9a-fA-F]{32})/Recordings\.json")


@dataclass(slots=True)
class Faults:
    """What goes wrong; a count goes down as it does."""

    errors: int = 0
    """So many requests are answered with 500."""
    hangs: int = 0
    """So many requests are taken and never answered."""


@dataclass(slots=True)
class Number:
    """A number of the account, and where its calls go."""

    phone_number: str
    sid: str = "PN" + "0123456789abcdef" * 2
    voice_url: str = ""
    voice_fallback_url: str = ""
    status_callback: str = ""


@dataclass(slots=True)
class Report:
    """What it saw."""

    requests: list[str] = field(default_factory=list)
    refused: int = 0
    """Requests without the right account and token."""


class TwilioRest(Loopback):
    """The stand-in on an ephemeral port; its `url` is what TWILIO_API_URL is set to."""

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        *,
        numbers: list[Number] | None = None,
    ) -> None:
        super().__init__()
        self.recordings = KeptRecordings()
        self.outgoing = Outgoing(account_sid, self._owns)
        self.numbers = numbers or []
        self.faults = Faults()
        self.report = Report()
        self.status = "active"
        """Of the account: active, suspended or closed."""
        self._account_sid = account_sid
        self._authorization = "Basic " + base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.recordings.url = f"{self.url}/2010-04-01/Accounts/{{account_sid}}/Recordings/"
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(PeerGone, h11.RemoteProtocolError):
            await converse(reader, writer, self._answer)

    async def _answer(self, connection: Connection, request: Request) -> None:
        self.report.requests.append(f"{request.method} {request.path}")
        if self.faults.hangs > 0:
            self.faults.hangs -= 1
            await asyncio.Event().wait()
        if self.faults.errors > 0:
            self.faults.errors -= 1
            await _error(connection, 500, 20500, "an internal server error")
        elif request.headers.get("authorization") != self._authorization:
            self.report.refused += 1
            await _error(connection, 401, 20003, "Authenticate")
        else:
            await self._route(connection, request)

    async def _route(self, connection: Connection, request: Request) -> None:
        base = f"/2010-04-01/Accounts/{self._account_sid}"
        path = request.path.removeprefix(base) if request.path.startswith(base) else ""
        found, of_call = _RECORDING.fullmatch(path), _RECORDINGS_OF.fullmatch(path)
        match request.method, path:
            case "GET", ".json":
                await connection.answer(200, {"sid": self._account_sid, "status": self.status, "type": "Full"})
            case "GET", "/IncomingPhoneNumbers.json":
                await connection.answer(200, self._found_numbers(parse_qs(request.query)))
            case "POST", "/Messages.json":
                await connection.answer(*self.outgoing.message(request.headers.get("content-type", ""), request.body))
            case "POST", "/Calls.json":
                await connection.answer(*self.outgoing.call(request.headers.get("content-type", ""), request.body))
            case "GET", _ if of_call:
                await connection.answer(200, self._recordings_of(of_call[1]))
            case "GET", _ if found and found[2] != ".json":
                recorded = self.recordings.kept.get(found[1])
                if recorded is None or not recorded.is_ready:
                    await _error(connection, 404, 20404, "the recording was not found")
                else:
                    await connection.answer_bytes(200, "audio/x-wav", recorded.wav())
            case "DELETE", _ if found and found[2] != ".wav":
                if self.recordings.delete(found[1]):
                    await connection.answer_bytes(204, "application/json", b"")
                else:
                    await _error(connection, 404, 20404, "the recording was not found")
            case _:
                await _error(connection, 404, 20404, f"no such resource: {request.method} {request.path}")

    def _owns(self, number: str) -> bool:
        return any(number == ours.phone_number for ours in self.numbers)

    def _recordings_of(self, call_sid: str) -> dict[str, object]:
        found = [
            {
                "sid": recorded.sid,
                "account_sid": self._account_sid,
                "call_sid": call_sid,
                "status": "completed" if recorded.is_ready else "processing",
                "duration": str(recorded.duration_s),
                "channels": 1,
                "source": "RecordVerb",
                "uri": f"/2010-04-01/Accounts/{self._account_sid}/Recordings/{recorded.sid}.json",
            }
            for recorded in self.recordings.kept.values()
            if recorded.call_sid == call_sid
        ]
        return {"recordings": found, "page": 0, "page_size": 50, "next_page_uri": None}

    def _found_numbers(self, query: dict[str, list[str]]) -> dict[str, object]:
        wanted = query.get("PhoneNumber", [""])[0]
        found = [
            {
                "sid": number.sid,
                "phone_number": number.phone_number,
                "capabilities": {"voice": True, "sms": True, "mms": False, "fax": False},
                "voice_url": number.voice_url,
                "voice_method": "POST",
                "voice_fallback_url": number.voice_fallback_url,
                "voice_fallback_method": "POST",
                "status_callback": number.status_callback,
                "status_callback_method": "POST",
                "account_sid": self._account_sid,
            }
            for number in self.numbers
            if wanted in ("", number.phone_number)
        ]
        return {"incoming_phone_numbers": found, "page": 0, "page_size": 50, "next_page_uri": None}


async def _error(connection: Connection, status: int, code: int, message: str) -> None:
    await connection.answer(status, {"code": code, "message": message, "status": status})
