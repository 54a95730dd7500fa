"""bot/doors/sign_in.py: signing in and out, and everything that is no way in."""

import asyncio
import logging
import re

import pytest

from bot.diary.schema import callers
from bot.doors import sign_in as module
from bot.errors import CarrierError
from tests.diary.talks import change, entered
from tests.doors.website import ANOTHER, NUMBER, TYPED, open_site

LOCAL = {"PUBLIC_URL": "http://localhost:5000", "TWILIO_ACCOUNT_SID": "", "TWILIO_AUTH_TOKEN": ""}
ELSEWHERE = "https://evil.example.com"


async def test_a_code_by_message_lets_its_number_in(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        assert browser.status == 200
        await browser.post("/sign-in", number=TYPED, by="sms")
        assert browser.status == 200
        ((to, body),) = site.carrier.messages
        assert to == NUMBER
        assert body.encode("euc_kr"), "nothing else arrives in Korea"
        response = await browser.post("/sign-in/code", number=TYPED, code=site.carrier.code)
        assert (response.status_code, response.headers["Location"]) == (303, "https://diary.example.com/")
        assert (await browser.get("/")).status_code == 200
        assert (await browser.get("/sign-in")).headers["Location"] == "https://diary.example.com/"


async def test_a_code_may_be_spoken_in_a_call(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED, by="call")
        assert browser.status == 200
        ((to, twiml, ring_s),) = site.carrier.calls
        assert (to, ring_s, site.carrier.messages) == (NUMBER, 30, [])
        heard = re.findall("((?:[공일이삼사오육칠팔구], ){5}[공일이삼사오육칠팔구])\\.", twiml)
        assert len(heard) == 2 and heard[0] == heard[1], "twice the same"
        code = "".join(str("공일이삼사오육칠팔구".index(word)) for word in heard[0].split(", "))
        assert (await browser.post("/sign-in/code", number=NUMBER, code=code)).status_code == 303


async def test_a_code_may_be_typed_with_blanks_and_in_wide_digits(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED)
        wide = "".join(chr(0xFF10 + int(digit)) for digit in site.carrier.code)
        typed = f" {wide[:3]} - {wide[3:]} "
        assert (await browser.post("/sign-in/code", number=TYPED, code=typed)).status_code == 303


async def test_on_this_machine_without_an_account_the_code_is_in_the_terminal_and_not_in_the_log(
    tmp_path, capsys, caplog
):
    caplog.set_level(logging.DEBUG)
    async with open_site(tmp_path, carrier=False, **LOCAL) as site:
        browser = site.browser(origin="http://localhost:5000")
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED)
        (code,) = re.findall(r"\b[0-9]{6}\b", capsys.readouterr().err)
        assert code not in caplog.text
        assert (await browser.post("/sign-in/code", number=TYPED, code=code)).status_code == 303
        assert set(browser.cookies) == {"ilgi"}
        assert not browser.cookies["ilgi"].secure


@pytest.mark.parametrize("missing", [{"carrier": False}, {"TWILIO_PHONE_NUMBER": ""}])
async def test_where_no_code_can_be_sent_the_page_says_so_and_no_code_is_shown_anywhere(tmp_path, capsys, missing):
    async with open_site(tmp_path, **missing) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        assert browser.status == 503
        assert "설정되어 있지 않아요" in browser.text
        async with open_site(tmp_path) as open_one:
            other = open_one.browser()
            await other.get("/sign-in")
        browser.html = other.html
        browser.client.cookie_jar = other.client.cookie_jar
        await browser.post("/sign-in", number=TYPED)
        assert browser.status == 503
        assert not re.search("[0-9]{6}", capsys.readouterr().err)


@pytest.mark.parametrize("number", ["", "119", "전화", "+0", "010-12", "<script>alert(1)</script>", "1" * 5000])
async def test_what_is_no_number_is_said_and_may_be_corrected(tmp_path, number):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=number)
        assert browser.status == 422
        assert "다시 확인해 주세요" in browser.text
        assert "<script>alert" not in browser.html
        await browser.post("/sign-in", number=TYPED)
        assert len(site.carrier.messages) == 1


