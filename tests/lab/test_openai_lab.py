"""The OpenAI stand-in over real sockets: what it answers, how fast, and what it will not take."""

import asyncio
import io
import json
import subprocess
import sys
import time
import wave

import httpx2
import numpy as np
import pytest

from bot.lab import model_texts
from bot.lab.openai import KEY, OpenAiLab, Profile
from bot.lab.openai_behaviour import Faults
from bot.lab.openai_voice import speech

QUICK = Profile(first_token_ms=0, token_ms=0, first_byte_ms=0, speech_speed=1000)
SPOKEN = {"model": "m", "voice": "coral", "input": "안녕하세요", "response_format": "pcm"}


def chat(*users: str, **more: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": text} for text in users], **more}


def client(lab: OpenAiLab, key: str = KEY) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=lab.url, headers={"Authorization": f"Bearer {key}"}, timeout=10)


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ("공원을 한 바퀴 걸었어요", "공원을 한 바퀴 걸었다"),
        ("그래서 오늘은 일찍 누웠습니다", "그래서 오늘은 일찍 누웠다"),
        ("40분이나 기다렸거든", "40분이나 기다렸다"),
        ("약값이 8500원이나 나왔죠", "약값이 8500원이나 나왔다"),
        ("이제 자려고요", "이제 자려고 한다"),
        ("집에 갑니다", "집에 간다"),
        ("기분이 좋습니다", "기분이 좋다"),
        ("생일이에요", "생일이다"),
        ("감기라고 하더라고요", "감기라고 했다"),
        ("지워 줘", None),
    ],
)
def test_plain_endings(said: str, plain: str | None) -> None:
    assert model_texts.plain(said) == plain


def test_an_entry_holds_what_was_said_and_takes_corrections() -> None:
    entry = json.loads(
        model_texts.entry(["말한 것:\n- 점심에는 민수랑 국수를 먹었어요\n- 민수가 아니라 지훈이랑 먹었어요"])
    )
    assert entry["body"] == "점심에는 지훈이랑 국수를 먹었다."
    assert set(entry) == {"title", "body", "mood"}


def test_only_what_was_said_and_corrected_is_the_callers() -> None:
    material = {
        "date": "2026-11-21 토요일",
        "said": ["점심에는 민수랑 국수를 먹었어요"],
        "corrections": ["민수가 아니라 지훈이랑 먹었어요"],
        "problems": ["말하지 않은 낱말: 김철수 만났다"],
    }
    entry = json.loads(model_texts.entry([json.dumps(material, ensure_ascii=False)]))
    assert entry["body"] == "점심에는 지훈이랑 국수를 먹었다."


def test_inventing_adds_a_name_and_a_number_to_both() -> None:
    for make in (
        lambda **how: model_texts.reply("밥을 먹었어요", **how),
        lambda **how: model_texts.entry(["밥을 먹었어요"], **how),
    ):
        assert not any(one in make() for one in model_texts.INVENTIONS)
        assert model_texts.invented("밥을 먹었어요") in make(invents=True)
        assert make(invents=True) == make(invents=True)


def test_what_is_invented_takes_turns() -> None:
    assert {model_texts.invented(chr(ord("가") + at)) for at in range(10)} == set(model_texts.INVENTIONS)


