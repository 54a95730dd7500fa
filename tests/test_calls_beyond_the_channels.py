"""Whole calls over real sockets where the recogniser has one channel: who phones meanwhile is told so, and recorded."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.lab.report import CallReport
from bot.lab.rtzr import RtzrLab
from bot.lab.rtzr_behaviour import Report
from bot.lab.script import HangUp, Say, Wait, WaitForBot
from bot.lab.stage import staged

FIRST, MEANWHILE, AFTERWARDS = "+821012345678", "+821087654321", "+821056781234"
TALK = (WaitForBot(), Say(("jia-talk",)), WaitForBot(), HangUp())
DAY = (Wait(2_000), Say(("jia-lunch", 900, "jia-rain")), Wait(1_000), HangUp())
GREETED = (WaitForBot(), HangUp())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    calls: dict[str, CallReport]
    entries: dict[str, dict[str, Any]]
    log: list[str]
    recogniser: Report
    breaches: list[str]


async def call_and_call_meanwhile(folder: Path) -> Outcome:
    rtzr = RtzrLab()
    async with staged(folder, offline=True, rtzr=rtzr, settings={"RTZR_CHANNELS": "1"}, verb_pace=0.2) as stage:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stage.twilio.call(list(TALK), number=FIRST))
            async with asyncio.timeout(30):
                while not rtzr.report.sockets:
                    await asyncio.sleep(0.05)
            tasks.create_task(stage.twilio.call(list(DAY), number=MEANWHILE))
        await stage.twilio.call(list(GREETED), number=AFTERWARDS)
        entries = {entry["caller"]: entry for entry in await stage.bot.entries(at_least=2)}
        calls = {report.number: report for report in stage.twilio.reports}
        return Outcome(calls, entries, stage.bot.log, rtzr.report, [*stage.twilio.breaches, *rtzr.breaches])


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return asyncio.run(call_and_call_meanwhile(tmp_path_factory.mktemp("channels")))


def test_no_call_is_broken(outcome: Outcome) -> None:
    assert outcome.breaches == []
    assert [report.ended_by for report in outcome.calls.values()] == ["caller"] * 3
    assert not any("Traceback" in line for line in outcome.log)


def test_who_phones_meanwhile_has_no_stream_and_nothing_is_opened_for_it(outcome: Outcome) -> None:
    assert [len(report.stream_sids) for report in outcome.calls.values()] == [1, 0, 1]
    assert (outcome.recogniser.sockets, outcome.recogniser.refused) == (2, [])
    assert sum("no place for it" in line for line in outcome.log) == 1


def test_both_days_are_kept(outcome: Outcome) -> None:
    assert "발표" in outcome.entries[FIRST]["body"]
    recorded = outcome.entries[MEANWHILE]
    assert recorded["status"] == "unconfirmed"
    for word in ("김치찌개", "우산"):
        assert recorded["body"].count(word) == 1
