"""The text chat as a whole: served in a process of its own, asked by the Python client, answered by the stand-in."""

from contextlib import AsyncExitStack
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from bot.diary.store import open_store
from bot.lab import bench_chat
from bot.lab.chat_client import ChatClient, ChatFailed
from bot.lab.chat_stage import served, sign_in
from bot.lab.openai import OpenAiLab, Profile

QUICK = Profile(first_token_ms=5, token_ms=1)


async def answer(chat: ChatClient, question: str, message_id: str | None = None) -> tuple[str, list[str]]:
    text, dates = "", []
    async for event in chat.ask(question, message_id):
        match event["type"]:
            case "stream_token":
                text += event["token"]
            case "stream_sources":
                dates = [source["metadata"]["date"] for source in event["sources"]]
            case "stream_error":
                pytest.fail(event["error_code"])
    return text, dates


async def test_a_signed_in_person_talks_about_their_diary_with_the_python_client(tmp_path) -> None:
    url = f"sqlite:///{tmp_path / 'diary.db'}"
    store = await open_store(url, None, ZoneInfo("Asia/Seoul"))
    tokens = await sign_in(store, 1)
    await store.close()
    async with OpenAiLab(profile=QUICK, key="none") as lab, served(url, lab.url) as (_, address):
        async with ChatClient(f"http://{address}", f"ilgi={tokens[0]}") as chat:
            text, dates = await answer(chat, "2026년 1월 4일에 누구랑 어디 갔지?")
            assert text.startswith("1월 4일 일기에 “어머니랑 한강에 가서 라면을 샀다”라고 적혀 있어요.")
            assert dates == ["2026-01-04"]
            session_id = chat.session_id
            _, dates = await answer(chat, "그날 라면을 샀나?")
            assert dates[0] == "2026-01-04" and chat.session_id == session_id
        for cookie in ("", "ilgi=" + "x" * 43):
            with pytest.raises(ChatFailed, match="HTTP 401"):
                async with ChatClient(f"http://{address}", cookie):
                    pass
        with pytest.raises(ChatFailed, match="HTTP 403"):
            async with ChatClient(f"http://localhost:{address.rpartition(':')[2]}", f"ilgi={tokens[0]}"):
                pass
    assert lab.report.breaches == []


async def test_another_process_goes_on_with_a_talk_and_replays_what_was_answered(tmp_path) -> None:
    url = f"sqlite:///{tmp_path / 'diary.db'}"
    store = await open_store(url, None, ZoneInfo("Asia/Seoul"))
    (token,) = await sign_in(store, 1)
    await store.close()
    async with OpenAiLab(profile=QUICK, key="none") as lab, AsyncExitStack() as stack:
        (_, first), (_, second) = [await stack.enter_async_context(served(url, lab.url)) for _ in range(2)]
        chat = await stack.enter_async_context(ChatClient(f"http://{first}", f"ilgi={token}"))
        other = await stack.enter_async_context(ChatClient(f"http://{second}", f"ilgi={token}"))
        _, dates = await answer(chat, "2026년 1월 4일에 누구랑 어디 갔지?")
        other.session_id = chat.session_id
        _, again = await answer(other, "그날 라면을 샀나?")
        assert again[0] == dates[0] == "2026-01-04"
        message_id = str(uuid4())
        said = [await answer(one, "1월 9일에는?", message_id) for one in (chat, other)]
        assert said[0] == said[1] and other.session_id == chat.session_id
        assert len(lab.report.chats) == 3


async def test_the_bench_asks_on_real_sockets_and_every_answer_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    await bench_chat.bench(bench_chat.Load(idle=4, active=2, seconds=1))
    rows = [line for line in capsys.readouterr().out.splitlines() if "not whole" in line]
    assert [row.split()[-1] for row in rows] == ["0", "0"]