async def test_a_wrong_code_lets_nobody_in_and_after_five_the_right_one_does_neither(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED)
        right = site.carrier.code
        for _ in range(5):
            await browser.post("/sign-in/code", number=TYPED, code=f"{(int(right) + 1) % 10**6:06}")
            assert browser.status == 403
            said = browser.text
        await browser.post("/sign-in/code", number=TYPED, code=right)
        assert (browser.status, browser.text) == (403, said)
        assert "__Host-ilgi" not in browser.cookies
        await browser.post("/sign-in", number=TYPED)
        assert (await browser.post("/sign-in/code", number=TYPED, code=site.carrier.code)).status_code == 303


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "abcdef", "\u0661\u0662\u0663\u0664\u0665\u0666", "0" * 60_000]
)
async def test_what_is_no_code_is_a_wrong_code(tmp_path, code):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED)
        await browser.post("/sign-in/code", number=TYPED, code=code)
        assert browser.status == 403


async def test_a_known_number_and_an_unknown_one_are_answered_with_the_same_words(tmp_path):
    async with open_site(tmp_path) as site:
        await entered(site.store, "CA1", number=NUMBER)
        told = []
        for number in (NUMBER, ANOTHER):
            browser = site.browser()
            answers = [await browser.get("/sign-in")]
            answers.append(await browser.post("/sign-in", number=number))
            pages = [browser.html.replace(number, "").replace(browser.form_token, "")]
            answers.append(await browser.post("/sign-in/code", number=number, code="000000"))
            pages.append(browser.html.replace(number, "").replace(browser.form_token, ""))
            headers = [{name.lower(): text for name, text in answer.headers.items()} for answer in answers]
            for one in headers:
                one.pop("set-cookie")
                one.pop("content-length", None)
            told.append(([answer.status_code for answer in answers], headers, pages))
        assert told[0] == told[1]


# A failure of the telephone company


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (CarrierError("HTTP 500", status=500), "보내지 못했어요"),
        (CarrierError("no answer: ConnectError"), "보내지 못했어요"),
        (CarrierError("HTTP 400", status=400), "보낼 수가 없었어요"),
    ],
)
async def test_a_failure_to_send_is_said_and_may_be_tried_again(tmp_path, caplog, failure, said):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        site.carrier.fails = failure
        await browser.post("/sign-in", number=TYPED)
        assert browser.status == 502
        assert said in browser.text
        assert f'value="{TYPED}"' in browser.html, "it need not be typed again"
        assert not any(secret in caplog.text for secret in (TYPED, NUMBER))
        site.carrier.fails = None
        await browser.post("/sign-in", number=TYPED)
        assert (await browser.post("/sign-in/code", number=TYPED, code=site.carrier.code)).status_code == 303


async def test_a_telephone_company_that_does_not_answer_is_not_waited_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SEND_S", 0.05)
    async with open_site(tmp_path) as site:

        async def silent(to, body):
            await asyncio.Event().wait()

        site.carrier.send_message = silent
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED)
        assert browser.status == 502


