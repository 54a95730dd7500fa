"""Where a call is, in writing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.conversation.snapshot import Part, Snapshot, Stage, Written, decode, encode

ANY = st.builds(
    Snapshot,
    turn=st.integers(-1, 900),
    unheard=st.lists(st.text()).map(tuple),
    stage=st.sampled_from(Stage),
    parts=st.lists(st.builds(Part, st.text(), st.booleans())).map(tuple),
    entry=st.none() | st.builds(Written, st.integers(0, 9), st.text(), st.text(), st.text()),
    gain_db=st.floats(0, 20),
    spent_ms=st.integers(0, 10**7),
)


@given(ANY)
def test_what_is_written_can_be_read(snapshot: Snapshot) -> None:
    read = decode(encode(snapshot))
    assert read == snapshot and read.spent_ms == snapshot.spent_ms


def test_another_release_may_know_more_or_less() -> None:
    assert decode("{}") == Snapshot()
    assert decode('{"stage": "writing", "weather": {"rain": true}}') == Snapshot(stage=Stage.WRITING)


@pytest.mark.parametrize("text", ["", "null", "[]", '{"stage": "dreaming"}', '{"turn": "three"}', '{"turn": 1', "�"])
def test_what_cannot_be_read_is_none(text: str) -> None:
    assert decode(text) is None


def test_time_that_goes_by_is_no_change() -> None:
    assert Snapshot(spent_ms=1) == Snapshot(spent_ms=2)
