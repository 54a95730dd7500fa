"""bot/doors/sign_in.py: signing in and out, and everything that is no way in."""

import asyncio
import logging
import re
from urllib.parse import quote

import pytest

from bot.diary.schema import callers
from bot.doors import sign_in as module
from bot.errors import CarrierError
from bot.lab.wire import signature
from tests.diary.talks import change, entered
from tests.doors.website import ANOTHER, ENVIRON, NUMBER, TYPED, open_site

LOCAL = {"PUBLIC_URL": "http://localhost:5000", "TWILIO_ACCOUNT_SID": "", "TWILIO_AUTH_TOKEN": ""}
ELSEWHERE = "https://evil.example.com"
DIGITS = "공일이삼사오육칠팔구"


def wrong(code):
    """Another code of six digits."""
    return f"{(int(code) + 1) % 10**6:06}"


def browser_at(site, address):
    """A browser that a proxy of ours sees at an address."""
    return site.browser(headers={"X-Forwarded-For": address})


def form_secret(browser):
    """What the forms of a browser are bound to."""
    return browser.cookies["__Host-ilgi-form"].value


async def called(browser, site):
    """Ask for a call; gives the address that says the code."""
    await browser.get("/sign-in")
    await browser.post("/sign-in", number=TYPED, by="call")
    return re.search('action="([^"]*)"', site.carrier.calls[-1][1])[1]


async def pressed(site, url, token=ENVIRON["TWILIO_AUTH_TOKEN"], **fields):
    """What Twilio gets when somebody has pressed a key, in a request that it has signed."""
    form = {"CallSid": "CA" + "b2" * 16, "AccountSid": ENVIRON["TWILIO_ACCOUNT_SID"], "To": NUMBER, "Digits": "1"}
    form |= fields
    headers = {"X-Twilio-Signature": signature(token, url, form)}
    answer = await site.app.test_client().post(url.removeprefix(site.public_url), form=form, headers=headers)
    return (await answer.get_data()).decode()


def spelled(text):
    """Every code that is said in a document."""
    found = re.findall(f"((?:[{DIGITS}], ){{5}}[{DIGITS}])[.]", text)
    return ["".join(str(DIGITS.index(digit)) for digit in code.split(", ")) for code in found]


async def change_schema(site, statement):
    async with site.store.database.write() as connection:
        await connection.exec_driver_sql(statement)


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
        response = await browser.post("/sign-in/code", code=site.carrier.code)
        assert (response.status_code, response.headers["Location"]) == (303, "https://diary.example.com/")
        assert (await browser.get("/")).status_code == 200
        assert (await browser.get("/sign-in")).headers["Location"] == "https://diary.example.com/"


async def test_in_a_call_the_code_is_said_only_to_who_presses_a_key(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED, by="call")
        assert (browser.status, "아무 숫자나" in browser.text) == (200, True)
        ((to, twiml, ring_s),) = site.carrier.calls
        assert (to, ring_s, site.carrier.messages) == (NUMBER, 30, [])
        code = await site.people.new_code(form_secret(browser), NUMBER)
        assert code not in twiml and not spelled(twiml), "a voicemail records this"
        speak_url = re.search('action="([^"]*)"', twiml)[1]
        assert code not in speak_url and NUMBER[1:] not in speak_url
        heard = await pressed(site, speak_url)
        assert spelled(heard) == [code, code], "twice the same"
        assert (await browser.post("/sign-in/code", code=code)).status_code == 303
        assert spelled(await pressed(site, speak_url)) == [], "it is used up"


@pytest.mark.parametrize(
    "fields", [{"To": ANOTHER}, {"To": ""}, {"Digits": ""}], ids=["another-number", "no-number", "no-key"]
)
async def test_a_code_is_said_to_its_own_number_alone(tmp_path, fields):
    async with open_site(tmp_path) as site:
        speak_url = await called(site.browser(), site)
        assert spelled(await pressed(site, speak_url, **fields)) == []
        assert spelled(await pressed(site, speak_url)) != []


