"""bot/conversation/citations.py: numbers of excerpts are taken out of a text however it comes in pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.conversation.citations import Citations


def taken(*parts: str) -> tuple[str, list[int]]:
    cited: list[int] = []
    citations = Citations(cited)
    return "".join([citations.push(part) for part in parts] + [citations.finish()]), cited


@pytest.mark.parametrize(
    ("text", "shown", "cited"),
    [
        ("국수를 먹었어요[1].", "국수를 먹었어요.", [1]),
        ("국수를 먹었어요 [2].", "국수를 먹었어요.", [2]),
        ("그날[1][3] 갔어요 [1, 2].", "그날 갔어요.", [1, 3, 2]),
        ("갔어요【4】.", "갔어요.", [4]),
        ("[1] 갔어요.", " 갔어요.", [1]),
        ("[10]", "", [10]),
        ("값은 [2024]년, [가], [], [1 이에요", "값은 [2024]년, [가], [], [1 이에요", []),
        ("a[1] b[2", "a b[2", [1]),
        ("없어요 ", "없어요 ", []),
    ],
)
def test_citations_go_and_everything_else_stays(text: str, shown: str, cited: list[int]) -> None:
    assert taken(text) == (shown, cited)
    assert taken(*text) == (shown, cited)


_SEGMENTS = st.sampled_from(
    ["국수를", " 먹었어요", "[1]", " [2, 3]", "【4】", "[", "]", "1", " ", "\n", ".", "[12·13]", "[2024]"]
)


@given(st.lists(_SEGMENTS), st.data())
def test_the_pieces_that_a_text_comes_in_change_nothing(segments: list[str], data: st.DataObject) -> None:
    text = "".join(segments)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))))
    edges = [0, *cuts, len(text)]
    # A bracket right before a citation may make another one with what is behind it, when it is looked at as a whole.
    if "[[" not in text and "[【" not in text:
        assert taken(*(text[begin:end] for begin, end in pairwise(edges))) == taken(text)


@given(st.text(alphabet="가나다 .,!", max_size=30))
def test_text_without_a_bracket_never_waits_but_for_a_blank_at_its_end(text: str) -> None:
    assert Citations([]).push(text) == text.rstrip(" ")


def test_what_waits_is_a_few_letters_at_most() -> None:
    citations = Citations([])
    shown = citations.push("값은 [" + "1" * 30)
    assert shown == "값은 [" + "1" * 30
