"""bot/audio/lowest.py: always what looking at all of them would find."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from bot.audio.lowest import Lowest


@given(st.integers(1, 8), st.lists(st.floats(-90, 0) | st.sampled_from([-70.0, -60.0]), max_size=60))
def test_it_is_the_lowest_of_the_last(count: int, values: list[float]) -> None:
    lowest, last = Lowest(count), deque[float](maxlen=count)
    for value in values:
        last.append(value)
        assert lowest.push(value) == min(last)
