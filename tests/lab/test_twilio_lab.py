"""The Twilio stand-in against a small app: what it sends, what it plays, and what it reports."""

import asyncio
import io
import itertools
import json
import wave
from typing import Any

import pytest
from fake_app import CONNECT, FRAME, HANG_UP, SILENCE, TOKEN, FakeApp, Stream, greet_and_leave, phone, serving
from twilio.request_validator import RequestValidator
from websockets.exceptions import InvalidStatus

from bot.lab.twilio import TwilioLab
from bot.protocols.twilio import MediaStream, Started


async def test_a_whole_call_is_as_twilio_makes_it() -> None:
    app = FakeApp(greet_and_leave)
    report = await phone(app, [])
    assert report.breaches == []
    assert report.ended_by == "app"
    assert report.marks == ["0:0"]
    assert report.close_codes == [1000]
    assert [r.path for r in app.requests if r.path != "/twilio/stream-status"] == [
        "/twilio/voice",
        "/twilio/after",
        "/twilio/status",
    ]
    assert [r.form["CallStatus"] for r in app.requests if "CallStatus" in r.form] == [
        "ringing",
        "in-progress",
        "completed",
    ]
    events = [r.form["StreamEvent"] for r in app.got("/twilio/stream-status")]
    assert sorted(events) == ["stream-started", "stream-stopped"]
    assert 0 <= (report.greeting_ms or -1) < 3000


async def test_webhooks_are_signed_and_carry_every_field() -> None:
    app = FakeApp(greet_and_leave)
    await phone(app, [], number="anonymous")
    for request in app.requests:
        assert RequestValidator(TOKEN).validate(
            app.url + request.path, request.form, request.headers["x-twilio-signature"]
        )
    first = app.got("/twilio/voice")[0]
    assert first.headers["user-agent"] == "TwilioProxy/1.1"
    assert first.headers["i-twilio-idempotency-token"]
    assert first.form["From"] == first.form["Caller"] == "anonymous"
    assert first.form["FromCity"] == first.form["CalledZip"] == ""
    assert first.form["Direction"] == "inbound"


async def test_the_handshake_has_twilios_headers_and_no_other() -> None:
    app = FakeApp(greet_and_leave, {"/twilio/voice": CONNECT.replace("/twilio/media", "/twilio/media?token=lost")})
    report = await phone(app, [])
    headers = app.streams[0].headers
    assert set(headers) == {
        "host",
        "user-agent",
        "connection",
        "upgrade",
        "sec-websocket-version",
        "sec-websocket-key",
        "x-twilio-signature",
        "accept-encoding",
    }
    assert headers["user-agent"] == "Twilio.TmeWs/1.0"
    signed = app.url.replace("http:", "ws:") + "/twilio/media"
    assert headers["x-twilio-signature"] == RequestValidator(TOKEN).compute_signature(signed, {})
    assert app.streams[0].raw_query == b""
    assert any("has a query" in breach for breach in report.breaches)


async def test_messages_come_in_order_with_numbers_as_strings() -> None:
    app = FakeApp(greet_and_leave)
    await phone(app, [])
    reader, stream = MediaStream(), app.streams[0]
    events = [reader.receive(json.dumps(message)) for message in stream.messages]
    assert isinstance(events[1], Started)
    assert events[1].parameters == {"token": "t0k3n"}
    numbered = stream.messages[1:]
    assert [m["sequenceNumber"] for m in numbered] == [str(n + 1) for n in range(len(numbered))]
    media = [m["media"] for m in stream.of("media")]
    assert [m["chunk"] for m in media] == [str(n + 1) for n in range(len(media))]
    assert media[0]["timestamp"] == "155"
    assert all(abs(int(m["timestamp"]) - 155 - 20 * n) <= 2 for n, m in enumerate(media))


