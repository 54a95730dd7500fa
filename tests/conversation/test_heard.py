"""The ledger: what the caller has heard of a reply."""

from hypothesis import given
from hypothesis import strategies as st

from bot.conversation.heard import Ledger


def spoken(*texts: str) -> Ledger:
    ledger = Ledger(reply=1, turn=0)
    for index, text in enumerate(texts):
        ledger.made(index, text)
        ledger.started(index, 100 * index)
        ledger.sent(index, 1_000)
    return ledger


def test_only_what_came_back_was_heard() -> None:
    ledger = spoken("하나.", "둘.")
    ledger.echoed(0)
    assert (ledger.heard, ledger.unheard) == ("하나.", ("둘.",))
    assert not ledger.done


def test_a_later_mark_covers_the_earlier_ones() -> None:
    ledger = spoken("하나.", "둘.")
    ledger.ended = True
    ledger.echoed(1)
    assert ledger.heard == "하나. 둘."
    assert ledger.done


def test_a_sentence_that_was_made_and_not_spoken_is_unheard() -> None:
    ledger = spoken("하나.")
    ledger.made(1, "둘.")
    ledger.echoed(1)
    assert ledger.unheard == ("둘.",)
    assert ledger.sentences == ("하나.", "둘.")


def test_what_is_still_to_play() -> None:
    ledger = spoken("하나.", "둘.")
    assert ledger.unplayed_ms == 2_000
    ledger.echoed(0)
    assert ledger.unplayed_ms == 1_000
    assert ledger.started_ms == 0


def test_nothing_said_is_done_once_it_ended() -> None:
    ledger = Ledger(reply=1, turn=-1)
    assert not ledger.done
    ledger.ended = True
    assert ledger.done and ledger.last_index == -1


@given(st.lists(st.tuples(st.sampled_from("msxe"), st.integers(0, 5)), max_size=30))
def test_nothing_is_heard_that_was_not_sent(story: list[tuple[str, int]]) -> None:
    ledger, sent = Ledger(reply=1, turn=0), set()
    for what, index in story:
        match what:
            case "m":
                ledger.made(index, f"{index}.")
            case "s":
                ledger.started(index, 0)
            case "x":
                ledger.sent(index, 20)
                if f"{index}." in ledger.sentences:
                    sent.add(f"{index}.")
            case _:
                ledger.echoed(index)
    assert set(ledger.heard.split()) <= sent
    assert sorted(ledger.heard.split() + list(ledger.unheard)) == sorted(ledger.sentences)
