"""What a call cost, and how long finals take: which final answers which Finalize."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.services.stt_stats import FEWEST_FINALS, LAST_FINALS, FinalPace, SttStats, Unanswered


def pace_of(*answers_ms: float) -> FinalPace:
    pace = FinalPace()
    for answer_ms in answers_ms:
        pace.add(answer_ms)
    return pace


def test_the_line_tells_what_was_saved() -> None:
    stats = SttStats(sockets=2, connect_ms=160, utterances=7, reused=5)
    assert stats.saved_ms == 400
    assert stats.line() == "2 sockets opened, 5 of 7 utterances reused it: 80 ms to connect × 5 = 400 ms saved"
    assert SttStats().saved_ms == 0


def test_few_finals_are_no_measure() -> None:
    assert pace_of(*[100] * (FEWEST_FINALS - 1)).p95_ms is None
    assert pace_of(*[100] * FEWEST_FINALS).p95_ms == 100


def test_the_pace_is_the_95th_percentile() -> None:
    assert pace_of(*range(101)).p95_ms == 95


def test_one_slow_final_of_many_does_not_count() -> None:
    assert pace_of(*[150] * 99, 4000).p95_ms == 150


def test_only_the_last_finals_count() -> None:
    pace = pace_of(*[5000] * LAST_FINALS)
    for _ in range(LAST_FINALS):
        pace.add(100)
    assert pace.p95_ms == 100


@given(st.lists(st.floats(0, 10_000), min_size=FEWEST_FINALS, max_size=300))
def test_the_pace_lies_among_what_was_measured(answers_ms: list[float]) -> None:
    p95_ms = pace_of(*answers_ms).p95_ms
    assert p95_ms is not None
    assert min(answers_ms) - 1 <= p95_ms <= max(answers_ms) + 1


@pytest.mark.parametrize(
    ("told_ms", "news_ms"), [(None, 200), (200, None), (190, None), (220, None), (181, 200), (223, 200)]
)
def test_a_pace_is_news_when_it_has_changed_by_a_tenth(told_ms: int | None, news_ms: int | None) -> None:
    assert pace_of(*[200] * 10).news(told_ms) == news_ms


def test_no_pace_is_no_news() -> None:
    assert FinalPace().news(None) is None
    assert FinalPace().news(200) is None


def test_a_final_answers_the_finalize_behind_it() -> None:
    unanswered = Unanswered(0)
    unanswered.finalized(1200, now_ms=5000)
    assert unanswered.answered(1000, now_ms=5170) == 170
    assert unanswered.answered(1000, now_ms=5300) is None, "it was answered"


def test_two_that_are_under_way_are_answered_in_turn() -> None:
    unanswered = Unanswered(0)
    unanswered.finalized(1200, now_ms=0)
    unanswered.finalized(2200, now_ms=1000)
    assert unanswered.answered(1000, now_ms=1100) == 1100
    assert unanswered.answered(2000, now_ms=1170) == 170


def test_a_finalize_on_silence_lends_its_time_to_no_other() -> None:
    unanswered = Unanswered(0)
    unanswered.finalized(1200, now_ms=0)
    unanswered.finalized(9200, now_ms=8000)
    assert unanswered.answered(9000, now_ms=8170) == 170


def test_a_repeated_finalize_has_no_answer_of_its_own() -> None:
    unanswered = Unanswered(0)
    unanswered.finalized(1200, now_ms=0)
    unanswered.finalized(1300, now_ms=100)
    assert unanswered.answered(1000, now_ms=170) == 170
    unanswered.finalized(5200, now_ms=4000)
    assert unanswered.answered(5000, now_ms=4160) == 160


def test_an_utterance_that_the_recogniser_ended_itself_is_no_answer() -> None:
    unanswered = Unanswered(0)
    assert unanswered.answered(1000, now_ms=10) is None, "nothing was asked"
    unanswered.finalized(4000, now_ms=100)
    assert unanswered.answered(3000, now_ms=110) is None, "0.8 s of silence had ended it before"


def test_an_end_that_is_rounded_up_is_still_the_end() -> None:
    unanswered = Unanswered(0)
    unanswered.finalized(1200, now_ms=0)
    assert unanswered.answered(1210, now_ms=170) == 170


def test_what_waited_for_the_connection_tells_nothing() -> None:
    unanswered = Unanswered(caught_up_ms=1200)
    unanswered.finalized(1200, now_ms=0)
    assert unanswered.answered(1000, now_ms=170) is None
    unanswered.finalized(2200, now_ms=1000)
    assert unanswered.answered(2000, now_ms=1170) == 170
