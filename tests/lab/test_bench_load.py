"""bot/lab/bench_load.py: what is counted, and what fails the bench."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot.lab import bench_load
from bot.lab.bench_load import Load, asked, load, row
from bot.lab.caller import Caller
from bot.lab.load_line import Heard
from bot.lab.load_lines import Lines, Refused, Talked, dialled, scripts
from bot.lab.procfs import Used
from bot.lab.script import Tell
from bot.lab.turn_scripts import VOICES

TWIML = Path(__file__).parents[2] / "twiml"
EMPTY = Used(at_s=0.0, cpu_s=1.0, rss_mib=100.0)


@dataclass
class Answer:
    status: int
    body: str


class FullBot:
    """A wire to a bot that answers everybody with a document of its own."""

    def __init__(self, document: str) -> None:
        self._answer = Answer(200, (TWIML / document).read_text())

    async def request(self, *_: object) -> Answer:
        return self._answer


class Line:
    """A line that hears what it is told to."""

    def __init__(self) -> None:
        self.heard = Heard()
        self.is_over = False


def found() -> Load:
    return Load(2, EMPTY, replace(EMPTY, at_s=5.0), Used(15.0, 1.4, 102.0), 1.0, late_ms=[1.0])


@pytest.mark.parametrize("document", ["full.xml", "hangup.xml"], ids=["recorded", "hung-up"])
async def test_a_call_that_is_not_connected_is_refused(document: str) -> None:
    with pytest.raises(Refused):
        async with dialled(FullBot(document), "+821000000000", Caller([], patience_ms=0)):  # type: ignore[arg-type]
            pass


def test_what_was_taken_is_not_taken_again() -> None:
    line, lines, first, second = Line(), Lines(), Talked(), Talked(breaches=["before"])
    lines.add(line)  # type: ignore[arg-type]
    line.heard.voice_to_voice_ms, line.heard.unanswered = [500], 1
    line.heard.gaps_ms, line.heard.breaches, lines.ticker.late_ms = [20], ["a mark"], [1.0]
    lines.take(first)
    assert first == Talked(voice_to_voice_ms=[500], unanswered=1, gaps_ms=[20], breaches=["a mark"], late_ms=[1.0])
    line.heard.voice_to_voice_ms.append(600)
    line.heard.breaches.append("another")
    lines.take(second)
    assert second == Talked(voice_to_voice_ms=[600], later_ms=[100], breaches=["before", "another"])


def test_a_line_that_is_over_is_told_with_its_close_code() -> None:
    line, lines = Line(), Lines()
    lines.add(line)  # type: ignore[arg-type]
    assert lines.ended == []
    line.is_over, line.heard.close_code = True, 1011
    assert lines.ended == [1011]


def test_cpu_is_told_for_a_second_of_one_call() -> None:
    assert found().cpu_ms == pytest.approx(20.0)


def test_what_is_paid_is_told_for_a_minute_of_one_call() -> None:
    paid = replace(found(), voice_to_voice_ms=[500], chats=2, chat_chars=300, spoken_chars=20)
    assert asked(paid).split(": ")[1] == "3.0 turns, 6.0 chats with 900 characters to read, 60 to speak"


def test_a_gap_of_up_to_two_frames_is_none() -> None:
    smooth = replace(found(), gaps_ms=[20, 40], voice_to_voice_ms=[500])
    assert row(smooth) == row(replace(smooth, gaps_ms=[]))
    assert row(smooth) != row(replace(smooth, gaps_ms=[60]))


@pytest.mark.parametrize(("turns", "told"), [(0, "-"), (19, "-"), (20, "861")])
def test_a_p95_is_told_of_enough_turns(turns: int, told: str) -> None:
    many = replace(found(), voice_to_voice_ms=[500 + 20 * turn for turn in range(turns)])
    assert row(many).split()[3] == told


def test_nobody_says_half_a_sentence() -> None:
    whole = {f"{voice.voice}-{day}" for voice in VOICES for day in voice.days}
    steps = [step for script in scripts(30.0) for step in script]
    assert {part for step in steps if isinstance(step, Tell) for part in step.parts} == whole


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_call_is_measured_from_outside_and_within(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_load, "GREETED_S", 5.0)
    measured = await load(1, 30.0, workers=workers)
    assert (measured.breaches, measured.lost, measured.unanswered) == ([], 0, 0)
    assert measured.voice_to_voice_ms
    assert 0 < measured.empty.rss_mib <= measured.ended.rss_mib
    assert measured.cpu_ms > 0
    assert measured.lag_ms > 0