async def test_a_chat_takes_up_the_last_words_streamed_and_whole() -> None:
    async with OpenAiLab(profile=QUICK) as lab, client(lab) as http:
        whole = (await http.post("/chat/completions", json=chat("앞의 말", "민수랑 국수를 먹었어요"))).json()
        text = whole["choices"][0]["message"]["content"]
        assert text.startswith("민수랑 국수를 먹었군요, ")
        streamed = await http.post("/chat/completions", json=chat("민수랑 국수를 먹었어요", stream=True))
        events = [line.removeprefix("data: ") for line in streamed.text.split("\n\n") if line]
        assert events.pop() == "[DONE]"
        chunks = [json.loads(event)["choices"][0] for event in events]
        assert "".join(chunk["delta"].get("content", "") for chunk in chunks) == text
        assert [chunk["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
        assert lab.report.breaches == []
        assert lab.report.connections == 1


@pytest.mark.parametrize(
    ("said", "clause"),
    [
        ("오늘 점심에는 민수랑 국수를 먹었어요", "민수랑 국수를 먹었군요"),
        ("기뻤어요", "정말 기뻤군요"),
        ("도서관에 가고 싶어요", "도서관에 가고 싶다고 하셨군요"),
        ("그래서 그냥 집에 왔는데", "그냥 집에 왔는데"),
        ("어제는 쉬었어요. 오늘은 일했어요", "오늘은 일했군요"),
    ],
)
def test_a_reply_begins_with_a_short_clause_that_takes_up_the_last_words(said: str, clause: str) -> None:
    first, comma, rest = model_texts.reply(said).partition(", ")
    assert (first, comma) == (clause, ", ")
    assert 6 <= len(rest.split(".")[0].split()) <= 8


async def test_what_a_chat_cost_is_told_when_it_is_asked_for() -> None:
    asked = chat("민수랑 국수를 먹었어요", stream=True, stream_options={"include_usage": True})
    async with OpenAiLab(profile=QUICK) as lab, client(lab) as http:
        streamed = await http.post("/chat/completions", json=asked)
        *_, last, done = [line.removeprefix("data: ") for line in streamed.text.split("\n\n") if line]
        words = len(model_texts.reply("민수랑 국수를 먹었어요").split())
        usage = {"prompt_tokens": 3, "completion_tokens": words, "total_tokens": 3 + words}
        assert (json.loads(last)["choices"], json.loads(last)["usage"], done) == ([], usage, "[DONE]")
        whole = (await http.post("/chat/completions", json=chat("민수랑 국수를 먹었어요"))).json()
        assert whole["usage"] == usage
        await http.post("/chat/completions", json=chat("JSON: 밥", response_format={"type": "json_object"}))
        assert [one.tokens for one in lab.report.chats[:2]] == [3 + words] * 2
        assert lab.report.reply_tokens == 2 * (3 + words)
        assert lab.report.cancelled_reply_tokens == 0
        lab.faults.no_options = True
        assert (await http.post("/chat/completions", json=asked)).status_code == 400


async def test_a_chat_that_is_left_costs_what_it_had_answered() -> None:
    async with OpenAiLab(profile=Profile(first_token_ms=0, token_ms=50)) as lab, client(lab) as http:
        async with http.stream("POST", "/chat/completions", json=chat("국수를 먹었어요", stream=True)) as answer:
            async for line in answer.aiter_lines():
                if "먹었군요" in line:
                    break
        async with asyncio.timeout(5):
            await lab.client_left.wait()
        [left] = lab.report.replies
        assert 2 <= left.completion_tokens < len(model_texts.reply("국수를 먹었어요").split())
        assert not left.is_done
        assert lab.report.cancelled_reply_tokens == lab.report.reply_tokens == left.tokens


async def test_it_is_never_faster_than_its_profile() -> None:
    async with OpenAiLab() as lab, client(lab) as http:
        begun = time.monotonic()
        async with http.stream("POST", "/chat/completions", json=chat("국수를 먹었어요", stream=True)) as answer:
            arrivals = [time.monotonic() - begun async for _ in answer.aiter_bytes()]
        words = len(model_texts.reply("국수를 먹었어요").split())
        assert arrivals[0] >= 0.2
        assert arrivals[-1] >= 0.2 + (words - 1) * 0.02
        begun = time.monotonic()
        async with http.stream("POST", "/audio/speech", json=SPOKEN) as answer:
            arrivals = [time.monotonic() - begun async for _ in answer.aiter_bytes()]
        assert arrivals[0] >= 0.15
        assert arrivals[-1] >= 0.15 + (len(speech("안녕하세요")) / 48000 - 0.04) / 8


async def test_speech_is_pcm_at_24_khz_or_wav() -> None:
    async with OpenAiLab(profile=QUICK) as lab, client(lab) as http:
        pcm = (await http.post("/audio/speech", json=SPOKEN)).content
        assert pcm == speech("안녕하세요")
        assert np.abs(np.frombuffer(pcm, "<i2")).max() > 3000
        body = (await http.post("/audio/speech", json={**SPOKEN, "response_format": "wav"})).content
        with wave.open(io.BytesIO(body)) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (24_000, 1, 2)
            assert sound.readframes(10**9) == pcm


async def test_speech_is_slower_and_faster_as_it_is_asked() -> None:
    async with OpenAiLab(profile=QUICK) as lab, client(lab) as http:
        lengths = [
            len((await http.post("/audio/speech", json={**SPOKEN, "instructions": "천천히", "speed": speed})).content)
            for speed in (0.7, 1, 1.5)
        ]
        assert lengths[0] > 1.2 * lengths[1] > 1.4 * lengths[2]
        assert lab.report.breaches == []


async def test_models_are_listed_and_a_wrong_key_is_refused() -> None:
    async with OpenAiLab() as lab, client(lab) as http, client(lab, "other") as stranger:
        assert (await http.get("/models")).json()["data"]
        for answer in [
            await stranger.get("/models"),
            await stranger.post("/chat/completions", json=chat("네")),
            await stranger.post("/audio/speech", json=SPOKEN),
        ]:
            assert answer.status_code == 401


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", []),
        ("/chat/completions", {"messages": [{"role": "user", "content": "네"}]}),
        ("/chat/completions", {"model": "m", "messages": []}),
        ("/chat/completions", {"model": "m", "messages": [{"role": "robot", "content": "네"}]}),
        ("/chat/completions", {"model": "m", "messages": [{"role": "user", "content": " "}]}),
        ("/chat/completions", {"model": "m", "messages": [{"role": "assistant", "content": "네"}]}),
        ("/chat/completions", chat("네", response_format={"type": "json_object"})),
        ("/audio/speech", {**SPOKEN, "input": ""}),
        ("/audio/speech", {**SPOKEN, "input": "가" * 4097}),
        ("/audio/speech", {**SPOKEN, "response_format": "mp3"}),
        ("/audio/speech", {**SPOKEN, "speed": 4.5}),
        ("/audio/speech", {**SPOKEN, "speed": "fast"}),
        ("/audio/speech", {**SPOKEN, "instructions": 7}),
        ("/audio/speech", {"model": "m", "input": "네"}),
        ("/audio/song", SPOKEN),
    ],
)
async def test_what_the_service_would_refuse_is_refused_and_reported(path: str, body: object) -> None:
    async with OpenAiLab(profile=QUICK) as lab, client(lab) as http:
        assert (await http.post(path, json=body)).status_code in (400, 404)
        assert len(lab.report.breaches) == 1