async def test_a_public_url_is_signed_though_loopback_is_dialled() -> None:
    app = FakeApp(greet_and_leave, {"/twilio/voice": CONNECT.replace("{base}", "https://diary.example")})
    report = await phone(app, [], public_url="https://diary.example")
    assert report.breaches == []
    voice, stream = app.got("/twilio/voice")[0], app.streams[0]
    validator = RequestValidator(TOKEN)
    assert validator.validate("https://diary.example/twilio/voice", voice.form, voice.headers["x-twilio-signature"])
    signed = validator.compute_signature("wss://diary.example/twilio/media", {})
    assert stream.headers["x-twilio-signature"] == signed
    assert stream.headers["x-forwarded-proto"] == "https"


async def test_turns_are_timed_and_recorded_on_one_timeline() -> None:
    async def answer_after_quiet(stream: Stream) -> None:
        await stream.start()
        await stream.say(5)
        loud = quiet = 0
        while (message := await stream.next()) is not None:
            if message["event"] != "media":
                continue
            is_quiet = message["media"]["payload"] == SILENCE
            loud, quiet = (loud, quiet + 1) if is_quiet else (loud + 1, 0)
            if loud > 10 and quiet == 15:
                await stream.say(10, "1:0")
                await stream.until("mark")
                await stream.close()

    app = FakeApp(answer_after_quiet)
    report = await phone(app, [{"wait_for_bot": {"quiet_ms": 100}}, {"say": ["jia-right"]}])
    assert report.breaches == []
    [turn] = report.turns
    assert turn.said_text == "맞아요"
    assert not turn.talked_over
    assert turn.voice_to_voice_ms is not None
    assert 240 <= turn.voice_to_voice_ms < 3000
    with wave.open(io.BytesIO(report.wav_bytes())) as wav:
        assert (wav.getnchannels(), wav.getframerate(), wav.getsampwidth()) == (2, 8000, 2)
        assert wav.getnframes() == len(report.recording.bot) == len(report.recording.caller)
    ear = report.recording.bot
    heard_at = turn.heard_start_ms
    assert heard_at is not None
    assert bytes(ear[heard_at * 8 : heard_at * 8 + 160]) == FRAME


async def test_barge_in_measures_how_long_the_bot_goes_on() -> None:
    async def stop_when_spoken_to(stream: Stream) -> None:
        await stream.start()
        await stream.say(500, "0:0")
        loud = 0
        while (message := await stream.next()) is not None:
            if message["event"] == "media" and message["media"]["payload"] != SILENCE:
                loud += 1
                if loud == 10:
                    await stream.clear()
                    await stream.say(5, "1:0")
                    await stream.until("mark")
                    await stream.until("mark")
                    await stream.drain()

    app = FakeApp(stop_when_spoken_to)
    report = await phone(app, [{"barge_in": ["minho-stop"], "after_ms": 200}, {"hang_up": "stop"}])
    assert report.breaches == []
    assert report.clears == 1
    assert report.marks == ["0:0", "1:0"]
    [turn] = report.turns
    assert turn.silenced_ms is not None
    assert 160 <= turn.silenced_ms < 2000
    assert report.ended_by == "caller"
    assert report.most_ahead_ms == 10_000


async def test_marks_come_back_when_their_sound_was_heard() -> None:
    echoes: list[tuple[str, int]] = []

    async def say_three(stream: Stream) -> None:
        await stream.start()
        await stream.json({"event": "mark", "streamSid": stream.sid, "mark": {"name": "nothing-before"}})
        await stream.say(10, "after-200")
        await stream.say(10, "after-400")
        while len(echoes) < 3 and (message := await stream.next()) is not None:
            if message["event"] == "mark":
                echoes.append((message["mark"]["name"], len(stream.of("media"))))
        await stream.close()

    await phone(FakeApp(say_three), [])
    names, frames = zip(*echoes, strict=True)
    assert names == ("nothing-before", "after-200", "after-400")
    assert frames[0] <= frames[1] - 8
    assert frames[1] <= frames[2] - 8


