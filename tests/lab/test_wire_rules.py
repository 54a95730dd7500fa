"""How long and how often Twilio asks a webhook: 15 s in all, a connection once more, ten redirects."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest
from fake_app import HANG_UP, TOKEN, FakeApp, Stream, phone, serving

from bot.lab import wire
from bot.lab.twilio import TwilioLab
from bot.lab.wire import Wire, signature

Answering = Callable[[int], bytes]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 11\r\nConnection: close\r\n\r\n<Response/>"


def moved(to: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


class Server:
    """Answers the n-th request with what `answering(n)` gives; `requests` are their first lines and headers."""

    def __init__(self, answering: Answering, delay_s: float = 0.0) -> None:
        self.requests: list[str] = []
        self.url = ""
        self._answering = answering
        self._delay_s = delay_s

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        await asyncio.sleep(self._delay_s)
        writer.write(self._answering(len(self.requests)))
        await writer.drain()
        writer.close()


@asynccontextmanager
async def server(answering: Answering, delay_s: float = 0.0) -> AsyncIterator[tuple[Server, Wire]]:
    made = Server(answering, delay_s)
    async with await asyncio.start_server(made.talk, "127.0.0.1", 0) as listening:
        made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        found = Wire(made.url, TOKEN)
        try:
            yield made, found
        finally:
            await found.close()


async def test_ten_redirects_are_followed_with_get_after_302() -> None:
    async with server(lambda n: moved(f"/{n}") if n <= 10 else OK) as (made, found):
        answer = await found.request("/twilio/voice", {"a": "b"})
    assert answer.status == 200
    assert [request.split("?")[0].split(" HTTP")[0] for request in made.requests] == [
        "POST /twilio/voice",
        *(f"GET /{n}" for n in range(1, 11)),
    ]


async def test_the_eleventh_is_not() -> None:
    async with server(lambda n: moved(f"/{n}")) as (made, found):
        with pytest.raises(httpx2.TooManyRedirects):
            await found.request("/twilio/voice", {})
    assert len(made.requests) == 11


async def test_a_307_is_asked_with_post_again_and_signed_for_its_own_address() -> None:
    async with server(lambda n: moved("/there", 307) if n == 1 else OK) as (made, found):
        await found.request("/here", {"a": "b"})
        signed = signature(TOKEN, made.url + "/there", {"a": "b"})
    assert made.requests[1].startswith("POST /there")
    assert f"x-twilio-signature: {signed}".lower() in made.requests[1].lower()


async def test_too_many_redirects_fail_the_call_with_11215() -> None:
    async with (
        server(lambda n: moved("/twilio/voice", 307)) as (made, _),
        TwilioLab(made.url, auth_token=TOKEN, status_path=None) as lab,
    ):
        report = await lab.call([])
    assert report.breaches == ["11215: /twilio/voice redirects too often"]
    assert report.ended_by == "failed"


async def test_all_of_a_webhook_takes_15_s_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "WEBHOOK_TIMEOUT_S", 0.3)
    async with server(lambda n: moved(f"/{n}"), delay_s=0.1) as (made, found):
        with pytest.raises(httpx2.TimeoutException):
            await found.request("/twilio/voice", {})
    assert 2 <= len(made.requests) <= 4


async def test_a_connection_that_is_refused_is_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    found = Wire(f"http://127.0.0.1:{port}", TOKEN)
    tries: list[str] = []
    asking = found._http.request

    async def counted(method: str, url: str, **options: object) -> httpx2.Response:
        headers = options["headers"]
        assert isinstance(headers, dict)
        tries.append(headers["I-Twilio-Idempotency-Token"])
        return await asking(method, url, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(found._http, "request", counted)
    with pytest.raises(httpx2.ConnectError):
        await found.request("/twilio/voice", {})
    await found.close()
    assert len(tries) == 2
    assert len(set(tries)) == 1, "the same event"


async def test_the_fallback_is_asked_when_a_webhook_fails() -> None:
    app = FakeApp(Stream.drain, {"/twilio/voice": (500, "text/plain", "no"), "/fallback": HANG_UP})
    report = await phone(app, [], fallback_path="/fallback")
    [asked] = app.got("/fallback")
    assert asked.form["ErrorCode"] == "11200"
    assert report.ended_by == "app"


async def test_requests_share_no_connection() -> None:
    async with serving(FakeApp(Stream.drain)) as app:
        found = Wire(app.url, TOKEN)
        for _ in range(3):
            await found.request("/twilio/status", {})
        kept = list(found._http._transport._pool.connections)  # type: ignore[attr-defined]
        await found.close()
    assert kept == []
