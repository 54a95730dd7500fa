"""bot/services/carrier.py: what is asked of Twilio, and what its answers come to."""

import base64
import json
from contextlib import nullcontext
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import CarrierError, CarrierNotReady
from bot.services import carrier as module
from bot.services.carrier import Carrier
from bot.settings import TwilioSettings

ACCOUNT, TOKEN, OLD_TOKEN = "AC" + "0f" * 16, "new-token-secret", "old-token-secret"
RECORDING, CALL, NUMBER = "RE" + "1a" * 16, "CA" + "2b" * 16, "+827045678901"
API, ELSEWHERE = "https://api.twilio.com", "https://media.example.com"
ROOT = f"{API}/2010-04-01/Accounts/{ACCOUNT}"
WAV = f"{ROOT}/Recordings/{RECORDING}.wav"


class Twilio:
    """Answers by method and URL without its query; what is not there is a 404."""

    def __init__(self, answers, tokens=(TOKEN,)):
        self.answers = answers
        self.requests = []
        self.accepted = [base64.b64encode(f"{ACCOUNT}:{token}".encode()).decode() for token in tokens]

    def answer(self, request):
        self.requests.append(request)
        url = str(request.url).partition("?")[0]
        if url.startswith(API) and request.headers.get("authorization", "").removeprefix("Basic ") not in self.accepted:
            return httpx2.Response(401, json={"code": 20003, "message": "Authenticate"})
        found = self.answers.get((request.method, url), 404)
        if isinstance(found, Exception):
            raise found
        if isinstance(found, int):
            return httpx2.Response(found, json={"code": found, "message": f"about {NUMBER}"})
        if isinstance(found, str):
            return httpx2.Response(307, headers={"location": found})
        return httpx2.Response(200, content=found)

    def carrier(self, *auth_tokens):
        tokens = auth_tokens or (TOKEN,)
        settings = TwilioSettings(account_sid=ACCOUNT, auth_tokens=tokens, phone_number=NUMBER)
        return Carrier(settings, transport=httpx2.MockTransport(self.answer))


def as_json(value):
    return json.dumps(value).encode()


async def test_a_recording_is_fetched_as_wav_with_the_accounts_credentials():
    twilio = Twilio({("GET", WAV): b"RIFF1234"})
    async with twilio.carrier() as carrier:
        assert await carrier.recording(RECORDING) == b"RIFF1234"
    (request,) = twilio.requests
    assert request.headers["authorization"].removeprefix("Basic ") == twilio.accepted[0]


async def test_a_recording_that_is_still_being_made_is_not_ready():
    async with Twilio({}).carrier() as carrier:
        with pytest.raises(CarrierNotReady):
            await carrier.recording(RECORDING)


async def test_a_redirect_to_another_host_is_followed_without_the_credentials():
    twilio = Twilio({("GET", WAV): f"{ELSEWHERE}/a.wav?signature=1", ("GET", f"{ELSEWHERE}/a.wav"): b"RIFF"})
    async with twilio.carrier() as carrier:
        assert await carrier.recording(RECORDING) == b"RIFF"
    first, second = twilio.requests
    assert "authorization" in first.headers
    assert "authorization" not in second.headers
    assert second.url.query == b"signature=1"


@pytest.mark.parametrize("target", ["http://media.example.com/a.wav", "http://api.twilio.com/a.wav"])
async def test_a_redirect_away_from_https_is_not_followed(target):
    twilio = Twilio({("GET", WAV): target, ("GET", target): b"RIFF"})
    async with twilio.carrier() as carrier:
        with pytest.raises(CarrierError, match="UnsupportedProtocol"):
            await carrier.recording(RECORDING)
    assert len(twilio.requests) == 1


async def test_redirects_without_an_end_are_an_error():
    twilio = Twilio({("GET", WAV): WAV})
    async with twilio.carrier() as carrier:
        with pytest.raises(CarrierError, match="TooManyRedirects"):
            await carrier.recording(RECORDING)
    assert len(twilio.requests) == module.MOST_REDIRECTS + 1


async def test_a_recording_longer_than_any_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(module, "LARGEST_RECORDING_BYTES", 100)
    async with Twilio({("GET", WAV): b"x" * 101}).carrier() as carrier:
        with pytest.raises(CarrierError, match="too long"):
            await carrier.recording(RECORDING)


