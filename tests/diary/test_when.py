"""bot/diary/when.py: the days that a question means, asked on Monday, the first of June 2026."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.diary.when import Asked, days_asked

TODAY = date(2026, 6, 1)


def span(question: str, today: date = TODAY) -> tuple[str, ...]:
    asked = days_asked(question, today)
    return () if asked is None else tuple(f"{first}..{last}" for first, last in asked.spans)


@pytest.mark.parametrize(
    ("question", "days"),
    [
        ("오늘 뭐 했지", "2026-06-01"),
        ("어제 뭐 했지", "2026-05-31"),
        ("그저께는?", "2026-05-30"),
        ("그제", "2026-05-30"),
        ("사흘 전에", "2026-05-29"),
        ("3일 전", "2026-05-29"),
        ("십오일 전", "2026-05-17"),
        ("지난 토요일에", "2026-05-30"),
        ("저번 월요일", "2026-05-25"),
        ("토요일에 뭐 했어", "2026-05-30"),
        ("지난달 10일에", "2026-05-10"),
        ("지지난 달 3일에", "2026-04-03"),
        ("이번 달 1일에", "2026-06-01"),
        ("10일에 뭐 했지", "2026-05-10"),
        ("31일에는?", "2026-05-31"),
        ("지난주 수요일", "2026-05-27"),
        ("지지난주 수요일", "2026-05-20"),
        ("이번 주 월요일", "2026-06-01"),
        ("5월 5일에", "2026-05-05"),
        ("오월 오일", "2026-05-05"),
        ("시월 삼일", "2025-10-03"),
        ("유월 이일", "2025-06-02"),
        ("6월 1일", "2026-06-01"),
        ("12월 31일", "2025-12-31"),
        ("작년 5월 5일", "2025-05-05"),
        ("2025년 11월 25일 일기", "2025-11-25"),
        ("2025-12-25", "2025-12-25"),
        ("2025.12.25", "2025-12-25"),
        ("2월 29일", "2024-02-29"),
    ],
)
def test_a_day(question: str, days: str) -> None:
    assert span(question) == (f"{days}..{days}",)
    asked = days_asked(question, TODAY)
    assert asked is not None and asked.exact and asked.is_day


@pytest.mark.parametrize(
    ("question", "first", "last"),
    [
        ("엊그제", "2026-05-29", "2026-05-30"),
        ("지난주에", "2026-05-25", "2026-05-31"),
        ("저번 주에", "2026-05-25", "2026-05-31"),
        ("이번 주", "2026-06-01", "2026-06-07"),
        ("지난 주말에", "2026-05-30", "2026-05-31"),
        ("이주 전에", "2026-05-15", "2026-05-21"),
        ("지난달", "2026-05-01", "2026-05-31"),
        ("지난달 초에", "2026-05-01", "2026-05-10"),
        ("5월 중순에", "2026-05-11", "2026-05-20"),
        ("작년 2월 말에", "2025-02-21", "2025-02-28"),
        ("5월 1일부터 3일까지", "2026-05-01", "2026-05-03"),
        ("12월 30일부터 1월 2일까지", "2025-12-30", "2026-01-02"),
        ("지난 달에", "2026-05-01", "2026-05-31"),
        ("지지난달", "2026-04-01", "2026-04-30"),
        ("두 달 전에", "2026-04-01", "2026-04-30"),
        ("6개월 전", "2025-12-01", "2025-12-31"),
        ("3월에", "2026-03-01", "2026-03-31"),
        ("7월에", "2025-07-01", "2025-07-31"),
        ("2월", "2026-02-01", "2026-02-28"),
        ("작년 2월에", "2025-02-01", "2025-02-28"),
        ("재작년", "2024-01-01", "2024-12-31"),
        ("올해", "2026-01-01", "2026-12-31"),
        ("2025년에", "2025-01-01", "2025-12-31"),
        ("일 년 전", "2025-01-01", "2025-12-31"),
        ("작년 여름", "2025-06-01", "2025-08-31"),
        ("작년 여름에", "2025-06-01", "2025-08-31"),
        ("지난겨울에", "2025-12-01", "2026-02-28"),
        ("올봄에", "2026-03-01", "2026-05-31"),
        ("이번 여름", "2026-06-01", "2026-08-31"),
        ("가을에", "2025-09-01", "2025-11-30"),
        ("요즘", "2026-05-02", "2026-06-01"),
    ],
)
def test_a_longer_time(question: str, first: str, last: str) -> None:
    assert span(question) == (f"{first}..{last}",)


def test_last_years_winter_is_either() -> None:
    assert span("작년 겨울에") == ("2025-12-01..2026-02-28", "2025-01-01..2025-02-28")


def test_a_season_that_has_begun_may_be_the_one_before() -> None:
    assert span("여름에 간 바다") == ("2026-06-01..2026-08-31", "2025-06-01..2025-08-31")


@pytest.mark.parametrize(
    "question",
    [
        "김치찌개 먹은 날",
        "오일 교환 언제 했지",
        "10일 동안 뭐 했지",
        "올라갔어",
        "올 때 뭐 샀어",
        "결혼한 지 구 년",
        "모레",
        "봄 냄새",
        "가을이가 왔어",
        "0000년",
        "정월",
    ],
)
def test_what_is_no_date(question: str) -> None:
    assert days_asked(question, TODAY) is None


def test_the_rest_of_the_question_is_without_the_date_and_its_particle() -> None:
    asked = days_asked("작년 여름에 바다에서 논 날", TODAY)
    assert asked is not None and asked.rest.split() == ["바다에서", "논", "날"]
    asked = days_asked("서윤이는 어제는 뭐 했어", TODAY)
    assert asked is not None and asked.rest.split() == ["서윤이는", "뭐", "했어"]


def test_a_month_without_its_year_is_never_to_come() -> None:
    for month in range(1, 13):
        for day in (TODAY, date(2026, 12, 31), date(2026, 1, 1)):
            asked = days_asked(f"{month}월에", day)
            assert asked is not None and asked.spans[0][0] <= day


@given(st.dates(date(1990, 1, 1), date(2200, 1, 1)), st.integers(1, 12), st.integers(1, 31))
def test_a_day_without_its_year_is_the_last_one_that_there_was(today: date, month: int, day: int) -> None:
    asked = days_asked(f"{month}월 {day}일에", today)
    try:
        date(2000, month, day)
    except ValueError:
        assert asked is None or not asked.is_day
        return
    assert asked is not None
    ((first, last),) = asked.spans
    assert first == last <= today and (first.month, first.day) == (month, day)
    assert today - first <= timedelta(366 * 8)


@given(
    st.text(st.sampled_from("0123456789년월일전주달개지난작올해여름봄겨울토요 -./²９")) | st.text(),
    st.dates(date(1, 1, 1), date(9999, 12, 31)),
)
def test_no_text_and_no_day_is_too_strange(question: str, today: date) -> None:
    asked = days_asked(question, today)
    assert asked is None or (isinstance(asked, Asked) and all(first <= last for first, last in asked.spans))
