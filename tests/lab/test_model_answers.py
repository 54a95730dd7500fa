"""bot/lab/model_answers.py: nothing but what was sent, with the numbers that it had there."""

import json

import pytest

from bot.lab.model_answers import NOTHING, answer

EXCERPTS = [
    {"no": "[1]", "date": "2026-03-02 (월)", "title": "한강", "text": "지수랑 한강에 갔다. 라면을 먹었다."},
    {"no": "[2]", "date": "2025-12-24 (수)", "title": "눈", "text": "눈이 많이 왔다. 지수가 장갑을 잃어버렸다."},
]


def asked(question: str, excerpts: object = EXCERPTS) -> str:
    return json.dumps({"today": "2026-11-21", "excerpts": excerpts, "question": question}, ensure_ascii=False)


def test_the_sentence_that_shares_most_with_the_question_is_told_and_cited() -> None:
    assert answer(asked("한강에 누구랑 갔지?")) == "3월 2일 일기에 “지수랑 한강에 갔다”라고 적혀 있어요 [1]."
    assert answer(asked("12월 24일에 뭐 했지?")) == (
        "12월 24일 일기에 “눈이 많이 왔다”라고 적혀 있어요 [2]. "
        "12월 24일 일기에 “지수가 장갑을 잃어버렸다”라고 적혀 있어요 [2]."
    )
    assert answer(asked("장갑 잃어버린 날은?")) == "12월 24일 일기에 “지수가 장갑을 잃어버렸다”라고 적혀 있어요 [2]."


def test_of_what_is_not_there_nothing_is_told() -> None:
    assert answer(asked("프랑스 혁명은?")) == NOTHING
    assert answer(asked("한강?", [])) == NOTHING


@pytest.mark.parametrize("message", ["안녕하세요", "[]", '{"said": []}', '{"question": "뭐?"}'])
def test_another_message_is_none_of_its_business(message: str) -> None:
    assert answer(message) is None
