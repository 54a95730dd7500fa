"""The shared client: where it goes, what it repeats, and what an error may say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import openai
import pytest

from bot.lab.openai import OpenAiLab
from bot.services.openai_client import AGAIN_S, FRESH_S, IDLE_S, Warmth, connect, reason
from bot.settings import OpenAiSettings

REQUEST = httpx2.Request("POST", "http://localhost/v1", content="비밀")


def status_error(status: int) -> openai.APIStatusError:
    return openai.APIStatusError("비밀", response=httpx2.Response(status, request=REQUEST), body={"message": "비밀"})


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (status_error(429), "HTTP 429"),
        (openai.APITimeoutError(REQUEST), "timed out"),
        (openai.APIConnectionError(message="비밀", request=REQUEST), "APIConnectionError"),
        (ValueError("비밀"), "ValueError"),
    ],
)
def test_a_reason_holds_no_content(error: Exception, said: str) -> None:
    assert reason(error) == said


async def test_the_environment_does_not_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "other")
    async with connect(OpenAiSettings(api_key="key")) as client:
        assert str(client.base_url) == "https://api.openai.com/v1/"
        assert client.api_key == "key"
        assert client.max_retries == 0
    async with connect(OpenAiSettings(base_url="http://127.0.0.1:11434/v1", model="m")) as client:
        assert client.base_url.host == "127.0.0.1"
    assert IDLE_S >= 60
    assert FRESH_S < IDLE_S


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def keeping_warm(clock: Clock, key: str | None = None) -> AsyncIterator[tuple[OpenAiLab, Warmth]]:
    async with (
        OpenAiLab() as lab,
        connect(OpenAiSettings(api_key=key or lab.key, base_url=lab.url)) as client,
    ):
        yield lab, Warmth(client, clock=clock)


async def test_a_connection_is_opened_once_and_again_when_it_has_lain_idle_for_long() -> None:
    clock = Clock()
    async with keeping_warm(clock) as (lab, warmth):
        for _ in range(3):
            await warmth.warm()
        assert len(lab.report.requests) == 1
        clock.now_s += FRESH_S
        await warmth.warm()
        assert (len(lab.report.requests), lab.report.connections) == (2, 1), "it is the same one, used again"


async def test_only_one_is_opened_at_a_time() -> None:
    async with keeping_warm(Clock()) as (lab, warmth):
        await asyncio.gather(*(warmth.warm() for _ in range(5)))
        assert lab.report.connections == 1


async def test_a_request_takes_the_idle_connection_and_gives_it_back_unless_it_breaks() -> None:
    async with keeping_warm(Clock()) as (lab, warmth):
        await warmth.warm()
        with warmth.request():
            pass
        await warmth.warm()
        assert len(lab.report.requests) == 1
        with pytest.raises(TimeoutError), warmth.request():
            raise TimeoutError
        await warmth.warm()
        assert len(lab.report.requests) == 2
        with warmth.request():
            await warmth.warm()
        assert len(lab.report.requests) == 3


async def test_a_refusal_is_an_open_connection_too() -> None:
    async with keeping_warm(Clock(), key="wrong") as (lab, warmth):
        await warmth.warm()
        await warmth.warm()
        assert len(lab.report.requests) == 1


async def test_a_server_that_cannot_be_reached_is_left_alone_for_a_while() -> None:
    clock = Clock()
    async with OpenAiLab() as lab:
        pass
    tried = 0

    class Transport(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            nonlocal tried
            tried += 1
            raise httpx2.ConnectError("비밀")

    async with connect(OpenAiSettings(api_key="key", base_url=lab.url)) as client:
        unreachable = client.copy(http_client=httpx2.AsyncClient(transport=Transport()))
        warmth = Warmth(unreachable, clock=clock)
        await warmth.warm()
        await warmth.warm()
        assert tried == 1
        clock.now_s += AGAIN_S
        await warmth.warm()
        assert tried == 2
        await unreachable.close()


async def test_a_cancelled_try_leaves_the_way_free() -> None:
    async with keeping_warm(Clock()) as (lab, warmth):
        trying = asyncio.create_task(warmth.warm())
        await asyncio.sleep(0)
        trying.cancel()
        await asyncio.wait([trying])
        assert trying.cancelled()
        await warmth.warm()
        assert "GET /v1/models" in lab.report.requests
