"""bot/doctor/telephone.py: Twilio's account, the console, and the way to us."""

import pytest

from bot.doctor import telephone
from bot.doctor.row import fail
from bot.lab.twilio import ACCOUNT_SID, BOT_NUMBER
from bot.lab.twilio_rest import Number, TwilioRest
from bot.services.carrier import IncomingNumber
from bot.settings import TwilioSettings
from tests.canned import Answer, canned
from tests.doctor.rows import of, states

AUTH_TOKEN = "auth-token-secret"
PUBLIC_URL = "https://ilgi.invalid"
ACCOUNT_PATH = f"/2010-04-01/Accounts/{ACCOUNT_SID}.json"
NUMBERS_PATH = f"/2010-04-01/Accounts/{ACCOUNT_SID}/IncomingPhoneNumbers.json"
HEALTHY = Answer(200, {"status": "ok", "calls": 0, "draining": False, "database": "ok"})


def twilio_settings(api_url, **changes):
    return TwilioSettings(
        **{"account_sid": ACCOUNT_SID, "auth_tokens": (AUTH_TOKEN,), "phone_number": BOT_NUMBER, "api_url": api_url}
        | changes
    )


# The telephone


async def test_a_refused_account():
    async with TwilioRest(ACCOUNT_SID, "another") as rest:
        (row,) = await telephone.twilio(twilio_settings(rest.url), PUBLIC_URL)
    assert (row.state, row.found) == ("fail", "the account is refused: HTTP 401")
    assert "TWILIO_AUTH_TOKEN" in row.mend


async def test_an_account_that_cannot_be_reached():
    (row,) = await telephone.twilio(twilio_settings("http://127.0.0.1:9"), PUBLIC_URL)
    assert (row.state, row.found) == ("fail", "no answer: ConnectError")
    assert "cannot be reached" in row.mend


@pytest.mark.parametrize("status", ["suspended", "closed", ""])
async def test_an_account_that_is_not_active(status):
    async with TwilioRest(ACCOUNT_SID, AUTH_TOKEN) as rest:
        rest.status = status
        (row,) = await telephone.twilio(twilio_settings(rest.url), PUBLIC_URL)
    assert (row.state, row.found) == ("fail", f"it is {status or 'not active'}")


async def test_a_trial_account_is_a_warning():
    answers = {
        ("GET", ACCOUNT_PATH): Answer(200, {"status": "active", "type": "Trial"}),
        ("GET", NUMBERS_PATH): Answer(200, {"incoming_phone_numbers": [{"sid": "PN1"}]}),
    }
    async with canned(answers) as api:
        rows = await telephone.twilio(twilio_settings(api.url), None)
    assert states(rows) == {"Twilio account": "warn", "Twilio number": "ok"}


async def test_twilio_in_trouble():
    async with canned({("GET", ACCOUNT_PATH): Answer(503, {})}) as api:
        (row,) = await telephone.twilio(twilio_settings(api.url), PUBLIC_URL)
    assert (row.state, row.found, row.mend) == ("fail", "HTTP 503", "try again: see status.twilio.com")


async def test_the_numbers_of_an_account_cannot_be_listed():
    async with canned({("GET", ACCOUNT_PATH): Answer(200, {"status": "active"})}) as api:
        rows = await telephone.twilio(twilio_settings(api.url), PUBLIC_URL)
    assert (of(rows, "Twilio number").state, of(rows, "Twilio number").found) == ("fail", "HTTP 404")


async def test_a_number_that_is_not_ours():
    async with TwilioRest(ACCOUNT_SID, AUTH_TOKEN, numbers=[Number("+15550001111")]) as rest:
        rows = await telephone.twilio(twilio_settings(rest.url), PUBLIC_URL)
    assert of(rows, "Twilio number") == fail(
        "Twilio number", "…901 is not a number of this account", "set TWILIO_PHONE_NUMBER to one"
    )


async def test_without_a_number_its_webhooks_are_not_checked():
    async with TwilioRest(ACCOUNT_SID, AUTH_TOKEN) as rest:
        rows = await telephone.twilio(twilio_settings(rest.url, phone_number=None), PUBLIC_URL)
    assert states(rows) == {"Twilio account": "ok", "Twilio number": "warn"}


async def test_no_account_and_every_request_let_in():
    (row,) = await telephone.twilio(TwilioSettings(allow_unsigned=True), PUBLIC_URL)
    assert (row.state, row.found) == ("off", "not configured: every request is let in")


VOICE, STATUS = f"{PUBLIC_URL}/twilio/voice", f"{PUBLIC_URL}/twilio/status"


