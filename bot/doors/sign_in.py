"""Signing in: a number is asked for, a code goes to that telephone, and who gives it back is the person.

The code goes by a text message, or is spoken in a call to who presses a key: a voicemail presses none, and hears
nothing. On this machine without a telephone account it stands in the terminal. It is good in the browser that asked for
it, and nowhere else. What is answered, and when, is the same for every number, known here or not. It must not log a
number, an address or a code.

Each code costs money and disturbs somebody, so there are bounds. What remains possible: a stranger with two networks
can use up the codes of a number, and one with ten those of everybody, for as long as the bound says. Then nobody signs
in on a browser that is new to that number. Where somebody was signed in before, codes are counted apart.
"""

import asyncio
import logging
import math
import re
import sys
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from quart import Blueprint, Response, request

from bot.conversation.texts import table
from bot.diary.limits import Bound, Refusal
from bot.diary.people import People, korean_number
from bot.diary.records import phone_number
from bot.doors.door import Door
from bot.doors.identity import FORM_FIELD, Identity
from bot.doors.pages import FOLDER, Frame
from bot.doors.signature import Form, parse_form
from bot.doors.signed import SignedRequests
from bot.doors.twiml import CONTENT_TYPE, Documents
from bot.environ import is_loopback
from bot.errors import CarrierError, StoreError
from bot.services.carrier import Carrier
from bot.settings import Settings

log = logging.getLogger(__name__)

By = Literal["sms", "call", "terminal"]

