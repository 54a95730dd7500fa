"""One line of what the doctor found. It must not know what is checked."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

State = Literal["ok", "warn", "fail", "off"]


@dataclass(frozen=True, slots=True)
class Row:
    """`what` was looked at, how it is, what was `found`, and how to `mend` it."""

    what: str
    state: State
    found: str
    mend: str = ""


def ok(what: str, found: str) -> Row:
    """It works."""
    return Row(what, "ok", found)


def warn(what: str, found: str, mend: str) -> Row:
    """It works, and something about it will be in the way one day."""
    return Row(what, "warn", found, mend)


def fail(what: str, found: str, mend: str) -> Row:
    """It does not work."""
    return Row(what, "fail", found, mend)


def off(what: str, found: str) -> Row:
    """It is optional and not configured."""
    return Row(what, "off", found)


def took(seconds: float) -> str:
    """How long something took."""
    return f"{seconds * 1000:.0f} ms"


def shown_number(e164: str) -> str:
    """A telephone number, by its end."""
    return "…" + e164[-3:]


def shown_url(url: str) -> str:
    """An address without what may be a secret in it: no user, no query, no fragment."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "what is no address"
    return f"{parts.scheme}://{host}{port}{parts.path}" + ("?…" if parts.query else "")
