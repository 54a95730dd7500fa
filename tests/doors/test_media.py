"""bot/doors/phone.py: the media socket, through a real server on the loopback."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bot.doors import phone
from bot.doors.asgi import LARGEST_MESSAGE_BYTES, StraightSocket, straight_sockets

CALL_SID = "CA" + "b2" * 16
SIGNED_URL = "wss://diary.example.com/twilio/media"
WAIT_S = 10


class QuietServer(uvicorn.Server):
    """A server that leaves the signals alone."""

    async def serve(self, sockets=None):
        await self._serve(sockets)


@asynccontextmanager
async def serving(app):
    """The WebSocket address of `app` on a port of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, ws="websockets-sansio", ws_max_size=LARGEST_MESSAGE_BYTES, log_config=None, lifespan="off"
    )
    server = QuietServer(config)
    running = asyncio.create_task(server.serve([listener]))
    async with asyncio.timeout(WAIT_S):
        while not server.started:
            await asyncio.sleep(0.01)
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/twilio/media"
    finally:
        server.should_exit = True
        await running


async def until(is_so):
    async with asyncio.timeout(WAIT_S):
        while not is_so():
            await asyncio.sleep(0.01)


@pytest.fixture
def signed(sign):
    """Connect as Twilio does."""
    return lambda url, **more: connect(
        url, additional_headers={"X-Twilio-Signature": sign(SIGNED_URL)}, compression=None, **more
    )


async def test_messages_reach_the_call_in_order_and_its_own_reach_the_caller(open_door, signed):
    async with open_door() as door, serving(door.app) as url:
        async with signed(url) as caller:
            for message in ("one", "two", b"three"):
                await caller.send(message)
            async with asyncio.timeout(WAIT_S):
                assert [await caller.recv() for _ in range(3)] == ["echo one", "echo two", "echo b'three'"]
            assert len(door.live) == 1
        (call,) = door.calls
        await until(lambda: call.saved)
        assert call.messages == ["one", "two", b"three"]
        await until(lambda: len(door.live) == 0)


async def test_what_comes_right_before_the_close_is_not_lost(open_door, signed):
    async with open_door() as door, serving(door.app) as url:
        async with signed(url) as caller:
            await asyncio.gather(*(caller.send(str(number)) for number in range(300)))
        await until(lambda: door.calls[0].saved)
        assert door.calls[0].messages == [str(number) for number in range(300)]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        "https://diary.example.com/twilio/media",
        "wss://other.example.com/twilio/media",
        "wss://diary.example.com/twilio/media?x=1",
    ],
)
async def test_a_handshake_that_is_not_signed_over_the_wss_address_is_refused(open_door, sign, header):
    async with open_door() as door, serving(door.app) as url:
        signature = sign(header) if header and "://" in header else header
        headers = {} if signature is None else {"X-Twilio-Signature": signature}
        forged = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "other.example.com"}
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, additional_headers={**headers, **forged})
        assert refused.value.response.status_code == 403
        assert door.calls == []


async def test_the_path_is_exact(open_door, signed):
    async with open_door() as door, serving(door.app) as url:
        for path in ("/", "x", "/../media/"):
            with pytest.raises(InvalidStatus) as refused:
                await signed(url + path)
            assert refused.value.response.status_code in (403, 404)
        assert door.calls == []


async def test_a_message_that_is_too_large_ends_that_call_and_no_other(open_door, signed, caplog):
    async with open_door() as door, serving(door.app) as url, signed(url) as other, signed(url) as flood:
        await flood.send(CALL_SID)
        assert await flood.recv() == f"echo {CALL_SID}"
        with pytest.raises(ConnectionClosed):
            await flood.send("x" * 10_000_000)
            async with asyncio.timeout(WAIT_S):
                while True:
                    await flood.recv()
        await until(lambda: any(call.saved for call in door.calls))
        assert (
            f"call {CALL_SID}: the media socket was closed: a message over {LARGEST_MESSAGE_BYTES} bytes" in caplog.text
        )
        await other.send("still here")
        async with asyncio.timeout(WAIT_S):
            assert await other.recv() == "echo still here"


async def test_an_empty_binary_message_is_a_message(open_door, signed):
    async with open_door() as door, serving(door.app) as url, signed(url) as caller:
        await caller.send(b"")
        await until(lambda: door.calls and door.calls[0].messages)
        assert door.calls[0].messages == [b""]


async def test_a_broken_connection_is_told_to_the_call(open_door, signed):
    async with open_door() as door, serving(door.app) as url:
        caller = await signed(url)
        await caller.send("one")
        await until(lambda: door.calls and door.calls[0].messages)
        caller.transport.abort()
        await until(lambda: door.calls[0].saved)
        assert (door.calls[0].saved, door.calls[0].messages) == (True, ["one"])


