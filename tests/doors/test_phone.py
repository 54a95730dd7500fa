"""bot/doors/phone.py: the webhooks."""

import asyncio
import json
import os
import xml.etree.ElementTree as ET

import pytest

from bot.doors import patience
from bot.doors.live import LiveCalls
from bot.doors.phone import MOST_RESUMES, MOST_WAITS
from bot.errors import StoreError

CALL_SID = "CA" + "b2" * 16
RECORDING_SID = "RE" + "c3" * 16
WEBHOOKS = [
    "/twilio/voice",
    "/twilio/after",
    "/twilio/status",
    "/twilio/stream-status",
    "/twilio/recorded",
    "/twilio/recording-status",
]


async def document(response):
    assert response.status_code == 200
    assert response.content_type == "text/xml; charset=utf-8"
    return ET.fromstring(await response.get_data())


def verbs(xml):
    return [verb.tag for verb in xml]


async def test_a_call_is_connected_to_the_media_stream(open_door):
    async with open_door() as door:
        xml = await document(await door.post("/twilio/voice", From="+821012345678"))
        connect, stream = xml.find("Connect"), xml.find("Connect/Stream")
        assert verbs(xml) == ["Connect", "Hangup"]
        assert connect.attrib == {"action": "https://diary.example.com/twilio/after", "method": "POST"}
        assert stream.attrib == {
            "url": "wss://diary.example.com/twilio/media",
            "statusCallback": "https://diary.example.com/twilio/stream-status",
            "statusCallbackMethod": "POST",
        }
        assert stream.find("Parameter").attrib == {"name": "token", "value": door.store.tokens[CALL_SID]}
        assert door.store.arrived == [(CALL_SID, "+821012345678")]


async def test_a_repeated_webhook_gets_the_same_document(open_door):
    async with open_door() as door:
        first = await (await door.post("/twilio/voice")).get_data()
        assert await (await door.post("/twilio/voice")).get_data() == first


async def test_who_finds_no_place_is_told_so_and_leaves_the_day_as_a_recording(open_door, caplog):
    async with open_door() as door:
        door.store.has_room = False
        for _ in range(2):
            xml = await document(await door.post("/twilio/voice", From="+821012345678"))
            assert verbs(xml) == ["Say", "Record"]
        assert "통화가 많아서" in xml.find("Say").text
        assert xml.find("Record").get("action") == "https://diary.example.com/twilio/recorded"
        assert xml.find("Record").get("recordingStatusCallback") == "https://diary.example.com/twilio/recording-status"
        assert (door.store.tokens, door.store.next_steps) == ({}, {CALL_SID: "record"})
        assert "+8210" not in caplog.text
        told = {"RecordingSid": RECORDING_SID, "RecordingDuration": "12"}
        assert verbs(await document(await door.post("/twilio/recorded", **told))) == ["Say", "Hangup"]
        assert door.store.recordings == [(CALL_SID, RECORDING_SID)]


async def test_nobody_more_is_let_in_while_the_process_is_late_with_its_calls(open_door, monkeypatch):
    monkeypatch.setattr(LiveCalls, "is_full", True)
    async with open_door() as door:
        assert verbs(await document(await door.post("/twilio/voice"))) == ["Say", "Record"]


async def test_a_talk_that_is_taken_up_again_needs_no_new_place(open_door, monkeypatch):
    monkeypatch.setattr(LiveCalls, "is_full", True)
    async with open_door() as door:
        door.store.has_room = False
        xml = await document(await door.post("/twilio/after", CallStatus="in-progress"))
        assert (verbs(xml), door.store.places) == (["Connect", "Hangup"], [])


async def test_a_caller_waits_while_nobody_can_say_whether_there_is_a_place(open_door, monkeypatch):
    async with open_door() as door:

        async def fail(*_, **__):
            raise StoreError("no database")

        monkeypatch.setattr(door.store, "take_place", fail)
        assert verbs(await document(await door.post("/twilio/voice"))) == ["Say", "Pause", "Redirect"]


async def test_the_person_of_a_call_that_we_made_is_in_to(open_door):
    async with open_door() as door:
        await door.post("/twilio/voice", Direction="outbound-api", From="+82212345678", To="+821012345678")
        assert door.store.arrived == [(CALL_SID, "+821012345678")]


