"""What Twilio makes of a request for a message or a call: the resource, or the error it answers with.

Keeps what was sent, as it would arrive; who picks up a call is in `answering.py`. It must not know how the request
came, or the bot. Source: Twilio's pages on the Messages and Calls resources and on the errors named here, and its
guideline on SMS to South Korea.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl
from uuid import uuid4

from bot.lab import twiml

FORM_TYPE = "application/x-www-form-urlencoded"
BODY_CHARS, TWIML_CHARS = 1600, 4000
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A text message; `text` is what arrives."""

    to: str
    text: str
    segments: int


@dataclass(frozen=True, slots=True)
class PlacedCall:
    """A call that was made, and the document that it begins with."""

    sid: str
    sender: str
    to: str
    document: tuple[twiml.Verb, ...]
    ring_s: int


@dataclass(slots=True)
class Refusals:
    """Which numbers nothing can be sent to, with the code of Twilio's error; 21614 is a landline."""

    messages: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)


class _Refused(Exception):
    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Outgoing:
    """What an account sends. `breaches` are requests that Twilio takes and that are wrong nevertheless."""

    def __init__(self, account_sid: str, owns: Callable[[str], bool]) -> None:
        """`owns` tells whether a number is the account's: from no other may anything be sent."""
        self.messages: list[SentMessage] = []
        self.calls: list[PlacedCall] = []
        self.breaches: list[str] = []
        self.refusals = Refusals()
        self._account_sid = account_sid
        self._owns = owns

    def message(self, content_type: str, body: bytes) -> tuple[int, dict[str, object]]:
        """POST /Messages.json: the status and body of the answer."""
        try:
            form = _form(content_type, body)
            to = self._to(form, missing=21604, refused=self.refusals.messages)
            sender = self._from(form, to, missing=21603, not_ours=21606, itself=21266)
            written = form.get("Body", "")
            if not written:
                raise _Refused(21602, "Message body is required.")
            if len(written) > BODY_CHARS:
                raise _Refused(21617, "The concatenated message body exceeds the 1600 character limit.")
        except _Refused as refused:
            return _error(refused)
        text = written
        if to.startswith("+82"):
            text = written.encode("euc_kr", "replace").decode("euc_kr")
            if text != written:
                self.breaches.append("a message to Korea has letters that are not of EUC-KR")
        self.messages.append(SentMessage(to, text, _segments(written)))
        made = {
            "body": written,
            "num_segments": str(_segments(written)),
            "num_media": "0",
            "messaging_service_sid": None,
        }
        return self._made("SM", to, sender, made)

    def call(self, content_type: str, body: bytes) -> tuple[int, dict[str, object]]:
        """POST /Calls.json: the status and body of the answer."""
        try:
            form = _form(content_type, body)
            to = self._to(form, missing=21201, refused=self.refusals.calls)
            sender = self._from(form, to, missing=21213, not_ours=21210, itself=21266)
            document = form.get("Twiml", "")
            if not document:
                raise _Refused(21205, "Url parameter is required.")
        except _Refused as refused:
            return _error(refused)
        ring = form.get("Timeout", "60")
        if not ring.isdecimal() or not 1 <= int(ring) <= 600:
            self.breaches.append("a call whose Timeout is no number of seconds up to 600")
            ring = "60"
        if len(document) > TWIML_CHARS:
            self.breaches.append(f"a call whose Twiml has more than {TWIML_CHARS} characters")
        status, made = self._made("CA", to, sender, {"direction": "outbound-api", "answered_by": None})
        self.calls.append(PlacedCall(str(made["sid"]), sender, to, self._parsed(document), int(ring)))
        return status, made

    def _parsed(self, document: str) -> tuple[twiml.Verb, ...]:
        try:
            verbs = twiml.parse(document.encode())
        except twiml.TwimlFault as fault:
            self.breaches.append(str(fault))
            return ()
        self.breaches += twiml.faults(verbs, secure=True)
        for verb in verbs:
            action = verb.attributes.get("action", "")
            if action and not action.startswith(("https://", "http://")):
                self.breaches.append(f"15004: the action of <{verb.name}> is relative to no document")
        return verbs

    def _to(self, form: Mapping[str, str], *, missing: int, refused: Mapping[str, int]) -> str:
        to = form.get("To", "")
        if not to:
            raise _Refused(missing, "A 'To' phone number is required.")
        if not _E164.fullmatch(to):
            raise _Refused(21211, "The 'To' number is not a valid phone number.")
        if to in refused:
            raise _Refused(refused[to], "The 'To' number cannot be reached.")
        return to

    def _from(self, form: Mapping[str, str], to: str, *, missing: int, not_ours: int, itself: int) -> str:
        sender = form.get("From", "")
        if not sender:
            raise _Refused(missing, "A 'From' phone number is required.")
        if not self._owns(sender):
            raise _Refused(not_ours, "The 'From' phone number is not one of the account's.")
        if sender == to:
            raise _Refused(itself, "'To' and 'From' number cannot be the same.")
        return sender

    def _made(self, kind: str, to: str, sender: str, more: Mapping[str, object]) -> tuple[int, dict[str, object]]:
        made: dict[str, object] = {
            "sid": kind + uuid4().hex,
            "account_sid": self._account_sid,
            "status": "queued",
            "direction": "outbound-api",
            "to": to,
            "from": sender,
            "price": None,
        }
        return 201, {**made, **more}


def _form(content_type: str, body: bytes) -> Mapping[str, str]:
    """The fields; none of another kind of body, which Twilio does not read."""
    if content_type.partition(";")[0].strip().lower() != FORM_TYPE:
        return {}
    return dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))


def _segments(text: str) -> int:
    """How many messages a phone network makes of it: 70 letters of UCS-2 each, 67 where there are more."""
    units = len(text.encode("utf-16-be")) // 2
    if text.isascii():
        return 1 if units <= 160 else -(-units // 153)
    return 1 if units <= 70 else -(-units // 67)


def _error(refused: _Refused) -> tuple[int, dict[str, object]]:
    address = f"https://www.twilio.com/docs/errors/{refused.code}"
    return 400, {"code": refused.code, "message": str(refused), "more_info": address, "status": 400}
