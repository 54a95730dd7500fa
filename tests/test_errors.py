"""bot/errors.py: an error in one line, without its text."""

import re

from bot.errors import where


def fail():
    raise ValueError("오늘 산책했어요")


def caught(work):
    try:
        work()
    except ValueError as error:
        return error
    raise AssertionError


def test_the_kind_and_the_way_it_came():
    assert re.fullmatch(r"ValueError at test_errors\.py:\d+ < test_errors\.py:\d+", where(caught(fail)))


def test_of_a_group_the_first_error_is_told():
    group = ExceptionGroup("산책", [ExceptionGroup("산책", [caught(fail)]), KeyError()])
    assert where(group) == where(caught(fail))


def test_an_error_without_a_place():
    assert where(ValueError("산책")) == "ValueError"


def test_a_deep_way_is_cut_to_its_inner_end():
    def deep(levels):
        return deep(levels - 1) if levels else fail()

    told = where(caught(lambda: deep(50)))
    assert told.count("<") == 5
    assert told.startswith(where(caught(fail)).partition(" <")[0])
