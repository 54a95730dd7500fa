"""Whole calls over real sockets while something outside fails: the caller is answered, and the day is kept.

Each trouble has a stage of its own, with its own stand-ins and its own process of the bot; they run beside each other,
and begin one after the other, so that no webhook has to wait for the start of all of them.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.lab.openai import OpenAiLab
from bot.lab.openai_behaviour import Faults as ModelFaults
from bot.lab.report import CallReport
from bot.lab.rtzr import RtzrLab
from bot.lab.rtzr_behaviour import Close
from bot.lab.rtzr_behaviour import Faults as RecogniserFaults
from bot.lab.script import HangUp, Say, Send, Step, Wait, WaitForBot
from bot.lab.stage import staged
from tests.troubles import outcomes_of

PATIENT_MS = 7_000
"""Quiet that is longer than the bot's in the middle of writing the entry, and shorter than it takes to be asked."""

DAY = ("jia-lunch", "jia-rain", "jia-finish", "jia-right")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong, and what the caller does."""

    recogniser: RecogniserFaults | None = None
    model: ModelFaults | None = None
    steps: Sequence[Step] = tuple(step for name in DAY for step in (WaitForBot(), Say((name,))))


AFTER_THE_TONE = (WaitForBot(quiet_ms=1_500), Wait(2_500), Say(("jia-lunch", 900, "jia-rain")), Wait(1_000), HangUp())

TROUBLES = {
    "no channel": Trouble(RecogniserFaults(handshake_status=429, handshakes=1), steps=AFTER_THE_TONE),
    "no recogniser": Trouble(RecogniserFaults(handshake_status=500, handshakes=99), steps=AFTER_THE_TONE),
    "a stale token": Trouble(RecogniserFaults(stale_tokens=1)),
    "a lost socket": Trouble(RecogniserFaults(closes=[Close(after_ms=15_500, code=1011)])),
    "a socket lost in place of a final": Trouble(RecogniserFaults(lost_finals=1)),
    "no model": Trouble(model=ModelFaults(chat_status=500)),
    "a model that never begins": Trouble(
        model=ModelFaults(never_first_token=True),
        steps=tuple(step for name in DAY for step in (WaitForBot(quiet_ms=PATIENT_MS), Say((name,)))),
    ),
    "no voice": Trouble(model=ModelFaults(speech_status=500)),
    "a voice that breaks off": Trouble(model=ModelFaults(cut_speech_after_bytes=20_000)),
    "a model that invents": Trouble(model=ModelFaults(invents=True)),
    "garbage on the line": Trouble(
        steps=(
            *(Send(garbage) for garbage in ("not json", b"\x00\xff", '{"event":"later"}', '{"event":"media"}', "[]")),
            *(step for name in DAY for step in (WaitForBot(), Wait(100), Send("{"), Say((name,)))),
        )
    ),
}

UNHEARD = ("no channel", "no recogniser")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one trouble."""

    report: CallReport
    entries: list[dict[str, Any]]
    breaches: list[str]
    log: str
    recogniser: Any


async def one(folder: Path, trouble: Trouble, starting: asyncio.Lock) -> Outcome:
    rtzr = RtzrLab(faults=trouble.recogniser) if trouble.recogniser else RtzrLab()
    models = OpenAiLab(faults=trouble.model) if trouble.model else OpenAiLab()
    async with AsyncExitStack() as stack:
        async with starting:
            stage = await stack.enter_async_context(staged(folder, rtzr=rtzr, openai=models))
        report = await stage.twilio.call(list(trouble.steps))
        entries = await stage.bot.entries(at_least=1)
    return Outcome(report, entries, [*report.breaches, *rtzr.breaches], "\n".join(stage.bot.log), rtzr.report)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return asyncio.run(outcomes_of(TROUBLES, one, tmp_path_factory.mktemp("troubles")))


@pytest.mark.parametrize("name", TROUBLES)
def test_nothing_is_breached_and_the_call_comes_to_its_end(outcomes: dict[str, Outcome], name: str) -> None:
    assert outcomes[name].breaches == []
    assert outcomes[name].report.ended_by == ("caller" if name in UNHEARD else "app")
    assert "Traceback" not in outcomes[name].log


@pytest.mark.parametrize("name", [name for name in TROUBLES if name not in UNHEARD])
def test_the_day_is_kept_each_word_once(outcomes: dict[str, Outcome], name: str) -> None:
    [entry] = outcomes[name].entries
    assert entry["status"] == "approved"
    for word in ("김치찌개", "우산"):
        assert entry["body"].count(word) == 1


@pytest.mark.parametrize("name", UNHEARD)
def test_without_a_recogniser_the_day_is_recorded_and_written_down_later(
    outcomes: dict[str, Outcome], name: str
) -> None:
    outcome = outcomes[name]
    [entry] = outcome.entries
    assert entry["status"] == "unconfirmed"
    for word in ("김치찌개", "우산"):
        assert entry["body"].count(word) == 1
    assert outcome.report.greeting_ms is not None
    assert len(outcome.recogniser.refused) == (1 if name == "no channel" else 4)


def test_nothing_invented_is_in_the_entry(outcomes: dict[str, Outcome]) -> None:
    [entry] = outcomes["a model that invents"].entries
    for word in ("김철수", "부장", "37", "41", "스타벅스", "지훈", "지호", "58", "서울역", "9만"):
        assert word not in entry["body"] + entry["title"]


def test_a_socket_that_was_lost_is_opened_again(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["a lost socket"].recogniser.sockets == 2
    assert outcomes["a stale token"].recogniser.sockets == 1


def test_garbage_is_told_in_the_log(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["garbage on the line"].log.count("WARNING bot.call") >= 8
