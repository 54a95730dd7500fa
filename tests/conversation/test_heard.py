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
    assert (ledger.heard(5_000), ledger.unheard) == ("하나.", ("둘.",))
    assert not ledger.done


def test_a_later_mark_covers_the_earlier_ones() -> None:
    ledger = spoken("하나.", "둘.")
    ledger.ended = True
    ledger.echoed(1)
    assert ledger.heard(0) == "하나. 둘."
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


def test_what_is_left_at_the_ear_passes_with_time_unless_the_ear_tells_again() -> None:
    ledger = spoken("하나.", "둘.")
    assert ledger.left_ms(0) == 0
    ledger.sent_so_far(1, 1_000, 300, 1_000, 2_000)
    assert (ledger.left_ms(2_000), ledger.left_ms(2_200), ledger.left_ms(5_000)) == (300, 100, 0)
    ledger.sent_so_far(1, 1_000, 300, 1_000, 5_000)
    assert ledger.left_ms(5_000) == 300
    ledger.echoed(1)
    assert ledger.left_ms(5_000) == 0


def test_of_a_piece_that_waits_behind_the_newest_only_what_was_played_was_heard() -> None:
    ledger = Ledger(reply=1, turn=0)
    for index, text in enumerate(("오늘 공원에서 강아지랑 오래 걸었어요.", "참 좋았겠어요.")):
        ledger.made(index, text)
        ledger.started(index, 0)
    ledger.sent_so_far(0, 2_000, 200, 2_000, 1_000)
    ledger.sent(0, 2_000)
    ledger.sent_so_far(1, 100, 1_500, None, 3_000)
    assert ledger.heard(3_000) == "오늘"
    ledger.sent_so_far(1, 400, 300, None, 4_000)
    assert ledger.heard(4_000).startswith("오늘 공원에서 강아지랑 오래 걸었어요.")


def test_nothing_said_is_done_once_it_ended() -> None:
    ledger = Ledger(reply=1, turn=-1)
    assert not ledger.done
    ledger.ended = True
    assert ledger.done and ledger.last_index == -1


@given(st.lists(st.tuples(st.sampled_from("msxe"), st.integers(0, 5)), max_size=30))
def test_nothing_is_heard_that_was_not_begun(story: list[tuple[str, int]]) -> None:
    ledger, begun = Ledger(reply=1, turn=0), set()
    for what, index in story:
        match what:
            case "m":
                ledger.made(index, f"{index}.")
            case "s":
                ledger.started(index, 0)
            case "x":
                ledger.sent(index, 20)
            case _:
                ledger.echoed(index)
        if what in "sx" and f"{index}." in ledger.sentences:
            begun.add(f"{index}.")
    heard = set(ledger.heard(10_000).split())
    assert heard <= begun
    assert heard | set(ledger.unheard) == set(ledger.sentences)


def cut_after(sent_ms: int, *, ahead_ms: int = 0, audio_ms: int | None = 2_000, later_ms: int = 0) -> str:
    """What was heard of a piece of five words of four letters, cut `later_ms` after `sent_ms` of it were sent."""
    ledger = Ledger(reply=1, turn=0)
    ledger.made(0, "가나다라 마바사아 자차카타 파하거너 더러머버")
    ledger.started(0, 0)
    ledger.sent_so_far(0, sent_ms, ahead_ms, audio_ms, now_ms=5_000)
    return ledger.heard(5_000 + later_ms)


def test_inside_a_piece_words_are_told_from_the_sound_that_was_played() -> None:
    assert cut_after(0) == cut_after(400) == ""
    assert cut_after(520) == "가나다라"
    assert cut_after(1_000) == "가나다라 마바사아"
    assert cut_after(2_000) == "가나다라 마바사아 자차카타 파하거너"


def test_what_waits_at_the_ear_when_it_is_cleared_was_not_heard() -> None:
    assert cut_after(1_000, ahead_ms=200) == "가나다라"
    assert cut_after(1_000, ahead_ms=200, later_ms=100) == "가나다라"
    assert cut_after(1_000, ahead_ms=200, later_ms=300) == "가나다라 마바사아"


def test_a_piece_whose_length_is_not_known_is_taken_for_a_slow_one() -> None:
    assert cut_after(1_000, audio_ms=None) == ""
    assert cut_after(1_100, audio_ms=None) == "가나다라"


def test_what_came_before_a_sound_that_was_played_was_heard() -> None:
    ledger = spoken("하나.", "둘 셋.")
    ledger.sent_so_far(1, 700, 0, 1_000, now_ms=2_000)
    assert ledger.heard(2_000) == "하나. 둘"
    assert ledger.unheard == ("하나.", "둘 셋.")