@pytest.mark.parametrize("path", WEBHOOKS)
async def test_unsigned_and_wrongly_signed_requests_are_refused(open_door, sign, path):
    async with open_door() as door:
        assert (await door.post(path, headers={"X-Twilio-Signature": ""})).status_code == 403
        assert (await door.post(path, token="another")).status_code == 403
        localhost = sign("http://localhost" + path, {"CallSid": CALL_SID})
        refused = await door.post(
            path, {"CallSid": CALL_SID}, headers={"X-Twilio-Signature": localhost, "Host": "localhost"}
        )
        assert refused.status_code == 403
        assert (await door.post(path, AccountSid="AC" + "0" * 32)).status_code == 403
        assert (door.store.arrived, door.store.ended) == ([], {})


@pytest.mark.parametrize("path", WEBHOOKS)
async def test_what_is_no_form_is_refused_also_when_its_url_is_signed(open_door, sign, path):
    async with open_door() as door:
        client = door.app.test_client()
        headers = {"X-Twilio-Signature": sign("https://diary.example.com" + path)}
        refused = await client.post(path, json={"CallSid": CALL_SID}, headers=headers)
        assert refused.status_code == 403
        assert (await client.post(path, headers=headers)).status_code == 403
        assert (await client.get(path)).status_code == 405


async def test_a_body_that_is_too_large_is_not_read(open_door):
    async with open_door() as door:
        assert (await door.post("/twilio/voice", Junk="x" * 140_000)).status_code == 413
        assert door.store.arrived == []


@pytest.mark.parametrize("call_sid", ["", "CA1", "AC" + "b2" * 16, "../../etc/passwd"])
async def test_a_signed_request_without_a_call_is_a_bad_request(open_door, call_sid):
    async with open_door() as door:
        assert (await door.post("/twilio/voice", CallSid=call_sid)).status_code == 400


async def test_with_no_auth_token_the_door_refuses_everything(open_door):
    async with open_door(TWILIO_ACCOUNT_SID="", TWILIO_AUTH_TOKEN="") as door:
        assert (await door.post("/twilio/voice", token="")).status_code == 403


async def test_unsigned_requests_may_be_allowed_on_this_machine(open_door):
    local = {"TWILIO_ACCOUNT_SID": "", "TWILIO_AUTH_TOKEN": "", "ALLOW_UNSIGNED": "1", "PUBLIC_URL": ""}
    async with open_door(**local) as door:
        xml = await document(await door.post("/twilio/voice", headers={"X-Twilio-Signature": ""}))
        assert xml.find("Connect/Stream").get("url") == "ws://localhost:5000/twilio/media"


async def test_unsigned_is_not_allowed_where_there_is_a_token(open_door):
    async with open_door(ALLOW_UNSIGNED="1", PUBLIC_URL="") as door:
        assert (await door.post("/twilio/voice", headers={"X-Twilio-Signature": ""})).status_code == 403


async def test_both_tokens_of_a_rotation_are_good(open_door):
    async with open_door(TWILIO_AUTH_TOKEN="new,auth-token-of-the-account") as door:
        assert (await door.post("/twilio/voice", token="new")).status_code == 200
        assert (await door.post("/twilio/voice")).status_code == 200


async def test_the_names_a_proxy_gives_do_not_matter(open_door):
    async with open_door() as door:
        proxied = {"X-Forwarded-Proto": "https, https", "X-Forwarded-Host": "other.example.com", "Host": "10.0.0.7"}
        assert (await door.post("/twilio/voice", headers=proxied)).status_code == 200


async def test_an_ended_call_is_hung_up(open_door):
    async with open_door() as door:
        await door.store.call_ended(CALL_SID, "goodbye")
        assert verbs(await document(await door.post("/twilio/after", CallStatus="in-progress"))) == ["Hangup"]


