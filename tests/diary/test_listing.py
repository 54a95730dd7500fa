import asyncio
import json
from pathlib import Path

import pytest

from bot.conversation.commands import Mood, Status
from bot.conversation.waterfall import Waterfall
from bot.diary import listing
from tests.diary.talks import NUMBER, SECRET, let_in, opened, recorded


@pytest.fixture
def environ(diary_url: str) -> dict[str, str]:
    return {"DATABASE_URL": diary_url, "DIARY_KEY": SECRET}


async def fill(diary_url: str, clock) -> None:
    async with opened(diary_url, clock=clock) as store:
        call = await let_in(store, "CA1")
        await call.add_said(0, "산책했어요", 0, 1)
        await call.save_entry("산책", "공원을 걸었다.\n바람이 불었다.", Mood.JOY, Status.APPROVED)
        clock.forward(hours=1)
        call = await let_in(store, "CA2", "anonymous")
        await call.forget_day()


@pytest.fixture
def filled(diary_url: str, clock) -> None:
    asyncio.run(fill(diary_url, clock))


def test_json_holds_every_field(filled: None, environ, capsys) -> None:
    assert listing.main(["--json"], environ) == 0
    out = capsys.readouterr().out
    assert "산책" in out
    assert json.loads(out) == [
        {
            "call_sid": "CA1", "caller": NUMBER, "date": "2026-11-21", "title": "산책",
            "body": "공원을 걸었다.\n바람이 불었다.", "mood": "기쁨", "status": "approved",
        },
        {
            "call_sid": "CA2", "caller": None, "date": "2026-11-21", "title": None,
            "body": None, "mood": None, "status": "discarded",
        },
    ]  # fmt: skip


@pytest.fixture
def measured(filled: None, diary_url: str) -> None:
    async def measure() -> None:
        async with opened(diary_url) as store:
            call = store.owned("CA1", 1)
            await call.add_heard(-1, "안녕하세요")
            await call.keep_waterfall(0, Waterfall(1, 0, 371, 400, heard_ms=741, ending="final"))
            call = await let_in(store, "CA1")
            await call.add_said(1, "쉬었어요", 2000, 3000)
            await call.add_said(2, "비밀이에요", 4000, 5000)
            await call.forget_turn(2)
            await call.save_entry("산책", "공원을 걸었다.", Mood.JOY, Status.APPROVED)
            await recorded(store, "CA1", "나머지예요")

    asyncio.run(measure())


def test_turns_are_listed_with_their_times_and_without_their_words(measured: None, environ, capsys) -> None:
    assert listing.main(["--json", "--turns", "--caller", NUMBER], environ) == 0
    out = capsys.readouterr().out
    times = {
        "ended_at_ms": 1, "stop_ms": 0, "final_ms": 371, "over_ms": 400, "token_ms": None, "clause_ms": None,
        "audio_ms": None, "heard_ms": 741, "prepared": False, "ending": "final",
    }  # fmt: skip
    assert json.loads(out)[0]["turns"] == [
        {"turn": 0, "stream": 1, "from_ms": 0, "to_ms": 1, "waterfall": times},
        {"turn": 1, "stream": 2, "from_ms": 2000, "to_ms": 3000, "waterfall": None},
        {"turn": 3, "stream": 2, "from_ms": None, "to_ms": None, "waterfall": None},
    ]
    assert "산책했어요" not in out and "안녕" not in out


def test_turns_in_the_readable_form(measured: None, environ, capsys) -> None:
    assert listing.main(["--turns", "--caller", NUMBER], environ) == 0
    assert capsys.readouterr().out == (
        "2026-11-21 · 기쁨 · approved · +821012345678 · CA1\n  산책\n  공원을 걸었다.\n"
        "  turn 0, 0-1 ms: ended_at_ms 1, stop_ms 0, final_ms 371, over_ms 400, heard_ms 741, prepared False, "
        "ending final\n  turn 1 on stream 2, 2000-3000 ms\n  turn 3 on stream 2, recorded\n"
    )


def test_the_entries_of_one_caller(filled: None, environ, capsys) -> None:
    assert listing.main(["--json", "--caller", "+82 10-1234-5678"], environ) == 0
    assert [entry["call_sid"] for entry in json.loads(capsys.readouterr().out)] == ["CA1"]
    assert listing.main(["--json", "--caller", "+821000000000"], environ) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert listing.main(["--json", "--caller", "nobody"], environ) == 2
    assert "+82" in capsys.readouterr().err


def test_the_readable_form(filled: None, environ, capsys) -> None:
    assert listing.main([], environ) == 0
    assert capsys.readouterr().out == (
        "2026-11-21 · 기쁨 · approved · +821012345678 · CA1\n  산책\n  공원을 걸었다.\n  바람이 불었다.\n\n"
        "2026-11-21 · discarded · anonymous · CA2\n"
    )


def test_delete_works_once(filled: None, environ, capsys) -> None:
    assert listing.main(["--delete", "CA1"], environ) == 0
    assert "CA1" in capsys.readouterr().out
    assert listing.main(["--delete", "CA1"], environ) == 1
    assert "nothing kept of call CA1" in capsys.readouterr().err
    assert listing.main(["--json"], environ) == 0
    assert [entry["call_sid"] for entry in json.loads(capsys.readouterr().out)] == ["CA2"]


def test_looking_makes_no_diary(environ, tmp_path: Path, capsys) -> None:
    assert listing.main(["--json"], environ) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert listing.main([], environ) == 0
    assert listing.main(["--delete", "CA1"], environ) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("DIARY_KEY", "another-secret-abcdefghij-0123456789", "entries: DIARY_KEY does not open this diary"),
        ("DIARY_KEY", "short", "entries: DIARY_KEY: each key is at least 32"),
        ("DATABASE_URL", "mysql://host/x", "entries: DATABASE_URL: "),
        ("TIMEZONE", "Mars/Olympus", "entries: TIMEZONE: "),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(environ, capsys, setting: str, value: str, sentence: str) -> None:
    assert listing.main(["--json"], {**environ, setting: value}) == 1
    out, err = capsys.readouterr()
    assert err.startswith(sentence) and err.count("\n") == 1 and out == ""