async def test_a_recording_is_deleted():
    path = f"{ROOT}/Recordings/{RECORDING}.json"
    twilio = Twilio({("DELETE", path): b""})
    async with twilio.carrier() as carrier:
        await carrier.delete_recording(RECORDING)
    assert [(request.method, str(request.url)) for request in twilio.requests] == [("DELETE", path)]


@pytest.mark.parametrize(("answer", "fails"), [(404, False), (403, True), (500, True)])
async def test_of_all_failures_to_delete_only_a_recording_that_is_gone_already_is_none(answer, fails):
    path = f"{ROOT}/Recordings/{RECORDING}.json"
    twilio = Twilio({("DELETE", path): answer})
    async with twilio.carrier() as carrier:
        with pytest.raises(CarrierError) if fails else nullcontext():
            await carrier.delete_recording(RECORDING)
    assert [request.method for request in twilio.requests] == ["DELETE"]


async def test_the_recordings_of_a_call():
    path = f"{ROOT}/Calls/{CALL}/Recordings.json"
    twilio = Twilio({("GET", path): as_json({"recordings": [{"sid": RECORDING, "duration": "12"}], "page": 0})})
    async with twilio.carrier() as carrier:
        assert await carrier.recordings_of(CALL) == [RECORDING]
        assert await carrier.recordings_of("CA" + "3c" * 16) == []


async def test_what_the_console_says_of_a_number():
    number = {
        "sid": "PN1",
        "voice_url": "https://a.example.com/twilio/voice",
        "voice_method": "POST",
        "voice_fallback_url": "",
        "status_callback": None,
        "voice_application_sid": "",
        "trunk_sid": None,
        "capabilities": {"voice": True},
    }
    twilio = Twilio({("GET", f"{ROOT}/IncomingPhoneNumbers.json"): as_json({"incoming_phone_numbers": [number]})})
    async with twilio.carrier() as carrier:
        found = await carrier.incoming_number(NUMBER)
    assert found is not None
    assert (found.voice_url, found.voice_method, found.status_callback) == (number["voice_url"], "POST", None)
    assert twilio.requests[0].url.params["PhoneNumber"] == NUMBER


async def test_a_number_of_somebody_else():
    twilio = Twilio({("GET", f"{ROOT}/IncomingPhoneNumbers.json"): as_json({"incoming_phone_numbers": []})})
    async with twilio.carrier() as carrier:
        assert await carrier.incoming_number(NUMBER) is None


async def test_how_the_account_is():
    async with Twilio({("GET", f"{ROOT}.json"): as_json({"status": "active", "type": "Trial"})}).carrier() as carrier:
        account = await carrier.account()
    assert (account.status, account.type) == ("active", "Trial")


async def test_the_other_auth_token_is_tried_when_one_is_retired():
    twilio = Twilio({("GET", WAV): b"RIFF"}, tokens=(OLD_TOKEN,))
    async with twilio.carrier(TOKEN, OLD_TOKEN) as carrier:
        assert await carrier.recording(RECORDING) == b"RIFF"
    assert len(twilio.requests) == 2


async def test_no_third_request_when_both_are_refused():
    twilio = Twilio({}, tokens=())
    async with twilio.carrier(TOKEN, OLD_TOKEN) as carrier:
        with pytest.raises(CarrierError) as error:
            await carrier.recording(RECORDING)
    assert (len(twilio.requests), error.value.status) == (2, 401)


# Messages and calls to a person


def fields_of(request):
    return dict(parse_qsl(request.content.decode(), keep_blank_values=True, strict_parsing=True))


MESSAGES, CALLS = f"{ROOT}/Messages.json", f"{ROOT}/Calls.json"
SENT = as_json({"sid": "SM" + "4d" * 16, "status": "queued", "num_segments": "1", "error_code": None})
PLACED = as_json({"sid": CALL, "status": "queued", "direction": "outbound-api"})


async def test_a_message_goes_from_our_number():
    twilio = Twilio({("POST", MESSAGES): SENT})
    async with twilio.carrier() as carrier:
        await carrier.send_message("+821012345678", "번호는 123456 & 끝")
    (request,) = twilio.requests
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert fields_of(request) == {"To": "+821012345678", "From": NUMBER, "Body": "번호는 123456 & 끝"}


