"""What counts as a silence at the caller's ear, and what does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.lab.silences import NO_SILENCE, Silence, Sounds, longest, silences


def call(*what: tuple[str, int] | tuple[str, int, int]) -> Sounds:
    """A call answered at 0, from ("bot", from, to), ("caller", from, to), ("done", at), ("broke", at), ("end", at)."""
    sounds = Sounds()
    sounds.answered(0)
    for kind, at_ms, *rest in what:
        match kind:
            case "bot":
                sounds.bot(at_ms, rest[0] - at_ms)
            case "caller":
                sounds.caller(at_ms, rest[0] - at_ms)
            case "done":
                sounds.turn_ended()
            case "broke":
                sounds.broke(at_ms)
            case "end":
                sounds.ended(at_ms)
    return sounds


def lengths(sounds: Sounds) -> list[tuple[int, str]]:
    return [(silence.ms, silence.after) for silence in silences(sounds)]


def test_it_is_silent_until_the_greeting() -> None:
    assert lengths(call(("bot", 300, 900))) == [(300, "answer")]


def test_from_the_end_of_a_turn_to_the_answer() -> None:
    sounds = call(("bot", 0, 1000), ("caller", 2000, 4000), ("done", 4500), ("bot", 4700, 6000))
    assert lengths(sounds) == [(700, "turn")]


def test_the_callers_own_pauses_and_thinking_do_not_count() -> None:
    sounds = call(
        ("bot", 0, 1000), ("caller", 9000, 9500), ("caller", 15_000, 15_500), ("done", 0), ("bot", 15_600, 16_000)
    )
    assert lengths(sounds) == [(100, "turn")]


def test_a_pause_of_the_bots_counts_when_it_goes_on_by_itself() -> None:
    sounds = call(("bot", 0, 1000), ("bot", 5000, 6000), ("caller", 9000, 9500))
    assert lengths(sounds) == [(4000, "pause")]


def test_a_break_in_the_middle_of_the_bots_sentence_counts_from_the_break() -> None:
    sounds = call(("bot", 0, 1000), ("broke", 1000), ("bot", 3500, 4000))
    assert lengths(sounds) == [(2500, "break")]


def test_a_line_that_goes_dead_and_breaks_later_counts_from_when_it_went_dead() -> None:
    sounds = call(("bot", 0, 1000), ("broke", 1000), ("broke", 6000), ("bot", 6400, 7000))
    assert lengths(sounds) == [(5400, "break")]


def test_a_line_that_goes_dead_under_the_caller_counts_from_the_end_of_the_turn() -> None:
    sounds = call(
        ("bot", 0, 500),
        ("caller", 1000, 2000),
        ("broke", 2000),
        ("caller", 2020, 4000),
        ("done", 0),
        ("bot", 7000, 7500),
    )
    assert lengths(sounds) == [(3000, "turn")]


def test_a_break_while_the_caller_thinks_counts_from_the_break() -> None:
    sounds = call(("bot", 0, 1000), ("broke", 5000), ("bot", 6500, 7000))
    assert lengths(sounds) == [(1500, "break")]


def test_a_break_after_a_turn_does_not_make_the_silence_shorter() -> None:
    sounds = call(("bot", 0, 1000), ("caller", 2000, 3000), ("done", 0), ("broke", 5000), ("bot", 6000, 6500))
    assert lengths(sounds) == [(3000, "turn")]


def test_a_break_in_the_middle_of_a_turn_counts_from_the_break() -> None:
    sounds = call(("bot", 0, 1000), ("caller", 2000, 3000), ("broke", 3100), ("bot", 5100, 5500))
    assert lengths(sounds) == [(2000, "break")]


def test_a_caller_who_speaks_again_ends_the_silence_that_nobody_answered() -> None:
    sounds = call(("bot", 0, 1000), ("caller", 2000, 3000), ("done", 0), ("caller", 23_000, 24_000))
    assert lengths(sounds) == [(20_000, "turn")]


def test_an_answer_that_never_came_counts_to_the_end_of_the_call() -> None:
    sounds = call(("bot", 0, 1000), ("caller", 2000, 3000), ("done", 0), ("end", 12_000))
    assert lengths(sounds) == [(9000, "turn")]


def test_nothing_is_missed_after_the_bots_last_word() -> None:
    assert lengths(call(("bot", 0, 1000), ("end", 9000))) == []


def test_the_bot_that_speaks_on_over_the_caller_leaves_no_silence_before_it_ends() -> None:
    bot = [("bot", at, at + 20) for at in range(0, 9000, 20)]
    frames = sorted([*bot, ("caller", 4000, 6000)], key=lambda each: each[1])
    sounds = call(*frames, ("done", 0), ("bot", 10_000, 11_000))
    assert lengths(sounds) == [(1000, "turn")]


def test_the_rest_of_a_sentence_that_the_caller_interrupts_is_no_answer() -> None:
    sounds = call(("bot", 0, 1000), ("caller", 1100, 5000), ("bot", 1200, 1400), ("done", 0), ("bot", 5800, 7000))
    assert lengths(sounds) == [(800, "turn")]


def test_frames_that_follow_each_other_are_one_sound() -> None:
    sounds = call(*(("bot", at, at + 20) for at in range(0, 400, 20)), ("bot", 430, 450))
    assert [(sound.start_ms, sound.end_ms) for sound in sounds.heard] == [(0, 450)]


def test_the_longest_is_told_with_its_beginning() -> None:
    sounds = call(("bot", 100, 1000), ("caller", 2000, 3000), ("done", 0), ("bot", 3400, 4000))
    assert longest(sounds) == Silence(3000, 400, "turn")
    assert longest(Sounds()) == NO_SILENCE


@given(
    st.lists(st.tuples(st.sampled_from(["bot", "caller", "done", "broke"]), st.integers(1, 5000), st.integers(1, 5000)))
)
def test_silences_lie_within_the_call_and_never_in_the_bots_sound(acts: list[tuple[str, int, int]]) -> None:
    at_ms, what = 0, []
    for kind, pause_ms, length_ms in acts:
        at_ms += pause_ms
        what.append((kind, at_ms, at_ms + length_ms))
        at_ms += length_ms if kind in ("bot", "caller") else 0
    sounds = call(*what, ("end", at_ms))
    for silence in silences(sounds):
        assert silence.ms > 0
        assert silence.start_ms >= 0 and silence.start_ms + silence.ms <= at_ms
        for kind, start_ms, end_ms in what:
            if kind == "bot":
                assert end_ms <= silence.start_ms or start_ms >= silence.start_ms + silence.ms


@pytest.mark.parametrize("again_ms", [500, 60_000])
def test_a_call_is_answered_once(again_ms: int) -> None:
    sounds = Sounds()
    sounds.answered(200)
    sounds.answered(again_ms)
    assert sounds.answered_ms == 200
