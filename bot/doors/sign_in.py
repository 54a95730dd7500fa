"""Signing in: a number is asked for, a code goes to that telephone, and who gives it back is the person.

The code goes by a text message or is spoken in a call; on this machine without a telephone account it stands in the
terminal. What is answered, and when, is the same for every number, known here or not. It must not log a number or a
code.
"""

import asyncio
import logging
import re
import sys
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from quart import Blueprint, Response, request

from bot.conversation.texts import table
from bot.diary.people import People, korean_number
from bot.doors.door import Door
from bot.doors.identity import FORM_FIELD, Identity
from bot.doors.pages import FOLDER, Frame
from bot.doors.signature import Form, parse_form
from bot.doors.twiml import Documents
from bot.environ import is_loopback
from bot.errors import CarrierError, StoreError
from bot.services.carrier import Carrier
from bot.settings import Settings

log = logging.getLogger(__name__)

By = Literal["sms", "call", "terminal"]

TYPED_CHARS = 40
SEND_S = 10.0
RING_S = 30
QUARTER_S, HOUR_S, DAY_S = 900.0, 3600.0, 86_400.0
CODES_OF_NUMBER_IN_QUARTER, CODES_OF_NUMBER_IN_DAY = 3, 10
CODES_OF_ADDRESS_IN_HOUR = 20
CODES_IN_HOUR = 100
"""Of all numbers and addresses: each costs money, and somebody may have many addresses."""
TRIES_OF_ADDRESS_IN_HOUR = 30


@dataclass(frozen=True, slots=True)
class SignInRunning:
    """What the door works with while the process serves; `carrier` None: there is no telephone account."""

    identity: Identity
    people: People
    carrier: Carrier | None


