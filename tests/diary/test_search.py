"""bot/diary/search.py: the days of a diary that a question is about."""

import unicodedata
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.conversation.hangul import final_of
from bot.diary.search import LEAST_SCORE, Document, Hit, Index
from bot.diary.when import days_asked
from bot.lab.bench_search import LEAST_RECALL, MOST_FALSE
from bot.lab.year import documents, figures, questions

YEAR = documents()
TODAY, ASKED = questions()
INDEX = Index(YEAR)


def ask(question: str, index: Index = INDEX, most: int = 5) -> list[Hit]:
    return index.search(question, today=TODAY, most=most)


def days(question: str, index: Index = INDEX) -> list[str]:
    return [hit.document.day.isoformat() for hit in ask(question, index)]


def entry(day: str, content: str, title: str = "") -> Document:
    return Document(f"CA{day}", date.fromisoformat(day), title, content, "entry")


# The year


def test_the_right_entry_is_among_the_first_three_for_nine_of_ten_questions_never_tuned_on() -> None:
    held_out = [one for one in ASKED if one.held_out]
    found = figures(held_out, ask)
    assert found.asked >= 60 and found.unanswerable >= 15
    assert found.recall_at_3 >= LEAST_RECALL == 0.9
    assert found.false <= MOST_FALSE * found.unanswerable


def test_the_questions_that_were_tuned_on_do_as_well() -> None:
    found = figures([one for one in ASKED if not one.held_out], ask)
    assert found.recall_at_3 >= 0.9 and found.false <= 0.1 * found.unanswerable


def test_every_right_answer_is_a_document_and_every_question_is_asked_once() -> None:
    known = {document.call_sid for document in YEAR}
    assert len(known) == len(YEAR) >= 200
    assert all(set(one.right) <= known for one in ASKED)
    assert len({one.question for one in ASKED}) == len(ASKED) >= 80


def test_every_entry_is_found_by_its_own_longest_sentence() -> None:
    lost = []
    for document in YEAR:
        sentence = max(document.content.split("."), key=len).strip()
        if days_asked(sentence, TODAY) is None:
            first = ask(sentence)[0]
            if first.document != document or sentence not in first.passage:
                lost.append(document.call_sid)
    assert lost == []


# How it is asked


@pytest.mark.parametrize(
    ("first", "variants"),
    [
        ("2025-07-14", ["보리가 토한 날", "보리는 언제 토했어?", "보리도 토했었나", "보리 토했던 거", "보리가토한날"]),
        ("2026-04-18", ["결혼기념일", "결혼 기념일", "결혼기념일에 뭐 했어?", "결혼 기념일에는", "결혼기념일엔"]),
        ("2025-11-15", ["김장을 담갔다", "김장 담근 날", "김장은 언제 담갔지", "김장담근날", "김장도 담갔나요?"]),
        ("2026-03-13", ["미세먼지", "미세 먼지", "미세먼지가 심했어?", "미세먼지는?"]),
        ("2025-08-23", ["두발자전거 탔다", "두발 자전거를 탔던 날", "두발자전거는 언제 탔지?", "두발자전거탄날"]),
        ("2026-02-21", ["유치원 졸업식", "유치원졸업식", "유치원을 졸업한 날", "유치원은 언제 졸업했어요?"]),
        ("2025-12-25", ["롤러스케이트를 산타에게 받았다", "산타한테 받은 롤러 스케이트", "산타가 준 롤러스케이트는?"]),
        ("2026-05-12", ["접영 이십오 미터", "접영으로 25미터 간 날", "접영 25 미터"]),
    ],
)  # fmt: skip
def test_particles_endings_and_blanks_do_not_change_the_first_hit(first: str, variants: list[str]) -> None:
    assert {variant: days(variant)[:1] for variant in variants} == {variant: [first] for variant in variants}


@given(
    noun=st.sampled_from(["복숭아", "헌혈", "마라톤", "판다", "장어", "도자기", "윷놀이", "찜질방", "엘리베이터"]),
    particle=st.sampled_from(
        ["", "은", "는", "이", "가", "을", "를", "에서", "도", "만", "까지", "에서는", "하고", "의"]
    ),
    asks=st.sampled_from(["", " 언제였지?", " 알려 줘", " 이야기 해줘", " 뭐였어요?", " 있었나?", " 기억나?"]),
)
def test_a_rare_noun_is_found_whatever_is_behind_it(noun: str, particle: str, asks: str) -> None:
    fitting = particle.split(" ")[0 if final_of(noun) else -1]
    assert days(f"{noun}{fitting}{asks}")[:1] == days(noun)[:1] != []


def test_one_thing_by_another_name_is_found() -> None:
    index = Index([entry("2026-01-01", "어머니와 다퉜다."), entry("2026-01-02", "잠을 잤다.")])
    assert days("엄마랑 싸운 날", index) == ["2026-01-01"]


def test_a_part_of_a_compound_is_found() -> None:
    index = Index([entry("2026-01-01", "돼지고기김치찌개를 먹었다."), entry("2026-01-02", "잠을 잤다.")])
    assert days("김치찌개", index) == days("돼지고기", index) == ["2026-01-01"]


