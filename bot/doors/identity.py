"""Who is there, and where the request comes from: of the Quart request, or the WebSocket, that is being answered.

A person is who holds the cookie of a session; the number of a call proves nothing here. It must not know how one signs
in, or what is done with the answer.
"""

import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from quart import Response, has_websocket_context, request, websocket

from bot.diary.people import SESSION_LIFE, TOKEN_BYTES, People, Person
from bot.errors import StoreError
from bot.settings import Settings

Whose = Callable[[], Awaitable[Person | None]]
"""What looks who is signed in now: `Identity.person`, of one request or handshake."""

FORM_FIELD = "form_token"
NOBODY = "unknown"
KNOWN_S = 365 * 86_400
NETWORK_BITS = {4: 24, 6: 48}
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_DEFAULT_PORTS = {"https": 443, "http": 80}


def origin_of(url: str) -> str:
    """The origin of an http(s) address as browsers write it: lower case, without the scheme's own port."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


class Identity:
    """Looks at the request, or the handshake, that is being answered; one for a process."""

    def __init__(self, settings: Settings, people: People) -> None:
        self._people = people
        self._origin = origin_of(settings.public_url)
        self._proxies = settings.proxies
        self._api_keys = tuple(key.encode() for key in settings.stream_keys)
        # Browsers keep a `__Host-` cookie for this host alone, and only if it came by https.
        self._secure = self._origin.startswith("https:")
        self._session_cookie = "__Host-ilgi" if self._secure else "ilgi"
        self._form_cookie = self._session_cookie + "-form"
        self._known_cookie = self._session_cookie + "-known"

    # Who

    async def person(self) -> Person | None:
        """The person who is signed in, read from the diary each time, so that an ended session is one; else None."""
        token = self.session_token()
        return None if token is None else await self._people.person(token)

    def session_token(self) -> str | None:
        """What the session's cookie holds, if that can be a token."""
        return self._cookie(self._session_cookie)

    def keep_session(self, response: Response, token: str) -> None:
        """Have the browser keep a session, and forget what its sign-in form was bound to."""
        self._set_cookie(response, self._session_cookie, token, int(SESSION_LIFE.total_seconds()))
        self._drop_cookie(response, self._form_cookie)

    def drop_session(self, response: Response) -> None:
        """Have the browser forget the session."""
        self._drop_cookie(response, self._session_cookie)

    def keep_known(self, response: Response, number: str) -> None:
        """Have the browser keep, signed out too, that it is one of that person's. It lets nobody in."""
        self._set_cookie(response, self._known_cookie, self._people.known_token(number), KNOWN_S)

    def is_known(self, number: str) -> bool:
        """Whether somebody was signed in as `number` on this browser."""
        return self._people.is_known_token(number, _current().cookies.get(self._known_cookie, ""))

    # From where

    def is_ours(self) -> bool:
        """Whether a page of ours sent this: its Origin is PUBLIC_URL's. A client with an API key need not have one."""
        origins = _current().headers.getlist("Origin")
        return origins == [self._origin] or (not origins and self.has_api_key())

    def has_api_key(self) -> bool:
        """Whether one of the API keys was brought, compared in constant time."""
        return brings_key(self._api_keys)

    def address(self) -> str:
        """The client's address, of IPv6 the network (/64) that one client has; `unknown` when there is none.

        Each proxy adds the address of who asked it at the right end of X-Forwarded-For: further left than there are
        proxies stands what the client itself has written.
        """
        told = _forwarded()[-self._proxies :] if self._proxies else []
        peer = _current().scope.get("client") or ("",)  # a header of that name would be the client's
        return _address(told[0] if told else peer[0])

    def network(self) -> str:
        """The network of the client's address, which one client may well have all of: /24, of IPv6 /48."""
        address = self.address()
        if address == NOBODY:
            return NOBODY
        return str(ip_network(f"{address}/{NETWORK_BITS[ip_address(address).version]}", strict=False))

    def hops(self) -> tuple[int, int]:
        """How many addresses X-Forwarded-For has, and how many PROXIES says: with no lie of the client's the same."""
        return len(_forwarded()), self._proxies

    # How often

    async def allow(self, what: str, subject: str, most: int, within_s: float) -> bool:
        """Count that `subject` does `what`; False when that is more than `most` times within `within_s`."""
        return await self._people.limits.allow(what, subject, most, within_s)

    # Forms

    def session_form_token(self) -> str:
        """What a form of the signed-in person brings back; empty without a session."""
        token = self.session_token()
        return "" if token is None else self._people.form_token(token)

    def is_session_form(self, given: str) -> bool:
        """Whether a form came from a page that this session was shown, and from our origin."""
        token = self.session_token()
        return token is not None and self.is_ours() and self._people.is_form_token(token, given)

    def form_secret(self) -> str:
        """What the forms of a browser that nobody has signed in on are bound to: as it was kept, or a new one."""
        return self._cookie(self._form_cookie) or secrets.token_urlsafe(TOKEN_BYTES)

    def form_token(self, secret: str) -> str:
        """What such a form brings back."""
        return self._people.form_token(secret)

    def keep_form(self, response: Response, secret: str) -> None:
        """Have the browser keep, until it is closed, what its sign-in form is bound to."""
        self._set_cookie(response, self._form_cookie, secret, None)

    def is_form(self, given: str) -> bool:
        """Whether a form came from a page that this browser was shown, and from our origin."""
        secret = self._cookie(self._form_cookie)
        return secret is not None and self.is_ours() and self._people.is_form_token(secret, given)

    def _cookie(self, name: str) -> str | None:
        value = _current().cookies.get(name, "")
        return value if _TOKEN.fullmatch(value) else None

    def _set_cookie(self, response: Response, name: str, value: str, max_age_s: int | None) -> None:
        response.set_cookie(
            name, value, max_age=max_age_s, path="/", secure=self._secure, httponly=True, samesite="Lax"
        )

    def _drop_cookie(self, response: Response, name: str) -> None:
        response.delete_cookie(name, path="/", secure=self._secure, httponly=True, samesite="Lax")


async def is_still(whose: Whose, caller_id: int) -> bool:
    """Whether that person is still signed in; a diary that cannot be asked signs nobody out."""
    try:
        person = await whose()
    except StoreError:
        return True
    return person is not None and person.caller_id == caller_id


def brings_key(keys: Sequence[bytes]) -> bool:
    """Whether the request brings one of these as its bearer token, compared in constant time."""
    scheme, _, given = _current().headers.get("Authorization", "").partition(" ")
    key = given.strip().encode("utf-8", "replace")
    matches = [hmac.compare_digest(key, known) for known in keys]
    return scheme.lower() == "bearer" and any(matches)


def _current() -> Any:
    """The request, or the handshake, that is being answered."""
    return websocket if has_websocket_context() else request


def _forwarded() -> list[str]:
    headers = _current().headers.getlist("X-Forwarded-For")
    return [part.strip() for header in headers for part in header.split(",")]


def _address(address: str) -> str:
    host = address.removeprefix("[").partition("]")[0] if address.startswith("[") else address
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return NOBODY
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
    return str(found)