class SignInDoor(Door[SignInRunning]):
    """The routes of signing in and out.

    The templates are those of `PagesDoor`'s folder.
    """

    def __init__(self, settings: Settings, documents: Documents) -> None:
        self._frame = Frame(settings)
        self._documents = documents
        self._has_number = settings.twilio.phone_number is not None
        self._is_local = is_loopback(urlsplit(settings.public_url).hostname or "")

    def start(self, running: SignInRunning) -> None:
        """Begin to serve."""
        super().start(running)
        if self._way("sms") is None:
            log.info("nobody can sign in on the web: that needs a Twilio account and TWILIO_PHONE_NUMBER")

    def blueprint(self) -> Blueprint:
        """The routes, for the application."""
        routes = Blueprint("sign_in", __name__, template_folder=str(FOLDER))
        routes.get("/sign-in")(self.show)
        routes.post("/sign-in")(self.ask)
        routes.post("/sign-in/code")(self.enter)
        routes.post("/sign-out")(self.leave)
        routes.after_request(self._frame.secured)
        routes.errorhandler(StoreError)(self._frame.store_failed)
        return routes

    async def show(self) -> Response:
        """The form for a number."""
        if await self.running.identity.person() is not None:
            return self._frame.to("/")
        return await self._numbers()

    async def ask(self) -> Response:
        """Send a code to a number."""
        form = await self._form()
        if form is None or not self.running.identity.is_form(form.get(FORM_FIELD, "")):
            return await self._frame.refused(403, "form")
        typed = form.get("number", "")
        way = self._way(form.get("by", ""))
        if way is None:
            return await self._numbers(503)
        number = korean_number(typed)
        if number is None:
            return await self._numbers(422, error="number", number=typed)
        if not await self._may_ask(number):
            return await self._numbers(429, error="too_often", number=typed)
        if failed := await self._sent(way, number, await self.running.people.new_code(number)):
            return await self._numbers(502, error=failed, number=typed)
        return await self._codes(number, way, notice=table("web")["notice"][way])

    async def enter(self) -> Response:
        """Take the code, and begin a session."""
        identity = self.running.identity
        form = await self._form()
        if form is None or not identity.is_form(form.get(FORM_FIELD, "")):
            return await self._frame.refused(403, "form")
        number = korean_number(form.get("number", ""))
        if number is None:
            return await self._numbers(422, error="number")
        way = self._way("sms") or "sms"
        # Before anything is looked at: of many tries at once no more count than are allowed.
        if not await identity.allow("code-try-address", identity.address(), TRIES_OF_ADDRESS_IN_HOUR, HOUR_S):
            return await self._codes(number, way, 429, error="too_many_wrong")
        code = re.sub(r"[^0-9]", "", unicodedata.normalize("NFKC", form.get("code", "")[:TYPED_CHARS]))
        token = await self.running.people.sign_in(number, code, instead_of=identity.session_token())
        if token is None:
            return await self._codes(number, way, 403, error="code")
        response = self._frame.to("/")
        identity.keep_session(response, token)
        return response

    async def leave(self) -> Response:
        """End the session."""
        identity = self.running.identity
        form = await self._form()
        token = identity.session_token()
        if token is None and identity.is_ours():
            return self._frame.to("/sign-in")
        if token is None or form is None or not identity.is_session_form(form.get(FORM_FIELD, "")):
            # The cookie stays as it is: of another site's request browsers leave it out, and would still drop it.
            return await self._frame.refused(403, "form")
        await self.running.people.sign_out(token)
        response = self._frame.to("/sign-in")
        identity.drop_session(response)
        return response

    async def _form(self) -> Form | None:
        body = await request.get_data(cache=True, as_text=False, parse_form_data=False)
        return parse_form(request.headers.get("Content-Type"), body)

    def _way(self, wanted: str) -> By | None:
        """How a code can reach a person; None when it cannot."""
        if self.running.carrier is not None and self._has_number:
            return "call" if wanted == "call" else "sms"
        return "terminal" if self._is_local else None

    async def _may_ask(self, number: str) -> bool:
        allow = self.running.identity.allow
        return (
            await allow("code-address", self.running.identity.address(), CODES_OF_ADDRESS_IN_HOUR, HOUR_S)
            and await allow("code-number-quarter", number, CODES_OF_NUMBER_IN_QUARTER, QUARTER_S)
            and await allow("code-number-day", number, CODES_OF_NUMBER_IN_DAY, DAY_S)
            and await allow("code", "", CODES_IN_HOUR, HOUR_S)
        )

    async def _sent(self, way: By, number: str, code: str) -> str:
        """Send a code; gives what is to be said when that failed, else nothing."""
        carrier = self.running.carrier
        if way == "terminal" or carrier is None:
            sys.stderr.write(f"the code to sign in with: {code}\n")
            sys.stderr.flush()
            return ""
        words = table("web")
        try:
            async with asyncio.timeout(SEND_S):
                if way == "sms":
                    await carrier.send_message(number, words["message"].format(code=code))
                else:
                    digits = ", ".join(words["digits"][int(digit)] for digit in code)
                    await carrier.call(number, self._documents.fill("code", digits=digits), ring_s=RING_S)
        except TimeoutError:
            log.warning("a code could not be sent by %s: no answer", way)
            return "not_sent"
        except CarrierError as error:
            log.warning("a code could not be sent by %s: %s", way, error)
            return "not_reached" if error.status == 400 else "not_sent"
        return ""

    async def _numbers(self, status: int = 200, *, error: str = "", number: str = "") -> Response:
        """The form for a number; when no code can reach anybody, a page that says so."""
        way = self._way("sms")
        if way is None:
            return await self._page("closed", 503, error="closed")
        return await self._page("number", status, error=error, number=number[:TYPED_CHARS], by=way)

    async def _codes(self, number: str, way: By, status: int = 200, *, error: str = "", notice: str = "") -> Response:
        return await self._page("code", status, error=error, number=number, by=way, notice=notice)

    async def _page(self, step: str, status: int, *, error: str, **values: Any) -> Response:
        identity = self.running.identity
        secret = identity.form_secret()
        said = table("web")["error"][error] if error else ""
        token = identity.form_token(secret)
        response = await self._frame.page("sign_in", status, step=step, error=said, form_token=token, **values)
        identity.keep_form(response, secret)
        return response
