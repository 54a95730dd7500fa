"""The shared client: where it goes, what it repeats, and what an error may say."""

import httpx2
import openai
import pytest

from bot.services.openai_client import IDLE_S, connect, reason
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
