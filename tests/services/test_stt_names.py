"""How an utterance is named when it is heard on one connection, and on the next again."""

from hypothesis import given
from hypothesis import strategies as st

from bot.services.stt_names import SAME_MS, Names


def test_each_connection_counts_anew() -> None:
    names = Names()
    assert names.connected() == 1
    assert names.interim(0, 100, "오늘") == (1, 0)
    assert names.final(0, 100) == (1, 0)
    assert names.connected() == 2
    assert names.final(0, 2000) == (2, 0)


def test_what_was_begun_is_the_same_when_it_is_heard_again_also_twice() -> None:
    names = Names()
    names.connected()
    names.final(0, 100)
    names.interim(1, 5000, "비가 와서")
    for connection in (2, 3):
        assert names.connected() == connection
        assert names.interim(0, 4960, "비가") is None
        assert names.interim(0, 4960, "비가 와서 우산을") == (1, 1)
    assert names.interim(0, 4960, "비가 와서") is None
    assert names.final(0, 4960) == (1, 1)
    assert names.interim(1, 9000, "네") == (3, 1)


def test_a_connection_that_breaks_before_it_has_said_anything_changes_nothing() -> None:
    names = Names()
    names.connected()
    names.interim(0, 100, "비가")
    names.connected()
    names.connected()
    assert names.final(0, 120) == (1, 0)


def test_what_begins_elsewhere_is_another() -> None:
    names = Names()
    names.connected()
    names.interim(0, 5000, "비가")
    names.connected()
    assert names.final(0, 1000) == (2, 0)
    assert names.final(1, 5000 + SAME_MS + 1) == (2, 1)
    assert names.final(2, 5000) == (2, 2)


@given(st.lists(st.tuples(st.sampled_from("cif"), st.integers(0, 3)), max_size=30))
def test_no_two_utterances_of_a_call_have_the_same_name(steps: list[tuple[str, int]]) -> None:
    """Utterances that begin 2 s apart; a connection hears those without a final from the first one on."""
    names, finals = Names(), 0
    names.connected()
    first, named = 0, dict[int, set[tuple[int, int]]]()
    for what, index in steps:
        if what == "c":
            names.connected()
            first = finals
            continue
        utterance = finals + (index if what == "i" and index == 0 else 0)
        seq = utterance - first
        if what == "i":
            name = names.interim(seq, utterance * 2000.0, "네" * (index + 1))
        else:
            name, finals = names.final(seq, utterance * 2000.0), finals + 1
        if name is not None:
            named.setdefault(utterance, set()).add(name)
    every = [name for of_one in named.values() for name in of_one]
    assert len(every) == len(set(every))
    assert all(len(of_one) == 1 for of_one in named.values())