async def test_a_call_to_ones_own_telephone_never_says_the_code_of_another_number(tmp_path):
    async with open_site(tmp_path) as site:
        stranger = site.browser()
        speak_url = await called(stranger, site)
        await stranger.post("/sign-in", number=ANOTHER, by="sms")
        assert spelled(await pressed(site, speak_url)) == []


@pytest.mark.parametrize("name", ["", "x", "0" * 64, "가"])
async def test_a_name_that_is_none_says_no_code(tmp_path, name):
    async with open_site(tmp_path) as site:
        await called(site.browser(), site)
        assert spelled(await pressed(site, f"{site.public_url}/twilio/code?name={quote(name)}")) == []


async def test_no_code_is_said_when_its_time_is_over_or_its_diary_away(tmp_path):
    async with open_site(tmp_path) as site:
        speak_url = await called(site.browser(), site)
        site.clock.forward(minutes=10)
        assert spelled(await pressed(site, speak_url)) == []
        speak_url = await called(site.browser(), site)
        await change_schema(site, "DROP TABLE sign_in_codes")
        assert "죄송해요" in await pressed(site, speak_url)


async def test_a_code_is_said_to_nobody_but_twilio(tmp_path):
    async with open_site(tmp_path) as site:
        speak_url = await called(site.browser(), site)
        assert await pressed(site, speak_url, token="another") == ""
        form = {"CallSid": "CA" + "b2" * 16, "To": NUMBER, "Digits": "1"}
        answer = await site.app.test_client().post(speak_url.removeprefix(site.public_url), form=form)
        assert answer.status_code == 403


async def test_where_requests_need_no_signature_nobody_is_told_a_code(tmp_path, capsys):
    async with open_site(tmp_path, carrier=False, **LOCAL, ALLOW_UNSIGNED="1") as site:
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED)
        assert re.search("[0-9]{6}", capsys.readouterr().err)
        name = site.people.code_name(browser.cookies["ilgi-form"].value)
        form = {"CallSid": "CA" + "b2" * 16, "To": NUMBER, "Digits": "1"}
        answer = await site.app.test_client().post(f"/twilio/code?name={name}", form=form)
        assert answer.status_code == 200
        assert spelled((await answer.get_data()).decode()) == []


async def test_a_code_may_be_typed_with_blanks_and_in_wide_digits(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED)
        wide = "".join(chr(0xFF10 + int(digit)) for digit in site.carrier.code)
        typed = f" {wide[:3]} - {wide[3:]} "
        assert (await browser.post("/sign-in/code", code=typed)).status_code == 303


async def test_on_this_machine_without_an_account_the_code_is_in_the_terminal_and_not_in_the_log(
    tmp_path, capsys, caplog
):
    caplog.set_level(logging.DEBUG)
    async with open_site(tmp_path, carrier=False, **LOCAL) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED)
        (code,) = re.findall(r"\b[0-9]{6}\b", capsys.readouterr().err)
        assert code not in caplog.text
        assert (await browser.post("/sign-in/code", code=code)).status_code == 303
        assert set(browser.cookies) == {"ilgi", "ilgi-known"}
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
            await browser.post("/sign-in/code", code=wrong(right))
            assert browser.status == 403
            said = browser.text
        await browser.post("/sign-in/code", code=right)
        assert (browser.status, browser.text) == (403, said)
        assert "__Host-ilgi" not in browser.cookies
        await browser.post("/sign-in", number=TYPED)
        assert (await browser.post("/sign-in/code", code=site.carrier.code)).status_code == 303


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "abcdef", "\u0661\u0662\u0663\u0664\u0665\u0666", "0" * 60_000]
)
async def test_what_is_no_code_is_a_wrong_code(tmp_path, code):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED)
        await browser.post("/sign-in/code", code=code)
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
        assert browser.response.headers.get("Retry-After") is None, "at once, if they like"
        site.carrier.fails = None
        await browser.post("/sign-in", number=TYPED)
        assert (await browser.post("/sign-in/code", code=site.carrier.code)).status_code == 303


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
        await change_schema(site, "DROP TABLE limits")
        await browser.post("/sign-in", number=TYPED)
        assert (browser.status, browser.response.headers["Retry-After"]) == (503, "10")
        assert "잠시 뒤에" in browser.text


