"""The chat model's client against the stand-in: words as they come, and every failure by its name."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress

import pytest

from bot.errors import ModelBusy, ModelError, ModelRests
from bot.lab.openai import OpenAiLab, Profile
from bot.lab.openai_behaviour import Faults
from bot.services.breaker import FAILURES, REST_S
from bot.services.llm import REPLY_TOKENS, ChatModel, Message
from bot.services.token_usage import TOKENS_PER_LETTER, TokenUsage
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
    faults: Faults | None = None,
    profile: Profile = QUICK,
    key: str | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[tuple[OpenAiLab, ChatModel]]:
    async with OpenAiLab(profile=profile, faults=faults) as lab:
        settings = OpenAiSettings(api_key=key or lab.key, base_url=lab.url, model="lab")
        model = ChatModel(settings, first_token_s=0.5, stall_s=0.3, clock=clock)
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


COUNTED = {"choices": [], "usage": {"prompt_tokens": 70, "completion_tokens": 30, "total_tokens": 100}}


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0.005)


async def all_of(model: ChatModel) -> list[str]:
    return [delta async for delta in model.stream(CHAT, TokenUsage().open())]


async def test_words_come_as_they_are_made() -> None:
    async with talking(profile=Profile(first_token_ms=20, token_ms=10)) as (lab, model):
        deltas = await all_of(model)
        assert "김치찌개를" in "".join(deltas)
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


async def test_whoever_asks_may_have_more_patience_between_words_than_the_model() -> None:
    async with talking(profile=Profile(first_token_ms=0, token_ms=100)) as (_, model):
        model._stall_s = 0.01
        with pytest.raises(ModelError, match="stalled"):
            await all_of(model)
        assert "".join([delta async for delta in model.stream(CHAT, TokenUsage().open(), stall_s=10)])


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
            async with aclosing(model.stream(CHAT, TokenUsage().open())) as deltas:
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
        async with asyncio.timeout(5):
            await lab.client_left.wait()
        assert lab.report.cancelled == 1


@pytest.mark.parametrize("first_token_ms", [0, 5000])
async def test_a_request_after_a_dropped_one_finds_an_open_connection(first_token_ms: float) -> None:
    async with talking(profile=Profile(first_token_ms=first_token_ms, token_ms=1000)) as (lab, model):
        model._first_token_s = 10

        async def leave_after_first() -> None:
            async with aclosing(model.stream(CHAT, TokenUsage().open())) as deltas:
                await anext(deltas)

        await model.warm()
        for turn in range(1, 4):
            dropped = asyncio.create_task(leave_after_first())
            if first_token_ms:
                await until(lambda: lab.report.requests[-1].startswith("POST"))
                dropped.cancel()
            await asyncio.wait([dropped])
            await model.warm()
            await until(lambda turn=turn: lab.report.cancelled == turn)
            assert lab.report.connections == turn + 1, "the dropped one is gone, the next is open"
        lab.profile = QUICK
        await all_of(model)
        assert lab.report.connections == 4
        assert lab.report.breaches == []


async def test_while_a_request_is_under_way_the_next_one_s_connection_is_opened() -> None:
    async with talking(profile=Profile(first_token_ms=0, token_ms=1000)) as (lab, model):
        async with aclosing(model.stream(CHAT, TokenUsage().open())) as deltas:
            await anext(deltas)
            for _ in range(3):
                await model.warm()
            assert lab.report.connections == 2
        lab.profile = QUICK
        await all_of(model)
        await model.warm()
        assert lab.report.connections == 2
        assert lab.report.requests.count("GET /v1/models") == 1


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
        ((said("좋\ud83d아요."), said("", "stop")), "좋?아요."),
    ],
)
async def test_odd_streams_are_understood(chunks: tuple[object, ...], given: str) -> None:
    async with raw_server(sse(*chunks)) as model:
        assert "".join(await all_of(model)) == given


LETTERS_SENT = sum(len(message["content"]) for message in CHAT)


@pytest.mark.parametrize(
    ("chunks", "tokens"),
    [
        ((said("네, "), said("네."), said("", "stop"), COUNTED, "[DONE]"), (70, 30)),
        ((said("네, "), said("네."), {**COUNTED, **said("", "stop")}, "[DONE]"), (70, 30)),
        ((said("네, "), said("네."), said("", "stop"), "[DONE]"), (round(LETTERS_SENT * TOKENS_PER_LETTER), 2)),
        ((said("네."), said("", "stop"), {"choices": [], "usage": {"prompt_tokens": "7"}}, "[DONE]"), (None, 1)),
        ((said("<think>음"), said("…</think>"), said("네."), said("", "stop")), (None, 3)),
    ],
)
async def test_the_tokens_of_a_reply_go_on_its_bill(chunks: tuple[object, ...], tokens: tuple[int | None, int]) -> None:
    usage = TokenUsage()
    bill = usage.open()
    async with raw_server(sse(*chunks)) as model:
        assert [delta async for delta in model.stream(CHAT, bill)]
    bill.close()
    prompt, completion = tokens
    assert usage.dropped.completion == completion
    assert usage.dropped.prompt == (prompt if prompt is not None else usage.estimate(LETTERS_SENT))


@pytest.mark.parametrize(
    ("faults", "requests"), [(Faults(chat_status=429), 0), (Faults(never_first_token=True), 1), (Faults(), 1)]
)
async def test_what_was_refused_costs_nothing_and_what_was_left_costs(faults: Faults, requests: int) -> None:
    usage = TokenUsage()
    bill = usage.open()
    async with talking(faults) as (_, model):
        with suppress(ModelError):
            async with aclosing(model.stream(CHAT, bill)) as deltas:
                await anext(deltas)
    bill.close()
    assert usage.dropped.requests == requests
    assert (usage.dropped.prompt > 0) == bool(requests)


async def test_the_server_is_asked_to_count_and_for_so_many_tokens_at_most() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        asked.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        model = ChatModel(OpenAiSettings(base_url=f"http://127.0.0.1:{port}/v1", model="m"))
        with pytest.raises(ModelError, match="HTTP 400"):
            await all_of(model)
        with pytest.raises(ModelError, match="HTTP 400"):
            async for _ in model.stream(CHAT, TokenUsage().open(), most_tokens=7):
                pass
        await model.close()
    bodies = [json.loads(body) for body in asked]
    assert [body.get("stream_options") for body in bodies] == [{"include_usage": True}, None] * 2
    assert [body.get("max_tokens") for body in bodies] == [REPLY_TOKENS, None, 7, None]


async def test_who_can_wait_longer_for_the_first_token_may() -> None:
    async with talking(profile=Profile(first_token_ms=700, token_ms=0)) as (_, model):
        with pytest.raises(ModelError, match="no first token"):
            await all_of(model)
        stream = model.stream(CHAT, TokenUsage().open(), first_token_s=5)
        assert [token async for token in stream]


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


async def test_whole_answers_that_are_refused_make_the_model_rest_and_then_fail_at_once() -> None:
    now = 0.0
    async with talking(Faults(chat_status=500), clock=lambda: now) as (lab, model):
        for _ in range(FAILURES):
            with pytest.raises(ModelError, match="HTTP 500"):
                await model.complete(ENTRY, timeout_s=5)
        asked = len(lab.report.requests)
        with pytest.raises(ModelRests):
            await model.complete(ENTRY, timeout_s=5)
        assert model.breaker.request() is None, "a reply is not asked for either"
        assert len(lab.report.requests) == asked
        lab.faults, now = Faults(), REST_S
        assert await model.complete(ENTRY, timeout_s=5)
        assert model.breaker.request()


async def test_a_server_that_has_enough_of_whole_answers_does_not_make_the_model_rest() -> None:
    async with talking(Faults(chat_status=429)) as (_, model):
        for _ in range(FAILURES + 1):
            with pytest.raises(ModelBusy, match="HTTP 429"):
                await model.complete(ENTRY, timeout_s=5)
        assert model.breaker.request()


async def test_a_whole_answer_that_takes_too_long_says_nothing_of_the_model() -> None:
    async with talking(profile=Profile(first_token_ms=2000)) as (_, model):
        for _ in range(FAILURES + 1):
            with pytest.raises(ModelError, match="no answer in time"):
                await model.complete(ENTRY, timeout_s=0.1)
        assert model.breaker.request()