async def test_a_call_carries_out_its_document():
    twilio = Twilio({("POST", CALLS): PLACED})
    async with twilio.carrier() as carrier:
        await carrier.call("+821012345678", "<Response/>", ring_s=30)
    (request,) = twilio.requests
    expected = {"To": "+821012345678", "From": NUMBER, "Twiml": "<Response/>", "Timeout": "30"}
    assert fields_of(request) == expected


@pytest.mark.parametrize(
    "answer",
    [
        400,
        500,
        503,
        429,
        f"{ELSEWHERE}/x",
        httpx2.ReadTimeout("slow"),
        b"",
        as_json({"sid": "SM1", "status": "queued"}),
        as_json({"sid": "SM" + "4d" * 16, "status": "failed"}),
    ],
)
async def test_what_may_be_on_its_way_is_not_sent_twice_nor_to_anybody_else(answer):
    twilio = Twilio({("POST", MESSAGES): answer, ("POST", CALLS): answer, ("POST", f"{ELSEWHERE}/x"): SENT})
    async with twilio.carrier(TOKEN, OLD_TOKEN) as carrier:
        with pytest.raises(CarrierError) as error:
            await carrier.send_message("+821012345678", "번호는 123456")
        assert "1234" not in str(error.value)
        with pytest.raises(CarrierError):
            await carrier.call("+821012345678", "<Response/>", ring_s=30)
    assert [str(request.url) for request in twilio.requests] == [MESSAGES, CALLS]


async def test_a_message_is_sent_with_the_token_that_is_good():
    twilio = Twilio({("POST", MESSAGES): SENT}, tokens=(OLD_TOKEN,))
    async with twilio.carrier(TOKEN, OLD_TOKEN) as carrier:
        await carrier.send_message("+821012345678", "번호")
    assert [fields_of(request)["Body"] for request in twilio.requests] == ["번호", "번호"]


async def test_without_a_number_of_ours_nothing_is_sent():
    twilio = Twilio({})
    settings = TwilioSettings(account_sid=ACCOUNT, auth_tokens=(TOKEN,))
    async with Carrier(settings, transport=httpx2.MockTransport(twilio.answer)) as carrier:
        with pytest.raises(CarrierError, match="no number"):
            await carrier.send_message("+821012345678", "번호")
    assert twilio.requests == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (401, "the account is refused: HTTP 401"),
        (403, "the account is refused: HTTP 403"),
        (429, "too many requests: HTTP 429"),
        (500, "HTTP 500"),
        (503, "HTTP 503"),
        (httpx2.ConnectError("https://secret.example.com"), "no answer: ConnectError"),
        (httpx2.ReadTimeout("slow"), "no answer: ReadTimeout"),
        (b"<html>", "an answer that is no Account"),
        (b"[]", "an answer that is no Account"),
    ],
)
async def test_a_failure_is_named_without_a_secret_or_a_number(answer, said):
    async with Twilio({("GET", f"{ROOT}.json"): answer}).carrier() as carrier:
        with pytest.raises(CarrierError) as error:
            await carrier.account()
    assert str(error.value) == said
    assert error.value.status == (answer if isinstance(answer, int) else None)


@given(st.text(max_size=40))
async def test_nothing_but_a_sid_goes_into_a_path(sid):
    twilio = Twilio({})
    async with twilio.carrier() as carrier:
        for ask in (carrier.recording, carrier.delete_recording, carrier.recordings_of):
            with pytest.raises(CarrierError):
                await ask(sid)
    assert twilio.requests == []


def test_settings_without_an_account_make_no_carrier():
    with pytest.raises(CarrierError, match="no Twilio account"):
        Carrier(TwilioSettings())


async def test_another_api_url_may_be_http():
    settings = TwilioSettings(account_sid=ACCOUNT, auth_tokens=(TOKEN,), api_url="http://127.0.0.1:9")
    asked = []

    def answer(request):
        asked.append(request)
        return httpx2.Response(200, content=b"RIFF")

    async with Carrier(settings, transport=httpx2.MockTransport(answer)) as carrier:
        assert await carrier.recording(RECORDING) == b"RIFF"
    assert urlsplit(str(asked[0].url)).netloc == "127.0.0.1:9"
