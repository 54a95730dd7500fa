"""Recorded calls through the core at full speed: the talk that comes of each is the one that was recorded."""

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path

import pytest

from bot.__main__ import COMMANDS
from bot.diary.crypto import Keys
from bot.journal import Journal, read
from bot.lab.replay import Replayed, replay

CALLS = Path(__file__).parents[1] / "fixtures" / "calls"
TEXTS = {row["name"]: row["text"] for row in json.loads((CALLS.parent / "utterances.json").read_text(encoding="utf-8"))}
RECORDINGS = sorted(path.name.removesuffix(".jsonl.gz") for path in CALLS.glob("*.jsonl.gz"))


@cache
def replayed(name: str) -> tuple[Replayed, tuple[str, ...]]:
    outcome = Replayed()
    return outcome, tuple(replay(read(CALLS / f"{name}.jsonl.gz", None), outcome))


def spoken(name: str) -> list[str]:
    """What the caller of a script says, one text for each time the bot was waited for or talked over."""
    steps = json.loads((CALLS / f"{name}.json").read_text(encoding="utf-8"))
    parts = [step.get("say") or step.get("barge_in") for step in steps]
    return [" ".join(TEXTS[part] for part in said if isinstance(part, str)) for said in parts if said]


def test_there_are_recordings() -> None:
    assert RECORDINGS == [
        "backchannel",
        "barge-in",
        "hang-up",
        "inner-pause",
        "plain-day",
        "slow-speaker",
        "yes-but",
    ]


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_waterfalls_are_those_that_were_recorded(name: str) -> None:
    rows = json.loads((CALLS / f"{name}.waterfalls.json").read_text(encoding="utf-8"))
    outcome, _ = replayed(name)
    assert [{"turn": turn} | asdict(waterfall) for turn, waterfall in sorted(outcome.waterfalls.items())] == rows
    assert len(rows) >= len(outcome.said) // 2


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_waterfall_falls(name: str) -> None:
    for waterfall in replayed(name)[0].waterfalls.values():
        made = [waterfall.token_ms, waterfall.clause_ms, waterfall.audio_ms, waterfall.heard_ms]
        ended = [waterfall.stop_ms, waterfall.over_ms, waterfall.heard_ms]
        for steps in (made, ended):
            known = [step for step in steps if step is not None]
            assert known == sorted(known)
        assert waterfall.heard_ms is not None and waterfall.heard_ms > 0


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_word_is_in_the_talk_once_and_in_order(name: str) -> None:
    outcome, _ = replayed(name)
    assert [outcome.said[turn] for turn in sorted(outcome.said)] == spoken(name)


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_talk_ends_as_it_did(name: str) -> None:
    outcome, _ = replayed(name)
    if name == "hang-up":
        assert (outcome.ended, outcome.statuses) == ("the caller hung up", [])
    else:
        assert (outcome.ended, outcome.statuses) == ("approved", ["draft", "approved"])
    assert outcome.bad_messages == 0
    assert outcome.frames * 20 == pytest.approx(outcome.length_ms, abs=400)


def test_a_slow_speaker_s_pauses_cut_no_turn() -> None:
    outcome, _ = replayed("slow-speaker")
    assert len(outcome.said) == 6


def test_nobody_was_answered_in_a_pause_after_an_unfinished_sentence() -> None:
    outcome, _ = replayed("inner-pause")
    assert (outcome.stopped_replies, outcome.pauses) == (0, 0)
    assert len(outcome.said) == 5


def test_a_backchannel_and_a_cough_make_the_bot_pause_at_most() -> None:
    outcome, _ = replayed("backchannel")
    assert outcome.stopped_replies == 0
    assert outcome.pauses == outcome.resumed >= 2


@pytest.mark.parametrize(("name", "turns"), [("barge-in", (0, 3)), ("yes-but", (0, 2))])
def test_what_was_broken_off_is_not_taken_for_heard(name: str, turns: tuple[int, ...]) -> None:
    outcome, _ = replayed(name)
    assert outcome.stopped_replies >= 2
    for turn in turns:
        assert not outcome.heard.get(turn, "").endswith((".", "?", "!"))


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_same_recording_gives_the_same_talk(name: str) -> None:
    again = Replayed()
    assert tuple(replay(read(CALLS / f"{name}.jsonl.gz", None), again)) == replayed(name)[1]


def test_the_command_prints_the_talk(capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMANDS["replay"]([str(CALLS / "hang-up.jsonl.gz")]) == 0
    printed = capsys.readouterr().out
    assert "caller  병원에 갔더니 감기라고 하더라고요" in printed
    assert printed.endswith("3 turns\n")


@pytest.mark.parametrize("name", ["missing.journal", "missing.jsonl.gz", ""])
def test_a_file_that_is_not_there_is_named_and_no_key_is_made(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/diary.db")
    monkeypatch.delenv("DIARY_KEY", raising=False)
    assert COMMANDS["replay"]([str(tmp_path / name)]) == 1
    assert f"{tmp_path / name} is not there" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_journal_is_opened_with_the_key_that_is_there_and_none_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/diary.db")
    monkeypatch.delenv("DIARY_KEY", raising=False)
    key = tmp_path / "diary.db.key"
    journal = Journal.begin(tmp_path, "CA1", "MZ1", Keys.load_or_create(key))
    journal.keep(20, "twilio", "in", "{}")
    journal.close()
    (kept,) = tmp_path.glob("*.journal")
    assert COMMANDS["replay"]([str(kept)]) == 0
    key.rename(tmp_path / "elsewhere")
    assert COMMANDS["replay"]([str(kept)]) == 1
    assert "set DIARY_KEY" in capsys.readouterr().err
    assert not key.exists()


def test_a_file_that_is_no_recording_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(b"not a journal")
    assert COMMANDS["replay"]([str(broken)]) == 1
    assert "broken.jsonl.gz cannot be read" in capsys.readouterr().err