# Whose code


async def test_what_a_stranger_asks_and_tries_leaves_the_persons_code_alone(tmp_path):
    async with open_site(tmp_path) as site:
        person, stranger = browser_at(site, "198.51.100.7"), browser_at(site, "203.0.113.9")
        await person.get("/sign-in")
        await person.post("/sign-in", number=TYPED)
        code = site.carrier.code
        await stranger.get("/sign-in")
        await stranger.post("/sign-in/code", number=TYPED, code=code)
        assert stranger.status == 403, "the right code, in another browser"
        await stranger.post("/sign-in", number=TYPED)
        for _ in range(6):
            await stranger.post("/sign-in/code", number=TYPED, code=wrong(site.carrier.code))
        assert (await person.post("/sign-in/code", code=code)).status_code == 303


async def test_a_code_that_was_sent_again_is_the_same_so_that_none_comes_too_late(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED)
        first = site.carrier.code
        await browser.post("/sign-in/code", code=wrong(first))
        await browser.post("/sign-in", number=TYPED)
        assert site.carrier.code == first
        for _ in range(4):
            await browser.post("/sign-in/code", code=wrong(first))
        await browser.post("/sign-in/code", code=first)
        assert browser.status == 403, "and has no more tries for it"


async def test_a_code_is_that_of_the_number_that_was_asked_for_last(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED)
        mine = site.carrier.code
        await browser.post("/sign-in", number=ANOTHER)
        if mine != site.carrier.code:
            await browser.post("/sign-in/code", number=ANOTHER, code=mine)
            assert browser.status == 403


# The page of the code


