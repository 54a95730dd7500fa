"""How Twilio reaches an app: signed webhooks and signed media handshakes, with the headers that captures show.

Must not know calls. URLs are the app's public ones, and are signed so; what is dialled is where the bot really listens.
Source: Twilio's page "Webhooks security"; the handshake signs the ws(s) form of the URL, without parameters.
"""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit
from uuid import uuid4

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.datastructures import Headers

WEBHOOK_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0
MOST_REDIRECTS = 10
MEDIA_USER_AGENT = "Twilio.TmeWs/1.0"
WEBHOOK_USER_AGENT = "TwilioProxy/1.1"
LONGEST_MESSAGE_BYTES = 64 * 1024 * 1024
_SOCKET_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_WEB_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


def signature(auth_token: str, url: str, params: Mapping[str, str] | None = None) -> str:
    """X-Twilio-Signature of a request: HMAC-SHA1 over the URL and the sorted form parameters."""
    signed = url + "".join(name + value for name, value in sorted((params or {}).items()))
    return base64.b64encode(hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a webhook answered, and after how many ms."""

    status: int
    content_type: str
    body: bytes
    took_ms: int


class Wire:
    """Requests and sockets to one app, for one call or for an attack. Close it when done.

    `bot_url` is where the bot listens; `public_url` is what it believes to be called (its PUBLIC_URL).
    """

    def __init__(self, bot_url: str, auth_token: str, public_url: str | None = None) -> None:
        self.public_url = (public_url or bot_url).rstrip("/")
        self._bot = urlsplit(bot_url)
        self._public = urlsplit(self.public_url)
        self._auth_token = auth_token
        timeout = httpx2.Timeout(WEBHOOK_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        # A connection for each request: in front of several processes each goes wherever the router sends it.
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._http = httpx2.AsyncClient(timeout=timeout, limits=limits, trust_env=False)

    async def close(self) -> None:
        """Forget cookies and close connections."""
        await self._http.aclose()

    @property
    def is_secure(self) -> bool:
        """Whether the app's public URL is https, so that streams must be wss."""
        return self._public.scheme == "https"

    def url(self, path: str) -> str:
        """The public URL of a path; a whole URL stays as it is."""
        return urljoin(self.public_url + "/", path)

    def socket_url(self, url: str, base: str | None = None) -> str:
        """The URL of a stream as Twilio dials it: ws or wss, resolved against the document, nothing from `?` on."""
        web = urlsplit(urljoin(base or self.public_url + "/", url))
        return urlunsplit((_SOCKET_SCHEMES.get(web.scheme, web.scheme), web.netloc, web.path, "", ""))

    async def request(
        self, url: str, params: Mapping[str, str], *, method: str = "POST", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A webhook, signed; `headers` come on top, and one with the value "" is left out. Raises httpx2.HTTPError.

        As Twilio asks: a connection that fails is tried once more, at most 10 redirects are followed, and all of it
        takes 15 s at most.
        """
        came_s = time.monotonic()
        token = str(uuid4())
        try:
            async with asyncio.timeout(WEBHOOK_TIMEOUT_S):
                response = await self._ask(url, params, method, headers or {}, token)
                redirects = 0
                while response.next_request is not None:
                    redirects += 1
                    if redirects > MOST_REDIRECTS:
                        raise httpx2.TooManyRedirects(f"over {MOST_REDIRECTS} redirects", request=response.request)
                    moved = urljoin(str(response.request.url), response.headers["location"])
                    method = method if response.status_code in (307, 308) else "GET"
                    response = await self._ask(self._as_public(moved), params, method, headers or {}, token)
        except TimeoutError:
            raise httpx2.ReadTimeout(f"no answer within {WEBHOOK_TIMEOUT_S:g} s") from None
        took_ms = round((time.monotonic() - came_s) * 1000)
        return Answer(response.status_code, response.headers.get("content-type", ""), response.content, took_ms)

    async def _ask(
        self, url: str, params: Mapping[str, str], method: str, headers: Mapping[str, str], token: str
    ) -> httpx2.Response:
        """One request of a webhook; a connection that fails is tried once more."""
        url = self.url(url).split("#")[0]
        if method == "GET":
            url = url + ("&" if "?" in url else "?") + urlencode(params)
            signed = signature(self._auth_token, url)
        else:
            signed = signature(self._auth_token, url, params)
        sent = {
            "User-Agent": WEBHOOK_USER_AGENT,
            "Accept": "*/*",
            "X-Twilio-Signature": signed,
            "I-Twilio-Idempotency-Token": token,
            **self._proxy_headers(),
            **headers,
        }
        body: bytes | None = None
        if method != "GET":
            sent["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
            body = urlencode(params).encode()
        sent = {name: value for name, value in sent.items() if value}
        ask = partial(self._http.request, method, self._real(url), content=body, headers=sent)
        try:
            return await ask()
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            return await ask()

    async def dial(self, url: str, *, headers: Mapping[str, str] | None = None) -> ClientConnection:
        """A media handshake with Twilio's headers and no others, signed over `url`.

        `headers` replace or add; one with the value "" is left out. Raises OSError, TimeoutError, and
        websockets.exceptions.InvalidHandshake when the answer is not 101.
        """
        url = self.socket_url(url)
        sent = {
            "User-Agent": MEDIA_USER_AGENT,
            "X-Twilio-Signature": signature(self._auth_token, url),
            "Accept-Encoding": "gzip",
            **self._proxy_headers(),
            **(headers or {}),
        }
        return await connect(
            self._real(url),
            compression=None,
            user_agent_header=None,
            additional_headers=Headers({name: value for name, value in sent.items() if value}),
            proxy=None,
            ping_interval=None,
            close_timeout=2,
            max_size=LONGEST_MESSAGE_BYTES,
            max_queue=None,
        )

    def _proxy_headers(self) -> dict[str, str]:
        """What a router in front of the bot adds, when the bot is not what is called."""
        if self._public.netloc == self._bot.netloc and self._public.scheme == self._bot.scheme:
            return {}
        return {"X-Forwarded-Proto": self._public.scheme, "X-Forwarded-For": "203.0.113.7"}

    def _as_public(self, url: str) -> str:
        """The public form of a URL at which the bot was found."""
        parts = urlsplit(url)
        if (parts.scheme, parts.netloc) != (self._bot.scheme, self._bot.netloc):
            return url
        return urlunsplit((self._public.scheme, self._public.netloc, parts.path, parts.query, ""))

    def _real(self, url: str) -> str:
        """Where to find what `url` names: the public URL's host is the bot's; any other host is what it is."""
        parts = urlsplit(url)
        if (_WEB_SCHEMES.get(parts.scheme), parts.netloc) != (self._public.scheme, self._public.netloc):
            return url
        scheme = self._bot.scheme if parts.scheme.startswith("http") else _SOCKET_SCHEMES[self._bot.scheme]
        return urlunsplit((scheme, self._bot.netloc, parts.path, parts.query, ""))


def voice_parameters(account_sid: str, call_sid: str, caller: str, called: str, status: str) -> dict[str, str]:
    """The form of every voice webhook of an incoming call, the empty fields too."""
    params: dict[str, Any] = {
        "AccountSid": account_sid,
        "ApiVersion": "2010-04-01",
        "CallSid": call_sid,
        "CallStatus": status,
        "Direction": "inbound",
        "From": caller,
        "Caller": caller,
        "To": called,
        "Called": called,
    }
    for side in ("From", "Caller", "To", "Called"):
        country = "KR" if params[side].startswith("+82") else ""
        params |= {f"{side}City": "", f"{side}State": "", f"{side}Zip": "", f"{side}Country": country}
    return params
