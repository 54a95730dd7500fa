"""Syllables and particles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.conversation import hangul
from bot.conversation.numerals import numbers

SYLLABLE = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)


@given(SYLLABLE)
def test_a_syllable_is_its_parts(syllable: str) -> None:
    assert hangul.join(*hangul.split(syllable)) == syllable


@pytest.mark.parametrize(
    ("word", "name", "expected"),
    [
        ("친구", "을", "친구를"),
        ("책", "를", "책을"),
        ("책", "이", "책이"),
        ("나무", "은", "나무는"),
        ("나무", "과", "나무와"),
        ("물", "으로", "물로"),
        ("집", "로", "집으로"),
        ("학교", "으로", "학교로"),
        ("하루", "이었", "하루였"),
        ("날", "이었", "날이었"),
        ("3", "이", "3이"),
        ("2", "이", "2가"),
        ("'책'", "을", "'책'을"),
    ],
)
def test_the_particle_fits_its_word(word: str, name: str, expected: str) -> None:
    assert hangul.with_particle(word, name) == expected


def test_short_names_of_particles() -> None:
    assert (hangul.eul_reul("밥"), hangul.i_ga("비"), hangul.eun_neun("눈")) == ("밥을", "비가", "눈은")
    assert (hangul.wa_gwa("눈"), hangul.ieot_yeot("비")) == ("눈과", "비였")


def test_a_template_is_filled_with_the_right_particle() -> None:
    assert hangul.fill("{N|이} {N} {N|을}", {"N": "책"}) == "책이 책 책을"
    with pytest.raises(KeyError):
        hangul.fill("{M}", {"N": "책"})


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("세 시에 만났어요", [3]),
        ("3시 30분", [3, 30]),
        ("세 시 반에", [3, 30]),
        ("스물다섯 살", [25]),
        ("스무 명", [20]),
        ("2만 5천 원", [25000]),
        ("이만 오천 원", [25000]),
        ("12,000원", [12000]),
        ("삼십 분 동안", [30]),
        ("오 킬로미터", [5]),
        ("둘이서", [2]),
        ("이 사람이 이번에 일이 도움", []),
        ("네, 일이 많았어요", []),
        ("한 친구를 만났어요", []),
        ("공원에서 사원이 이만 일어났어요", []),
    ],
)
def test_numbers_in_both_scripts(text: str, values: list[float]) -> None:
    assert [number.value for number in numbers(text)] == values