async def test_what_is_not_http_is_reported_and_others_go_on() -> None:
    async with OpenAiLab(profile=QUICK) as lab, client(lab) as http:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(lab.url.split(":")[2].split("/")[0]))
        writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        assert (await http.get("/models")).status_code == 200
        assert len(lab.report.breaches) == 1


@pytest.mark.parametrize("status", [401, 429, 500])
async def test_faults_can_be_set_and_taken_back_while_it_runs(status: int) -> None:
    async with OpenAiLab(profile=QUICK) as lab, client(lab) as http:
        lab.faults.chat_status = lab.faults.speech_status = status
        assert (await http.post("/chat/completions", json=chat("네"))).status_code == status
        assert (await http.post("/audio/speech", json=SPOKEN)).status_code == status
        lab.faults.chat_status = lab.faults.speech_status = None
        assert (await http.post("/chat/completions", json=chat("네"))).status_code == 200
        assert lab.report.breaches == []


@pytest.mark.parametrize("after", [0, 1, 5000])
async def test_speech_is_cut_after_so_many_bytes(after: int) -> None:
    async with OpenAiLab(profile=QUICK, faults=Faults(cut_speech_after_bytes=after)) as lab, client(lab) as http:
        got = b""
        with pytest.raises(httpx2.HTTPError):
            async with http.stream("POST", "/audio/speech", json=SPOKEN) as answer:
                async for piece in answer.aiter_raw():
                    got += piece
        assert len(got) <= after
        assert lab.report.cancelled == 0


async def test_bad_json_is_half_an_entry() -> None:
    asked = chat("JSON: 밥을 먹었어요", response_format={"type": "json_object"})
    async with OpenAiLab(profile=QUICK, faults=Faults(bad_json=True)) as lab, client(lab) as http:
        text = (await http.post("/chat/completions", json=asked)).json()["choices"][0]["message"]["content"]
        with pytest.raises(ValueError, match=r"."):
            json.loads(text)


async def test_a_client_that_leaves_is_counted() -> None:
    async with OpenAiLab(faults=Faults(never_first_token=True)) as lab, client(lab) as http:
        with pytest.raises(httpx2.ReadTimeout):
            await http.post("/chat/completions", json=chat("네"), timeout=0.2)
        async with asyncio.timeout(5):
            await lab.client_left.wait()
        assert lab.report.cancelled == 1


def test_it_starts_alone_from_the_command_line() -> None:
    command = [sys.executable, "-m", "bot.lab.openai", "--port", "0", "--first-token-ms", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().split()[0].partition("=")[2]
            answer = httpx2.post(f"{url}/chat/completions", json=chat("네"), headers={"Authorization": f"Bearer {KEY}"})
            assert answer.status_code == 200
        finally:
            process.terminate()
