"""The waits at the end of a turn, and what a caller's pauses do to them."""

from itertools import cycle, islice

import pytest

from bot.conversation.endpointing import (
    FIRST_FINAL_WAIT_MS,
    MOST_AFTER_FINAL_MS,
    MOST_AFTER_OTHER_MS,
    PREPARE_MS,
    final_wait_ms,
    learn,
    prepare_at_ms,
    turn_wait_ms,
)
from bot.conversation.habit import UNKNOWN, PauseHabit

FINAL, BARE, CONNECTIVE, PARTICLE, FILLER = "비가 왔어요", "우리 동네", "비가 왔는데", "비가", "비가 음"
OTHER = (BARE, CONNECTIVE, PARTICLE, FILLER)


def after(text: str, *pauses_ms: int, habit: PauseHabit = UNKNOWN) -> PauseHabit:
    for pause_ms in pauses_ms:
        habit = learn(habit, text, pause_ms)
    return habit


def test_a_complete_sentence_is_answered_soonest_and_an_open_one_last() -> None:
    assert turn_wait_ms(FINAL, UNKNOWN) == 400
    assert turn_wait_ms(BARE, UNKNOWN) == 800
    assert [turn_wait_ms(text, UNKNOWN) for text in (CONNECTIVE, PARTICLE, FILLER)] == [1_200] * 3


@pytest.mark.parametrize("text", ["", " ", "…"])
def test_a_turn_without_words_waits_for_them_whatever_the_habit(text: str) -> None:
    assert turn_wait_ms(text, UNKNOWN) == FIRST_FINAL_WAIT_MS
    assert turn_wait_ms(text, PauseHabit(900, 1_900, 9)) == FIRST_FINAL_WAIT_MS


@pytest.mark.parametrize("text", ["네", "아니요", "맞아요", "그러게", "그만", "다시", "여기까지", "이건 적지 마"])
def test_a_whole_answer_or_command_is_complete(text: str) -> None:
    assert turn_wait_ms(text, UNKNOWN) == turn_wait_ms(FINAL, UNKNOWN)
    assert prepare_at_ms(text, UNKNOWN) == 0


@pytest.mark.parametrize("text", ["어", "음", "아니 그게", "이건 적지 마 그리고", "커피", "집에서"])
def test_what_only_begins_like_an_answer_is_not(text: str) -> None:
    assert turn_wait_ms(text, UNKNOWN) > turn_wait_ms(FINAL, UNKNOWN)


def test_a_slow_speaker_is_waited_for_after_a_few_pauses() -> None:
    pauses_ms = list(islice(cycle([1_300, 1_000, 1_500, 1_200, 1_400]), 40))
    habit, cut_off = UNKNOWN, []
    for pause_ms in pauses_ms:
        cut_off.append(pause_ms >= turn_wait_ms(CONNECTIVE, habit))
        habit = learn(habit, CONNECTIVE, pause_ms)
    assert sum(cut_off) <= 2
    assert not any(cut_off[3:])


def test_long_pauses_count_though_most_are_short() -> None:
    habit = after(CONNECTIVE, *islice(cycle([600, 600, 600, 600, 1_500]), 60))
    assert turn_wait_ms(CONNECTIVE, habit) > 1_500


@pytest.mark.parametrize("text", [FINAL, *OTHER])
def test_a_fast_speaker_keeps_the_shortest_waits(text: str) -> None:
    habit = after(text, *islice(cycle([250, 300, 380]), 50))
    assert turn_wait_ms(text, habit) == turn_wait_ms(text, UNKNOWN)


def test_one_outlier_costs_little_and_is_forgotten() -> None:
    once = after(FINAL, 2_900)
    assert turn_wait_ms(FINAL, once) <= turn_wait_ms(FINAL, UNKNOWN) + 500
    assert turn_wait_ms(FINAL, after(FINAL, *[300] * 40, habit=once)) == turn_wait_ms(FINAL, UNKNOWN)


@pytest.mark.parametrize("pause_ms", [3_001, 20_000, 0, -5])
def test_what_is_no_pause_is_not_learned(pause_ms: int) -> None:
    known = PauseHabit(500, 1_200, 4)
    assert learn(known, CONNECTIVE, pause_ms) == known


def test_a_silence_before_any_word_is_not_learned() -> None:
    assert learn(UNKNOWN, "", 900) == UNKNOWN


def test_the_two_kinds_of_pauses_are_known_apart() -> None:
    habit = after(CONNECTIVE, 1_500, 1_500, 1_500)
    assert turn_wait_ms(FINAL, habit) == turn_wait_ms(FINAL, UNKNOWN)
    assert all(turn_wait_ms(text, habit) > 1_500 for text in OTHER)
    habit = after(FINAL, 700, 700)
    assert turn_wait_ms(FINAL, habit) > 700
    assert all(turn_wait_ms(text, habit) == turn_wait_ms(text, UNKNOWN) for text in OTHER)


@pytest.mark.parametrize(
    ("text", "most_ms"), [(FINAL, MOST_AFTER_FINAL_MS), *((t, MOST_AFTER_OTHER_MS) for t in OTHER)]
)
def test_no_habit_kills_the_talk(text: str, most_ms: int) -> None:
    assert turn_wait_ms(text, after(text, *[2_900] * 30)) == most_ms
    assert turn_wait_ms(text, PauseHabit(60_000, 60_000, 1_000)) == most_ms


def test_a_habit_of_an_earlier_call_counts_from_the_first_turn() -> None:
    earlier = after(CONNECTIVE, 1_500, 1_500, 1_500)
    kept = PauseHabit(earlier.after_final_ms, earlier.after_other_ms, earlier.seen)
    assert kept.seen == 3
    assert turn_wait_ms(CONNECTIVE, kept) > 1_500


def test_a_reply_is_begun_at_once_or_in_time() -> None:
    slow = after(CONNECTIVE, 1_500, 1_500, 1_500)
    assert prepare_at_ms(FINAL, UNKNOWN) == prepare_at_ms(FINAL, after(FINAL, 900, 900)) == 0
    for habit in (UNKNOWN, slow):
        assert prepare_at_ms(CONNECTIVE, habit) == turn_wait_ms(CONNECTIVE, habit) - PREPARE_MS
    assert 200 < prepare_at_ms(BARE, UNKNOWN) < turn_wait_ms(BARE, UNKNOWN)


@pytest.mark.parametrize("p95_ms", [None, 150, 400, 700])
def test_a_final_is_waited_for_as_long_as_one_may_be_expected(p95_ms: int | None) -> None:
    open_interim = final_wait_ms(interim_open=True, final_since_voice=False, p95_ms=p95_ms)
    no_text = final_wait_ms(interim_open=False, final_since_voice=False, p95_ms=p95_ms)
    already_there = final_wait_ms(interim_open=False, final_since_voice=True, p95_ms=p95_ms)
    assert open_interim > no_text >= already_there
    assert 250 <= already_there <= 300


def test_the_wait_for_a_final_follows_what_was_measured_within_bounds() -> None:
    def wait_ms(p95_ms: int) -> int:
        return final_wait_ms(interim_open=True, final_since_voice=False, p95_ms=p95_ms)

    assert (wait_ms(200), wait_ms(400)) == (400, 700)
    assert (wait_ms(1), wait_ms(30_000)) == (250, 1_500)