TYPED_CHARS = 40
SEND_S = 10.0
RING_S = 30
SPEAK_PATH = "/twilio/code"
QUARTER_S, HOUR_S, SIX_HOURS_S = 900.0, 3600.0, 21_600.0
CODES_OF_ADDRESS_IN_HOUR, CODES_OF_NETWORK_IN_HOUR = 20, 30
CODES_OF_NUMBER_FROM_NETWORK_IN_QUARTER, CODES_OF_NUMBER_FROM_NETWORK_IN_SIX_HOURS = 3, 5
CODES_OF_NUMBER_IN_SIX_HOURS = 8
"""More than one network may have, so that a stranger in another one leaves some to the person."""
CODES_IN_HOUR = 300
"""Of all numbers and networks, and as many again of browsers that are known: the last brake on what is paid."""


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
        self._signed = SignedRequests(settings)
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
        routes.get("/sign-in/code")(self.show_code)
        routes.post("/sign-in/code")(self.enter)
        routes.post(SPEAK_PATH)(self.speak)
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
        """Send a code to a number; a reload of the page that follows sends nothing."""
        identity, people = self.running.identity, self.running.people
        form = await self._form()
        if form is None or not identity.is_form(form.get(FORM_FIELD, "")):
            return await self._frame.refused(403, "form")
        typed = form.get("number", "")
        way = self._way(form.get("by", ""))
        if way is None:
            return await self._numbers(503)
        number = korean_number(typed)
        if number is None:
            return await self._numbers(422, error=_said("number"), number=typed)
        browser = identity.form_secret()
        has_code = await people.number_asked(browser) == number
        status, error, retry_s = 429, "", 0.0
        if refused := await self._refused(number):
            why, retry_s = refused.bound.what.partition(" ")[0], refused.wait_s
            error = _said(why, wait=in_words(retry_s))
        elif failed := await self._sent(way, number, browser):
            status, error = 502, _said(failed)
        if not error:
            return self._frame.to(f"/sign-in/code?by={way}")
        if has_code:
            return await self._codes(number, status, error=error, retry_s=retry_s)
        return await self._numbers(status, error=error, number=typed, retry_s=retry_s)

    async def show_code(self) -> Response:
        """The form for the code that this browser asked for."""
        identity = self.running.identity
        if await identity.person() is not None:
            return self._frame.to("/")
        number = await self.running.people.number_asked(identity.form_secret())
        if number is None:
            return self._frame.to("/sign-in")
        return await self._codes(number, notice=table("web")["notice"].get(request.args.get("by", ""), ""))

    async def enter(self) -> Response:
        """Take the code, and begin a session."""
        identity, people = self.running.identity, self.running.people
        form = await self._form()
        if form is None or not identity.is_form(form.get(FORM_FIELD, "")):
            return await self._frame.refused(403, "form")
        browser = identity.form_secret()
        number = await people.number_asked(browser)
        if number is None:
            return await self._numbers(403, error=_said("code_over"))
        code = re.sub(r"[^0-9]", "", unicodedata.normalize("NFKC", form.get("code", "")[:TYPED_CHARS]))
        token = await people.sign_in(browser, code, instead_of=identity.session_token())
        if token is None:
            return await self._codes(number, 403, error=_said("code"))
        response = self._frame.to("/")
        identity.keep_session(response, token)
        identity.keep_known(response, number)
        return response

    async def speak(self) -> Response:
        """A key was pressed in a call that we made: the document that says the code."""
        form, refusal = await self._signed.form()
        if form is None:
            return refusal
        number, code = phone_number(form.get("To")), None
        if self.running.carrier is not None and number is not None and form.get("Digits"):
            try:
                code = await self.running.people.code_to_speak(request.args.get("name", ""), number)
            except StoreError:
                log.error("call %s: the store failed, and no code could be said", form["CallSid"])
        if code is None:
            return Response(self._documents.fill("no_code"), content_type=CONTENT_TYPE)
        digits = ", ".join(table("web")["digits"][int(digit)] for digit in code)
        return Response(self._documents.fill("code", digits=digits), content_type=CONTENT_TYPE)

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

    async def _refused(self, number: str) -> Refusal | None:
        """Count a code that is to be sent, unless there were too many."""
        identity = self.running.identity
        address, network = identity.address(), identity.network()
        quarter, six_hours = f"{network} quarter {number}", f"{network} six hours {number}"
        bounds = (
            self._bound("often_here", number, f"address {address}", CODES_OF_ADDRESS_IN_HOUR, HOUR_S),
            self._bound("often_here", number, f"network {network}", CODES_OF_NETWORK_IN_HOUR, HOUR_S),
            self._bound("often_number", number, quarter, CODES_OF_NUMBER_FROM_NETWORK_IN_QUARTER, QUARTER_S),
            self._bound("often_number", number, six_hours, CODES_OF_NUMBER_FROM_NETWORK_IN_SIX_HOURS, SIX_HOURS_S),
            self._bound("often_number", number, number, CODES_OF_NUMBER_IN_SIX_HOURS, SIX_HOURS_S),
            self._of_all(number),
        )
        refused = await self.running.people.limits.refusal(bounds)
        if refused is not None:
            bound = refused.bound
            log.warning("no code is sent: %s had %d in %d s", bound.what, bound.most, bound.within_s)
            return refused
        hops, proxies = identity.hops()
        if hops != proxies:
            log.warning("X-Forwarded-For had %d addresses where PROXIES says %d", hops, proxies)
        return None

    def _bound(self, why: str, number: str, subject: str, most: int, within_s: float) -> Bound:
        """Of browsers that are known and of those that are not, each are counted apart; `why`: of texts/web.toml."""
        kind = "known" if self.running.identity.is_known(number) else "new"
        return Bound(f"{why} {kind}", subject, most, within_s)

    def _of_all(self, number: str) -> Bound:
        return self._bound("often_all", number, "", CODES_IN_HOUR, HOUR_S)

    async def _sent(self, way: By, number: str, browser: str) -> str:
        """Send a code; gives what is to be said when that failed, else nothing."""
        carrier, people = self.running.carrier, self.running.people
        code = await people.new_code(browser, number)
        if way == "terminal" or carrier is None:
            sys.stderr.write(f"the code to sign in with: {code}\n")
            sys.stderr.flush()
            return ""
        try:
            async with asyncio.timeout(SEND_S):
                if way == "sms":
                    await carrier.send_message(number, table("web")["message"].format(code=code))
                else:
                    speak_url = self._frame.url(f"{SPEAK_PATH}?name={people.code_name(browser)}")
                    await carrier.call(number, self._documents.fill("press", speak_url=speak_url), ring_s=RING_S)
        except TimeoutError:
            log.warning("a code could not be sent by %s: no answer", way)
            return "not_sent"
        except CarrierError as error:
            log.warning("a code could not be sent by %s: %s", way, error)
            if error.status != 400:
                return "not_sent"
            await people.limits.uncount(self._of_all(number))  # nothing was paid
            return "not_reached"
        return ""

    async def _numbers(self, status: int = 200, *, error: str = "", number: str = "", retry_s: float = 0.0) -> Response:
        """The form for a number; when no code can reach anybody, a page that says so."""
        way = self._way("sms")
        if way is None:
            return await self._page("closed", 503, error=_said("closed"))
        return await self._page("number", status, retry_s, error=error, number=number[:TYPED_CHARS], by=way)

    async def _codes(
        self, number: str, status: int = 200, *, error: str = "", notice: str = "", retry_s: float = 0.0
    ) -> Response:
        way = self._way("sms")
        return await self._page("code", status, retry_s, error=error, number=number, by=way, notice=notice)

    async def _page(self, step: str, status: int, retry_s: float = 0.0, **values: Any) -> Response:
        """`retry_s`: so long the same will be refused."""
        identity = self.running.identity
        secret = identity.form_secret()
        token = identity.form_token(secret)
        response = await self._frame.page("sign_in", status, step=step, form_token=token, **values)
        if retry_s:
            response.headers["Retry-After"] = str(math.ceil(retry_s))
        identity.keep_form(response, secret)
        return response


def in_words(seconds: float) -> str:
    """How long to wait, as it is said: in minutes, from an hour and a half in hours, never too short."""
    words = table("web")["wait"]
    minutes = math.ceil(seconds / 60)
    if minutes < 90:
        return str(words["minutes"].format(n=minutes))
    return str(words["hours"].format(n=math.ceil(minutes / 60)))


def _said(error: str, **values: str) -> str:
    return str(table("web")["error"][error].format(**values))
