"""Twilio's account and what its console says of our number; and the way from Twilio to us, by PUBLIC_URL.

The way is tried as Twilio would go it, with a signed callback and a signed handshake that lead to no call. It must not
know what a call does.
"""

import time
from urllib.parse import urlsplit

import httpx2
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from bot.doctor.row import Row, fail, off, ok, shown_number, shown_url, took, warn
from bot.doors.signature import SIGNATURE_HEADER
from bot.environ import is_loopback
from bot.errors import CarrierError
from bot.services.carrier import Carrier, IncomingNumber
from bot.settings import MEDIA_PATH, TwilioSettings

NOBODYS_CALL = "CA" + "0" * 32
TIMEOUT_S = 10.0
_FROM_OUTSIDE = "to answer real calls, set PUBLIC_URL to the https address of a proxy or a tunnel"
_CONSOLE = "Twilio's console, Phone Numbers, this number, Voice Configuration"


async def twilio(settings: TwilioSettings, public_url: str | None) -> list[Row]:
    """The account and the number."""
    if not settings.auth_tokens:
        return [off("Twilio account", "not configured: " + _without_account(settings))]
    async with Carrier(settings) as carrier:
        try:
            account = await carrier.account()
        except CarrierError as error:
            what = "check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN" if error.status in (401, 403, 404) else "try again"
            return [fail("Twilio account", str(error), f"{what}: {_refused(error)}")]
        if account.status != "active":
            why = "see the notice in Twilio's console"
            return [fail("Twilio account", f"it is {_word(account.status)}", why)]
        rows = [ok("Twilio account", "active")]
        if account.type == "Trial":
            rows = [warn("Twilio account", "active, a trial with its limits", "upgrade it in Twilio's console")]
        return rows + await _number(carrier, settings, public_url)


def _without_account(settings: TwilioSettings) -> str:
    return "every request is let in" if settings.allow_unsigned else "every request of Twilio's is refused"


def _refused(error: CarrierError) -> str:
    match error.status:
        case 401 | 403 | 404:
            return "Twilio does not know the two together"
        case None:
            return "Twilio's API cannot be reached from here"
        case _:
            return "see status.twilio.com"


def _word(text: str) -> str:
    return text if text.isalpha() else "not active"


async def _number(carrier: Carrier, settings: TwilioSettings, public_url: str | None) -> list[Row]:
    if settings.phone_number is None:
        return [warn("Twilio number", "TWILIO_PHONE_NUMBER is not set", "set it, to have its webhooks checked here")]
    shown = shown_number(settings.phone_number)
    try:
        number = await carrier.incoming_number(settings.phone_number)
    except CarrierError as error:
        return [fail("Twilio number", str(error), "try again: see status.twilio.com")]
    if number is None:
        return [fail("Twilio number", f"{shown} is not a number of this account", "set TWILIO_PHONE_NUMBER to one")]
    rows = [ok("Twilio number", f"{shown} is ours")]
    if public_url is None:
        return rows
    return [
        *rows,
        voice_webhook(number, public_url),
        status_webhook(number, public_url),
        fallback_webhook(number, public_url),
    ]


def voice_webhook(number: IncomingNumber, public_url: str) -> Row:
    """Whether a call to the number comes to us."""
    what, wanted = "voice webhook", f"{public_url}/twilio/voice"
    mend = f"{_CONSOLE}, A call comes in: Webhook, {wanted}, HTTP POST"
    if number.trunk_sid or number.voice_application_sid:
        by = "a SIP trunk" if number.trunk_sid else "a TwiML app"
        return fail(what, f"calls go to {by}, and the webhook is not asked", mend)
    if not number.voice_url:
        return fail(what, "not set", mend)
    if number.voice_url != wanted:
        return fail(what, f"it is {shown_url(number.voice_url)}", mend)
    if (number.voice_method or "POST").upper() != "POST":
        return fail(what, "its method is not POST", mend)
    return ok(what, wanted)


def status_webhook(number: IncomingNumber, public_url: str) -> Row:
    """Whether we are told of the end of a call."""
    what, wanted = "status webhook", f"{public_url}/twilio/status"
    mend = f"{_CONSOLE}, Call status changes: {wanted}, HTTP POST"
    if not number.status_callback:
        return warn(what, "not set: the end of a call is noted late when its stream broke", mend)
    if number.status_callback != wanted:
        return warn(what, f"it is {shown_url(number.status_callback)}", mend)
    if (number.status_callback_method or "POST").upper() != "POST":
        return warn(what, "its method is not POST", mend)
    return ok(what, wanted)


