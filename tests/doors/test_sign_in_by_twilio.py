"""Signing in with the carrier itself, at the stand-in for Twilio's REST API: what is sent is what Twilio takes."""

import re
from contextlib import asynccontextmanager

import pytest

from bot.lab.answering import pick_up
from bot.lab.twilio_rest import Number, TwilioRest
from bot.lab.wire import Answer, signature
from bot.services.carrier import Carrier
from bot.settings import TwilioSettings
from tests.doors.website import ENVIRON, NUMBER, TYPED, open_site

ACCOUNT, TOKEN, HERE = (ENVIRON[f"TWILIO_{name}"] for name in ("ACCOUNT_SID", "AUTH_TOKEN", "PHONE_NUMBER"))
DIGITS = "공일이삼사오육칠팔구"


@asynccontextmanager
async def open_both(folder):
    """The stand-in, and the site that sends by it."""
    async with TwilioRest(ACCOUNT, TOKEN, numbers=[Number(HERE)]) as rest:
        settings = TwilioSettings(account_sid=ACCOUNT, auth_tokens=(TOKEN,), phone_number=HERE, api_url=rest.url)
        async with Carrier(settings) as carrier, open_site(folder, carrier=carrier) as site:
            yield rest, site
    assert rest.outgoing.breaches == []


async def test_a_message_lets_its_number_in(tmp_path):
    async with open_both(tmp_path) as (rest, site):
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED, by="sms")
        (message,) = rest.outgoing.messages
        assert (message.to, message.segments) == (NUMBER, 1)
        code = re.search("[0-9]{6}", message.text)[0]
        assert (await browser.post("/sign-in/code", code=code)).status_code == 303
        assert (await browser.get("/")).status_code == 200


async def test_a_call_lets_its_number_in(tmp_path):
    async with open_both(tmp_path) as (rest, site):
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED, by="call")
        (call,) = rest.outgoing.calls
        heard = await pick_up(call, asks(site), ACCOUNT, key="#")
        spoken = [found[0] for said in heard.said if (found := re.search(f"(?:[{DIGITS}], ){{5}}[{DIGITS}]", said))]
        assert (call.to, heard.breaches, len(spoken), len(set(spoken))) == (NUMBER, [], 2, 1)
        code = "".join(str(DIGITS.index(word)) for word in spoken[0].split(", "))
        assert (await browser.post("/sign-in/code", code=code)).status_code == 303


async def test_a_voicemail_that_picks_up_hears_no_code(tmp_path):
    async with open_both(tmp_path) as (rest, site):
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED, by="call")
        heard = await pick_up(rest.outgoing.calls[0], asks(site), ACCOUNT)
        assert (heard.breaches, "눌러 주세요" in heard.said[0]) == ([], True)
        assert not any(re.search(f"[{DIGITS}], [{DIGITS}]", said) for said in heard.said)


def asks(site):
    """Twilio's requests to the site, signed."""

    async def ask(url, fields):
        headers = {"X-Twilio-Signature": signature(TOKEN, url, fields)}
        path = url.removeprefix(site.public_url)
        answer = await site.app.test_client().post(path, form=dict(fields), headers=headers)
        return Answer(answer.status_code, answer.headers["Content-Type"], await answer.get_data(), 0)

    return ask


async def test_a_landline_takes_no_message_but_a_call(tmp_path):
    async with open_both(tmp_path) as (rest, site):
        rest.outgoing.refusals.messages[NUMBER] = 21614
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED, by="sms")
        assert (browser.status, "다른 방법으로" in browser.text) == (502, True)
        await browser.post("/sign-in", number=TYPED, by="call")
        assert (browser.status, len(rest.outgoing.calls)) == (200, 1)


@pytest.mark.parametrize("by", ["sms", "call"])
async def test_a_failure_is_not_repeated_by_itself(tmp_path, by):
    async with open_both(tmp_path) as (rest, site):
        rest.faults.errors = 1
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED, by=by)
        assert (browser.status, len(rest.report.requests)) == (502, 1)
        await browser.post("/sign-in", number=TYPED, by=by)
        assert (browser.status, len(rest.report.requests)) == (200, 2)
