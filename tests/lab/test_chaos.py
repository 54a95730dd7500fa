"""What `make chaos` counts, and how it plans its calls; the calls themselves are made by `make chaos`."""

import asyncio
import json
from pathlib import Path
from random import Random

import pytest

from bot.lab import chaos, chaos_cases, chaos_report
from bot.lab.chaos_batch import Outcome
from bot.lab.chaos_callers import plan, spoken, words
from bot.lab.chaos_cases import CASES, QUICK
from bot.lab.openai import OpenAiLab
from bot.lab.report import CallReport, Turn
from bot.lab.script import HangUp, Say, Tell
from bot.lab.silences import DEFINITION, Silence


def outcome(**found: object) -> Outcome:
    values: dict[str, object] = {
        "case": "kill",
        "call_sid": "CA1",
        "moment_s": 12.0,
        "spoken": 20,
        "found": 20,
        "committed": 8,
        "days": 1,
        "entries": 1,
        "silence": Silence(0, 900, "turn"),
        "ended_by": "caller",
    }
    return Outcome(**(values | found))  # type: ignore[arg-type]


def row(*found: Outcome) -> chaos_report.Row:
    return chaos_report.row_of(CASES[0], found)


# The callers


@pytest.mark.parametrize("index", range(8))
def test_every_caller_tells_four_to_six_things_each_once(index: int) -> None:
    made = plan(index, Random(index))
    assert 4 <= len(made.texts) == len(set(made.texts)) <= 6
    told = [step for step in made.steps if isinstance(step, Tell)]
    voices = {str(part).split("-")[0] for step in told for part in step.parts}
    assert len(voices) == 1


def test_of_four_callers_one_approves_and_the_rest_hang_up() -> None:
    plans = [plan(index, Random(1)) for index in range(8)]
    assert [isinstance(made.steps[-1], Say) for made in plans] == [True, False, False, False] * 2
    assert all(isinstance(made.steps[-1], Say | HangUp) for made in plans)


def test_the_same_seed_makes_the_same_caller() -> None:
    assert plan(3, Random(7)) == plan(3, Random(7))
    assert plan(3, Random(7)) != plan(3, Random(8))


def test_words_are_counted_without_punctuation() -> None:
    assert words(["비가, 왔어요.", "비가 왔어요"]) == {"비가": 2, "왔어요": 2}


def test_only_what_was_said_to_its_end_was_spoken() -> None:
    report = CallReport("CA1", "+8210")
    report.turns = [Turn("하나", 0, 100), Turn("둘", 200), Turn("하나", 300, 400), Turn("맞아요", 500, 600)]
    assert spoken(report, ("하나", "둘", "셋")) == ["하나"]


# The verdict


def test_a_case_in_which_all_was_kept_is_fine() -> None:
    assert row(outcome(), outcome(found=17)).broken == []


@pytest.mark.parametrize(
    ("found", "broken"),
    [
        ({"lost": 2}, "2 committed words lost"),
        ({"entries": 0}, "1 entries of 2 days"),
        ({"days": 0}, "2 entries of 1 days"),
        ({"silence": Silence(0, 6001, "break")}, "silence"),
        ({"ended_by": "failed"}, "1 calls failed"),
    ],
)
def test_one_call_is_enough_to_break_a_limit(found: dict[str, object], broken: str) -> None:
    made = row(outcome(), outcome(**found))
    assert made.broken == [broken]
    assert "BROKEN" in made.line()


@pytest.mark.parametrize(
    ("found", "void"),
    [
        ({"silence": Silence(0, 8100, "break"), "late_ms": 2984}, True),
        ({"silence": Silence(0, 8100, "break"), "late_ms": 2000}, False),
        ({"silence": Silence(0, 8100, "break"), "late_ms": 2984, "lost": 1}, False),
        ({"late_ms": 2984}, False),
    ],
)
def test_a_silence_of_the_labs_own_is_measured_again_and_nothing_else_is(found: dict[str, object], void: bool) -> None:
    assert row(outcome(), outcome(**found)).is_void is void


