"""bot/doors/ceiling.py: when a process takes nobody more, and when it does again."""

import pytest

from bot.doors.ceiling import FEWEST_CALLS, IN_TIME_MS, LATE_MS, WINDOW_WAKES, Ceiling

MANY = 200


def woken(*late_ms: float) -> Ceiling:
    ceiling = Ceiling()
    for each in late_ms:
        ceiling.woke(each)
    return ceiling


def stall(ms: int) -> list[float]:
    """How late the wakes are that were due in a stall of the loop, one every 50 ms, the first as it began."""
    return [float(late) for late in range(ms, -1, -50)]


def test_a_process_that_has_just_begun_takes_calls() -> None:
    assert not Ceiling().is_reached(MANY)


@pytest.mark.parametrize(
    ("late_ms", "is_reached"),
    [
        ([0.0] * WINDOW_WAKES, False),
        ([LATE_MS] * WINDOW_WAKES, False),
        ([LATE_MS + 1] * WINDOW_WAKES, True),
        ([LATE_MS + 1, *[0.0] * 98, LATE_MS + 1], True),
        ([LATE_MS + 1, *[0.0] * 99, LATE_MS + 1], False),
        ([10_000.0], False),
        (stall(100), False),
        (stall(250), True),
        ([30.0, 45.0] * 50, False),
    ],
    ids=[
        "never late", "just in time", "always late", "twice in the window", "twice, too far apart", "one late wake",
        "a stall that nobody hears", "a stall that is heard", "often a little late",
    ],
)  # fmt: skip
def test_late_is_what_is_late_at_two_wakes_in_a_hundred(late_ms: list[float], is_reached: bool) -> None:
    assert woken(*late_ms).is_reached(MANY) is is_reached


def test_a_late_process_takes_calls_again_when_it_was_in_time_for_a_whole_window() -> None:
    ceiling = woken(*[LATE_MS + 1] * WINDOW_WAKES)
    for _ in range(3 * WINDOW_WAKES):
        ceiling.woke(IN_TIME_MS + 1)
    assert ceiling.is_reached(MANY), "no longer late, and not in time either"
    for _ in range(WINDOW_WAKES - 2):
        ceiling.woke(IN_TIME_MS)
        assert ceiling.is_reached(MANY)
    ceiling.woke(IN_TIME_MS)
    assert not ceiling.is_reached(MANY)


def test_a_little_late_is_no_reason_to_begin_with() -> None:
    assert not woken(*[IN_TIME_MS + 1] * WINDOW_WAKES).is_reached(MANY)


def test_a_few_calls_are_never_too_many() -> None:
    ceiling = woken(*[1000.0] * WINDOW_WAKES)
    assert not ceiling.is_reached(FEWEST_CALLS - 1)
    assert ceiling.is_reached(FEWEST_CALLS)
