"""What is part of a day, and what became of it."""

import pytest

from bot.conversation.told import Told, is_content, told_in


def told(*texts: str) -> Told:
    day = Told()
    for text in texts:
        day.add(text)
    return day


NO_CONTENT = (
    *("", "음", "네", "그렇군요", "감사합니다", "여보세요", "안녕히 계세요"),
    *("다시 말해 줘", "천천히 말해 줘", "좀 크게 말해 주세요", "잠깐만요", "오늘은 여기까지 할게"),
    *("이만 끊을게요 안녕히 계세요", "끝이에요 끊을게요"),
    *("이건 적지 마세요", "오늘 거 지워 줘", "지워 줘", "고칠게", "맞아요"),
    *("오늘 회사에서 잘렸어요. 이건 적지 마세요.", "이건 적지 마세요. 오늘 회사에서 잘렸어요."),
)


@pytest.mark.parametrize("text", NO_CONTENT)
def test_what_is_no_part_of_a_day(text: str) -> None:
    assert not is_content(text)


@pytest.mark.parametrize(
    "text",
    [
        "많이 자요",
        "꿈 꿔요",
        "써 봐요",
        "친구를 만났어요",
        "버스를 천천히 몰더라고요",
        "고칠게 친구가 아니라 동생이야",
        "3번",
    ],
)
def test_what_is_part_of_a_day(text: str) -> None:
    assert is_content(text)


def test_the_turns_of_a_call_are_told_apart() -> None:
    turns = ["밥을 먹었어요", "네", "잘렸어요 이건 적지 마세요", "고칠게 밥이 아니라 빵이야", "천천히", "잘게요 이제"]
    day = told_in(turns)
    assert (day.said, day.corrections) == (["밥을 먹었어요", "잘게요 이제"], ["밥이 아니라 빵이야"])


def test_a_story_beside_a_wish_that_names_another_is_told() -> None:
    assert told_in(["산책했어요. 병원 얘기는 빼 줘.", "네. 병원 얘기는 빼 줘."]).said == ["산책했어요."]


def test_what_came_last_is_taken_back_first() -> None:
    day = told("밥을 먹었어요", "산책을 했어요")
    day.correct("밥이 아니라 빵이야")
    day.add("잠도 잤어요")
    assert [day.take_back() for _ in range(5)] == [
        "잠도 잤어요",
        "밥이 아니라 빵이야",
        "산책을 했어요",
        "밥을 먹었어요",
        "",
    ]


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("병원", ["약을 병원에서 받았어요", "병원에 갔어요"]),
        ("약을 받은", ["약을 병원에서 받았어요"]),
        ("수술한", ["수술을 했어요"]),
        ("약국", []),
        ("아까 한 그", []),
        ("아까 차 산", ["차를 샀어요"]),
        ("", []),
    ],
)
def test_what_was_told_is_found_by_its_name(what: str, found: list[str]) -> None:
    day = told("병원에 갔어요", "약을 병원에서 받았어요", "자동차 값이 올랐어요", "차를 샀어요")
    day.correct("수술을 했어요")
    assert [part.text for part in day.about([what])] == found
    assert day.take_back_about([what]) == tuple(found)
    assert day.unsettled and not set(found) & set(day.texts)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("고모", ["고모가 오셨어요"]),
        ("어머니", ["시어머니가 오셨어요"]),
        ("김민수", []),
        ("고모부네", []),
        ("지민이", ["김지민을 만났어요"]),
        ("고모랑 시어머니", ["시어머니가 오셨어요", "고모가 오셨어요"]),
    ],
)
def test_a_name_is_a_word_before_it_is_a_part_of_one(name: str, found: list[str]) -> None:
    day = told("고모가 오셨어요", "시어머니가 오셨어요", "시고모가 가셨어요", "김민지를 만났어요", "김지민을 만났어요")
    assert [part.text for part in day.about([name])] == found


def test_a_day_is_unsettled_until_it_is_approved_and_again_after_more() -> None:
    day = told("밥을 먹었어요")
    assert day.unsettled
    day.settle()
    assert not day.unsettled
    day.add("산책을 했어요")
    assert day.unsettled


def test_an_entry_holds_a_day_until_more_is_told() -> None:
    day = told("밥을 먹었어요")
    day.drafted()
    assert day.is_drafted
    day.correct("밥이 아니라 빵이야")
    assert not day.is_drafted


def test_a_day_with_one_thing_less_and_one_more_is_another_day() -> None:
    day = told("밥을 먹었어요", "잘렸어요")
    day.drafted()
    day.settle()
    day.take_back()
    day.add("산책을 했어요")
    assert day.unsettled and not day.is_drafted


def test_a_day_that_is_forgotten_leaves_nothing_to_settle() -> None:
    day = told("밥을 먹었어요")
    day.settle()
    day.clear()
    assert not day.said and not day.unsettled
    day.add("산책을 했어요")
    assert day.unsettled


def test_a_copy_is_left_alone() -> None:
    day = told("밥을 먹었어요")
    before = day.copy()
    day.add("산책을 했어요")
    day.take_back()
    day.take_back()
    assert before.said == ["밥을 먹었어요"] and day.said == []
