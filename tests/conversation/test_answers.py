"""An answer to the entry that was read may come in many words; no story is one."""

import pytest

from bot.conversation.answers import answer, says_goodbye
from bot.conversation.intents import IntentKind

ANSWERS = [
    ("네 맞아요 이제 끊을게요", IntentKind.APPROVE),
    ("맞아요 잘 정리해 주셨네요", IntentKind.APPROVE),
    ("아니요 고칠 거 없어요", IntentKind.APPROVE),
    ("네 저장해 주시고 끊을게요", IntentKind.APPROVE),
    ("응 맞아 고마워 잘 자", IntentKind.APPROVE),
    ("아니다 그냥 놔두세요", IntentKind.APPROVE),
    ("지워 주세요 이만 끊을게요", IntentKind.DISCARD),
    ("틀렸어요 다시 써 주세요", IntentKind.CORRECT),
    ("아니요 고쳐 주세요 감사합니다", IntentKind.CORRECT),
    ("수고하셨어요 안녕히 계세요", IntentKind.FAREWELL),
    ("감사합니다 오늘은 여기까지 할게요", IntentKind.FINISH),
    ("아유 잘 썼네", IntentKind.APPROVE),
    ("어머 너무 예쁘게 써 주셨네요", IntentKind.APPROVE),
    ("뭐 딱히 고칠 건 없네요", IntentKind.APPROVE),
    ("지금 밥 먹어야 돼서 끊을게요", IntentKind.FAREWELL),
    ("바쁘니까 나중에 확인할게요", IntentKind.FAREWELL),
    ("네 너무 예쁘게 잘 써 주셨어요", IntentKind.APPROVE),
    ("네 그대로 잘 적어 주셨네요 마음에 쏙 들어요", IntentKind.APPROVE),
]


@pytest.mark.parametrize(("text", "kind"), ANSWERS)
def test_many_words_with_one_meaning(text: str, kind: IntentKind) -> None:
    assert answer(text) is kind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "맞아요 지워 주세요",
        "네 맞아요 그리고 저녁에 산책했어요",
        "민수가 아니라 민호예요",
        "민수랑 영화도 봤어요",
        "감사합니다 정말",
        "친구를 만나서 좋아요",
        "아기가 졸려서 잘 자요",
        "여보세요 여보세요",
        " ".join(["맞아요"] * 13),
    ],
)
def test_anything_else_decides_nothing(text: str) -> None:
    assert answer(text) is None


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("이만 끊을게요 안녕히 계세요", True),
        ("네 감사합니다 끊을게요", True),
        ("네 고맙습니다", False),
        ("틀렸어요 끊을게요", False),
        ("친구를 만났어요 끊을게요", False),
        (" ".join(["끊을게요"] * 13), False),
        ("", False),
    ],
)
def test_a_goodbye_may_come_in_parts(text: str, ends: bool) -> None:
    assert says_goodbye(text) is ends
