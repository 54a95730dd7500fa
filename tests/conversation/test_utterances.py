"""The texts of a turn: interims are replaced, finals are joined, and no word is taken twice or lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.conversation.events import Final, Interim
from bot.conversation.utterances import Utterances, edit_distances

A, B = (1, 1), (1, 2)


def test_an_interim_is_replaced_by_the_next_and_by_its_final() -> None:
    texts = Utterances()
    texts.take(Interim(A, "오늘"), 0)
    texts.take(Interim(A, "오늘은"), 0)
    assert texts.text == "오늘은" and texts.interim_open
    texts.take(Final(A, "오늘은 비가 왔어요."), 500)
    assert texts.text == "오늘은 비가 왔어요." and not texts.interim_open
    assert texts.final_since(500) and not texts.final_since(501)


def test_finals_are_joined_in_the_order_of_utterances() -> None:
    texts = Utterances()
    texts.take(Final(B, "왔어요"), 0)
    texts.take(Final(A, "비가"), 0)
    assert texts.end_turn() == "비가 왔어요"
    assert texts.end_turn() == ""


def test_a_promoted_interim_is_not_taken_again_as_a_final() -> None:
    texts = Utterances()
    texts.take(Interim(A, "비가 왔어요"), 0)
    texts.promote()
    assert texts.end_turn() == "비가 왔어요"
    assert not texts.take(Final(A, "비가 왔어요."), 0)
    assert texts.text == ""


def test_an_utterance_that_grew_after_its_turn_gives_only_what_is_new() -> None:
    texts = Utterances()
    texts.take(Interim(A, "비가 왔어요"), 0)
    texts.promote()
    texts.end_turn()
    assert texts.take(Interim(A, "비가 왔어요 그래서"), 0)
    assert texts.take(Final(A, "비가 왔어요. 그래서 집에 있었어요."), 0)
    assert texts.end_turn() == "그래서 집에 있었어요."
    assert not texts.take(Final(A, "비가 왔어요. 그래서 집에 있었어요."), 0)


def test_an_interim_that_stands_open_at_the_end_of_a_turn_is_used_in_it() -> None:
    texts = Utterances()
    texts.take(Interim(A, "비가 왔어요"), 0)
    assert texts.end_turn() == "비가 왔어요"
    assert texts.text == "" and not texts.interim_open
    assert not texts.take(Final(A, "비가 왔어요."), 0)


def test_an_utterance_that_is_spaced_otherwise_after_its_turn_gives_only_what_is_new() -> None:
    texts = Utterances()
    texts.take(Interim(A, "비가 왔어요"), 0)
    texts.end_turn()
    assert not texts.take(Final(A, "비가왔어요"), 0)
    assert texts.take(Final(A, "비가왔어요 그래서 집에 있었어요"), 0)
    assert texts.end_turn() == "그래서 집에 있었어요"


def test_after_a_reconnect_the_same_seq_is_another_utterance() -> None:
    texts = Utterances()
    texts.take(Final((1, 1), "비가 왔어요"), 0)
    texts.end_turn()
    assert texts.take(Final((2, 1), "집에 있었어요"), 0)


def test_an_empty_final_does_not_take_words_away() -> None:
    texts = Utterances()
    texts.take(Interim(A, "비가 왔어요"), 0)
    assert texts.take(Final(A, "  "), 10)
    assert texts.text == "비가 왔어요" and not texts.interim_open and texts.final_since(10)
    assert not texts.take(Final(B, ""), 20)
    assert texts.end_turn() == "비가 왔어요"


def test_what_a_new_connection_hears_again_is_not_counted_twice() -> None:
    texts = Utterances()
    texts.take(Final((1, 1), "비가 왔어요"), 0)
    texts.take(Interim((1, 2), "우산을"), 0)
    texts.promote()
    texts.take(Interim((2, 1), "우산을 샀"), 0)
    texts.take(Final((2, 1), "우산을 샀어요"), 0)
    assert texts.end_turn() == "비가 왔어요 우산을 샀어요"


@given(st.lists(st.lists(st.sampled_from(["비", "눈", "해", "달"]), min_size=1, max_size=4), min_size=1, max_size=6))
def test_every_word_of_every_final_is_given_once(utterances: list[list[str]]) -> None:
    texts, given_out = Utterances(), []
    for seq, said in enumerate(utterances):
        for upto in range(1, len(said)):
            texts.take(Interim((1, seq), " ".join(said[:upto])), 0)
            if upto % 2:
                texts.promote()
                given_out += texts.end_turn().split()
        texts.take(Final((1, seq), " ".join(said)), 0)
        given_out += texts.end_turn().split()
    assert given_out == [word for said in utterances for word in said]


def test_a_word_that_began_like_one_that_was_used_is_not_lost() -> None:
    utterances = Utterances()
    utterances.take(Interim((1, 1), "어"), 0)
    assert utterances.end_turn() == "어"
    utterances.take(Final((1, 1), "어제 갔어요"), 0)
    assert utterances.end_turn() == "어제 갔어요"


def test_a_sound_that_turns_out_to_be_words_is_not_cut_off_them() -> None:
    utterances = Utterances()
    utterances.take(Interim((1, 1), "네"), 0)
    utterances.end_turn()
    utterances.take(Final((1, 1), "내일은 병원에 가요"), 0)
    assert utterances.end_turn() == "내일은 병원에 가요"


def new_part(used: str, final: str) -> str:
    utterances = Utterances()
    utterances.take(Interim(A, used), 0)
    utterances.end_turn()
    utterances.take(Final(A, final), 0)
    return utterances.end_turn()


@pytest.mark.parametrize(
    ("used", "final", "new"),
    [
        ("세 시에 민수를", "3시에 민수를 만났어요", "만났어요"),
        ("지하 철에서", "지하철에서 내렸어요 집에", "내렸어요 집에"),
        ("오늘 지하 철에서 두 시간", "오늘 지하철에서 2시간 서 있었어요", "서 있었어요"),
        ("3시에 지하철에서", "세 시에 지하 철에서 내렸어요", "내렸어요"),
        ("이천이십육 년에", "2026년에 갔어요", "갔어요"),
        ("민수을 만났어요.", "민수를 만났어요 .", ""),
        ("세 시에 갔어요", "3시에 갔어요. 또 세 시에 왔어요", "또 세 시에 왔어요"),
    ],
)
def test_what_was_used_and_is_spelled_otherwise_is_not_given_again(used: str, final: str, new: str) -> None:
    assert new_part(used, final) == new


@pytest.mark.parametrize(
    ("used", "final", "new"),
    [
        ("3시에 그래", "세 시에 그래서 집에 갔어요", "그래서 집에 갔어요"),
        ("세 시에 민수를 만나", "3시에 민수를 만나고 왔어요", "만나고 왔어요"),
        ("점심값은 만 오천 원", "점심값은 15,000원 나왔어요", "15,000원 나왔어요"),
        ("비가", "눈이 왔어요", "눈이 왔어요"),
        ("갔는데 비가", "갔는데 눈이 왔어요", "눈이 왔어요"),
    ],
)
def test_a_word_that_may_be_new_is_given(used: str, final: str, new: str) -> None:
    assert new_part(used, final) == new


OLD_WORDS = st.lists(st.text("가나다라마", min_size=1, max_size=4), min_size=1, max_size=8)
NEW_WORDS = st.lists(st.text("바사자차카", min_size=1, max_size=4), max_size=4)


@given(OLD_WORDS, OLD_WORDS, NEW_WORDS)
def test_no_new_word_is_lost_however_the_used_ones_are_spelled(
    used: list[str], respelled: list[str], new: list[str]
) -> None:
    assert new_part(" ".join(used), " ".join([*respelled, *new])).endswith(" ".join(new))


@given(OLD_WORDS, OLD_WORDS, NEW_WORDS)
def test_what_is_new_begins_where_the_used_words_end_when_those_are_spelled_alike_there(
    used: list[str], respelled: list[str], new: list[str]
) -> None:
    border = ["하하하하하하하하", "호호호호호호호호", "후후후후후후후후", "히히히히히히히히"]
    assert new_part(" ".join([*used, *border]), " ".join([*respelled, *border, *new])) == " ".join(new)


@given(st.text("가나다", min_size=1, max_size=80), st.text("가나다라", max_size=80))
def test_the_distance_to_every_beginning_is_the_edit_distance(one: str, other: str) -> None:
    row = list(range(len(other) + 1))
    for count, letter in enumerate(one, 1):
        above, row = row, [count]
        for place, its in enumerate(other):
            row.append(min(row[-1] + 1, above[place + 1] + 1, above[place] + (its != letter)))
    assert edit_distances(one, other) == row