async def test_a_talk_whose_socket_broke_is_taken_up_again_and_again_but_not_for_ever(open_door):
    async with open_door() as door:
        path = "/twilio/after"
        for resumed in range(1, MOST_RESUMES + 1):
            xml = await document(await door.post(path, CallStatus="in-progress"))
            assert xml.find("Connect").get("action") == f"https://diary.example.com/twilio/after?resumed={resumed}"
            path = xml.find("Connect").get("action").removeprefix("https://diary.example.com")
        assert verbs(await document(await door.post(path, CallStatus="in-progress"))) == ["Say", "Hangup"]
        assert door.store.ended == {CALL_SID: "stream-lost"}
        assert door.work == 1


async def test_the_count_of_resumes_cannot_be_forged(open_door, sign):
    async with open_door() as door:
        other = sign("https://diary.example.com/twilio/after?resumed=3", {"CallSid": CALL_SID})
        forged = await door.post("/twilio/after", {"CallSid": CALL_SID}, headers={"X-Twilio-Signature": other})
        assert forged.status_code == 403


@pytest.mark.parametrize("status", ["completed", "busy", "failed", "no-answer", "canceled"])
async def test_a_call_that_is_over_is_recorded(open_door, status):
    async with open_door() as door:
        assert verbs(await document(await door.post("/twilio/after", CallStatus=status))) == []
        assert (await door.post("/twilio/status", CallStatus=status)).status_code == 204
        assert door.store.ended == {CALL_SID: status}


@pytest.mark.parametrize("status", ["queued", "initiated", "ringing", "in-progress", "new"])
async def test_a_call_on_its_way_is_not(open_door, status):
    async with open_door() as door:
        assert (await door.post("/twilio/status", CallStatus=status)).status_code == 204
        assert door.store.ended == {}


async def test_a_stream_error_is_logged_by_its_code_alone(open_door, caplog):
    async with open_door() as door:
        error = {"StreamEvent": "stream-error", "StreamError": "31924: +821012345678 said hello"}
        assert (await door.post("/twilio/stream-status", **error)).status_code == 204
        assert "31924" in caplog.text
        assert "+8210" not in caplog.text


async def test_a_caller_waits_while_the_store_fails_and_is_told_when_that_takes_too_long(open_door, caplog):
    async with open_door() as door:
        door.store.fails = True
        for asked in ("/twilio/voice", "/twilio/after?resumed=2"):
            path = asked
            for _ in range(MOST_WAITS):
                caplog.clear()
                xml = await document(await door.post(path, CallStatus="in-progress"))
                assert verbs(xml) == ["Say", "Pause", "Redirect"]
                assert len(caplog.records) == 1 and caplog.records[0].exc_info is None
                path = xml.find("Redirect").text.removeprefix("https://diary.example.com")
            assert verbs(await document(await door.post(path, CallStatus="in-progress"))) == ["Say", "Hangup"]


async def test_a_store_that_comes_back_takes_the_call_that_waited(open_door):
    async with open_door() as door:
        door.store.fails = True
        xml = await document(await door.post("/twilio/after?resumed=2", CallStatus="in-progress"))
        door.store.fails = False
        path = xml.find("Redirect").text.removeprefix("https://diary.example.com")
        xml = await document(await door.post(path, CallStatus="in-progress"))
        assert xml.find("Connect").get("action") == "https://diary.example.com/twilio/after?resumed=3"


async def test_an_end_that_the_store_could_not_take_is_noted_later(open_door, monkeypatch):
    monkeypatch.setattr(patience, "PAUSES_S", (0.01,))
    async with open_door() as door:
        door.store.fails = True
        assert (await door.post("/twilio/status", CallStatus="completed")).status_code == 204
        recording = {"RecordingStatus": "completed", "RecordingSid": RECORDING_SID, "RecordingDuration": "12"}
        assert (await door.post("/twilio/recording-status", **recording)).status_code == 204
        assert len(door.patience) == 2
        await asyncio.sleep(0.05)
        assert (door.store.ended, door.store.recordings) == ({}, [])
        door.store.fails = False
        async with asyncio.timeout(10):
            while len(door.patience):
                await asyncio.sleep(0.01)
        assert list(door.store.ended) == [CALL_SID]
        assert door.store.recordings == [(CALL_SID, RECORDING_SID)]