async def test_echoes_can_be_lost() -> None:
    async def mark_and_listen(stream: Stream) -> None:
        await stream.start()
        await stream.say(1, "0:0")
        await stream.drain()

    app = FakeApp(mark_and_listen)
    report = await phone(app, [{"wait_ms": 200}, {"hang_up": "stop"}], echo_marks=False)
    assert report.marks == ["0:0"]
    assert app.streams[0].of("mark") == []


@pytest.mark.parametrize(("how", "stopped"), [("stop", 1), ("close", 0), ("reset", 0)])
async def test_callers_hang_up_in_three_ways(how: str, stopped: int) -> None:
    async def listen(stream: Stream) -> None:
        await stream.start()
        await stream.drain()

    app = FakeApp(listen)
    report = await phone(app, [{"press": "5"}, {"wait_ms": 100}, {"hang_up": how}])
    [stream] = app.streams
    assert stream.gone.is_set()
    assert len(stream.of("stop")) == stopped
    assert stream.of("dtmf")[0]["dtmf"] == {"track": "inbound_track", "digit": "5"}
    assert report.ended_by == "caller"
    assert report.breaches == []
    assert app.got("/twilio/after") == []
    assert len(app.got("/twilio/status")) == 1


async def test_the_action_of_a_caller_who_hung_up_is_a_switch() -> None:
    app = FakeApp(Stream.drain)
    await phone(app, [{"hang_up": "stop"}], action_on_hangup=True)
    assert [r.form["CallStatus"] for r in app.got("/twilio/after")] == ["completed"]


async def test_a_dropped_socket_leads_to_the_action_and_a_second_stream() -> None:
    app = FakeApp(Stream.drain, {"/twilio/after": [CONNECT, HANG_UP]})
    report = await phone(app, [{"drop": "reset"}, {"wait_ms": 60}, {"hang_up": "stop"}])
    assert len(set(report.stream_sids)) == len(app.streams) == 2
    assert report.ended_by == "caller"
    assert [stream.of("start")[0]["start"]["callSid"] for stream in app.streams] == [report.call_sid] * 2


async def test_verbs_run_in_order_and_without_action_the_next_one_follows() -> None:
    document = (
        '<Response><Say language="ko-KR">안녕하세요</Say><Pause length="2"/><Connect><Stream url="/twilio/media"/>'
        "</Connect><Redirect>/bye</Redirect></Response>"
    )
    app = FakeApp(greet_and_leave, {"/twilio/voice": document, "/bye": "<Response><Say>끝</Say></Response>"})
    report = await phone(app, [])
    assert [line.what for line in report.log if line.what in ("Say", "Pause", "start")] == [
        "Say",
        "Pause",
        "start",
        "Say",
    ]
    assert report.breaches == []
    assert report.ended_by == "app"


async def test_gather_takes_the_scripts_next_key() -> None:
    document = (
        '<Response><Gather action="/key" numDigits="1"><Say>1번</Say></Gather><Redirect>/none</Redirect></Response>'
    )
    app = FakeApp(Stream.drain, {"/twilio/voice": document, "/key": HANG_UP, "/none": HANG_UP})
    await phone(app, [{"press": "1"}])
    assert [r.form["Digits"] for r in app.got("/key")] == ["1"]
    await phone(app, [])
    assert len(app.got("/none")) == 1


async def test_everything_on_the_wire_can_be_kept() -> None:
    kept: list[dict[str, Any]] = []
    app = FakeApp(greet_and_leave)
    report = await phone(app, [{"send": "not json"}, {"wait_ms": 40}], record=kept.append)
    assert {row["call_sid"] for row in kept} == {report.call_sid}
    assert "not json" in [row["message"] for row in kept]
    kept = [row for row in kept if row["message"] != "not json"]
    inward = [row["message"]["event"] for row in kept if row["direction"] == "in"]
    outward = [row["message"]["event"] for row in kept if row["direction"] == "out"]
    assert inward[:3] == ["connected", "start", "media"]
    assert outward == ["media", "mark"]
    assert [row["at_ms"] for row in kept[1:]] == sorted(row["at_ms"] for row in kept[1:])


