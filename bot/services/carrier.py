"""Twilio's REST API, as far as the diary needs it: recordings, messages and calls to a person, and our number.

Must not know calls, the talk or the diary. What fails is a `CarrierError`, and what is not there yet a
`CarrierNotReady`; no text of theirs holds a token, a number or an address. Nothing is tried twice here: who asks knows
how long it can wait. Source: Twilio's API reference, "Recordings", "Messages", "Calls", "IncomingPhoneNumbers" and
"Accounts".
"""

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import httpx2
import msgspec

from bot.errors import CarrierError, CarrierNotReady
from bot.services.tls import trusted
from bot.settings import TwilioSettings

CONNECT_S = 5.0
READ_S = 30.0
LARGEST_RECORDING_BYTES = 128_000_000
"""Twice an hour of mono at 8 kHz and 16 bits, which is the longest that Twilio records."""
MOST_REDIRECTS = 5
PAGE = 1000

_T = TypeVar("_T")

_RECORDING_SID = re.compile(r"RE[0-9a-fA-F]{32}")
_CALL_SID = re.compile(r"CA[0-9a-fA-F]{32}")
_MESSAGE_SID = re.compile(r"(SM|MM)[0-9a-fA-F]{32}")
_NOT_MADE = frozenset({"failed", "undelivered", "canceled"})


class Account(msgspec.Struct, frozen=True):
    """The account: `status` is active, suspended or closed; `type` is Full or Trial."""

    status: str = ""
    type: str = ""


class IncomingNumber(msgspec.Struct, frozen=True):
    """What the console says of a number of ours; an application or a trunk takes the place of the voice URL."""

    sid: str = ""
    voice_url: str | None = None
    voice_method: str | None = None
    voice_fallback_url: str | None = None
    status_callback: str | None = None
    status_callback_method: str | None = None
    voice_application_sid: str | None = None
    trunk_sid: str | None = None


class _Made(msgspec.Struct, frozen=True):
    """A message, or a call, that was made: on its way, as far as Twilio knows yet."""

    sid: str
    status: str


class _Numbers(msgspec.Struct, frozen=True):
    incoming_phone_numbers: list[IncomingNumber]


class _Recording(msgspec.Struct, frozen=True):
    sid: str


class _Recordings(msgspec.Struct, frozen=True):
    recordings: list[_Recording]


