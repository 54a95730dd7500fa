"""The recogniser's access token: one cache for the process.

A token lives for hours and is used only in the handshake of a stream, so one is fetched when none is there or the one
there is about to expire, under a lock: however many calls ask at once, one request goes out. Must not know
streams. What fails is a `RecogniserError`; its text holds neither the account nor the token.
Source: RTZR's developer pages, "Authentication".
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx2

from bot.errors import RecogniserError, RecogniserFull
from bot.services.tls import trusted
from bot.settings import RtzrSettings

EARLY_S = 300.0  # a token is replaced so long before it expires
TIMEOUT_S = 5.0


class RecogniserRefused(RecogniserError):
    """The recogniser will not have us, and asking again would not help."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token; `expire_at_s` is seconds since the epoch."""

    text: str = field(repr=False)
    expire_at_s: float


class Tokens:
    """The token of one account."""

    def __init__(self, settings: RtzrSettings, *, now: Callable[[], float] = time.time) -> None:
        """`now` gives seconds since the epoch, which is what `expire_at` counts in."""
        self._settings = settings
        self._now = now
        self._client = httpx2.AsyncClient(timeout=TIMEOUT_S, verify=trusted())
        self._lock = asyncio.Lock()
        self._token: Token | None = None
        self.authentications = 0

    async def get(self) -> Token:
        """Return a token that is good for another `EARLY_S`.

        RecogniserError: the server cannot be reached; RecogniserFull: it has enough of us; RecogniserRefused: it does
        not know the account.
        """
        async with self._lock:
            if self._token is None or self._now() >= self._token.expire_at_s - EARLY_S:
                self._token = None
                self._token = await self._authenticate()
            return self._token

    def reject(self, token: Token) -> None:
        """Forget `token`, which the server did not take; a newer one stays."""
        if self._token is token:
            self._token = None

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._client.aclose()

    async def _authenticate(self) -> Token:
        self.authentications += 1
        form = {"client_id": self._settings.client_id, "client_secret": self._settings.client_secret}
        try:
            response = await self._client.post(f"{self._settings.api_url.rstrip('/')}/v1/authenticate", data=form)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise RecogniserError(f"no answer to the authentication: {type(error).__name__}") from error
        if response.status_code == 429:
            raise RecogniserFull("authentication: HTTP 429")
        if 400 <= response.status_code < 500:
            raise RecogniserRefused(f"authentication: HTTP {response.status_code}")
        if response.status_code != 200:
            raise RecogniserError(f"authentication: HTTP {response.status_code}")
        return _token(response)


def _token(response: httpx2.Response) -> Token:
    try:
        answer = response.json()
        token = Token(answer["access_token"], float(answer["expire_at"]))
    except (ValueError, KeyError, TypeError) as error:
        raise RecogniserError("authentication: an answer without a token") from error
    if not isinstance(token.text, str) or not token.text:
        raise RecogniserError("authentication: an answer without a token")
    return token