async def test_frames_get_lost_and_bunched() -> None:
    async def count_until_stop(stream: Stream) -> None:
        await stream.start()
        await stream.drain()

    app = FakeApp(count_until_stop)
    network = {"network": {"loss": 0.2, "hold_ms": 200}}
    await phone(
        app, [network, {"wait_ms": 1000}, {"network": {}}, {"gap_ms": 100}, {"wait_ms": 100}, {"hang_up": "stop"}]
    )
    timestamps = [int(m["media"]["timestamp"]) for m in app.streams[0].of("media")]
    assert timestamps == sorted(timestamps)
    lost = [late - early for early, late in itertools.pairwise(timestamps) if late - early > 30]
    assert max(lost) >= 116
    assert 35 <= len(timestamps) <= 53


async def test_calls_at_once_do_not_mix() -> None:
    async def echo(stream: Stream) -> None:
        await stream.start()
        while (message := await stream.next()) is not None:
            if message["event"] == "media":
                await stream.json(
                    {"event": "media", "streamSid": stream.sid, "media": {"payload": message["media"]["payload"]}}
                )

    names = ["jia-yes", "minho-no", "sunja-yes", "jia-no"]
    async with serving(FakeApp(echo)) as app, TwilioLab(app.url, auth_token=TOKEN) as lab:
        calls = [lab.call([{"say": [name]}, {"wait_ms": 300}, {"hang_up": "stop"}]) for name in names]
        reports = await asyncio.gather(*calls)
    assert lab.breaches == []
    for report in reports:
        said = bytes(report.recording.caller).strip(b"\xff")
        assert said
        assert said in bytes(report.recording.bot)


async def test_webhooks_and_sockets_by_themselves() -> None:
    app = FakeApp(Stream.drain)
    async with serving(app), TwilioLab(app.url, auth_token=TOKEN) as lab:
        await lab.request("/twilio/status", {"CallSid": "CA1"}, headers={"X-Twilio-Signature": ""})
        await lab.request("/twilio/status", {"CallSid": "CA1"}, auth_token="other")
        assert "x-twilio-signature" not in app.requests[0].headers
        assert not RequestValidator(TOKEN).validate(
            app.url + "/twilio/status", app.requests[1].form, app.requests[1].headers["x-twilio-signature"]
        )
        ws = await lab.dial(headers={"X-Twilio-Signature": "forged"})
        await ws.send(json.dumps({"event": "hello"}))
        await ws.close()
        assert app.streams[0].headers["x-twilio-signature"] == "forged"
        app.refuse_media = True
        with pytest.raises(InvalidStatus):
            await lab.dial()


async def test_the_fallback_is_asked_with_what_went_wrong() -> None:
    app = FakeApp(Stream.drain, {"/twilio/voice": (500, "text/plain", ""), "/twilio/fallback": HANG_UP})
    report = await phone(app, [], fallback_path="/twilio/fallback")
    [request] = app.got("/twilio/fallback")
    assert request.form["ErrorCode"] == "11200"
    assert request.form["ErrorUrl"] == app.url + "/twilio/voice"
    assert report.ended_by == "app"


async def test_talking_over_the_caller_is_told() -> None:
    async def interrupt(stream: Stream) -> None:
        await stream.start()
        for _ in range(20):
            await stream.until("media")
        await stream.say(10)
        await stream.drain()

    report = await phone(FakeApp(interrupt), [{"say": ["minho-stop"]}, {"hang_up": "stop"}])
    assert [turn.talked_over for turn in report.turns] == [True]


async def test_waiting_in_vain_is_told() -> None:
    report = await phone(FakeApp(Stream.drain), [{"wait_for_bot": {"timeout_ms": 100}}, {"hang_up": "stop"}])
    assert report.unanswered_waits == 1