def test_letters_that_were_composed_elsewhere_are_the_same() -> None:
    apart = unicodedata.normalize("NFD", "협재 해수욕장에서 놀던 날")
    assert days(apart) == days("협재 해수욕장에서 놀던 날")
    index = Index([entry("2026-01-01", unicodedata.normalize("NFD", "바다에서 놀았다."))])
    assert days("바다", index) == ["2026-01-01"]


def test_a_thing_done_together_is_better_than_both_apart() -> None:
    index = Index(
        [
            entry("2026-01-03", "민수를 만났다. 혼자 라면을 먹었다."),
            entry("2026-01-02", "민수와 라면을 먹었다. 비가 왔다."),
            entry("2026-01-01", "라면을 먹었다."),
        ]
    )
    hits = ask("민수랑 라면 먹은 날", index)
    assert [hit.document.day.day for hit in hits] == [2, 3]
    assert hits[0].score > hits[1].score and hits[0].passage == "민수와 라면을 먹었다."


# Days


def test_a_day_gives_its_documents_and_no_others() -> None:
    assert days("2025년 11월 25일에 뭐 했어?") == ["2025-11-25"]
    assert days("어제는 어땠어?") == ["2026-05-31"]
    assert days("지난주에 뭐 했지?") == ["2026-05-31", "2026-05-30", "2026-05-28", "2026-05-26"]
    assert days("2024년 8월에 뭐 했어?") == []


def test_the_very_day_is_shown_also_when_the_rest_of_the_question_is_not_in_it() -> None:
    (hit,) = ask("어제 골프 쳤나?")
    assert hit.document.day == date(2026, 5, 31) and LEAST_SCORE <= hit.score < 0.7
    assert ask("어제 수제비 먹었나?")[0].score > hit.score


def test_a_week_needs_the_rest_of_the_question() -> None:
    assert days("지난주에 영수증 정리한 날") == ["2026-05-28"]
    assert days("지난주에 골프 친 날") == []


def test_a_season_comes_first_and_a_day_that_fits_at_another_time_is_still_found() -> None:
    assert days("작년 여름에 영화 본 날")[0] == "2025-08-09"
    (hit,) = ask("작년 여름에 북한산 단풍")
    assert hit.document.day == date(2025, 10, 11) and hit.score < ask("작년 가을에 북한산 단풍")[0].score


def test_a_day_answers_to_its_feast_also_when_nobody_named_it() -> None:
    index = Index([entry("2025-12-25", "집에서 잤다."), entry("2025-12-26", "회사에 갔다.")])
    assert days("크리스마스에는 뭐 했어?", index) == ["2025-12-25"]


# Scores


def test_what_has_nothing_to_do_with_the_diary_finds_nothing() -> None:
    for question in (
        "양자역학을 설명해 줘",
        "안녕",
        "고마워",
        "파이썬 코드 짜 줘",
        "",
        "   ",
        "?!",
        "뭐야",
        "🙂",
        "그날",
    ):
        assert ask(question) == [], question


def test_hits_are_no_more_than_asked_for_and_the_best_come_first() -> None:
    hits = ask("서윤이", most=100)
    assert len(hits) > 50
    assert ask("서윤이", most=3) == hits[:3]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert ask("서윤이", most=0) == []


def test_an_empty_diary_finds_nothing() -> None:
    index = Index([])
    assert len(index) == 0
    assert ask("어제 뭐 했어?", index) == ask("김치찌개", index) == []


def test_a_document_without_a_word_does_no_harm() -> None:
    index = Index([entry("2026-05-31", "", ""), entry("2026-05-30", "…!? 🙂", "🙂")])
    assert days("어제", index) == ["2026-05-31"] and ask("어제", index)[0].passage == ""
    assert days("김치찌개", index) == []


TEXT = st.text(
    st.sampled_from("가나다라걸었어요김치 찌개5월일 작년.?!\n여름에서ㄱㅏ1２²9-aZé🙂\x00"), max_size=60
) | st.text(max_size=60)


@settings(max_examples=150, deadline=None)
@given(contents=st.lists(TEXT, max_size=4), title=TEXT, question=TEXT)
def test_no_text_is_too_strange_and_every_score_is_from_0_to_1(contents: list[str], title: str, question: str) -> None:
    index = Index(Document(str(n), date(2026, 5, n + 1), title, text, "talk") for n, text in enumerate(contents))
    for asked in (question, *contents):
        hits = index.search(asked, today=TODAY)
        assert all(LEAST_SCORE <= hit.score <= 1 for hit in hits)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert len({hit.document.call_sid for hit in hits}) == len(hits) <= 5
        assert all(hit.passage in f"{hit.document.title}\n{hit.document.content}" for hit in hits)


def test_a_question_of_ten_thousand_letters_is_answered_by_its_beginning() -> None:
    assert days("복숭아 한 상자를 보내 주신 이모. " + " 서윤이" * 3000)[0] == "2025-08-21"


def test_a_word_said_twice_counts_once() -> None:
    assert ask("복숭아 " * 20) == ask("복숭아")


def test_others_have_their_turn_after_each_document() -> None:
    turns: list[int] = []
    Index(YEAR[:7], after_each=lambda: turns.append(len(turns)))
    assert turns == list(range(7))
