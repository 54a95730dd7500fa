"""Which requests are let in: those that Twilio has signed for this address, and what they say.

It must not know what a request is for.
"""

import logging
import re

from quart import Response, request, websocket

from bot.doors.signature import SIGNATURE_HEADER, Form, Signatures, parse_form
from bot.settings import Settings

log = logging.getLogger(__name__)

_CALL_SID = re.compile(r"CA[0-9a-fA-F]{32}")


class SignedRequests:
    """Looks at the request, or the handshake, that is being answered."""

    def __init__(self, settings: Settings) -> None:
        self._twilio = settings.twilio
        self._signatures = Signatures(settings.public_url, settings.media_url, settings.twilio.auth_tokens)

    async def form(self) -> tuple[Form | None, Response]:
        """The signed fields of this request, or None and what to answer: 403, or 400 without a CallSid."""
        body = await request.get_data(cache=True, as_text=False, parse_form_data=False)
        form = parse_form(request.headers.get("Content-Type"), body)
        why = self._refused(form)
        if form is None or why:
            log.warning("%s refused: %s", request.path, why)
            return None, Response(status=403)
        if not _CALL_SID.fullmatch(form.get("CallSid", "")):
            log.warning("%s refused: no CallSid", request.path)
            return None, Response(status=400)
        return form, Response(status=204)

    def is_media(self) -> bool:
        """Whether this handshake of a media stream is signed, or need not be."""
        tokens = self._twilio.auth_tokens
        signature = websocket.headers.get(SIGNATURE_HEADER)
        if tokens and self._signatures.media(websocket.query_string, signature):
            return True
        if self._twilio.allow_unsigned and not tokens:
            return True
        log.warning("media handshake refused: %s", "not signed by Twilio" if tokens else "no auth token is set")
        return False

    def _refused(self, form: Form | None) -> str:
        """Why this request is refused; empty when it is not."""
        if form is None:
            return "not a form"
        if not self._twilio.auth_tokens:
            return "" if self._twilio.allow_unsigned else "no auth token is set"
        signature = request.headers.get(SIGNATURE_HEADER)
        if not self._signatures.webhook(request.path, request.query_string, form, signature):
            return "not signed by Twilio for PUBLIC_URL"
        return "" if form.get("AccountSid") == self._twilio.account_sid else "another AccountSid"
