"""`<Record>` as Twilio has it: the beep, what ends it, what is asked for then, and what can be fetched."""

from collections import Counter
from typing import Any

import httpx2
import pytest
from fake_app import CONNECT, HANG_UP, TOKEN, FakeApp, Stream, serving

from bot.lab.recordings import KeptRecordings
from bot.lab.report import CallReport
from bot.lab.script import HangUp, Press, Step, Tell, Wait, WaitForBot
from bot.lab.silences import silences
from bot.lab.twilio import ACCOUNT_SID, TwilioLab
from bot.lab.twilio_rest import TwilioRest
from bot.lab.twiml import faults, parse

RECORD = (
    '<Response><Record action="/twilio/recorded" timeout="1" maxLength="60" finishOnKey="#" trim="do-not-trim" '
    'recordingStatusCallback="/twilio/recording-status"/></Response>'
)
YES = Tell(("jia-yes",), quiet_ms=100)


def pages(first: str = RECORD) -> dict[str, Any]:
    return {"/twilio/voice": first, "/twilio/recorded": HANG_UP, "/twilio/recording-status": (204, "", "")}


async def record(app: FakeApp, *steps: Step, recordings: KeptRecordings | None = None) -> CallReport:
    lab = TwilioLab(app.url, auth_token=TOKEN, verb_pace=0, recordings=recordings)
    async with lab:
        return await lab.call(steps, patience_ms=30_000)


async def test_silence_ends_it_and_the_action_gets_the_recording() -> None:
    recordings = KeptRecordings()
    async with serving(FakeApp(Stream.drain, pages())) as app:
        report = await record(app, YES, recordings=recordings)
    [form] = [request.form for request in app.got("/twilio/recorded")]
    [recorded] = recordings.kept.values()
    assert form["RecordingSid"] == recorded.sid
    assert form["RecordingUrl"].endswith(f"/Recordings/{recorded.sid}")
    assert form["RecordingDuration"] == str(recorded.duration_s) == "2"
    assert (form["Digits"], form["CallStatus"], report.ended_by) == ("", "in-progress", "app")
    assert report.breaches == []


async def test_the_callback_tells_that_it_is_complete() -> None:
    async with serving(FakeApp(Stream.drain, pages())) as app:
        await record(app, YES)
    [form] = [request.form for request in app.got("/twilio/recording-status")]
    assert form["RecordingStatus"] == "completed"
    assert {"RecordingSid", "RecordingUrl", "RecordingDuration", "CallSid", "AccountSid"} <= set(form)
    assert form["RecordingSid"] == app.got("/twilio/recorded")[0].form["RecordingSid"]


async def test_a_key_ends_it_and_is_told() -> None:
    async with serving(FakeApp(Stream.drain, pages())) as app:
        await record(app, Wait(200), Press("5"), Wait(100), Press("#"))
    assert app.got("/twilio/recorded")[0].form["Digits"] == "#"


async def test_hanging_up_ends_it_and_the_call() -> None:
    async with serving(FakeApp(Stream.drain, pages())) as app:
        report = await record(app, YES, HangUp())
    [form] = [request.form for request in app.got("/twilio/recorded")]
    assert (form["Digits"], form["CallStatus"], report.ended_by) == ("hangup", "completed", "caller")


async def test_it_is_no_longer_than_it_may_be() -> None:
    recordings = KeptRecordings()
    async with serving(FakeApp(Stream.drain, pages(RECORD.replace('maxLength="60"', 'maxLength="1"')))) as app:
        await record(app, YES, Wait(100), YES, recordings=recordings)
    [recorded] = recordings.kept.values()
    assert len(recorded.mulaw) == 8000


async def test_silence_at_both_ends_is_cut_off_unless_it_is_to_stay() -> None:
    lengths = []
    for trim in ("trim-silence", "do-not-trim"):
        recordings = KeptRecordings()
        async with serving(FakeApp(Stream.drain, pages(RECORD.replace("do-not-trim", trim)))) as app:
            await record(app, Wait(300), YES, recordings=recordings)
        [recorded] = recordings.kept.values()
        lengths.append(len(recorded.mulaw) // 8)
    assert lengths[1] - lengths[0] >= 1300


async def test_nothing_said_is_an_absent_recording() -> None:
    recordings = KeptRecordings()
    record_xml = RECORD.replace("do-not-trim", "trim-silence").replace(
        "recordingStatusCallback=", 'recordingStatusCallbackEvent="completed absent" recordingStatusCallback='
    )
    async with serving(FakeApp(Stream.drain, pages(record_xml))) as app:
        await record(app, recordings=recordings)
    assert app.got("/twilio/recorded")[0].form["RecordingDuration"] == "0"
    assert app.got("/twilio/recording-status")[0].form["RecordingStatus"] == "absent"


async def test_a_caller_whose_line_broke_tells_the_rest_to_the_tape() -> None:
    async def goes(stream: Stream) -> None:
        await stream.start()
        await stream.say(10, "0:0")
        await stream.until("mark")
        await stream.close(1011)

    recordings = KeptRecordings()
    app = FakeApp(goes, pages(CONNECT) | {"/twilio/after": RECORD})
    async with serving(app):
        report = await record(app, *(Tell((name,)) for name in ("jia-yes", "jia-no")), recordings=recordings)
    assert [turn.said_text for turn in report.turns] == ["네", "아니요"]
    [recorded] = recordings.kept.values()
    assert recorded.duration_s >= 2


async def test_while_it_records_it_is_the_callers_turn() -> None:
    async with serving(FakeApp(Stream.drain, pages())) as app:
        report = await record(app, Wait(700), YES, Wait(700), WaitForBot())
    assert max((silence.ms for silence in silences(report.sounds)), default=0) < 500


async def test_what_was_recorded_can_be_fetched_with_what_the_form_says() -> None:
    async with TwilioRest(ACCOUNT_SID, TOKEN) as rest, serving(FakeApp(Stream.drain, pages())) as app:
        await record(app, YES, recordings=rest.recordings)
        url = app.got("/twilio/recorded")[0].form["RecordingUrl"]
        async with httpx2.AsyncClient(auth=(ACCOUNT_SID, TOKEN), trust_env=False) as client:
            response = await client.get(url + ".wav")
    assert response.status_code == 200
    assert response.content[:4] == b"RIFF"
    assert Counter(rest.report.requests).total() == 1


@pytest.mark.parametrize(
    ("attributes", "fault"),
    [
        ('action="/r" timeout="0"', "timeout of <Record>"),
        ('action="/r" maxLength="x"', "maxLength of <Record>"),
        ("", "<Record> without action"),
        ('action="/r" playBeep="yes"', "playBeep of <Record>"),
        ('action="/r" trim="no"', "trim of <Record>"),
        ('action="/r" finishOnKey="A"', "finishOnKey of <Record>"),
        ('action="/r" recordingStatusCallbackEvent="done"', "names an unknown event"),
        ('action="/r" beep="true"', "beep of <Record>"),
    ],
)
def test_a_record_that_twilio_would_stumble_over(attributes: str, fault: str) -> None:
    [found] = faults(parse(f"<Response><Record {attributes}/></Response>".encode()), secure=False)
    assert fault in found