class Carrier:
    """The account of the settings, with its open connections: close it, or use it as `async with`."""

    def __init__(self, settings: TwilioSettings, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        """Take an account; CarrierError when the settings have none. `transport`: another way to the network."""
        if settings.account_sid is None or not settings.auth_tokens:
            raise CarrierError("no Twilio account is set")
        base = httpx2.URL(settings.api_url)
        self._our_number = settings.phone_number
        self._auths = [httpx2.BasicAuth(settings.account_sid, token) for token in settings.auth_tokens]
        self._account = f"{settings.api_url}/2010-04-01/Accounts/{settings.account_sid}"

        async def never_in_the_clear(request: httpx2.Request) -> None:
            if base.scheme == "https" and request.url.scheme != "https":
                raise httpx2.UnsupportedProtocol("a redirect away from https", request=request)

        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(READ_S, connect=CONNECT_S),
            follow_redirects=True,  # httpx2 leaves the credentials out when a redirect leads to another host
            max_redirects=MOST_REDIRECTS,
            event_hooks={"request": [never_in_the_clear]},
            transport=transport,
            verify=trusted(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def recording(self, recording_sid: str) -> bytes:
        """Return a recording as a WAV file; CarrierNotReady while it is still being made, or when it is deleted."""
        path = f"/Recordings/{_checked(recording_sid, _RECORDING_SID)}.wav"
        try:
            return await self._request("GET", path, most_bytes=LARGEST_RECORDING_BYTES)
        except CarrierError as error:
            if error.status == 404:
                raise CarrierNotReady("the recording is not there yet", status=404) from error
            raise

    async def delete_recording(self, recording_sid: str) -> None:
        """Remove a recording for good; one that is gone already is no error."""
        try:
            await self._request("DELETE", f"/Recordings/{_checked(recording_sid, _RECORDING_SID)}.json")
        except CarrierError as error:
            if error.status != 404:
                raise

    async def recordings_of(self, call_sid: str) -> list[str]:
        """The sids of the recordings that are kept of a call; none of a call that Twilio does not know."""
        path = f"/Calls/{_checked(call_sid, _CALL_SID)}/Recordings.json"
        try:
            answer = await self._request("GET", path, {"PageSize": str(PAGE)})
        except CarrierError as error:
            if error.status != 404:
                raise
            return []
        return [recording.sid for recording in _decoded(answer, _Recordings).recordings]

    async def send_message(self, to: str, body: str) -> None:
        """Send a text message to a number in E.164 form.

        CarrierError with status 400 when that number takes none. After a failure without a status, or of 500 and more,
        nobody knows whether it is on its way. To Korea only letters of EUC-KR arrive.
        """
        await self._make("/Messages.json", to, {"Body": body}, _MESSAGE_SID)

    async def call(self, to: str, twiml: str, *, ring_s: int) -> None:
        """Call a number in E.164 form and carry out `twiml`, of 4000 characters at most; failures as `send_message`."""
        await self._make("/Calls.json", to, {"Twiml": twiml, "Timeout": str(ring_s)}, _CALL_SID)

    async def incoming_number(self, number: str) -> IncomingNumber | None:
        """What the console says of a number in E.164 form; None when it is not one of the account's."""
        answer = await self._request("GET", "/IncomingPhoneNumbers.json", {"PhoneNumber": number})
        return next(iter(_decoded(answer, _Numbers).incoming_phone_numbers), None)

    async def account(self) -> Account:
        """How the account is."""
        return _decoded(await self._request("GET", ".json"), Account)

    async def _make(self, path: str, to: str, fields: Mapping[str, str], form: re.Pattern[str]) -> None:
        if self._our_number is None:
            raise CarrierError("no number of ours is set")
        answer = await self._request("POST", path, data={"To": to, "From": self._our_number, **fields})
        made = _decoded(answer, _Made)
        if not form.fullmatch(made.sid) or made.status in _NOT_MADE:
            raise CarrierError("it was not made")

    async def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        data: Mapping[str, str] | None = None,
        most_bytes: int = 4_000_000,
    ) -> bytes:
        """One request, with the next auth token when the first is refused: one of the two may be retired already."""
        request = partial(
            self._client.stream,
            method,
            self._account + path,
            params=params,
            data=data,
            follow_redirects=data is None,  # what is to be made is told to nobody else, and once
        )
        for auth in self._auths[:-1]:
            try:
                return await self._answer(request, auth, most_bytes)
            except CarrierError as error:
                if error.status != 401:
                    raise
        return await self._answer(request, self._auths[-1], most_bytes)

    async def _answer(
        self,
        request: Callable[..., AbstractAsyncContextManager[httpx2.Response]],
        auth: httpx2.BasicAuth,
        most_bytes: int,
    ) -> bytes:
        body = bytearray()
        try:
            async with request(auth=auth) as response:
                if not response.is_success:
                    raise CarrierError(_refusal(response.status_code), status=response.status_code)
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > most_bytes:
                        raise CarrierError("an answer that is too long")
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise CarrierError(f"no answer: {type(error).__name__}") from error
        return bytes(body)


def _refusal(status: int) -> str:
    match status:
        case 401 | 403:
            return f"the account is refused: HTTP {status}"
        case 429:
            return "too many requests: HTTP 429"
        case _:
            return f"HTTP {status}"


def _checked(sid: str, form: re.Pattern[str]) -> str:
    if not form.fullmatch(sid):
        raise CarrierError("what was asked for has no sid of Twilio's form")
    return sid


def _decoded(answer: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.MsgspecError as error:
        raise CarrierError(f"an answer that is no {kind.__name__.strip('_')}") from error
