"""The made-up year of fixtures/year: entries of one person, and questions with the days that answer them.

Entries, questions and the search have the same author, so figures on them are kinder than those on real diaries.
Questions that are held out were never looked at to tune the search; keep it so, or write new ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

from bot.diary.search import Document, Hit

_FOLDER = Path(__file__).parents[2] / "fixtures" / "year"


class Question(msgspec.Struct, frozen=True):
    """A question, and the ids of the documents of which one must be found; with none, the diary has no answer."""

    question: str
    kind: str
    right: tuple[str, ...]
    held_out: bool


class _Entry(msgspec.Struct, frozen=True):
    id: str
    day: date
    kind: str
    title: str
    content: str


class _Entries(msgspec.Struct, frozen=True):
    entries: list[_Entry]


class _Questions(msgspec.Struct, frozen=True):
    today: date
    questions: list[Question]


@dataclass(frozen=True, slots=True)
class Figures:
    """How many of `asked` questions have a right document first and among the first three, and the mean of 1 / rank.

    `false` of `unanswerable` questions found something.
    """

    asked: int
    first: int
    among_three: int
    reciprocal_rank: float
    unanswerable: int
    false: int

    @property
    def recall_at_3(self) -> float:
        """The share of the questions with a right document among the first three."""
        return self.among_three / self.asked


def documents() -> list[Document]:
    """The year, each document under its id."""
    read = msgspec.json.decode((_FOLDER / "entries.json").read_bytes(), type=_Entries)
    return [
        Document(one.id, one.day, one.title, one.content, "entry" if one.kind == "entry" else "talk")
        for one in read.entries
    ]


def questions() -> tuple[date, list[Question]]:
    """The day on which they are asked, and all of them."""
    read = msgspec.json.decode((_FOLDER / "questions.json").read_bytes(), type=_Questions)
    return read.today, read.questions


def figures(asked: Sequence[Question], ask: Callable[[str], Sequence[Hit]]) -> Figures:
    """What a search reaches on some of the questions."""
    ranks: list[int | None] = []
    false = 0
    for one in asked:
        found = [hit.document.call_sid for hit in ask(one.question)]
        if one.right:
            ranks.append(next((rank for rank, sid in enumerate(found, start=1) if sid in one.right), None))
        else:
            false += bool(found)
    return Figures(
        asked=len(ranks),
        first=ranks.count(1),
        among_three=sum(rank is not None and rank <= 3 for rank in ranks),
        reciprocal_rank=sum(1 / rank for rank in ranks if rank) / max(1, len(ranks)),
        unanswerable=len(asked) - len(ranks),
        false=false,
    )
