"""How a value of the environment is read: the forms that settings have.

A value that has not its form is a `SettingError` that names the setting and never shows the value, which may be a
secret in the wrong place. An empty value is an absent one. It must not know which settings there are.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from bot.errors import SettingError

Environ = Mapping[str, str]

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")


def text(environ: Environ, name: str) -> str | None:
    """The trimmed value; None when absent or blank."""
    return environ.get(name, "").strip() or None


def whole(environ: Environ, name: str, low: int, high: int) -> int | None:
    """A whole number from `low` to `high`."""
    given = text(environ, name)
    if given is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", given) or not low <= int(given) <= high:
        raise SettingError(name, f"must be a whole number from {low} to {high}")
    return int(given)


def timezone(environ: Environ, name: str, default: str) -> ZoneInfo:
    """A time zone of the IANA database."""
    try:
        return ZoneInfo(text(environ, name) or default)
    except (KeyError, ValueError, OSError) as error:
        raise SettingError(name, f"is not a time zone such as '{default}'") from error


def pair(environ: Environ, first: str, second: str) -> tuple[str, str] | None:
    """Both values, or None when neither is there."""
    one, two = text(environ, first), text(environ, second)
    if one is not None and two is not None:
        return one, two
    if one is None and two is None:
        return None
    missing, given = (first, second) if one is None else (second, first)
    raise SettingError(missing, f"is missing, though {given} is set")


def is_loopback(host: str) -> bool:
    """Whether a host name of a URL can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def service_url(environ: Environ, name: str) -> str | None:
    """The http(s) address of a service, without a slash at its end."""
    given = text(environ, name)
    if given is None:
        return None
    _url(name, given)
    return given.rstrip("/")


def public_url(environ: Environ, name: str) -> str | None:
    """An address of ours that Twilio can call and sign, without a slash at its end.

    A path is allowed: a proxy may serve us below one.
    """
    given = text(environ, name)
    if given is None:
        return None
    url = given.rstrip("/")
    parts = _url(name, url)
    host = parts.hostname or ""
    if "_" in host:
        raise SettingError(name, "Twilio calls no host with an underscore in its name")
    if parts.scheme == "http" and not is_loopback(host):
        raise SettingError(name, "must be https, unless it is this machine")
    if not _PATH.fullmatch(parts.path):
        raise SettingError(name, "has a path that would not be signed as it is written")
    return url


def _url(name: str, given: str) -> SplitResult:
    """An http(s) address with a host, and with no user, query or fragment."""
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError as error:
        raise SettingError(name, "is not a URL") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise SettingError(name, "must be an http:// or https:// address")
    if not given.isascii() or any(character.isspace() for character in given):
        raise SettingError(name, "holds a space or a letter that is not ASCII")
    if "@" in parts.netloc or "?" in given or "#" in given:
        raise SettingError(name, "must have no user, no ? and no #")
    return parts
