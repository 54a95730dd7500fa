"""Whether a request or a media handshake was signed by Twilio for this bot.

The signed string is built from PUBLIC_URL, the path and the raw query, never from request headers, which a proxy
rewrites and anyone can forge. It must not know the web framework: bytes in, yes or no out.
Source: Twilio's "Webhooks security".
"""

import hmac
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit

from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from werkzeug.datastructures import MultiDict

SIGNATURE_HEADER = "X-Twilio-Signature"
FORM_TYPE = "application/x-www-form-urlencoded"
LARGEST_BODY_BYTES = 128 * 1024
_MOST_FIELDS = 500
_DEFAULT_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}

Form = MultiDict[str, str]


def parse_form(content_type: str | None, body: bytes) -> Form | None:
    """The fields of a form body, the empty and repeated ones too; None for any other kind of body.

    Twilio signs the decoded UTF-8 values, so a body that does not decode cannot have been signed.
    """
    if (content_type or "").partition(";")[0].strip().lower() != FORM_TYPE or len(body) > LARGEST_BODY_BYTES:
        return None
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, encoding="utf-8", errors="strict"
        )
    except ValueError:
        return None
    return MultiDict(pairs)


class Signatures:
    """Checks against each of `auth_tokens`: one, or the old and the new while the token is being rotated."""

    def __init__(self, public_url: str, media_url: str, auth_tokens: Sequence[str]) -> None:
        self._public_url = public_url
        self._media_url = media_url
        self._validators = [RequestValidator(token) for token in auth_tokens]

    def webhook(self, path: str, query: bytes, form: Form, signature: str | None) -> bool:
        """Whether a form POST to `path`, which starts with a slash, was signed; `query` as it came, undecoded."""
        return self._signed(self._public_url + path, query, form, signature)

    def media(self, query: bytes, signature: str | None) -> bool:
        """Whether the handshake of the media stream was signed: over its `wss://` address, with no fields."""
        return self._signed(self._media_url, query, MultiDict(), signature)

    def _signed(self, url: str, query: bytes, form: Form, signature: str | None) -> bool:
        if not signature:
            return False
        try:
            url += "?" + query.decode("ascii") if query else ""
        except UnicodeDecodeError:
            return False
        given = signature.strip().encode("utf-8", "replace")
        matches = [
            hmac.compare_digest(validator.compute_signature(spelling, form).encode("ascii"), given)
            for validator in self._validators
            for spelling in _spellings(url)
        ]
        return any(matches)


def _spellings(url: str) -> tuple[str, str]:
    """The address with its port and without: Twilio is not consistent about a port that is the scheme's own."""
    parts = urlsplit(url)
    default = f":{_DEFAULT_PORTS[parts.scheme]}"
    if parts.port is None:
        return url, url.replace(parts.netloc, parts.netloc + default, 1)
    return url, url.replace(parts.netloc, parts.netloc.removesuffix(f":{parts.port}"), 1)
