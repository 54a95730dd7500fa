"""Whole calls over real sockets: the bot in a process of its own, the stand-ins, and recorded callers, many at once.

Every script of fixtures/calls is phoned, with the diary in SQLite and again in PostgreSQL, and beside them ten callers
who each tell of something else; each call must come out as if it were alone. The short scripts begin when the ten are
through: a stand-in that serves too many at once is late, and a late caller hears gaps that are not the bot's. Latencies
are not asserted here: they belong to `python -m bot bench turns`.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.diary.crypto import make_secret
from bot.lab import turn_figures
from bot.lab.report import CallReport
from bot.lab.script import Say, Step, WaitForBot, script_names
from bot.lab.stage import Stage, staged
from bot.lab.twilio import new_call_sid

FIXTURES = Path(__file__).parents[1] / "fixtures"
SCRIPTS = script_names()
LONG = ("plain-day", "barge-in", "slow-speaker", "yes-but", "correction")
APART_S = 0.15
"""Between the beginnings of two calls."""
# A word of each thing that the ten tell of, which none of the others says.
WORDS = {
    "jia-morning": "공원",
    "jia-lunch": "김치찌개",
    "jia-talk": "발표",
    "jia-praise": "칭찬",
    "jia-rain": "우산",
    "jia-clinic": "병원",
    "jia-porridge": "전복죽",
    "jia-price": "약값",
    "minho-late": "늦잠",
    "minho-subway": "지하철",
    "minho-coffee": "커피",
    "minho-baseball": "잠실",
    "minho-cat": "고양이",
    "minho-moving": "대전",
    "sunja-strawberries": "딸기",
    "sunja-garden": "텃밭",
    "sunja-walk": "동네",
    "sunja-letter": "편지",
    "sunja-busan": "부산",
    "sunja-grateful": "고마운",
}
# Ten callers: two things of the day each, then the end of it and the approval, in the caller's own voice.
TEN = (
    ("jia-morning", "jia-lunch"),
    ("jia-talk", "jia-praise"),
    ("jia-rain", "jia-clinic"),
    ("jia-porridge", "jia-price"),
    ("minho-late", "minho-subway"),
    ("minho-coffee", "minho-baseball"),
    ("minho-cat", "minho-moving"),
    ("sunja-strawberries", "sunja-garden"),
    ("sunja-walk", "sunja-letter"),
    ("sunja-busan", "sunja-grateful"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of all the calls."""

    reports: dict[str, CallReport]
    entries: dict[str, dict[str, Any]]
    ten: dict[tuple[str, str], str]
    ten_sids: dict[tuple[str, str], str]
    breaches: list[str]
    log: list[str]
    recogniser: Any
    authentications: int


def short_day(day: tuple[str, str]) -> list[Step]:
    voice = day[0].split("-")[0]
    return [step for name in (*day, f"{voice}-finish", f"{voice}-right") for step in (WaitForBot(), Say((name,)))]


async def phone(stage: Stage) -> tuple[dict[str, CallReport], dict[tuple[str, str], str]]:
    """Make all calls, a little out of step."""
    reports: dict[str, CallReport] = {}
    ten = {day: new_call_sid() for day in TEN}
    ten_are_through = asyncio.Event()

    async def script(index: int, name: str) -> None:
        if name not in LONG:
            await ten_are_through.wait()
        await asyncio.sleep(APART_S * 2 * index)
        reports[name] = await stage.twilio.call(name, number=f"+82101000{index:04d}")

    async def short(index: int, day: tuple[str, str]) -> None:
        await asyncio.sleep(APART_S * (2 * index + 1))
        number = "anonymous" if index == 0 else f"+82102000{index:04d}"
        await stage.twilio.call(short_day(day), call_sid=ten[day], number=number)

    async with asyncio.TaskGroup() as calls:
        for index, name in enumerate(SCRIPTS):
            calls.create_task(script(index, name))
        async with asyncio.TaskGroup() as at_once:
            for index, day in enumerate(TEN):
                at_once.create_task(short(index, day))
        ten_are_through.set()
    return reports, ten


async def all_calls(folder: Path, database_url: str) -> Outcome:
    async with staged(folder, settings={"DATABASE_URL": database_url, "DIARY_KEY": make_secret()}) as stage:
        reports, ten = await phone(stage)
        kept = await stage.bot.entries(at_least=len(stage.twilio.reports))
        entries = {entry["call_sid"]: entry for entry in kept}
        models = stage.openai.report.breaches if stage.openai else []
        outcome = Outcome(
            reports,
            entries,
            {day: entries[call_sid]["body"] for day, call_sid in ten.items() if call_sid in entries},
            ten,
            [*stage.twilio.breaches, *stage.rtzr.breaches, *models],
            stage.bot.log,
            stage.rtzr.report,
            stage.rtzr.report.authentications,
        )
    return outcome


@pytest.fixture(scope="module")
def outcome(
    tmp_path_factory: pytest.TempPathFactory, database_kind: str, make_database: Callable[..., str]
) -> Iterator[Outcome]:
    yield asyncio.run(all_calls(tmp_path_factory.mktemp("calls"), make_database(database_kind)))