async def test_a_reload_of_the_page_of_the_code_sends_nothing(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        token = browser.form_token
        answer = await browser.client.post(
            "/sign-in", form={"form_token": token, "number": TYPED}, headers={"Origin": site.public_url}
        )
        assert (answer.status_code, answer.headers["Location"]) == (303, f"{site.public_url}/sign-in/code?by=sms")
        for _ in range(3):
            await browser.get("/sign-in/code?by=sms")
            assert (browser.status, 'name="code"' in browser.html, "보냈어요" in browser.text) == (200, True, True)
        assert len(site.carrier.messages) == 1


async def test_who_asked_for_no_code_is_led_to_the_form_for_a_number(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        assert (await browser.get("/sign-in/code")).headers["Location"] == f"{site.public_url}/sign-in"
        await browser.get("/sign-in")
        await browser.post("/sign-in/code", code="123456")
        assert (browser.status, 'name="number"' in browser.html) == (403, True)


async def test_the_page_of_the_code_says_nothing_that_stands_in_its_address(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED)
        await browser.get("/sign-in/code?by=<script>alert(1)</script>")
        assert (browser.status, "alert" in browser.html) == (200, False)


@pytest.mark.parametrize("why", ["refused", "failed"])
async def test_the_field_stays_when_the_code_cannot_be_sent_again(tmp_path, why):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        for _ in range(3):
            await browser.post("/sign-in", number=TYPED)
        if why == "failed":
            site.clock.forward(minutes=15)
            await browser.post("/sign-in", number=TYPED)
            site.carrier.fails = CarrierError("HTTP 500", status=500)
        code = site.carrier.code
        await browser.post("/sign-in", number=TYPED)
        assert browser.status == (429 if why == "refused" else 502)
        assert 'name="code"' in browser.html
        assert (await browser.post("/sign-in/code", code=code)).status_code == 303


# How often


async def test_a_network_gets_three_codes_of_a_number_in_a_quarter_and_five_in_six_hours(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        await browser.get("/sign-in")
        statuses, told = [], []
        for _ in range(3):
            for _ in range(4):
                await browser.post("/sign-in", number=TYPED)
                statuses.append(browser.status)
            told.append((browser.response.headers["Retry-After"], *re.findall("[0-9]+(?:분|시간)쯤 뒤", browser.text)))
            site.clock.forward(minutes=15)
        assert statuses == [200, 200, 200, 429, 200, 200, 429, 429, 429, 429, 429, 429]
        assert told == [("900", "15분쯤 뒤"), ("20700", "6시간쯤 뒤"), ("19800", "6시간쯤 뒤")]
        assert len(site.carrier.messages) == 5
        site.clock.forward(hours=6)
        await browser.post("/sign-in", number=TYPED)
        assert browser.status == 200


async def test_a_stranger_leaves_codes_to_the_person_and_a_number_gets_eight_in_six_hours(tmp_path):
    async with open_site(tmp_path) as site:
        stranger = browser_at(site, "203.0.113.9")
        await stranger.get("/sign-in")
        for _ in range(40):
            await stranger.post("/sign-in", number=TYPED)
            site.clock.forward(minutes=8)
        assert len(site.carrier.messages) == 5
        person = browser_at(site, "198.51.100.7")
        await person.sign_in(site.carrier)
        assert person.status == 303


async def test_a_number_gets_eight_codes_in_six_hours_from_all_networks(tmp_path):
    async with open_site(tmp_path) as site:
        for n in range(10):
            stranger = browser_at(site, f"203.0.{n}.9")
            await stranger.get("/sign-in")
            await stranger.post("/sign-in", number=TYPED)
        assert (stranger.status, len(site.carrier.messages)) == (429, 8)


async def test_where_the_person_was_signed_in_before_nobody_uses_up_their_codes(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CODES_IN_HOUR", 9)
    async with open_site(tmp_path) as site:
        person = browser_at(site, "198.51.100.7")
        await person.sign_in(site.carrier)
        await person.get("/")
        await person.post("/sign-out")
        for n in range(12):
            stranger = browser_at(site, "198.51.100.8" if n < 4 else f"203.0.{n}.9")
            await stranger.get("/sign-in")
            await stranger.post("/sign-in", number=TYPED)
        assert stranger.status == 429
        await person.sign_in(site.carrier)
        assert person.status == 303
        another = site.browser()
        another.client.cookie_jar.set_cookie(person.cookies["__Host-ilgi-known"])
        await another.get("/")
        assert another.response.headers["Location"].endswith("/sign-in"), "it lets nobody in"


async def test_an_address_asks_for_twenty_codes_an_hour(tmp_path):
    async with open_site(tmp_path) as site:
        browser = browser_at(site, "203.0.113.9")
        await browser.get("/sign-in")
        for n in range(21):
            await browser.post("/sign-in", number=f"010-1234-{n:04}")
        assert browser.status == 429
        assert len(site.carrier.messages) == 20
        elsewhere = browser_at(site, "203.0.113.10")
        await elsewhere.get("/sign-in")
        await elsewhere.post("/sign-in", number="010-9999-9999")
        assert elsewhere.status == 200


@pytest.mark.parametrize("addresses", ["203.0.113.{}", "2001:db8:1:{}::1"], ids=["ipv4", "ipv6"])
async def test_a_network_asks_for_thirty_codes_an_hour(tmp_path, addresses):
    async with open_site(tmp_path) as site:
        for n in range(35):
            browser = browser_at(site, addresses.format(n))
            await browser.get("/sign-in")
            await browser.post("/sign-in", number=f"010-1234-{n:04}")
        assert (browser.status, len(site.carrier.messages)) == (429, 30)


async def test_an_address_that_is_refused_uses_up_nobodys_codes(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CODES_OF_ADDRESS_IN_HOUR", 1)
    async with open_site(tmp_path) as site:
        attacker = browser_at(site, "203.0.113.9")
        await attacker.get("/sign-in")
        for _ in range(5):
            await attacker.post("/sign-in", number=TYPED)
        person = browser_at(site, "203.0.113.10")
        await person.sign_in(site.carrier)
        assert person.status == 303


async def test_all_networks_together_have_a_bound_that_is_logged_without_a_number(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module, "CODES_IN_HOUR", 2)
    async with open_site(tmp_path) as site:
        for n in range(4):
            browser = browser_at(site, f"203.0.{n}.9")
            await browser.get("/sign-in")
            await browser.post("/sign-in", number=f"010-1234-{n:04}")
        assert (browser.status, len(site.carrier.messages)) == (429, 2)
    assert "no code is sent: often_all new had 2 in 3600 s" in caplog.text
    assert not re.search("1234|203[.]", caplog.text)


async def test_who_comes_from_an_address_that_is_none_is_counted_once_for_each_code(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CODES_OF_ADDRESS_IN_HOUR", 2)
    async with open_site(tmp_path) as site:
        browser = browser_at(site, "unknown")
        for n in range(3):
            await browser.get("/sign-in")
            await browser.post("/sign-in", number=f"010-1234-{n:04}")
        assert (browser.status, len(site.carrier.messages)) == (429, 2)
        assert browser.response.headers["Retry-After"] == "3600"


async def test_what_cannot_be_sent_to_a_number_does_not_count_for_all(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CODES_IN_HOUR", 1)
    async with open_site(tmp_path) as site:
        site.carrier.fails = CarrierError("HTTP 400", status=400)
        for n in range(3):
            browser = browser_at(site, f"203.0.{n}.9")
            await browser.get("/sign-in")
            await browser.post("/sign-in", number=f"010-1234-{n:04}")
            assert browser.status == 502
        site.carrier.fails = None
        person = browser_at(site, "198.51.100.7")
        await person.sign_in(site.carrier)
        assert person.status == 303


@pytest.mark.parametrize("hops", [0, 1, 2])
async def test_a_wrong_number_of_proxies_is_told_in_the_log(tmp_path, caplog, hops):
    async with open_site(tmp_path, PROXIES="1") as site:
        browser = browser_at(site, ", ".join(["203.0.113.9"] * hops)) if hops else site.browser()
        await browser.get("/sign-in")
        await browser.post("/sign-in", number=TYPED)
    told = f"X-Forwarded-For had {hops} addresses where PROXIES says 1"
    assert (told in caplog.text) == (hops != 1)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1, "1분쯤"), (61, "2분쯤"), (3600, "60분쯤"), (5340, "89분쯤"), (5341, "2시간쯤"), (21_600, "6시간쯤")],
)
def test_the_time_to_wait_is_said_in_words_and_never_too_short(seconds, said):
    assert module.in_words(seconds) == said


# Sessions


async def test_the_session_is_in_a_cookie_of_this_host_alone_that_no_script_sees(tmp_path):
    async with open_site(tmp_path) as site:
        browser = site.browser()
        response = await browser.sign_in(site.carrier)
        (kept,) = [line for line in response.headers.getlist("Set-Cookie") if line.startswith("__Host-ilgi=")]
        parts = kept.split("; ")
        assert {"HttpOnly", "Secure", "Path=/", "SameSite=Lax", "Max-Age=2592000"} <= set(parts)
        assert not any(part.startswith("Domain") for part in parts)
        assert set(browser.cookies) == {"__Host-ilgi", "__Host-ilgi-known"}, "the form's is forgotten"


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
        browser = site.browser()
        await browser.get("/sign-in")
        assert 'action="/ilgi/sign-in"' in browser.html
        assert 'href="/ilgi/static/base.css"' in browser.html
        response = await browser.sign_in(site.carrier)
        assert response.headers["Location"] == "https://example.com/ilgi/"
