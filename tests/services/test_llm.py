"""The chat model's client against the stand-in: words as they come, and every failure by its name."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

import pytest

from bot.errors import ModelError
from bot.lab.openai import OpenAiLab, Profile
from bot.lab.openai_behaviour import Faults
from bot.services.llm import ChatModel, Message
from bot.settings import OpenAiSettings

QUICK = Profile(first_token_ms=0, token_ms=0)
CHAT: list[Message] = [
    {"role": "system", "content": "다정하게 대답해 주세요."},
    {"role": "user", "content": "점심에는 민수랑 김치찌개를 먹었어요"},
]
ENTRY: list[Message] = [
    {"role": "system", "content": "Write the entry as JSON."},
    {"role": "user", "content": "- 점심에는 민수랑 김치찌개를 먹었어요\n- 저녁에는 산책을 했어요"},
]


@asynccontextmanager
async def talking(
    faults: Faults | None = None, profile: Profile = QUICK, key: str | None = None
) -> AsyncIterator[tuple[OpenAiLab, ChatModel]]:
    async with OpenAiLab(profile=profile, faults=faults) as lab:
        settings = OpenAiSettings(api_key=key or lab.key, base_url=lab.url, model="lab")
        model = ChatModel(settings, first_token_s=0.5, stall_s=0.3)
        yield lab, model
        await model.close()


@asynccontextmanager
async def raw_server(answer: bytes) -> AsyncIterator[ChatModel]:
    """A server that says `answer` to whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        model = ChatModel(OpenAiSettings(base_url=f"http://127.0.0.1:{port}/v1", model="m"), first_token_s=1)
        yield model
        await model.close()


def sse(*chunks: object) -> bytes:
    events = "".join(f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n" for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + events.encode()


def said(text: str | None, finish: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


async def all_of(model: ChatModel) -> list[str]:
    return [delta async for delta in model.stream(CHAT)]


async def test_words_come_as_they_are_made() -> None:
    async with talking(profile=Profile(first_token_ms=20, token_ms=10)) as (lab, model):
        deltas = await all_of(model)
        assert "".join(deltas).startswith("점심에는 민수랑 김치찌개를 먹었다고 하시니")
        assert len(deltas) == len("".join(deltas).split())
        assert lab.report.breaches == []


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (Faults(chat_status=401), "HTTP 401"),
        (Faults(chat_status=429), "HTTP 429"),
        (Faults(chat_status=500), "HTTP 500"),
        (Faults(never_first_token=True), "no first token in time"),
        (Faults(stall_after_tokens=3), "stalled"),
        (Faults(cut_after_tokens=3), "APIConnectionError"),
    ],
)
async def test_a_failure_is_a_model_error_without_content(faults: Faults, reason: str) -> None:
    async with talking(faults) as (lab, model):
        with pytest.raises(ModelError) as caught:
            await all_of(model)
        assert str(caught.value) == reason
        assert len(lab.report.requests) == 1, "nothing is tried twice on the talk's path"


@pytest.mark.parametrize("faults", [Faults(), Faults(no_json_mode=True), Faults(chat_status=500)])
async def test_no_log_line_holds_what_was_said(faults: Faults, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with talking(faults) as (lab, model):
        with suppress(ModelError):
            await all_of(model)
            await model.complete(ENTRY, json=True, timeout_s=5)
        assert lab.report.requests
    assert caplog.text
    for content in ("김치찌개", lab.key, "다정하게"):
        assert content not in caplog.text


async def test_a_wrong_key_and_an_unreachable_server_are_model_errors() -> None:
    async with talking(key="wrong") as (lab, model):
        with pytest.raises(ModelError, match="HTTP 401"):
            await all_of(model)
        gone = lab.url
    model = ChatModel(OpenAiSettings(api_key="k", base_url=gone, model="m"))
    with pytest.raises(ModelError, match="APIConnectionError"):
        await all_of(model)
    await model.warm()
    await model.close()


@pytest.mark.parametrize("leave", ["close", "cancel"])
async def test_leaving_the_stream_ends_the_request(leave: str) -> None:
    async with talking(profile=Profile(first_token_ms=0, token_ms=1000)) as (lab, model):

        async def listen() -> None:
            async with aclosing(model.stream(CHAT)) as deltas:
                async for _ in deltas:
                    if leave == "close":
                        return
                    begun.set()

        begun = asyncio.Event()
        model._stall_s = 10  # the cancellation must come first
        listener = asyncio.create_task(listen())
        if leave == "cancel":
            await begun.wait()
            listener.cancel()
        await asyncio.wait([listener])
        assert listener.cancelled() == (leave == "cancel")
        await asyncio.wait_for(lab.client_left.wait(), 5)
        assert lab.report.cancelled == 1


async def test_one_connection_serves_many_turns() -> None:
    async with talking() as (lab, model):
        await model.warm()
        for _ in range(4):
            await all_of(model)
        assert lab.report.connections == 1


async def test_options_that_a_server_does_not_know_are_left_out_from_then_on() -> None:
    async with talking(Faults(no_options=True)) as (lab, model):
        assert await all_of(model) == await all_of(model)
        assert len(lab.report.requests) == 3


@pytest.mark.parametrize(
    ("chunks", "given"),
    [
        ((said("<think>음"), said("…</think>\n\n네, "), said("좋아요."), said(None, "stop"), "[DONE]"), "네, 좋아요."),
        ((said("<thi"), said("nk>x</think>네."), said("", "stop")), "네."),
        ((said("<"), said("3 좋아요."), said("", "stop")), "<3 좋아요."),
        (({"choices": []}, {"choices": None}, {"x": 1}, said("네."), said("", "stop")), "네."),
    ],
)
async def test_odd_streams_are_understood(chunks: tuple[object, ...], given: str) -> None:
    async with raw_server(sse(*chunks)) as model:
        assert "".join(await all_of(model)) == given


@pytest.mark.parametrize(
    "answer",
    [
        sse(),
        sse("[DONE]"),
        sse("{not json"),
        sse(said("네. 그리고"), said("", "length")),
        sse(said("네. 그리고")),
        sse({"error": {"message": "비밀"}}),
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
async def test_broken_answers_are_model_errors(answer: bytes) -> None:
    async with raw_server(answer) as model:
        with pytest.raises(ModelError) as caught:
            await all_of(model)
        assert "비밀" not in str(caught.value)
        with pytest.raises(ModelError):
            await model.complete(ENTRY, json=True, timeout_s=2)


@pytest.mark.parametrize("faults", [Faults(), Faults(no_json_mode=True), Faults(no_options=True)])
async def test_a_whole_answer_comes_as_json_from_any_server(faults: Faults) -> None:
    async with talking(faults) as (lab, model):
        entry = json.loads(await model.complete(ENTRY, json=True, timeout_s=5))
        assert entry["body"] == "점심에는 민수랑 김치찌개를 먹었다. 저녁에는 산책을 했다."
        assert lab.report.breaches == []


@pytest.mark.parametrize("faults", [Faults(chat_status=500), Faults(never_first_token=True)])
async def test_a_whole_answer_fails_as_a_model_error(faults: Faults) -> None:
    async with talking(faults) as (_, model):
        with pytest.raises(ModelError):
            await model.complete(ENTRY, timeout_s=0.3)
