"""The stand-in for Twilio's REST API: recordings, numbers, the account; who is let in, and what it does wrong."""

import io
import wave
from collections.abc import AsyncIterator

import httpx2
import pytest

from bot.lab.twilio_rest import Number, TwilioRest

ACCOUNT, TOKEN = "AC" + "0" * 32, "secret"
HERE = Number("+827045678901", voice_url="https://diary.example/twilio/voice")
OTHER = Number("+827000000000")
SECOND = b"\x10\x90" * 4000


@pytest.fixture
async def rest() -> AsyncIterator[TwilioRest]:
    async with TwilioRest(ACCOUNT, TOKEN, numbers=[HERE, OTHER]) as lab:
        yield lab


@pytest.fixture
async def client(rest: TwilioRest) -> AsyncIterator[httpx2.AsyncClient]:
    base = f"{rest.url}/2010-04-01/Accounts/{ACCOUNT}"
    async with httpx2.AsyncClient(base_url=base, auth=(ACCOUNT, TOKEN), timeout=1, trust_env=False) as found:
        yield found


async def test_a_recording_is_a_wav_of_8_khz(rest: TwilioRest, client: httpx2.AsyncClient) -> None:
    recorded = rest.recordings.keep("CA1", SECOND)
    assert rest.recordings.url_of(recorded, ACCOUNT) == f"{client.base_url}Recordings/{recorded.sid}"
    response = await client.get(f"/Recordings/{recorded.sid}.wav")
    assert response.headers["content-type"] == "audio/x-wav"
    with wave.open(io.BytesIO(response.content)) as wav:
        assert (wav.getnchannels(), wav.getframerate(), wav.getsampwidth(), wav.getnframes()) == (1, 8000, 2, 8000)


async def test_a_recording_may_not_be_ready_yet(rest: TwilioRest, client: httpx2.AsyncClient) -> None:
    rest.recordings.ready_after_s = 60
    recorded = rest.recordings.keep("CA1", SECOND)
    response = await client.get(f"/Recordings/{recorded.sid}.wav")
    assert (response.status_code, response.json()["code"]) == (404, 20404)


async def test_a_recording_is_deleted_once(rest: TwilioRest, client: httpx2.AsyncClient) -> None:
    recorded = rest.recordings.keep("CA1", SECOND)
    statuses = [(await client.delete(f"/Recordings/{recorded.sid}.json")).status_code for _ in range(2)]
    assert statuses == [204, 404]
    assert (await client.get(f"/Recordings/{recorded.sid}.wav")).status_code == 404
    assert rest.recordings.deleted == [recorded.sid]


async def test_the_recordings_of_a_call_are_those_that_are_kept(rest: TwilioRest, client: httpx2.AsyncClient) -> None:
    call, other = "CA" + "1a" * 16, "CA" + "2b" * 16
    recorded = [rest.recordings.keep(one, SECOND) for one in (call, call, other)]
    response = await client.get(f"/Calls/{call}/Recordings.json", params={"PageSize": "1000"})
    found = response.json()["recordings"]
    assert [one["sid"] for one in found] == [recorded[0].sid, recorded[1].sid]
    assert (found[0]["call_sid"], found[0]["status"], found[0]["duration"]) == (call, "completed", "1")
    for one in recorded[:2]:
        rest.recordings.delete(one.sid)
    response = await client.get(f"/Calls/{call}/Recordings.json")
    assert (response.status_code, response.json()["recordings"]) == (200, [])


async def test_numbers_are_found_by_number(client: httpx2.AsyncClient) -> None:
    every = (await client.get("/IncomingPhoneNumbers.json")).json()["incoming_phone_numbers"]
    assert [number["phone_number"] for number in every] == [HERE.phone_number, OTHER.phone_number]
    response = await client.get("/IncomingPhoneNumbers.json", params={"PhoneNumber": HERE.phone_number})
    [found] = response.json()["incoming_phone_numbers"]
    assert (found["phone_number"], found["voice_url"]) == (HERE.phone_number, HERE.voice_url)


async def test_the_account_tells_its_status(rest: TwilioRest, client: httpx2.AsyncClient) -> None:
    rest.status = "suspended"
    url = f"{rest.url}/2010-04-01/Accounts/{ACCOUNT}.json"
    assert (await client.get(url)).json()["status"] == "suspended"


@pytest.mark.parametrize("auth", [None, (ACCOUNT, "wrong"), ("AC" + "1" * 32, TOKEN)])
async def test_who_is_not_the_account_is_refused(rest: TwilioRest, auth: tuple[str, str] | None) -> None:
    recorded = rest.recordings.keep("CA1", SECOND)
    async with httpx2.AsyncClient(auth=auth, trust_env=False) as client:
        response = await client.get(rest.recordings.url_of(recorded, ACCOUNT) + ".wav")
    assert (response.status_code, response.json()["code"]) == (401, 20003)
    assert rest.report.refused == 1


async def test_it_fails_as_often_as_it_is_told_to(rest: TwilioRest, client: httpx2.AsyncClient) -> None:
    rest.faults.errors = 2
    assert [(await client.get("/IncomingPhoneNumbers.json")).status_code for _ in range(3)] == [500, 500, 200]


async def test_it_hangs_as_often_as_it_is_told_to(rest: TwilioRest, client: httpx2.AsyncClient) -> None:
    rest.faults.hangs = 1
    with pytest.raises(httpx2.ReadTimeout):
        await client.get("/IncomingPhoneNumbers.json")
    assert (await client.get("/IncomingPhoneNumbers.json")).status_code == 200


async def test_what_there_is_not_is_not_found(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/Queues.json")).status_code == 404
