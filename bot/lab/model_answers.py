"""What the stand-in model answers about a diary: sentences of the excerpts that it is sent, with their numbers.

Pure. It takes the sentences that share most with the question, their day counted too, and knows nothing but them.
"""

import json
import re
from typing import Any

NOTHING = "일기에는 그 이야기가 적혀 있지 않아요."
MOST_SENTENCES = 2
_SENTENCE = re.compile(r"[^.?!…\n]+")
_WORD = re.compile(r"[가-힣]+|\d+")
_DATE = re.compile(r"\d{4}-0?(\d{1,2})-0?(\d{1,2})")


def answer(message: str) -> str | None:
    """Answer a message that is a question with excerpts, each sentence cited; None for any other message."""
    try:
        asked: Any = json.loads(message)
    except ValueError:
        return None
    if not isinstance(asked, dict) or not {"question", "excerpts"} <= asked.keys():
        return None
    parts = _parts(str(asked["question"]))
    found = sorted(
        (
            (-len(parts & _parts(f"{sentence} {_day(excerpt['date'])}")), number, excerpt, sentence.strip())
            for number, excerpt in enumerate(asked["excerpts"])
            for sentence in _SENTENCE.findall(excerpt["text"])
            if len(sentence.split()) > 1
        ),
        key=lambda one: one[:2],
    )
    best = [one for one in found if one[0] < 0 and one[0] * 2 <= found[0][0]][:MOST_SENTENCES]
    told = [
        f"{_day(excerpt['date'])} 일기에 “{sentence}”라고 적혀 있어요 {excerpt['no']}."
        for _, _, excerpt, sentence in best
    ]
    return " ".join(told) or NOTHING


def _parts(text: str) -> set[str]:
    """The pairs of syllables of a text's words, and the words of one."""
    words = _WORD.findall(text)
    return {word[at : at + 2] for word in words for at in range(max(1, len(word) - 1))}


def _day(date: str) -> str:
    found = _DATE.match(date)
    return f"{found[1]}월 {found[2]}일" if found else date
