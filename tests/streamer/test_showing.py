"""bot/streamer/showing.py: what is printed."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.protocols.jobs import Failure, TranscriptSegment
from bot.streamer.client import Outcome
from bot.streamer.showing import Json, People, bar, clock

SEGMENT = TranscriptSegment(0, "비가 와요", 1.5, 30.0)
OUTCOME = Outcome("the-job", "completed", True, "요약", 60.0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def played(out: io.StringIO, *, counts_sent: bool) -> str:
    shown = People(out, 60_000, counts_sent=counts_sent)
    shown.created("the-job")
    shown.sent(45_000)
    shown.segment(SEGMENT)
    shown.failure(Failure("IDLE", "no audio"))
    shown.waiting()
    shown.ended(OUTCOME)
    return out.getvalue()


def test_what_is_no_terminal_gets_plain_lines() -> None:
    printed = played(io.StringIO(), counts_sent=True)
    lines = printed.splitlines()
    assert lines[:3] == ["job the-job, 01:00.0 of sound", "00:01.5  비가 와요", "! no audio (IDLE)"]
    assert lines[-1] == "요약" and lines[-3].startswith("completed; 01:00.0 of sound, ")
    assert "\x1b" not in printed and "\r" not in printed


@pytest.mark.parametrize(("counts_sent", "share"), [(True, "75%"), (False, "50%")])
def test_a_terminal_has_a_bar_of_what_was_heard_and_it_goes_away(counts_sent: bool, share: str) -> None:
    printed = played(Terminal(), counts_sent=counts_sent)
    assert f" {share}" in printed and " all sent" in printed
    on_the_screen = printed.split("\r\x1b[K")
    assert "00:01.5  비가 와요\n" in on_the_screen
    assert "#" not in on_the_screen[-1]


@given(st.integers(0, 10**8), st.integers(1, 10**8), st.integers(40, 100), st.booleans())
def test_the_bar_fits_and_is_full_only_at_the_end(at_ms: int, duration_ms: int, columns: int, waits: bool) -> None:
    drawn = bar(at_ms, duration_ms, columns, waits=waits)
    assert len(drawn) == columns
    room = drawn.index("]") - 1
    assert (drawn.count("#") == room) == (at_ms >= duration_ms)


@pytest.mark.parametrize(
    ("ms", "told"), [(0, "00:00.0"), (83_456, "01:23.4"), (3_599_999, "59:59.9"), (3_723_400, "1:02:03.4")]
)
def test_a_time_is_told(ms: int, told: str) -> None:
    assert clock(ms) == told


def test_what_a_server_says_does_not_steer_the_terminal() -> None:
    out = io.StringIO()
    people = People(out, 1000, counts_sent=True)
    people.segment(TranscriptSegment(0, "a\x1b[2Jb\nc", 0.0, 1.0))
    assert out.getvalue() == "00:00.0  a [2Jb c\n"
    people.ended(Outcome("the-job", "failed", False, "d\x1b[2Je", 1.0, "f\x9b2Jg"))
    assert "\x1b" not in out.getvalue() and "\x9b" not in out.getvalue()
    assert out.getvalue().endswith("\nd [2Je\n")


def test_json_is_one_object_a_line() -> None:
    out = io.StringIO()
    shown = Json(out)
    shown.created("the-job")
    shown.sent(1)
    shown.segment(SEGMENT)
    shown.waiting()
    shown.failure(Failure("IDLE", "no audio"))
    shown.ended(OUTCOME)
    messages = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [message["type"] for message in messages] == ["created", "transcript_segment", "error", "ended"]
    assert (messages[1]["text"], messages[1]["end_time"]) == ("비가 와요", 30.0)
    assert (messages[3]["state"], messages[3]["is_whole"], messages[3]["duration"]) == ("completed", True, 60.0)
