"""Every breach of protocol that the Twilio stand-in knows has a test that shows it is found, in a whole call."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fake_app import CONNECT, TOKEN, FakeApp, Stream, greet_and_leave, phone, serving
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bot.lab.twilio import TwilioLab

OnStream = Callable[[Stream], Awaitable[None]]


async def before_start(stream: Stream) -> None:
    await stream.text("{}")
    await stream.start()
    await stream.close()


def sending(message: Any) -> OnStream:
    """An app that sends one message after start, then closes."""

    async def on_stream(stream: Stream) -> None:
        await stream.start()
        if isinstance(message, bytes):
            await stream.binary(message)
        elif isinstance(message, str):
            await stream.text(message.replace("SID", stream.sid))
        else:
            await stream.text(json.dumps(message).replace("SID", stream.sid))
        await stream.until("media")
        await stream.close()

    return on_stream


async def cut_off(stream: Stream) -> None:
    await stream.start()
    await stream.say(100)
    await stream.until("media")
    await stream.close()


async def late_audio(stream: Stream) -> None:
    await stream.start()
    await stream.say(50, "3:0")
    await stream.clear()
    await stream.say(1, "3:1")
    await stream.until("mark")
    await stream.until("mark")
    await stream.close()


async def server_error(stream: Stream) -> None:
    await stream.start()
    await stream.close(1011)


MEDIA = {"event": "media", "streamSid": "SID"}


@pytest.mark.parametrize(
    ("on_stream", "breach"),
    [
        (before_start, "before start"),
        (sending(b"\x00" * 160), "31950: a binary frame"),
        (sending("hello"), "31951: not JSON"),
        (sending({"event": "hangup", "streamSid": "SID"}), "31951: event 'hangup'"),
        (sending({"event": "clear", "streamSid": "MZ0"}), "clear for another stream"),
        (sending({"event": "clear", "stream_sid": "SID"}), "missing or extra: streamSid, stream_sid"),
        (sending(MEDIA | {"media": {"payload": "*"}}), "not base64"),
        (sending(MEDIA | {"media": {"payload": b64encode(b"RIFF" + b"\xff" * 156).decode()}}), "WAV header"),
        (sending(MEDIA | {"media": {"payload": "////"}}), "not whole frames: 3 bytes"),
        (cut_off, "ms of speech unheard"),
        (late_audio, "reply that was cleared: its mark is 3:1"),
        (server_error, "closed the socket with 1011"),
    ],
)
async def test_breaches_on_the_media_socket_are_found(on_stream: OnStream, breach: str) -> None:
    report = await phone(FakeApp(on_stream), [])
    assert len(report.breaches) == 1
    assert breach in report.breaches[0]


@pytest.mark.parametrize(
    ("page", "breach"),
    [
        ((500, "text/html", "no"), "11200: /twilio/voice answered 500"),
        ((200, "application/json", "{}"), "12300: /twilio/voice answered application/json"),
        ((200, "text/xml", "<Response>"), "12100"),
        ((200, "text/xml", "<Say>x</Say>"), "12100: the root is <Say>"),
        ("<Response><Dance/></Response>", "<Dance> in <Response>"),
        ("<Response><Redirect>/twilio/voice</Redirect></Response>", "more than 100 documents"),
    ],
)
async def test_breaches_of_a_webhook_are_found(page: Any, breach: str) -> None:
    report = await phone(FakeApp(Stream.drain, {"/twilio/voice": page}), [])
    assert len(report.breaches) == 1
    assert breach in report.breaches[0]


async def test_a_slow_webhook_is_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.lab.wire.WEBHOOK_TIMEOUT_S", 0.2)
    report = await phone(FakeApp(Stream.drain, delay_s=0.6), [], status_path=None)
    assert report.breaches == ["11205: /twilio/voice took longer than Twilio waits"]
    assert report.ended_by == "failed"


async def test_a_bot_that_is_not_there_is_a_breach() -> None:
    async with serving(FakeApp(Stream.drain)) as app:
        gone = app.url
    async with TwilioLab(gone, auth_token=TOKEN) as lab:
        report = await lab.call([])
    assert report.ended_by == "failed"
    assert "11205: /twilio/voice: ConnectError" in report.breaches


async def test_a_refused_handshake_is_a_breach_and_the_call_goes_on() -> None:
    app = FakeApp(Stream.drain, refuse_media=True)
    report = await phone(app, [])
    assert len(report.breaches) == 1
    assert "31920" in report.breaches[0]
    assert len(app.got("/twilio/after")) == 1
    assert [r.form["StreamEvent"] for r in app.got("/twilio/stream-status")] == ["stream-error"]


async def test_a_status_callback_that_is_not_taken_is_a_breach() -> None:
    report = await phone(FakeApp(greet_and_leave, {"/twilio/status": (200, "text/plain", "ok")}), [])
    assert report.breaches == ["/twilio/status answered 200 text/plain: neither 204 nor TwiML"]


async def test_a_socket_that_breaks_is_a_breach() -> None:
    async def crash(stream: Stream) -> None:
        await stream.start()
        raise ConnectionClosed(None, None)

    report = await phone(FakeApp(crash), [])
    assert len(report.breaches) == 1
    assert "closed the socket with 10" in report.breaches[0]


async def test_a_socket_that_is_not_read_is_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.lab.line.STUCK_S", 0.5)
    gone = asyncio.Event()

    async def sleep(_: ServerConnection) -> None:
        await gone.wait()

    async with serve(sleep, "127.0.0.1", 0, max_queue=1, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        page = CONNECT.replace('url="/twilio/media"', f'url="ws://127.0.0.1:{port}/"')
        report = await phone(FakeApp(Stream.drain, {"/twilio/voice": page}), [{"send": "x" * 4_000_000}] * 8)
        gone.set()
    assert report.breaches == ["the app does not read its socket"]
    assert report.ended_by == "app"
