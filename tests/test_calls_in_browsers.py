"""Whole talks in browsers over real sockets: the bot in a process of its own, the stand-ins, and people at pages.

All talk at once, each in a browser of their own with its rate and its network; each talk must come out as if it were
alone. Then the process is told to go away in the middle of one more, which another process goes on with.
"""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.diary.crypto import Keys, make_secret
from bot.diary.records import TurnRecord
from bot.diary.store import Store
from bot.lab.browser import PRESS_STOP, BrowserLab, BrowserReport, Habits, cookie_of, typed
from bot.lab.script import BargeIn, Drop, HangUp, Murmur, Say, Step, Wait, WaitForBot
from bot.lab.stage import staged, start_bot

WAIT = WaitForBot()
END = (WAIT, Say(("jia-finish",)), WAIT, Say(("jia-right",)))
TALKS: dict[str, tuple[Habits, Sequence[Step]]] = {
    "day": (
        Habits(rate_hz=48_000, jitter_ms=60),
        (WAIT, Say(("jia-morning",)), WAIT, Say(("jia-lunch",)), *END),
    ),
    "barge-in": (
        Habits(rate_hz=44_100),
        (WAIT, Say(("minho-late",)), BargeIn(("minho-stop",), 700), WAIT, Say(("minho-finish",)), WAIT, HangUp()),
    ),
    "murmur": (
        Habits(rate_hz=16_000),
        (WAIT, Say(("jia-morning",)), Murmur(("jia-yes",), 900), WAIT, HangUp()),
    ),
    "lost": (
        Habits(rate_hz=48_000, away_s=1.0),
        (WAIT, Say(("jia-rain",)), WAIT, Drop("reset"), WAIT, Say(("jia-clinic",)), WAIT, Drop("close"), WAIT, *END),
    ),
    "by-hand": (
        Habits(rate_hz=24_000),
        (
            *(WAIT, Say(("jia-talk",)), Wait(1_600), PRESS_STOP, Wait(1_000)),
            *(typed("저녁에는 책을 읽었어요"), WAIT, typed("오늘은 여기까지 할게요"), WAIT, typed("맞아요")),
        ),
    ),
    "whisper": (
        Habits(rate_hz=8_000, use_whisper=True, reports=False),
        (WAIT, Say(("jia-porridge",)), WAIT, HangUp()),
    ),
    "gone": (Habits(), (WAIT, Say(("jia-price",)), WAIT, HangUp("reset"))),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of all the talks."""

    reports: dict[str, BrowserReport]
    turns: dict[str, list[TurnRecord]]
    entries: dict[str, dict[str, Any]]
    models: dict[str, str]
    breaches: list[str]
    last: BrowserReport
    last_said: str
    status: int
    log: list[str]


async def all_talks(folder: Path) -> Outcome:
    secret = make_secret()
    async with staged(folder, settings={"DIARY_KEY": secret}) as stage:
        store = await Store.open(stage.bot.environ["DATABASE_URL"], Keys.parse(secret))
        reports: dict[str, BrowserReport] = {}

        async def talk(index: int, name: str) -> None:
            habits, steps = TALKS[name]
            lab = BrowserLab(stage.bot.url, await cookie_of(store, f"+82103000{index:04d}"), habits)
            await asyncio.sleep(0.15 * index)
            reports[name] = await lab.talk(steps)

        async with asyncio.TaskGroup() as talks:
            for index, name in enumerate(TALKS):
                talks.create_task(talk(index, name))
        entries = {entry["call_sid"]: entry for entry in await stage.bot.entries(at_least=len(TALKS))}
        turns = {name: await store.turns(report.call_sid) for name, report in reports.items()}
        models = {c.parameters["model_name"]: c.parameters.get("language", "") for c in stage.rtzr.report.connections}
        other = await start_bot(stage.bot.environ)
        lab = BrowserLab(stage.bot.url, await cookie_of(store, "+821040000000"))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(other.follow(None))
            talking = tasks.create_task(
                lab.talk((WAIT, Say(("jia-rain",)), WAIT, Say(("jia-clinic",)), WAIT, HangUp()))
            )
            await asyncio.sleep(18)
            lab.url = other.url
            stage.bot.send(signal.SIGTERM)
            last = await talking
            last_said = " ".join(await store.said(last.call_sid))
            status = await stage.bot.stop()
            await other.stop()
        assert stage.openai
        breaches = [*stage.rtzr.breaches, *stage.openai.report.breaches]
        await store.close()
        return Outcome(reports, turns, entries, models, breaches, last, last_said, status, stage.bot.log + other.log)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    yield asyncio.run(all_talks(tmp_path_factory.mktemp("browsers")))


def said(outcome: Outcome, name: str) -> str:
    return " ".join(turn.said for turn in outcome.turns[name] if turn.said)


def heard(outcome: Outcome, name: str) -> str:
    return " ".join(turn.heard for turn in outcome.turns[name] if turn.heard)


@pytest.mark.parametrize("name", TALKS)
def test_every_talk_keeps_to_the_wire(outcome: Outcome, name: str) -> None:
    report = outcome.reports[name]
    assert report.call.breaches == [] and report.errors == [] and outcome.breaches == []
    assert report.call.unanswered_waits == 0
    assert report.close_codes == ([] if name == "gone" else [1000])


@pytest.mark.parametrize("name", TALKS)
def test_what_is_shown_is_what_is_kept(outcome: Outcome, name: str) -> None:
    report = outcome.reports[name]
    passing = ["네"] if name == "murmur" else []
    assert report.said_by("user") == [*filter(None, (turn.said for turn in outcome.turns[name])), *passing]
    if not report.interrupted and name not in ("lost", "gone"):
        assert " ".join(report.said_by("bot")).startswith(heard(outcome, name))


def test_a_day_becomes_an_approved_entry(outcome: Outcome) -> None:
    report = outcome.reports["day"]
    entry = outcome.entries[report.call_sid]
    assert (entry["status"], entry["caller"]) == ("approved", "+821030000000")
    assert "공원" in entry["body"] and "김치찌개" in entry["body"]
    assert report.call.ended_by == "app"
    assert all(turn.voice_to_voice_ms and turn.voice_to_voice_ms > 0 for turn in report.call.turns)
    assert report.sessions[0][1] is False


def test_who_breaks_in_is_heard_and_the_bot_knows_how_far_it_came(outcome: Outcome) -> None:
    report = outcome.reports["barge-in"]
    assert len(report.interrupted) == 1
    broken = next(turn for turn in report.call.turns if turn.silenced_ms is not None)
    assert broken.silenced_ms is not None and broken.silenced_ms < 900
    answer = next(turn for turn in outcome.turns["barge-in"] if turn.turn == 0).heard or ""
    assert answer == report.interrupted[0]
    assert 0 < len(answer) < len(" ".join(report.captions.values()))


def test_a_yes_over_the_bot_only_pauses_it(outcome: Outcome) -> None:
    report = outcome.reports["murmur"]
    assert report.interrupted == [] and report.call.clears == 0
    assert heard(outcome, "murmur") == " ".join(report.said_by("bot"))


def test_a_lost_socket_costs_the_talk_nothing(outcome: Outcome) -> None:
    report = outcome.reports["lost"]
    assert [resumed for _, resumed in report.sessions] == [False, True, True]
    assert len({session for session, _ in report.sessions}) == 1
    assert "우산" in said(outcome, "lost") and "병원" in said(outcome, "lost")
    assert outcome.entries[report.call_sid]["status"] == "approved"
    assert len(report.captions) == len([text for text in report.captions.values() if text])


def test_a_button_stops_the_bot_and_words_can_be_typed(outcome: Outcome) -> None:
    report = outcome.reports["by-hand"]
    assert len(report.interrupted) == 1
    assert said(outcome, "by-hand").endswith("저녁에는 책을 읽었어요 오늘은 여기까지 할게요 맞아요")
    assert outcome.entries[report.call_sid]["status"] == "approved"


def test_whisper_is_asked_for_by_who_wants_it(outcome: Outcome) -> None:
    assert outcome.models == {"sommers_ko": "", "whisper": "ko"}
    assert "전복죽" in said(outcome, "whisper")


def test_a_browser_that_never_comes_back_leaves_an_entry(outcome: Outcome) -> None:
    entry = outcome.entries[outcome.reports["gone"].call_sid]
    assert entry["status"] == "unconfirmed" and "약값" in entry["body"]


def test_a_process_that_goes_away_sends_the_page_to_the_next(outcome: Outcome) -> None:
    assert outcome.last.close_codes == [1012, 1000]
    assert [resumed for _, resumed in outcome.last.sessions] == [False, True]
    assert outcome.last.call.breaches == [] and outcome.last.errors == []
    assert "우산" in outcome.last_said and "병원" in outcome.last_said
    assert outcome.status == 0
    assert not [line for line in outcome.log if "ERROR" in line or "broke down" in line]
