"""Korean verb forms by rule."""

import pytest

from bot.conversation.clauses import clause, main_noun, sentences
from bot.conversation.commands import Mood
from bot.conversation.endings import adnominal, honoured, past, plain, present
from bot.conversation.moods import denied_moods, mood_of, moods

FORMS = [
    ("만났어요", "만났", "만난", "만나셨"),
    ("먹었어요", "먹었", "먹은", "드셨"),
    ("했어", "했", "한", "하셨"),
    ("갔습니다", "갔", "간", "가셨"),
    ("왔어요", "왔", "온", "오셨"),
    ("봤는데", "봤", "본", "보셨"),
    ("배웠어요", "배웠", "배운", "배우셨"),
    ("추웠어요", "추웠", "추운", "추우셨"),
    ("도왔어요", "도왔", "도운", "도우셨"),
    ("불렀어요", "불렀", "부른", "부르셨"),
    ("골랐어요", "골랐", "고른", "고르셨"),
    ("들렀어요", "들렀", "들른", "들르셨"),
    ("지었어요", "지었", "지은", "지으셨"),
    ("놀았어요", "놀았", "논", "노셨"),
    ("만들었어요", "만들었", "만든", "만드셨"),
    ("걸었어요", "걸었", "걸은", "걸으셨"),
    ("힘들었어요", "힘들었", "힘든", "힘드셨"),
    ("잤어요", "잤", "잔", "주무셨"),
    ("썼어요", "썼", "쓴", "쓰셨"),
    ("바빴어요", "바빴", "바쁜", "바쁘셨"),
    ("됐어요", "됐", "된", "되셨"),
    ("쉬었어요", "쉬었", "쉰", "쉬셨"),
    ("갔었어요", "갔", "간", "가셨"),
    ("있었어요", "있었", "있었던", "있으셨"),
    ("오셨어요", "오셨", "오신", "오셨"),
    ("못했어요", "못했", "못한", "못하셨"),
    ("읽었더라고요", "읽었", "읽은", "읽으셨"),
]


@pytest.mark.parametrize(("word", "form", "before_noun", "polite"), FORMS)
def test_a_past_form_is_taken_up(word: str, form: str, before_noun: str, polite: str) -> None:
    found = past(word)
    assert found is not None
    assert (found.form, adnominal(found.form), honoured(found.form)) == (form, before_noun, polite)


@pytest.mark.parametrize("word", ["가겠어요", "있어요", "먹어요", "친구예요", "엄마", "", "...", "hello", "ㅋㅋ", "갈"])
def test_what_is_not_past(word: str) -> None:
    assert past(word) is None


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("갔어요", "갔다"),
        ("먹었습니다", "먹었다"),
        ("했어", "했다"),
        ("좋았어요", "좋았다"),
        ("있었어요", "있었다"),
        ("먹었는데요", "먹었다"),
        ("맛있더라고요", "맛있더라"),
        ("친구예요", "친구다"),
        ("학생이에요", "학생이다"),
        ("하루였어요", "하루였다"),
        ("날이었어요", "날이었다"),
        ("싶어요", "싶다"),
        ("있어", "있다"),
        ("피곤해요", "피곤하다"),
        ("모르겠어요", "모르겠다"),
        ("가요", None),
        ("먹고", None),
        ("엄마", None),
    ],
)
def test_the_plain_register_where_it_is_safe(spoken: str, written: str | None) -> None:
    assert plain(spoken) == written


@pytest.mark.parametrize(
    ("word", "form"), [("많아요", "많았"), ("공부해요", "공부했"), ("예요", None), ("주세요", None)]
)
def test_presents(word: str, form: str | None) -> None:
    assert present(word) == form


def test_sentences_end_without_full_stops() -> None:
    assert sentences("회사에 갔어요 점심을 먹었습니다 그리고 쉬었어요") == [
        "회사에 갔어요",
        "점심을 먹었습니다",
        "그리고 쉬었어요",
    ]
    assert sentences("힘들었어요 라고 했어요") == ["힘들었어요 라고 했어요"]


def test_a_clause_is_without_the_caller_and_starters() -> None:
    found = clause("그래서 저는 오늘 친구를 만나서 밥을 먹었어요")
    assert found is not None
    assert (found.words, found.predicate.form, found.subject) == (("친구를", "만나서", "밥을"), "먹었", None)
    other = clause("어제 동생이 왔어요")
    assert other is not None
    assert (other.subject, other.other_day) == ("동생", True)
    assert clause("김치찌개") is None


@pytest.mark.parametrize(
    ("text", "noun"),
    [("영화를 봤어요", "영화"), ("김치찌개", "김치찌개"), ("고양이", "고양이"), ("많이", None), ("먹을 거예요", None)],
)
def test_main_nouns(text: str, noun: str | None) -> None:
    assert main_noun(text) == noun


def test_moods_are_told_denied_or_somebody_elses() -> None:
    assert mood_of(["너무 행복했어요"]) is Mood.JOY
    assert mood_of(["비빔밥을 만들었어요"]) is Mood.ORDINARY
    assert mood_of(["서울에서 전화나 했어요"]) is Mood.ORDINARY
    assert moods("안 힘들었어요") == []
    assert denied_moods("피곤하지 않았어요") == [Mood.TIRED]
    assert moods("친구가 힘들다고 했어요") == []
