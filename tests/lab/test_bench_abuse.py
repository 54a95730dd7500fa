"""bot/lab/bench_abuse.py: what is concluded from what was seen. The bench itself is run by hand: it takes its time."""

from dataclasses import replace
from typing import Any

import pytest

from bot.lab.bench_abuse import Harm, do_harm, missed, row
from bot.lab.procfs import Used

BEFORE = Used(100.0, 10.0, 180.0)
CALM = Harm(
    "none",
    BEFORE,
    peak_mib=181.0,
    ended=Used(120.0, 13.0, 181.0),
    after=Used(126.0, 14.0, 180.0),
    voice_to_voice_ms=[600] * 20,
    gaps_ms=[20],
)


def faults(**changed: Any) -> list[str]:
    return missed([CALM, replace(CALM, case="pings", **changed)])


def test_a_case_like_the_one_without_harm_misses_nothing() -> None:
    assert faults() == []
    assert faults(later_ms=[50.0] * 20, peak_mib=230.0, gaps_ms=[40]) == []


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"later_ms": [0.0] * 18 + [100.0] * 2}, "pings: answers 100 ms later"),
        ({"gaps_ms": [20, 60]}, "pings: a gap of 60 ms"),
        ({"unanswered": 1}, "pings: 1 turns unanswered"),
        ({"peak_mib": 260.0}, "pings: took 80 MiB"),
        ({"breaches": ["cut off", "cut off"]}, "pings: cut off"),
    ],
    ids=["later", "gap", "unanswered", "memory", "breach"],
)
def test_each_limit_is_one(changed: dict[str, Any], fault: str) -> None:
    assert faults(**changed) == [fault]


async def test_an_abuser_that_breaks_down_is_a_breach() -> None:
    harm = replace(CALM, case="no such case", breaches=[])
    await do_harm(harm, "http://127.0.0.1:1", 0.1)
    assert missed([CALM, harm]) == ["no such case: the abuser ended with 1"]


def test_a_row_tells_all_of_it() -> None:
    told = row(
        replace(CALM, case="pings", peak_mib=190.0, later_ms=[40.0], gaps_ms=[60, 20], told={"closed by the bot": 20})
    )
    assert told.split()[:9] == ["pings", "180", "190", "180", "600", "600", "40", "0", "1"]
    assert "15%" in told  # 3 s of CPU in 20 s
    assert told.endswith("closed by the bot: 20")