def test_rows_stand_in_the_order_of_the_cases() -> None:
    rows = chaos_report.rows_of([outcome(case="clock"), outcome(case="kill"), outcome(case="clock")])
    assert [(made.case, made.times) for made in rows] == [("kill", 1), ("clock", 2)]


def test_the_json_holds_no_word_that_was_said(tmp_path: Path) -> None:
    made = outcome(log=["1.0 said 점심에는 민수랑"])
    chaos_report.write_json(tmp_path / "chaos.json", [row(made)], [made], seed=3)
    text = (tmp_path / "chaos.json").read_text("utf-8")
    assert "점심" not in text
    kept = json.loads(text)
    assert (kept["seed"], kept["silence"], kept["cases"][0]["broken"]) == (3, DEFINITION, [])
    assert kept["calls"][0]["silence"] == {"start_ms": 0, "ms": 900, "after": "turn"}


def test_the_table_tells_what_silence_means(capsys: pytest.CaptureFixture[str]) -> None:
    chaos_report.print_table([row(outcome())])
    assert DEFINITION in capsys.readouterr().out


# The plan of the run


def test_every_case_comes_as_often_as_any_other() -> None:
    batches = chaos.batches_of(CASES, 17 * 8, 4)
    assert [case.name for case, _ in batches] == [case.name for case in CASES] * 2
    assert {calls for _, calls in batches} == {4}


def test_the_last_batch_is_as_small_as_it_must_be() -> None:
    assert [calls for _, calls in chaos.batches_of(CASES[:1], 10, 4)] == [4, 4, 2]


def test_names_of_cases_are_unique_and_the_quick_ones_exist() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert set(QUICK) < set(names)


def test_limits_are_three_seconds_six_and_eight() -> None:
    by_limit: dict[int, set[str]] = {}
    for case in CASES:
        by_limit.setdefault(case.limit_ms, set()).add(case.name)
    assert by_limit[6000] == {"kill", "kill-hang-up", "sigterm", "deploy"}
    assert by_limit[8000] == {"silent"}
    assert set(by_limit) == {3000, 6000, 8000}


async def test_a_batch_waits_until_there_is_room_for_all_of_it() -> None:
    slots, order = chaos.Slots(4), []

    async def batch(name: str, calls: int) -> None:
        await slots.take(calls)
        order.append(name)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(batch("first", 3))
        second = tasks.create_task(batch("second", 3))
        await asyncio.sleep(0.01)
        slots.give_back()
        await asyncio.sleep(0.01)
        assert order == ["first"] and not second.done()
        slots.give_back()
    assert order == ["first", "second"]


# The faults


async def test_a_model_that_fails_works_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos_cases, "TROUBLE_S", 0.01)
    lab = OpenAiLab()
    before = str(lab.faults)

    class Scene:
        openai = lab

    for name in ("model-500", "model-hang", "model-cut", "voice-500"):
        [case] = [case for case in CASES if case.name == name]
        running = asyncio.ensure_future(case.fault(Scene(), Random(1)))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert str(lab.faults) != before, name
        await running
        assert str(lab.faults) == before, name


async def test_every_caller_hangs_up_within_the_second_before_the_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos_cases, "HANG_UP_WITHIN_S", 0.05)
    happened: list[object] = []

    class Crew:
        def busiest(self, luck: Random) -> str:
            return "a"

        def kill(self, name: str) -> None:
            happened.append(f"kill {name}")

        async def restart(self, name: str) -> str:
            happened.append(f"restart {name}")
            return "c"

    class Scene:
        fleet = Crew()
        leave = staticmethod(happened.append)

    [case] = [case for case in CASES if case.name == "kill-hang-up"]
    await case.fault(Scene(), Random(1))  # type: ignore[arg-type]
    assert happened == [0.05, "kill a", "restart a"]