async def test_a_diary_that_cannot_be_read_is_said_in_plain_words(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.sign_in(site.carrier)
        await change(site.store, callers.delete())  # and with it the session
        await browser.get("/sign-in")
        async with site.store.database.write() as connection:
            await connection.exec_driver_sql("DROP TABLE limits")
        await browser.post("/sign-in", number=TYPED)
        assert browser.status == 503
        assert "잠시 뒤에" in browser.text


# How often


async def test_a_number_gets_three_codes_in_a_quarter_of_an_hour_and_ten_a_day(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        statuses = []
        for _ in range(5):
            for _ in range(4):
                await browser.post("/sign-in", number=TYPED)
                statuses.append(browser.status)
            site.clock.forward(minutes=15)
        assert statuses == [200, 200, 200, 429] * 3 + [200] + [429] * 7
        assert len(site.carrier.messages) == 10
        assert "나중" in browser.text or "뒤에 다시" in browser.text
        site.clock.forward(days=1)
        await browser.post("/sign-in", number=TYPED)
        assert browser.status == 200


async def test_an_address_asks_for_twenty_codes_an_hour(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser(headers={"X-Forwarded-For": "203.0.113.9"})
        await browser.get("/sign-in")
        for n in range(21):
            await browser.post("/sign-in", number=f"010-1234-{n:04}")
        assert browser.status == 429
        assert len(site.carrier.messages) == 20
        elsewhere = site.browser(headers={"X-Forwarded-For": "203.0.113.10"})
        await elsewhere.get("/sign-in")
        await elsewhere.post("/sign-in", number="010-9999-9999")
        assert elsewhere.status == 200


async def test_an_address_that_is_refused_uses_up_nobodys_codes(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CODES_OF_ADDRESS_IN_HOUR", 1)
    async with open_site(tmp_path) as site:
        attacker = site.browser(headers={"X-Forwarded-For": "203.0.113.9"})
        await attacker.get("/sign-in")
        for _ in range(5):
            await attacker.post("/sign-in", number=TYPED)
        person = site.browser(headers={"X-Forwarded-For": "203.0.113.10"})
        await person.sign_in(site.carrier)
        assert person.status == 303


async def test_all_addresses_together_have_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CODES_IN_HOUR", 2)
    async with open_site(tmp_path) as site:
        for n in range(4):
            browser = site.browser(headers={"X-Forwarded-For": f"203.0.113.{n}"})
            await browser.get("/sign-in")
            await browser.post("/sign-in", number=f"010-1234-{n:04}")
        assert (browser.status, len(site.carrier.messages)) == (429, 2)


async def test_an_address_tries_thirty_codes_an_hour_of_whatever_number(tmp_path):
    async with open_site(tmp_path) as site:
        victim = site.browser(headers={"X-Forwarded-For": "203.0.113.1"})
        await victim.get("/sign-in")
        await victim.post("/sign-in", number=TYPED)
        browser = site.browser(headers={"X-Forwarded-For": "203.0.113.9"})
        await browser.get("/sign-in")
        for n in range(30):
            await browser.post("/sign-in/code", number=f"010-0000-{n:04}", code="000000")
            assert browser.status == 403
        await browser.post("/sign-in/code", number=TYPED, code=site.carrier.code)
        assert browser.status == 429
        assert (await victim.post("/sign-in/code", number=TYPED, code=site.carrier.code)).status_code == 303


# Sessions


async def test_the_session_is_in_a_cookie_of_this_host_alone_that_no_script_sees(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        response = await browser.sign_in(site.carrier)
        (kept,) = [line for line in response.headers.getlist("Set-Cookie") if line.startswith("__Host-ilgi=")]
        parts = kept.split("; ")
        assert {"HttpOnly", "Secure", "Path=/", "SameSite=Lax", "Max-Age=2592000"} <= set(parts)
        assert not any(part.startswith("Domain") for part in parts)
        assert set(browser.cookies) == {"__Host-ilgi"}, "what the sign-in form was bound to is forgotten"


async def test_signing_out_ends_the_session_on_the_server_too(tmp_path):
    async with open_site(tmp_path) as site:
        browser, other = site.browser(), site.browser()
        await browser.sign_in(site.carrier)
        await other.sign_in(site.carrier)
        await browser.get("/")
        token = browser.cookies["__Host-ilgi"].value
        response = await browser.post("/sign-out")
        assert response.headers["Location"] == "https://diary.example.com/sign-in"
        assert "__Host-ilgi" not in browser.cookies
        assert await site.people.person(token) is None
        assert (await other.get("/")).status_code == 200
        assert (await browser.post("/sign-out")).status_code == 303


async def test_who_is_forgotten_is_signed_out(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.sign_in(site.carrier)
        await site.store.forget_number(NUMBER)
        assert (await browser.get("/")).headers["Location"].endswith("/sign-in")


async def test_a_session_that_was_there_before_does_not_become_another_persons(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.sign_in(site.carrier)
        planted = browser.cookies["__Host-ilgi"].value
        await browser.get("/")
        await browser.post("/sign-out")
        await browser.sign_in(site.carrier, ANOTHER)
        assert browser.cookies["__Host-ilgi"].value != planted
        assert await site.people.person(planted) is None


@pytest.mark.parametrize("value", ["", "x", "A" * 43, "A" * 5000, "%00", "' OR 1=1 --", "가" * 43])
async def test_a_made_up_cookie_is_nobody(tmp_path, value):
    async with open_site(tmp_path) as site:
        await entered(site.store, "CA1")
        response = await site.app.test_client().get("/", headers={"Cookie": f"__Host-ilgi={value}"})
        assert response.status_code == 303


async def test_the_plain_cookie_counts_for_nothing_on_https(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.sign_in(site.carrier)
        token = browser.cookies["__Host-ilgi"].value
        response = await site.app.test_client().get("/", headers={"Cookie": f"ilgi={token}"})
        assert response.status_code == 303


# Forms of other sites


@pytest.mark.parametrize(
    "origin", [None, "null", ELSEWHERE, "https://diary.example.com.evil.com", "http://diary.example.com"]
)
async def test_no_form_is_taken_from_another_origin(tmp_path, origin):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", origin=origin, number=TYPED)
        assert (browser.status, site.carrier.messages) == (403, [])
        assert "일기 페이지에서 온 요청인지" in browser.text
        await browser.sign_in(site.carrier)
        await browser.get("/")
        await browser.post("/sign-out", origin=origin)
        assert browser.status == 403
        assert (await browser.get("/")).status_code == 200


async def test_no_form_is_taken_without_its_token_or_with_that_of_another_browser(tmp_path):
    async with open_site(tmp_path) as site:
        browser, other = site.browser(), site.browser()
        await other.get("/sign-in")
        for token in ("", "x", "0" * 64, other.form_token):
            await browser.get("/sign-in")
            for path in ("/sign-in", "/sign-in/code"):
                await browser.post(path, form_token=token, number=TYPED, code="000000")
                assert browser.status == 403
        assert site.carrier.messages == []


async def test_the_token_of_the_sign_in_form_is_none_of_the_session(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        before = browser.form_token
        await browser.sign_in(site.carrier)
        await browser.post("/sign-out", form_token=before)
        assert browser.status == 403


async def test_without_the_cookie_of_the_form_nothing_is_done(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        token = browser.form_token
        bare = site.browser()
        await bare.post("/sign-in", form_token=token, number=TYPED)
        assert (bare.status, site.carrier.messages) == (403, [])


async def test_a_request_of_another_site_that_comes_without_the_cookie_drops_none(tmp_path):
    async with open_site(tmp_path) as site:
        for path in ("/sign-out", "/sign-in", "/sign-in/code"):
            response = await site.app.test_client().post(path, form={}, headers={"Origin": ELSEWHERE})
            assert response.status_code == 403
            assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/code"])
async def test_what_is_no_form_is_refused(tmp_path, path):
    async with open_site(tmp_path) as site:
        client = site.app.test_client()
        headers = {"Origin": "https://diary.example.com"}
        assert (await client.post(path, json={"number": TYPED}, headers=headers)).status_code == 403
        assert (await client.post(path, data=b"\xff\xfe", headers=headers)).status_code == 403
        broken = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        assert (await client.post(path, data=b"number=%ff%fe", headers=broken)).status_code == 403
        assert (await client.post(path, data=b"number=" + b"1" * 140_000, headers=broken)).status_code == 413


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/code", "/sign-out"])
async def test_nothing_is_done_by_a_link(tmp_path, path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.sign_in(site.carrier)
        response = await browser.get(f"{path}?number={TYPED}&code=000000")
        assert response.status_code in (303, 405)
        assert (await browser.get("/")).status_code == 200
        assert len(site.carrier.messages) == 1


async def test_below_a_path_of_a_proxy_every_address_begins_with_it(tmp_path):
    async with open_site(tmp_path, PUBLIC_URL="https://example.com/ilgi") as site:
        browser = site.browser(origin="https://example.com")
        await browser.get("/sign-in")
        assert 'action="/ilgi/sign-in"' in browser.html
        assert 'href="/ilgi/static/base.css"' in browser.html
        response = await browser.sign_in(site.carrier)
        assert response.headers["Location"] == "https://example.com/ilgi/"