def entry_of(outcome: Outcome, name: str) -> dict[str, Any]:
    return outcome.entries[outcome.reports[name].call_sid]


def test_no_protocol_was_breached(outcome: Outcome) -> None:
    assert outcome.breaches == []


def test_every_turn_of_every_script_was_answered(outcome: Outcome) -> None:
    unanswered = {
        name: [turn.said_text for turn in report.turns if turn.voice_to_voice_ms is None]
        for name, report in outcome.reports.items()
        if name != "hang-up"
    }
    assert not any(unanswered.values()), unanswered


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name not in ("discard", "hang-up")])
def test_a_day_that_was_approved_is_kept_and_the_bot_hangs_up(outcome: Outcome, name: str) -> None:
    assert outcome.reports[name].ended_by == "app"
    assert entry_of(outcome, name)["status"] == "approved"


def test_a_plain_day_holds_what_was_said_and_nothing_else(outcome: Outcome) -> None:
    body = entry_of(outcome, "plain-day")["body"]
    for word in ("공원", "민수", "김치찌개", "발표", "팀장님", "엄마", "30분"):
        assert word in body
    assert "여기까지" not in body and "맞아요" not in body


def test_a_correction_is_in_the_entry(outcome: Outcome) -> None:
    body = entry_of(outcome, "correction")["body"]
    assert "지훈" in body and "민수" not in body


def test_a_discarded_day_has_no_text(outcome: Outcome) -> None:
    entry = entry_of(outcome, "discard")
    assert (entry["status"], entry["title"], entry["body"]) == ("discarded", None, None)


def test_hanging_up_in_the_middle_keeps_the_day_unconfirmed(outcome: Outcome) -> None:
    entry = entry_of(outcome, "hang-up")
    assert entry["status"] == "unconfirmed"
    assert "우산" in entry["body"] and "전복죽" in entry["body"]


@pytest.mark.parametrize("name", ["barge-in", "yes-but"])
def test_speaking_stops_the_bot(outcome: Outcome, name: str) -> None:
    report = outcome.reports[name]
    cut_in = [turn for turn in report.turns if turn.silenced_ms is not None]
    assert report.clears >= len(cut_in) >= 2
    assert not any(turn_figures.was_ignored(report, turn) for turn in cut_in)


def test_a_listeners_words_and_a_cough_stop_no_reply(outcome: Outcome) -> None:
    report = outcome.reports["backchannel"]
    over_bot = [turn_figures.outcome(report, each) for each in report.disturbances if each.over_bot]
    assert len(over_bot) >= 2
    assert not any(each.killed or each.resumed_ms is None for each in over_bot)
    assert "그렇죠" not in entry_of(outcome, "backchannel")["body"]


def test_a_pause_in_the_middle_of_a_sentence_is_no_end_of_a_turn(outcome: Outcome) -> None:
    report = outcome.reports["inner-pause"]
    assert sum(turn.pauses for turn in report.turns) == 5
    assert not any(turn.cut_off_at for turn in report.turns)
    body = entry_of(outcome, "inner-pause")["body"]
    for word in ("병원", "알레르기", "회의", "점심", "기타", "학원"):
        assert word in body


def test_a_slow_speaker_loses_no_word(outcome: Outcome) -> None:
    body = entry_of(outcome, "slow-speaker")["body"]
    for word in ("친구", "부산", "시장", "딸기", "손녀", "눈물", "무릎", "고마운"):
        assert word in body


def test_a_lost_socket_is_taken_up_again(outcome: Outcome) -> None:
    report = outcome.reports["lost-socket"]
    assert len(report.stream_sids) == 2
    body = entry_of(outcome, "lost-socket")["body"]
    assert "대전" in body and "자격증" in body


@pytest.mark.parametrize("day", TEN)
def test_ten_calls_at_once_do_not_mix(outcome: Outcome, day: tuple[str, str]) -> None:
    found = {name for name, word in WORDS.items() if word in outcome.ten[day]}
    assert found == set(day)


def test_an_anonymous_caller_has_a_diary_for_that_call_alone(outcome: Outcome) -> None:
    callers = [outcome.entries[outcome.ten_sids[day]]["caller"] for day in TEN]
    assert callers[0] is None and all(callers[1:])


def test_each_call_had_one_socket_and_one_eos_and_the_process_one_token(outcome: Outcome) -> None:
    calls = len(SCRIPTS) + len(TEN) + 1  # the lost socket begins a second stream
    assert outcome.recogniser.sockets == calls
    assert outcome.recogniser.eos == calls
    assert outcome.authentications == 1


def test_the_log_tells_nothing_of_what_was_said(outcome: Outcome) -> None:
    log = "\n".join(outcome.log)
    assert log.count("ended after") == len(SCRIPTS) + len(TEN) + 1
    for word in WORDS.values():
        assert word not in log
    assert "82101000" not in log and "82102000" not in log
