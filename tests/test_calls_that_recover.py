"""Whole calls over real sockets while the model or the voice is away for a time: no long silence, and back again.

Each trouble has its own stage; the calls run beside each other, for as long as a service rests and a little more. A
caller who speaks again before the answer has come leaves a turn without one, so no long silence can hide.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bot.audio.frames import FRAME_MS, MULAW_FRAME_BYTES
from bot.lab.level import is_audible
from bot.lab.openai import OpenAiLab
from bot.lab.openai_behaviour import Faults
from bot.lab.report import CallReport
from bot.lab.rtzr import RtzrLab
from bot.lab.script import BargeIn, HangUp, Say, Step, WaitForBot
from bot.lab.stage import Stage, staged
from tests.troubles import outcomes_of

LONGEST_SILENCE_MS = 3_000
PATIENT_MS = 3_200
"""Quiet after which a caller goes on who knows that an answer may be late."""
IN_TIME_MS = 2_000
WRITTEN_WITHIN_S = 15


def talk(*names: str, quiet_ms: int) -> tuple[Step, ...]:
    """Say these one after the other, each when the bot has been quiet for so long."""
    return tuple(step for name in names for step in (WaitForBot(quiet_ms=quiet_ms), Say((name,))))


OVER_THE_GREETING = BargeIn(("jia-lunch",))
THEN_HANG_UP = (WaitForBot(), HangUp())
SHORT_TALK = (OVER_THE_GREETING, *talk("jia-rain", "jia-talk", quiet_ms=PATIENT_MS), *THEN_HANG_UP)
LONG_TALK = (
    OVER_THE_GREETING,
    BargeIn(("jia-rain",)),
    *talk("jia-talk", "jia-morning", "jia-clinic", quiet_ms=IN_TIME_MS),
    *THEN_HANG_UP,
)
"""It lasts until after the rest of a model that failed in its first two turns."""
MIDDLING_TALK = (OVER_THE_GREETING, *talk("jia-rain", "jia-talk", "jia-morning", quiet_ms=IN_TIME_MS), *THEN_HANG_UP)
"""The same of a voice that failed before the call."""
SAID = {
    "jia-lunch": "김치찌개",
    "jia-rain": "우산",
    "jia-talk": "발표",
    "jia-morning": "공원",
    "jia-clinic": "병원",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong in a call, and when it ends: `meanwhile` runs beside it."""

    steps: Sequence[Step]
    faults: Faults = field(default_factory=Faults)
    meanwhile: Callable[[Stage, OpenAiLab], Awaitable[None]] | None = None
    is_away: bool = False
    """There is no server at all; `meanwhile` may open it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    report: CallReport
    entries: list[dict[str, Any]]
    breaches: list[str]
    log: str
    models: OpenAiLab


async def logged(stage: Stage, words: str) -> None:
    """Wait until the bot has logged a line with these words."""
    async with asyncio.timeout(60):
        while not any(words in line for line in stage.bot.log):
            await asyncio.sleep(0.1)


async def back_once_both_rest(stage: Stage, models: OpenAiLab) -> None:
    """Open the server when the bot has given it up, and keep it open until the call is over."""
    await asyncio.gather(logged(stage, "the model rests"), logged(stage, "the voice rests"))
    async with models:
        await asyncio.Event().wait()


async def healed_once_the_voice_rests(stage: Stage, models: OpenAiLab) -> None:
    await logged(stage, "the voice rests")
    models.faults.speech_status = None


TROUBLES = {
    "nothing answers, and later everything does": Trouble(LONG_TALK, meanwhile=back_once_both_rest, is_away=True),
    "the voice is broken, and later whole": Trouble(
        MIDDLING_TALK, Faults(speech_status=500), meanwhile=healed_once_the_voice_rests
    ),
    "the model hangs": Trouble(SHORT_TALK, Faults(never_first_token=True)),
    "the model is cut in the middle": Trouble(SHORT_TALK, Faults(cut_after_tokens=3)),
}
RECOVERING = [name for name, trouble in TROUBLES.items() if trouble.meanwhile]


def said_in(trouble: Trouble) -> list[str]:
    return [str(part) for step in trouble.steps if isinstance(step, BargeIn | Say) for part in step.parts]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


async def written(stage: Stage) -> list[dict[str, Any]]:
    """Give the entries as soon as there is one, and some time for one too many."""
    async with asyncio.timeout(WRITTEN_WITHIN_S):
        while not await stage.bot.entries():
            await asyncio.sleep(0.5)
    await asyncio.sleep(1)
    return await stage.bot.entries()


async def one(folder: Path, trouble: Trouble, starting: asyncio.Lock) -> Outcome:
    rtzr, models, settings = RtzrLab(), OpenAiLab(faults=trouble.faults), {}
    if trouble.is_away:
        models = OpenAiLab(port=free_port())
        settings = {"OPENAI_BASE_URL": models.url, "OPENAI_API_KEY": models.key, "OPENAI_MODEL": "lab", "TTS": "openai"}
    async with AsyncExitStack() as stack:
        async with starting:
            stage = await stack.enter_async_context(
                staged(
                    folder,
                    rtzr=rtzr,
                    offline=trouble.is_away,
                    openai=None if trouble.is_away else models,
                    settings=settings,
                )
            )
        async with asyncio.TaskGroup() as tasks:
            beside = tasks.create_task(trouble.meanwhile(stage, models)) if trouble.meanwhile else None
            report = await stage.twilio.call(list(trouble.steps))
            entries = await written(stage)
            if beside:
                beside.cancel()
        breaches = [*stage.twilio.breaches, *rtzr.breaches, *models.report.breaches]
    return Outcome(report, entries, breaches, "\n".join(stage.bot.log), models)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Outcome]:
    return asyncio.run(outcomes_of(TROUBLES, one, tmp_path_factory.mktemp("recoveries")))


def silences_ms(report: CallReport) -> list[int]:
    """The longest silence after each turn until the bot's last sound before the next; a filler is a sound."""
    begins_ms = [turn.said_start_ms for turn in report.turns[1:]]
    found = []
    for turn, until_ms in zip(report.turns, [*begins_ms, report.recording.length_ms], strict=True):
        assert turn.said_end_ms is not None
        last_ms, longest_ms = turn.said_end_ms, 0
        for at_ms in range(turn.said_end_ms // FRAME_MS * FRAME_MS, until_ms, FRAME_MS):
            begin = at_ms // FRAME_MS * MULAW_FRAME_BYTES
            if is_audible(bytes(report.recording.bot[begin : begin + MULAW_FRAME_BYTES])):
                longest_ms = max(longest_ms, at_ms - last_ms)
                last_ms = at_ms + FRAME_MS
        found.append(longest_ms)
    return found


@pytest.mark.parametrize("name", TROUBLES)
def test_every_turn_is_answered_and_no_silence_is_long(outcomes: Mapping[str, Outcome], name: str) -> None:
    report = outcomes[name].report
    assert len(report.turns) == len(said_in(TROUBLES[name]))
    assert [turn.said_text for turn in report.turns if turn.voice_to_voice_ms is None] == []
    assert max(silences_ms(report)) <= LONGEST_SILENCE_MS, silences_ms(report)
    assert report.unanswered_waits == 0


@pytest.mark.parametrize("name", TROUBLES)
def test_the_day_is_kept_in_one_entry_each_word_once(outcomes: Mapping[str, Outcome], name: str) -> None:
    [entry] = outcomes[name].entries
    assert entry["status"] == "unconfirmed"
    for utterance in said_in(TROUBLES[name]):
        assert entry["body"].count(SAID[utterance]) == 1


@pytest.mark.parametrize("name", TROUBLES)
def test_nothing_is_breached_and_nothing_breaks(outcomes: Mapping[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    assert outcome.breaches == []
    assert outcome.report.ended_by == "caller"
    assert "Traceback" not in outcome.log and "broke down" not in outcome.log


@pytest.mark.parametrize("name", RECOVERING)
def test_what_works_again_is_used_again_in_the_same_call(outcomes: Mapping[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    services = ("model", "voice") if TROUBLES[name].is_away else ("voice",)
    for service in services:
        # A trial that came too early lets it rest once more.
        rests, works_again = (outcome.log.count(f"the {service} {what}") for what in ("rests", "works again"))
        assert rests >= works_again >= 1
    if "model" in services:
        assert any(chat.is_done or chat.completion_tokens for chat in outcome.models.report.replies)
    assert "POST /v1/audio/speech" in outcome.models.report.requests


@pytest.mark.parametrize("name", ["the model is cut in the middle", "the model hangs"])
def test_a_model_that_stays_away_is_asked_twice_and_then_let_be(outcomes: Mapping[str, Outcome], name: str) -> None:
    assert outcomes[name].log.count("the model failed") == 2
    assert outcomes[name].log.count("the model rests") == 1


def test_nothing_that_was_said_is_in_a_log(outcomes: Mapping[str, Outcome]) -> None:
    for outcome in outcomes.values():
        for word in SAID.values():
            assert word not in outcome.log
