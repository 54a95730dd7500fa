"""A bot that is started for real behind nginx, with the stand-ins for all that is outside, and who comes to it."""

import asyncio
import json
import re
import signal
import ssl
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx2
from websockets.asyncio.client import connect

from bot.diary.store import open_store
from bot.lab import chat_stage
from bot.lab.openai import OpenAiLab, Profile
from bot.lab.rtzr import RtzrLab
from bot.lab.stage import AUTH_TOKEN, Bot, environ_of, start_bot
from bot.lab.twilio import ACCOUNT_SID, BOT_NUMBER, TwilioLab
from bot.lab.twilio_rest import Number, TwilioRest
from tests.proxy.nginx import Proxy, bound, proxied

STREAM_KEY = "a-key-of-the-tests-for-streaming-jobs"
TYPED = "010-0000-0000"
"""Who has a diary: the first person of `chat_stage.sign_in`."""
QUESTION = "2026년 1월 4일에 누구랑 어디 갔지?"
QUICK = Profile(first_token_ms=20, token_ms=2)
WAIT_S = 30


@dataclass(slots=True)
class Site:
    """The bot, what stands before it, and what it asks; `spare_port` is free for another bot."""

    bot: Bot
    environ: dict[str, str]
    spare_port: int
    proxy: Proxy
    twilio: TwilioLab
    rest: TwilioRest
    model: OpenAiLab
    rtzr: RtzrLab

    @property
    def url(self):
        """PUBLIC_URL."""
        return self.environ["PUBLIC_URL"]

    @property
    def origin(self):
        """That of our pages."""
        return self.proxy.url

    @property
    def tls(self):
        """Trusts our certificate and no other."""
        return ssl.create_default_context(cafile=str(self.proxy.certificate))

    def visitor(self, address="127.0.0.1", **headers):
        """A browser of sorts, by TLS, which comes from an address of the loopback."""
        transport = httpx2.AsyncHTTPTransport(verify=self.tls, local_address=address, trust_env=False)
        return httpx2.AsyncClient(
            base_url=self.url + "/", transport=transport, headers={"Origin": self.origin, **headers}, timeout=WAIT_S
        )

    async def sign_in(self, visitor):
        """Sign in with the code that was sent; gives what the browser sends from then on."""
        token = await form_token(visitor)
        await visitor.post("sign-in", data={"form_token": token, "number": TYPED, "by": "sms"})
        code = re.search("[0-9]{6}", self.rest.outgoing.messages[-1].text)[0]
        answer = await visitor.post("sign-in/code", data={"form_token": token, "number": TYPED, "code": code})
        assert (answer.status_code, answer.headers["location"]) == (303, self.url + "/")
        return f"__Host-ilgi={visitor.cookies['__Host-ilgi']}"

    def socket(self, path, *, base=None, **headers):
        """A WebSocket by TLS, or with `base` as its address says."""
        url = "ws" + (base or self.url).removeprefix("http") + path
        context = self.tls if url.startswith("wss") else None
        return connect(url, ssl=context, origin=self.origin, additional_headers=headers, compression=None, proxy=None)


async def form_token(visitor):
    """Open the page for signing in; gives the token of its forms."""
    page = await visitor.get("sign-in")
    assert page.status_code == 200
    return re.search('name="form_token" value="([^"]+)"', page.text)[1]


def message(content=QUESTION, **more):
    """A message of the chat."""
    return {"type": "message", "message_id": str(uuid4()), "content": content, **more}


async def socket_events(socket, asked):
    """Ask over a socket; gives each event of the answer, and when it came, in s."""
    await socket.send(json.dumps(asked))
    events = []
    async with asyncio.timeout(WAIT_S):
        while not events or events[-1][0]["type"] not in ("stream_end", "stream_error"):
            events.append((json.loads(await socket.recv()), time.monotonic()))
    return events


async def posted_events(visitor, cookie, asked, url="chat/stream"):
    """Ask by POST; gives each event of the answer, and when it came, in s."""
    events = []
    async with asyncio.timeout(WAIT_S), visitor.stream("POST", url, json=asked, headers={"Cookie": cookie}) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        async for line in answer.aiter_lines():
            if line.startswith("data:"):
                events.append((json.loads(line.removeprefix("data:")), time.monotonic()))
    return events


def tokens(events):
    """When the tokens of an answer came."""
    return [at for event, at in events if event["type"] == "stream_token"]


@asynccontextmanager
async def running(environ, on_line=None):
    """A bot, for the block; it is ended by SIGTERM, and must end well."""
    bot = await start_bot(environ)
    following = asyncio.create_task(bot.follow(on_line))
    try:
        yield bot
        assert await bot.stop() == 0
    finally:
        await bot.stop(signal.SIGKILL)
        await following


@asynccontextmanager
async def open_site(folder, *, path=""):
    """All of it, for the block; `path` is what PUBLIC_URL ends with."""
    async with AsyncExitStack() as stack:
        listeners, spare = [bound() for _ in range(4)], bound()
        for port in (*listeners, spare):
            stack.callback(port.close)
        database_url = f"sqlite:///{folder / 'diary.db'}"
        store = await open_store(database_url, None, ZoneInfo("Asia/Seoul"))
        await chat_stage.sign_in(store, 1)
        await store.close()
        rtzr = await stack.enter_async_context(RtzrLab())
        model = await stack.enter_async_context(OpenAiLab(profile=QUICK))
        rest = await stack.enter_async_context(TwilioRest(ACCOUNT_SID, AUTH_TOKEN, numbers=[Number(BOT_NUMBER)]))
        environ = environ_of(rtzr.url, model.url, rest.url) | {
            "DATABASE_URL": database_url,
            "PUBLIC_URL": f"https://127.0.0.1:{listeners[0].getsockname()[1]}{path}",
            "PROXIES": "1",  # as it is by default with a PUBLIC_URL that is not on the loopback
            "STREAM_KEYS": STREAM_KEY,
        }
        bot = await stack.enter_async_context(running(environ))
        spare_port = spare.getsockname()[1]
        before = proxied(folder / "nginx", (bot.port, spare_port), listeners, path=path or "/")
        proxy = await stack.enter_async_context(before)
        twilio = TwilioLab(proxy.plain_url, auth_token=AUTH_TOKEN, public_url=environ["PUBLIC_URL"])
        await stack.enter_async_context(twilio)
        yield Site(bot, environ, spare_port, proxy, twilio, rest, model, rtzr)
        assert (rtzr.breaches, model.report.breaches, rest.outgoing.breaches) == ([], [], [])


def host(url):
    """HOST:PORT of an address."""
    return urlsplit(url).netloc
