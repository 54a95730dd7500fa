"""The README's settings for nginx, with a real nginx before a bot that is started for real: every socket and stream."""

import asyncio
import base64
import json
import os
import signal

import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bot.doors.sign_in import CODES_OF_ADDRESS_IN_HOUR
from bot.lab.chat_client import ChatClient
from bot.lab.stage import AUTH_TOKEN
from bot.lab.twilio import ACCOUNT_SID, BOT_NUMBER, CALLER_NUMBER, new_call_sid
from bot.lab.wire import Wire, voice_parameters
from tests.proxy.nginx import LOWERED_S, NGINX
from tests.proxy.proxied_site import (
    QUESTION,
    STREAM_KEY,
    WAIT_S,
    form_token,
    host,
    message,
    open_site,
    posted_events,
    running,
    socket_events,
    tokens,
)
from tests.services.listening import TEXTS, spoken

TOKEN_MS = 100
TURN = [{"wait_for_bot": {}}, {"say": ["jia-rain"]}]
LATER = [{"wait_ms": 6000}, {"say": ["jia-clinic"]}]
HANG_UP = [{"wait_for_bot": {}}, {"hang_up": "stop"}]
TALK_S = 60
DEPLOY_S = 240
BEARER = {"Authorization": f"Bearer {STREAM_KEY}"}

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(NGINX is None and os.environ.get("CI") != "true", reason="there is no nginx"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory):
    async with open_site(tmp_path_factory.mktemp("proxied")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cookie(site):
    async with site.visitor() as visitor:
        return await site.sign_in(visitor)


@pytest.fixture
def slow_model(site):
    """Its tokens come one by one, and slowly enough to see whether they arrive so."""
    quick = site.model.profile.token_ms
    site.model.profile.token_ms = TOKEN_MS
    yield
    site.model.profile.token_ms = quick


def voice(call_sid=None):
    """The form of a webhook of a call that comes in."""
    return voice_parameters(ACCOUNT_SID, call_sid or new_call_sid(), CALLER_NUMBER, BOT_NUMBER, "ringing")


async def test_a_signed_webhook_is_let_in_whatever_the_forwarded_headers_say(site):
    for forged in ("http", "wss", "gopher", ""):
        headers = {"X-Forwarded-Proto": forged, "X-Forwarded-Host": "evil.example", "Host": "evil.example"}
        answer = await site.twilio.request("/twilio/voice", voice(), headers=headers)
        assert answer.status == 200
        assert f"wss://{host(site.url)}/twilio/media" in answer.body.decode()


async def test_a_webhook_that_is_signed_for_what_the_headers_say_is_refused(site):
    assert (await site.twilio.request("/twilio/voice", voice(), auth_token="another")).status == 403
    wire = Wire(site.proxy.plain_url, AUTH_TOKEN)  # signs for what is asked, which is what the proxy passes on
    headers = {"X-Forwarded-Proto": "http", "X-Forwarded-Host": host(site.proxy.plain_url)}
    try:
        assert (await wire.request("/twilio/voice", voice(), headers=headers)).status == 403
    finally:
        await wire.close()


async def test_a_whole_talk_by_telephone(site):
    report = await site.twilio.call([*TURN, *HANG_UP])
    assert report.breaches == []
    assert report.turns
    entries = [entry for entry in await site.bot.entries(at_least=201) if entry["call_sid"] == report.call_sid]
    assert len(entries) == 1


async def test_a_chat_by_the_python_client_over_tls(site, cookie, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(site.proxy.certificate))
    async with asyncio.timeout(WAIT_S), ChatClient(site.url, cookie) as chat:
        for _ in range(2):
            events = [event async for event in chat.ask(QUESTION)]
            assert [event["type"] for event in events][-2:] == ["stream_sources", "stream_end"]
            assert events[-2]["sources"][0]["metadata"]["date"] == "2026-01-04"


@pytest.mark.usefixtures("slow_model")
async def test_the_tokens_of_a_socket_arrive_one_by_one(site, cookie):
    async with site.socket("/chat-ws", Cookie=cookie) as socket:
        came = tokens(await socket_events(socket, message()))
    assert len(came) >= 8
    assert came[-1] - came[0] > (len(came) - 1) * TOKEN_MS / 1000 / 2


@pytest.mark.usefixtures("slow_model")
async def test_the_tokens_of_an_event_stream_arrive_one_by_one_and_where_nothing_is_set_they_do_not(site, cookie):
    async with site.visitor() as visitor:
        came = tokens(await posted_events(visitor, cookie, message()))
        bare = tokens(await posted_events(visitor, cookie, message(), f"{site.proxy.bare_url}/chat/stream"))
    assert len(came) == len(bare) >= 8
    assert came[-1] - came[0] > (len(came) - 1) * TOKEN_MS / 1000 / 2
    assert bare[-1] - bare[0] < (len(bare) - 1) * TOKEN_MS / 1000 / 2


async def test_where_nothing_is_set_there_is_no_socket(site, cookie):
    with pytest.raises(InvalidStatus):
        await site.socket("/chat-ws", base=site.proxy.bare_url, Cookie=cookie)


async def test_a_socket_that_is_silent_for_long_lives_and_only_by_our_timeouts(site, cookie):
    async with (
        site.socket("/chat-ws", Cookie=cookie) as ours,
        site.socket("/chat-ws", base=site.proxy.hasty_url, Cookie=cookie) as hasty,
    ):
        await asyncio.sleep(LOWERED_S * 2.5)
        assert (await socket_events(ours, message()))[-1][0]["type"] == "stream_end"
        with pytest.raises(ConnectionClosed):
            await socket_events(hasty, message())


async def test_a_streaming_job_sends_audio_up_while_segments_come_down(site):
    async with site.visitor() as program:
        made = (await program.post("api/v1/stream/create", headers=BEARER, json={"summary": False})).json()
        assert made["websocket_url"] == f"wss://{host(site.url)}/api/v1/stream/{made['job_id']}"
        async with asyncio.timeout(WAIT_S), site.socket(f"/api/v1/stream/{made['job_id']}", **BEARER) as socket:
            assert json.loads(await socket.recv())["type"] == "connection_success"
            for name in ("jia-rain", "minho-cat"):
                pcm = spoken(name, trail_ms=1500)
                for at in range(0, len(pcm), 960):
                    await socket.send(pcm[at : at + 960])
                segment = json.loads(await socket.recv())
                assert (segment["type"], segment["text"]) == ("transcript_segment", TEXTS[name])
            await socket.send('{"type": "end"}')
            assert json.loads(await socket.recv())["type"] == "final_summary"
        shown = (await program.get(f"api/v1/stream/{made['job_id']}", headers=BEARER)).json()
    assert (shown["state"], len(shown["segments"])) == ("completed", 2)


async def test_a_talk_in_a_browser(site, cookie):
    told = []
    async with asyncio.timeout(TALK_S), site.socket("/ws", Cookie=cookie) as socket, asyncio.TaskGroup() as tasks:
        await socket.send(json.dumps({"type": "init", "config": {"sampleRate": 16000}}))
        assert json.loads(await socket.recv())["type"] == "connected"
        talking = tasks.create_task(talk(socket, told))
        async for text in socket:
            told.append(json.loads(text))
            if count_of(told, TEXTS["jia-rain"]) and told[-1]["type"] == "audio":
                break
        talking.cancel()
        await socket.send('{"type": "end"}')
        async for text in socket:
            told.append(json.loads(text))
    assert socket.close_code == 1000
    assert [message for message in told if message["type"] == "error"] == []
    after = told[[message.get("text") for message in told].index(TEXTS["jia-rain"]) :]
    assert any(message["type"] == "audio" for message in after)


async def talk(socket, told):
    """A microphone: quiet while the bot speaks, then something is said, and quiet again; all that came was heard."""
    pcm = bytes(16_000 * 2 * 6) + spoken("jia-rain") + bytes(16_000 * 2 * 30)
    for at in range(0, len(pcm), 640):
        sound = {"type": "audio", "audio": base64.b64encode(pcm[at : at + 640]).decode()}
        await socket.send(json.dumps(sound | heard(told)))
        await asyncio.sleep(0.02)


def heard(told):
    """What a page that has played everything reports."""
    pieces = [message for message in told if message["type"] == "audio"]
    if not pieces:
        return {}
    sentence = pieces[-1]["sentence"]
    length = sum(len(base64.b64decode(piece["audio"])) for piece in pieces if piece["sentence"] == sentence)
    return {"heard": {"sentence": sentence, "ms": length // 48}}


def count_of(told, text):
    """How often a transcript was this, for good."""
    return sum(message["type"] == "transcript" and message["text"] == text and message["final"] for message in told)


async def test_a_body_that_is_too_large_is_refused_by_the_bot_in_its_own_words_and_a_huge_one_by_nginx(site, cookie):
    async with site.visitor() as visitor:
        large = await visitor.post("chat/stream", json=message("가" * 60_000), headers={"Cookie": cookie})
        huge = await visitor.post("chat/stream", json=message("가" * 120_000), headers={"Cookie": cookie})
    assert (large.status_code, "stream_error" in large.text) == (400, True)
    assert huge.status_code == 413


async def test_below_a_path_a_forged_address_changes_nothing_of_what_limits_count(tmp_path):
    async with open_site(tmp_path, path="/my/diary") as site:
        await webhook_page_and_socket_below_a_path(site)
        statuses = []
        async with site.visitor("127.0.0.9") as forger, site.visitor("127.0.0.10") as another:
            for number in range(CODES_OF_ADDRESS_IN_HOUR + 1):
                forged = f"198.51.100.{number}, 127.0.0.10, 192.0.2.{number}"
                statuses.append(await ask_for_code(forger, number, forged))
            assert statuses == [303] * CODES_OF_ADDRESS_IN_HOUR + [429]
            assert await ask_for_code(another, 9_999, "127.0.0.9") == 303


async def ask_for_code(visitor, number, forged):
    """Ask for a code to one of many telephones, with a forged header; gives the status."""
    fields = {"form_token": await form_token(visitor), "number": f"0105555{number:04}"}
    headers = [("X-Forwarded-For", "203.0.113.1"), ("X-Forwarded-For", forged), ("X-Real-IP", "203.0.113.2")]
    return (await visitor.post("sign-in", data=fields, headers=headers)).status_code


async def webhook_page_and_socket_below_a_path(site):
    """The telephone, the pages and the chat, all of them below the path of PUBLIC_URL."""
    answer = await site.twilio.request("/my/diary/twilio/voice?waited=1", voice())
    assert (answer.status, f"wss://{host(site.url)}/my/diary/twilio/media" in answer.body.decode()) == (200, True)
    await (await site.twilio.dial("/my/diary/twilio/media")).close()
    async with site.visitor() as visitor:
        cookie = await site.sign_in(visitor)
        page = await visitor.get("", headers={"Cookie": cookie})
        assert (page.status_code, '"/my/diary/static/base.css"' in page.text) == (200, True)
        assert (await visitor.get("static/base.css")).status_code == 200
        events = await posted_events(visitor, cookie, message())
        assert events[-1][0]["type"] == "stream_end"
    async with site.socket("/chat-ws", Cookie=cookie) as socket:
        assert (await socket_events(socket, message()))[-1][0]["type"] == "stream_end"


async def test_a_deploy_refuses_nobody_and_a_call_and_a_chat_go_on(tmp_path, monkeypatch):
    async with open_site(tmp_path) as site, site.visitor() as visitor:
        monkeypatch.setenv("SSL_CERT_FILE", str(site.proxy.certificate))
        cookie = await site.sign_in(visitor)
        async with (
            asyncio.timeout(DEPLOY_S),
            ChatClient(site.url, cookie, first_wait_s=0.1) as chat,
            asyncio.TaskGroup() as tasks,
        ):
            calling = tasks.create_task(site.twilio.call([*TURN, {"wait_for_bot": {}}, *LATER, *HANG_UP]))
            answers = [[event async for event in chat.ask(QUESTION)]]
            session_id, over = chat.session_id, asyncio.Event()
            asking = tasks.create_task(ask_again_and_again(site, cookie, over))
            async with running(site.environ | {"PORT": str(site.spare_port)}):
                await until_the_bot_answers(site)
                site.bot.send(signal.SIGTERM)
                answers.append([event async for event in chat.ask("그날 라면을 샀나?")])
                assert await site.bot.process.wait() == 0
                answers.append([event async for event in chat.ask("1월 9일에는?")])
                report = await calling
                over.set()
                statuses = await asking
                entries = await site.bot.entries(at_least=201)
        assert [events[-1]["type"] for events in answers] == ["stream_end"] * 3
        assert chat.session_id == session_id
        assert len(statuses) > 20 and set(statuses) == {200}
        assert report.breaches == [] and len(report.turns) >= 2
        assert report.call_sid in {entry["call_sid"] for entry in entries}


async def until_the_bot_answers(site):
    """Wait for the reply to the first thing that was said in the call."""
    while not site.twilio.reports[0].turns:
        await asyncio.sleep(0.1)


async def ask_again_and_again(site, cookie, over):
    """Show pages, take webhooks and open sockets until it is `over`; gives every status."""
    statuses = []
    async with site.visitor() as visitor:
        while not over.is_set():
            statuses.append((await visitor.get("sign-in")).status_code)
            statuses.append((await site.twilio.request("/twilio/voice", voice())).status)
            try:
                async with site.socket("/chat-ws", Cookie=cookie):
                    statuses.append(200)
            except InvalidStatus as refused:
                statuses.append(refused.response.status_code)
            await asyncio.sleep(0.05)
    return statuses