async def test_the_call_may_close_its_socket(open_door, signed):
    async with open_door() as door, serving(door.app) as url, signed(url) as caller:
        await until(lambda: door.calls)
        await door.calls[0].close(1008)
        await door.calls[0].close(1000)
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(WAIT_S):
                await caller.recv()
        assert caller.close_code == 1008
        await until(lambda: door.calls[0].saved)
        with pytest.raises(ConnectionResetError):
            await door.calls[0]._send("too late")


async def test_a_call_that_ends_leaves_no_open_socket(open_door, signed):
    async with open_door() as door, serving(door.app) as url, signed(url) as caller:
        await until(lambda: door.calls)
        door.calls[0].over.set()
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(WAIT_S):
                await caller.recv()
        assert caller.close_code == 1011


async def test_draining_reaches_every_call_and_refuses_new_sockets(open_door, signed):
    async with open_door() as door, serving(door.app) as url, signed(url) as one, signed(url) as two:
        await until(lambda: len(door.live) == 2)
        door.live.drain()
        for caller in (one, two):
            async with asyncio.timeout(WAIT_S):
                assert await caller.recv() == "echo drained"
        assert await door.live.finished(WAIT_S)
        with pytest.raises(InvalidStatus) as refused:
            await signed(url)
        assert refused.value.response.status_code == 503


async def test_only_so_many_sockets_may_wait_for_their_start(open_door, signed, monkeypatch):
    monkeypatch.setattr(phone, "MOST_STRANGERS", 2)
    async with open_door() as door, serving(door.app) as url, signed(url) as one, signed(url):
        with pytest.raises(InvalidStatus) as refused:
            await signed(url)
        assert refused.value.response.status_code == 503
        await one.send(CALL_SID)
        await until(lambda: door.live.strangers == 1)
        async with signed(url):
            pass


async def test_after_ends_the_stream_and_waits_until_it_has_saved(open_door, signed):
    async with open_door() as door, serving(door.app) as url, signed(url) as half_open, signed(url) as other:
        await half_open.send(CALL_SID)
        await other.send("CA" + "0" * 32)
        await until(lambda: len([call for call in door.calls if call.call_sid]) == 2)
        ended = next(call for call in door.calls if call.call_sid == CALL_SID)
        ended.may_save.clear()
        asking = asyncio.create_task(door.post("/twilio/after", CallStatus="in-progress"))
        await until(ended.over.is_set)
        await asyncio.sleep(0.05)
        assert not asking.done()
        ended.may_save.set()
        assert (await asking).status_code == 200
        assert [call.saved for call in door.calls if call is not ended] == [False]


async def test_a_repeated_webhook_does_not_end_a_talk(open_door, signed):
    async with open_door() as door, serving(door.app) as url, signed(url) as caller:
        await caller.send(CALL_SID)
        await until(lambda: door.calls and door.calls[0].call_sid)
        assert (await door.post("/twilio/voice")).status_code == 200
        assert not door.calls[0].over.is_set()


NO_MESSAGES = {
    (1007, "not UTF-8"): b"\x81\x82\x00\x00\x00\x00\xff\xff",
    (1002, "not the frames of a WebSocket"): b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("fault", NO_MESSAGES)
async def test_what_is_no_message_is_one_clear_line(open_door, signed, caplog, fault):
    code, why = fault
    async with open_door() as door, serving(door.app) as url, signed(url) as caller:
        await caller.send(CALL_SID)
        assert await caller.recv() == f"echo {CALL_SID}"
        caller.transport.write(NO_MESSAGES[fault])
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(WAIT_S):
                await caller.recv()
        assert caller.close_code == code
        await until(lambda: door.calls[0].saved)
        assert f"call {CALL_SID}: the media socket was closed: {why}" in caplog.text


async def test_a_socket_that_the_call_closed_is_not_closed_again():
    sent = []

    async def send(event):
        sent.append(event)

    async def app(scope, receive, send):
        await StraightSocket.of(scope).close(1000)
        await send({"type": "websocket.close", "code": 1000})

    await straight_sockets(app)({"type": "websocket"}, None, send)
    assert [event["type"] for event in sent] == ["websocket.close"]


async def test_what_came_early_is_for_one_receiver_alone():
    media = StraightSocket(None)
    media.received({"text": "early"})
    first, second = [], []
    media.deliver_to(first.append)
    media.deliver_to(second.append)
    assert (first, second) == (["early"], [])