def fallback_webhook(number: IncomingNumber, public_url: str) -> Row:
    """Whether a caller hears something while we are down."""
    what = "fallback webhook"
    mend = f"{_CONSOLE}, Primary handler fails: a TwiML Bin with the text of twiml/fallback.xml"
    if not number.voice_fallback_url:
        return warn(what, "not set: callers hear Twilio's English error while the bot is down", mend)
    if urlsplit(number.voice_fallback_url).hostname == urlsplit(public_url).hostname:
        return warn(what, "it is on the bot's own host, and down when the bot is", mend)
    return ok(what, shown_url(number.voice_fallback_url))


async def way_to_us(settings: TwilioSettings | None, public_url: str) -> list[Row]:
    """PUBLIC_URL, as Twilio would use it; `settings` None: nothing can be signed."""
    local = is_loopback(urlsplit(public_url).hostname or "")
    async with httpx2.AsyncClient(timeout=TIMEOUT_S) as client:
        answers, health = await _health(client, public_url, local=local)
        if not answers or settings is None or not settings.auth_tokens:
            return [health]
        webhook = await _signed_webhook(client, settings, public_url)
    if webhook.state == "fail":
        return [health, webhook]
    return [health, webhook, await _signed_handshake(settings, public_url)]


async def _health(client: httpx2.AsyncClient, public_url: str, *, local: bool) -> tuple[bool, Row]:
    """Whether it is this bot that answers there, and how it is."""
    what, url = "PUBLIC_URL", f"{public_url}/health"
    began_s = time.monotonic()
    try:
        answer = await client.get(url)
    except httpx2.HTTPError as error:
        found = f"no answer from {url}: {type(error).__name__}"
        if local:
            found = f"{found}; and only this machine could reach it"
            return False, warn(what, found, f"python -m bot serve; {_FROM_OUTSIDE}")
        return False, fail(what, found, f"start the bot (python -m bot serve), and see that {url} leads to it")
    if answer.has_redirect_location:
        to = shown_url(str(answer.next_request.url)) if answer.next_request else "elsewhere"
        mend = "set PUBLIC_URL to where it leads: Twilio signs the address that it is told"
        return False, fail(what, f"{url} redirects to {to}", mend)
    try:
        told = answer.json()
    except ValueError:
        told = None
    if answer.status_code != 200 or not isinstance(told, dict) or "draining" not in told:
        mend = "set PUBLIC_URL to the address of this bot, or have the proxy in front pass everything on"
        return False, fail(what, f"{url}: HTTP {answer.status_code}, and not this bot", mend)
    if told.get("status") != "ok":
        return True, warn(what, "the bot answers, and its database is down", "see the row of the database")
    if local:
        return True, warn(what, "the bot answers, and only this machine can reach it", _FROM_OUTSIDE)
    return True, ok(what, f"the bot answers after {took(time.monotonic() - began_s)}")


async def _signed_webhook(client: httpx2.AsyncClient, settings: TwilioSettings, public_url: str) -> Row:
    """A callback that steers nothing, signed as Twilio does."""
    what, url = "signed webhook", f"{public_url}/twilio/stream-status"
    form = {
        "AccountSid": settings.account_sid or "",
        "CallSid": NOBODYS_CALL,
        "StreamSid": "MZ" + "0" * 32,
        "StreamEvent": "stream-started",
    }
    try:
        answer = await client.post(url, data=form, headers={SIGNATURE_HEADER: _signature(settings, url, form)})
    except httpx2.HTTPError as error:
        return fail(what, f"no answer from {url}: {type(error).__name__}", "see that its proxy passes on POST requests")
    match answer.status_code:
        case 204:
            return ok(what, "let in")
        case 403:
            mend = "start the bot with the PUBLIC_URL, TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN that are set here"
            return fail(what, "refused: HTTP 403", mend)
        case status:
            return fail(what, f"HTTP {status}", "see that the proxy in front passes on POST requests to /twilio/")


async def _signed_handshake(settings: TwilioSettings, public_url: str) -> Row:
    """A media socket, closed before anything is sent on it."""
    what, url = "media stream", "ws" + public_url.removeprefix("http") + MEDIA_PATH
    headers = {SIGNATURE_HEADER: _signature(settings, url, {})}
    began_s = time.monotonic()
    try:
        async with connect(url, additional_headers=headers, compression=None, open_timeout=TIMEOUT_S, proxy=None):
            return ok(what, f"open after {took(time.monotonic() - began_s)}")
    except InvalidStatus as error:
        status = error.response.status_code
        if status == 503:
            return warn(what, "the bot is going away and takes no stream", "try again when the next one is up")
        why = f"the handshake with {url} is refused: HTTP {status}"
    except (OSError, WebSocketException) as error:
        why = f"no handshake with {url}: {type(error).__name__}"
    return fail(what, why, "have the proxy in front pass on WebSocket upgrades, with their headers")


def _signature(settings: TwilioSettings, url: str, form: dict[str, str]) -> str:
    return str(RequestValidator(settings.auth_tokens[0]).compute_signature(url, form))
