"""bot/garbage.py: what calls leave behind."""

import gc
import weakref
from collections.abc import Generator

import pytest

from bot.garbage import FEWEST, Leavings


class Knot:
    """An object that holds itself, as a call and its socket hold each other."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def by_itself_never() -> Generator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("by_itself_never")
@pytest.mark.parametrize(("live", "ends"), [(0, FEWEST), (FEWEST * 3, FEWEST * 3)])
def test_what_calls_left_is_gone_when_as_many_have_ended_as_are_live(live: int, ends: int) -> None:
    leavings = Leavings()
    for _ in range(2):
        left = weakref.ref(Knot())
        for _ in range(ends - 1):
            leavings.ended(live)
        assert left()
        leavings.ended(live)
        assert left() is None
