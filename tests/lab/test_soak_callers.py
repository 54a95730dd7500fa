"""bot/lab/soak_callers.py: days of different length, and every way for a call to end or to break."""

from random import Random

from bot.lab.caller import Caller
from bot.lab.report import Turn
from bot.lab.script import Drop, HangUp, Say, Tell
from bot.lab.soak_callers import HOWS, day, long_day, told

DAYS = [day(index, Random(index)) for index in range(60)]


def test_every_way_to_end_has_its_turn() -> None:
    assert [each.how for each in DAYS[: len(HOWS)]] == list(HOWS)
    for each in DAYS:
        ends = each.steps[-1]
        if each.how == "approves":
            assert isinstance(ends, Say)
        else:
            assert ends == HangUp(each.how if each.how in ("close", "reset") else "stop")
        assert (each.leaves_s is not None) == (each.how == "leaves")


def test_days_are_of_different_length_and_can_be_said() -> None:
    assert len({len(each.steps) for each in DAYS}) >= 5
    for each in DAYS:
        Caller(each.steps)  # knows all of its sounds


def test_a_socket_is_dropped_only_between_two_things_told() -> None:
    for each in DAYS:
        drops = [at for at, step in enumerate(each.steps) if isinstance(step, Drop)]
        assert bool(drops) == (each.how == "drops")
        assert all(isinstance(each.steps[at - 1], Tell) for at in drops)


def test_the_long_day_is_long_enough() -> None:
    assert len(long_day(3600).steps) > 3600 / 5
    assert long_day(3600).leaves_s == 3600


def turn(name: str, *, whole: bool = True) -> Turn:
    return Turn(f"text of {name}", 0, 1000 if whole else None, parts=(name,))


def test_what_was_said_again_counts_once_and_what_was_cut_off_or_is_no_story_does_not() -> None:
    turns = [turn("jia-rain"), turn("jia-rain"), turn("jia-talk"), turn("jia-rain"), turn("jia-right")]
    assert told([*turns, turn("jia-lunch", whole=False)]) == [
        "text of jia-rain",
        "text of jia-talk",
        "text of jia-rain",
    ]