@pytest.mark.parametrize("path", ["/twilio/after?resumed=2", "/twilio/recorded"])
async def test_what_is_told_after_a_hang_up_waits_here_for_the_store(open_door, monkeypatch, path):
    monkeypatch.setattr(patience, "PAUSES_S", (0.01,))
    told = {"RecordingSid": RECORDING_SID, "RecordingDuration": "12"} if path == "/twilio/recorded" else {}
    async with open_door() as door:
        door.store.fails = True
        assert verbs(await document(await door.post(path, CallStatus="completed", **told))) == []
        door.store.fails = False
        async with asyncio.timeout(10):
            while len(door.patience):
                await asyncio.sleep(0.01)
        assert list(door.store.ended) == [CALL_SID]
        assert door.store.recordings == ([(CALL_SID, RECORDING_SID)] if told else [])


async def test_while_draining_every_call_is_sent_on_to_the_next_process(open_door):
    async with open_door() as door:
        door.live.drain()
        for path in ("/twilio/voice", "/twilio/after?resumed=2"):
            xml = await document(await door.post(path))
            assert verbs(xml) == ["Pause", "Redirect"]
            assert xml.find("Pause").get("length") == "1"
            assert xml.find("Redirect").text == "https://diary.example.com" + path
        assert door.store.arrived == []


async def test_who_cannot_be_understood_leaves_a_recording(open_door):
    async with open_door() as door:
        door.store.next_steps[CALL_SID] = "record"
        record = (await document(await door.post("/twilio/after", CallStatus="in-progress"))).find("Record")
        assert record.get("action") == "https://diary.example.com/twilio/recorded"
        assert record.get("recordingStatusCallback") == "https://diary.example.com/twilio/recording-status"
        assert door.store.ended == {}


@pytest.mark.parametrize("path", ["/twilio/recorded", "/twilio/recording-status"])
async def test_a_recording_is_noted_once_whoever_tells_of_it(open_door, path):
    told = {
        "RecordingUrl": f"https://api.twilio.com/2010-04-01/Accounts/{'AC' + 'a1' * 16}/Recordings/{RECORDING_SID}",
        "RecordingDuration": "12",
        "RecordingStatus": "completed",
    }
    async with open_door() as door:
        for _ in range(2):
            assert (await door.post(path, **told)).status_code in (200, 204)
        assert door.store.recordings == [(CALL_SID, RECORDING_SID)]
        assert door.work == 2


async def test_a_recording_of_nothing_only_ends_the_call(open_door):
    async with open_door() as door:
        silent = {"RecordingSid": RECORDING_SID, "RecordingDuration": "0"}
        assert verbs(await document(await door.post("/twilio/recorded", **silent))) == ["Say", "Hangup"]
        assert (door.store.recordings, door.store.ended) == ([], {CALL_SID: "nothing recorded"})


async def test_a_recording_that_the_store_cannot_take_is_not_forgotten_on_the_way(open_door):
    async with open_door() as door:
        door.store.fails = True
        told = {"RecordingSid": RECORDING_SID, "RecordingDuration": "12"}
        xml = await document(await door.post("/twilio/recorded", **told))
        assert verbs(xml) == ["Say", "Pause", "Redirect"]
        door.store.fails = False
        path = xml.find("Redirect").text.removeprefix("https://diary.example.com")
        assert verbs(await document(await door.post(path))) == ["Say", "Hangup"]
        assert door.store.recordings == [(CALL_SID, RECORDING_SID)]


async def test_a_recording_that_is_not_ready_is_no_recording_yet(open_door):
    async with open_door() as door:
        told = {"RecordingSid": RECORDING_SID, "RecordingDuration": "12", "RecordingStatus": "in-progress"}
        assert (await door.post("/twilio/recording-status", **told)).status_code == 204
        assert door.store.recordings == []


async def test_health(open_door):
    async with open_door() as door:
        client = door.app.test_client()
        up = await client.get("/health")
        assert (up.status_code, json.loads(await up.get_data())) == (
            200,
            {"status": "ok", "calls": 0, "draining": False, "database": "ok", "process": os.getpid()},
        )
        door.store.fails = True
        door.live.drain()
        down = await client.get("/health")
        assert (down.status_code, json.loads(await down.get_data())) == (
            200,
            {"status": "degraded", "calls": 0, "draining": True, "database": "down", "process": os.getpid()},
        )
