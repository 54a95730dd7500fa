"""Who is let in, what waits at the door, and what a talk is told when it begins."""

import logging
from datetime import date
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot import admission as admission_module
from bot.admission import Admission, LetIn, take_up
from bot.conversation.events import Before, CallStarted, TurnBefore
from bot.conversation.habit import PauseHabit
from bot.conversation.snapshot import Snapshot, Stage, encode
from bot.diary.records import Arrival
from bot.diary.store import Store
from bot.errors import StoreError
from bot.protocols.twilio import KeyDown, Started

CALL = "CA" + "1" * 32
START = Started("MZ" + "2" * 32, CALL, "AC" + "3" * 32, {"token": "secret"})
HABIT = PauseHabit(400, 800, 3)


class Diary:
    """A store that knows one token, and what was said before."""

    def __init__(self, token: str = "secret") -> None:
        self.token = token
        self.away = 0
        self.before = [(-1, None), (0, "공원을 걸었어요"), (2, "영화를 봤어요"), (3, None)]
        self.kept: str | None = None

    async def claim_media_token(self, call_sid: str, token: str) -> int:
        self.away -= 1
        if not self.token or self.away >= 0:
            raise StoreError("the database is away")
        return 2 if call_sid == CALL and token == self.token else 0

    async def habit(self, call_sid: str) -> PauseHabit:
        return HABIT

    async def stage(self, call_sid: str) -> str | None:
        return self.kept

    async def turns(self, call_sid: str) -> list[Any]:
        return [SimpleNamespace(turn=turn, said=said, heard=said and "네.") for turn, said in self.before]

    def store(self) -> Store:
        return cast(Store, self)


async def test_a_stream_of_a_call_that_rang_is_let_in() -> None:
    admission = Admission()
    admission.hold(START, "start")
    assert await admission.ask(Diary().store()) == LetIn(START, 2)


async def test_a_store_that_fails_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_module, "CLAIM_PAUSES_S", (0.001, 0.001))
    admission, diary = Admission(), Diary()
    admission.hold(START, "start")
    diary.away = 2
    assert await admission.ask(diary.store()) == LetIn(START, 2)


@pytest.mark.parametrize(
    ("token", "level"), [("another", logging.WARNING), ("", logging.ERROR)], ids=["unknown token", "no database"]
)
async def test_whoever_is_refused_is_told_of_in_the_log_without_the_token(
    token: str, level: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission_module, "CLAIM_PAUSES_S", (0.001,))
    admission = Admission()
    admission.hold(START, "start")
    assert await admission.ask(Diary(token).store()) is None
    assert [record.levelno for record in caplog.records] == [level]
    assert "secret" not in caplog.text


async def test_a_socket_without_a_start_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_module, "START_S", 0.01)
    assert await Admission().ask(Diary().store()) is None
    monkeypatch.setattr(admission_module, "START_S", 60.0)
    gone = Admission()
    gone.give_up()
    assert await gone.ask(Diary().store()) is None


def test_what_comes_too_early_is_handed_over_in_order_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_module, "EARLY_MESSAGES", 3)
    admission = Admission()
    for digit in "12345":
        admission.hold(KeyDown(digit), digit)
    assert not admission.is_over
    assert [message for _, message in admission.open()] == ["3", "4", "5"]
    assert admission.is_over


async def test_a_call_that_begins_knows_the_habit_of_its_caller_alone() -> None:
    diary = Diary()
    diary.before.clear()
    started = await take_up(diary.store(), CALL, Arrival(first_time=True, day=date(2026, 11, 21), stream=1))
    assert started == CallStarted(True, habit=HABIT)


async def test_a_call_that_goes_on_knows_the_talk_so_far_and_where_it_was() -> None:
    diary, snapshot = Diary(), Snapshot(stage=Stage.APPROVAL, draft=1)
    diary.kept = encode(snapshot)
    started = await take_up(diary.store(), CALL, Arrival(first_time=False, day=date(2026, 11, 21), stream=2))
    turns = (
        TurnBefore(-1, None, None),
        TurnBefore(0, "공원을 걸었어요", "네."),
        TurnBefore(2, "영화를 봤어요", "네."),
        TurnBefore(3, None, None),
    )
    assert started == CallStarted(False, habit=HABIT, before=Before(turns, 4, snapshot))


@pytest.mark.parametrize("kept", [None, "of another release"])
async def test_without_a_stage_that_can_be_read_the_turns_alone_are_known(kept: str | None) -> None:
    diary = Diary()
    diary.kept = kept
    started = await take_up(diary.store(), CALL, Arrival(first_time=False, day=date(2026, 11, 21), stream=2))
    assert started.before is not None
    assert started.before.snapshot is None
    assert [turn.said for turn in started.before.turns if turn.said] == ["공원을 걸었어요", "영화를 봤어요"]