@pytest.mark.parametrize(
    ("number", "state", "found"),
    [
        (IncomingNumber(voice_url=VOICE, voice_method="POST"), "ok", VOICE),
        (IncomingNumber(voice_url=VOICE), "ok", VOICE),
        (IncomingNumber(voice_url=VOICE, voice_method="GET"), "fail", "its method is not POST"),
        (IncomingNumber(), "fail", "not set"),
        (IncomingNumber(voice_url=VOICE + "/"), "fail", f"it is {VOICE}/"),
        (IncomingNumber(voice_url="https://b.example.com/twilio/voice?k=secret"), "fail",
         "it is https://b.example.com/twilio/voice?…"),
        (IncomingNumber(voice_url=VOICE, voice_application_sid="AP1"), "fail",
         "calls go to a TwiML app, and the webhook is not asked"),
        (IncomingNumber(voice_url=VOICE, trunk_sid="TK1"), "fail",
         "calls go to a SIP trunk, and the webhook is not asked"),
    ],
)  # fmt: skip
def test_the_voice_webhook(number, state, found):
    row = telephone.voice_webhook(number, PUBLIC_URL)
    assert (row.state, row.found) == (state, found)
    assert state == "ok" or VOICE in row.mend


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (IncomingNumber(status_callback=STATUS, status_callback_method="POST"), "ok"),
        (IncomingNumber(status_callback=STATUS), "ok"),
        (IncomingNumber(status_callback=STATUS, status_callback_method="GET"), "warn"),
        (IncomingNumber(status_callback="https://b.example.com"), "warn"),
        (IncomingNumber(), "warn"),
    ],
)
def test_the_status_webhook(number, state):
    row = telephone.status_webhook(number, PUBLIC_URL)
    assert row.state == state
    assert state == "ok" or STATUS in row.mend


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (IncomingNumber(voice_fallback_url="https://handler.twilio.com/twiml/EH1"), "ok"),
        (IncomingNumber(voice_fallback_url=f"{PUBLIC_URL}/fallback"), "warn"),
        (IncomingNumber(), "warn"),
    ],
)
def test_the_fallback_webhook(number, state):
    assert telephone.fallback_webhook(number, PUBLIC_URL).state == state


# The way to us


async def test_an_address_where_nobody_answers():
    (row,) = await telephone.way_to_us(None, PUBLIC_URL)
    assert (row.state, row.found) == ("fail", f"no answer from {PUBLIC_URL}/health: ConnectError")
    (row,) = await telephone.way_to_us(None, "http://127.0.0.1:9")
    assert row.state == "warn"
    assert "only this machine" in row.found


@pytest.mark.parametrize(
    ("health", "found"),
    [
        (Answer(502, b"<html>bad gateway"), "HTTP 502, and not this bot"),
        (Answer(200, b"<html>welcome"), "HTTP 200, and not this bot"),
        (Answer(200, {"status": "ok"}), "HTTP 200, and not this bot"),
        (Answer(200, ["draining"]), "HTTP 200, and not this bot"),
        (Answer(301, b"", {"Location": "https://www.example.com/health?x=secret"}),
         "redirects to https://www.example.com/health?…"),
    ],
)  # fmt: skip
async def test_an_address_where_somebody_else_answers(health, found):
    async with canned({("GET", "/health"): health}) as bot:
        (row,) = await telephone.way_to_us(twilio_settings(""), bot.url)
    assert row.state == "fail"
    assert row.found.endswith(found)
    assert "PUBLIC_URL" in row.mend


async def test_a_bot_without_its_database():
    degraded = Answer(200, {"status": "degraded", "calls": 0, "draining": False, "database": "down"})
    async with canned({("GET", "/health"): degraded}) as bot:
        (row,) = await telephone.way_to_us(None, bot.url)
    assert (row.state, row.found) == ("warn", "the bot answers, and its database is down")


@pytest.mark.parametrize(("status", "found"), [(403, "refused: HTTP 403"), (502, "HTTP 502")])
async def test_a_bot_that_does_not_take_what_twilio_signs(status, found):
    answers = {("GET", "/health"): HEALTHY, ("POST", "/twilio/stream-status"): Answer(status, {})}
    async with canned(answers) as bot:
        rows = await telephone.way_to_us(twilio_settings(""), bot.url)
    assert (of(rows, "signed webhook").state, of(rows, "signed webhook").found) == ("fail", found)
    assert "media stream" not in states(rows)


@pytest.mark.parametrize(
    ("status", "state", "found"),
    [(502, "fail", "is refused: HTTP 502"), (403, "fail", "is refused: HTTP 403"), (503, "warn", "going away")],
)
async def test_a_proxy_that_passes_on_no_media_stream(status, state, found):
    answers = {
        ("GET", "/health"): HEALTHY,
        ("POST", "/twilio/stream-status"): Answer(204, b""),
        ("GET", "/twilio/media"): Answer(status, {}),
    }
    async with canned(answers) as bot:
        rows = await telephone.way_to_us(twilio_settings(""), bot.url)
    assert of(rows, "signed webhook").state == "ok"
    assert of(rows, "media stream").state == state
    assert found in of(rows, "media stream").found
