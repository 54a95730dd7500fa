"""Finds the days of one person's diary that a question is about.

A question's words are weighed by how rare they are in this diary; a document's score is the share of that weight which
it holds, in one place rather than in many. A date in the question chooses the days. Everything is in memory, built from
decrypted texts and gone with the index. It knows no database, no model and no clock.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Literal

from bot.conversation.texts import table
from bot.diary.sentences import Sentences
from bot.diary.terms import Term, asked_readings, is_asking, is_weak, number_readings, plain, term, words
from bot.diary.when import Asked, days_asked

LEAST_SCORE = 0.5
"""A document with less has nothing to do with the question."""

_LONGEST_QUESTION = 500
_MOST_WORDS = 32
_LONGEST_PIECE = 8
_SENTENCE = re.compile(r"[^.?!…\n]+[.?!…\n]*")
_WITH_DIGITS = re.compile(r"\d[\d,.]*\s?[가-힣]+")
_FEASTS: dict[str, list[str]] = table("search")["feasts"]

_IN_ONE_PLACE = 0.4
"""How much of a score is for what stands in one sentence; the rest is for the document."""
_WEAK_WEIGHT = 0.2
_PREDICATE_WEIGHT = 0.7
"""What was done is called by many names; who and what, by few."""
_UNKNOWN_WEIGHT = 0.9
"""Of a word that this diary does not know, beside the rarest that it knows."""
_HELD = 0.5
_OTHER_TIME = 0.75
"""For a document of other days than the month, season or year that was asked about: people mix them up."""
_IN_TIME = 0.25
_A_TRACE = 0.2
_OF_THE_DAY = 0.6
"""The least for a document of the very day, whatever it says: it shows what was done then, or that it was not."""
_OF_A_LONG_TIME = 0.7


@dataclass(frozen=True, slots=True)
class Document:
    """An entry, or a talk that has none; `day` is the day it is about."""

    call_sid: str
    day: date
    title: str
    content: str
    kind: Literal["entry", "talk"]


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that a question may be about: `score` is 0 to 1, `passage` the sentence that fits best."""

    document: Document
    score: float
    passage: str


@dataclass(slots=True)
class _Score:
    score: float
    sentence: int | None = None


_NOTHING = _Score(0.0)


class Index:
    """The documents of one person, ready for questions; reading 365 entries takes about a quarter of a second."""

    def __init__(self, documents: Iterable[Document], *, after_each: Callable[[], object] | None = None) -> None:
        """Read the documents; `after_each` is called after each, so that others may have their turn."""
        self._documents = list(documents)
        self._sentences = Sentences()
        self._document_of: list[int] = []
        for number, document in enumerate(self._documents):
            self._sentences.add(document.title, _FEASTS.get(f"{document.day:%m-%d}", ()))
            for text in _SENTENCE.findall(document.content):
                self._sentences.add(text.strip())
            self._document_of += [number] * (len(self._sentences) - len(self._document_of))
            if after_each is not None:
                after_each()
        self._sentences.complete()

    def __len__(self) -> int:
        return len(self._documents)

    def search(self, question: str, *, today: date, most: int = 5) -> list[Hit]:
        """The documents that a question is about, the best first; none when nothing is.

        `today` is in the diary's timezone. A question that is only a date gives the documents of its days.
        """
        question = plain(question)[:_LONGEST_QUESTION]
        asked = days_asked(question, today)
        terms = self._terms(asked.rest if asked else question)
        found = self._scores(terms)
        if asked:
            found = self._of_days(asked, found, any(not one.weak for one in terms))
        ranked = sorted(found, key=lambda number: (-found[number].score, -self._documents[number].day.toordinal()))
        return [
            Hit(self._documents[number], min(found[number].score, 1.0), self._passage(number, found[number].sentence))
            for number in ranked[:most]
            if found[number].score >= LEAST_SCORE
        ]

    # The question

    def _terms(self, question: str) -> list[Term]:
        counted = [Term(one, frozenset({one})) for one in sorted(number_readings(question))]
        question = _WITH_DIGITS.sub(lambda match: " " if number_readings(match[0]) else match[0], question)
        asked = list(dict.fromkeys(words(question)))[:_MOST_WORDS]
        pieces = list(dict.fromkeys(piece for word in asked for piece in self._pieces(word)))
        found = (term(word, after) for word, after in pairwise([*pieces, ""]))
        return [*counted, *(one for one in found if one is not None)]

    def _pieces(self, word: str) -> list[str]:
        """A word that this diary does not know as words that it knows: 유치원졸업식 → 유치원, 졸업식."""
        if len(word) < 4 or self._knows(word):
            return [word]
        best: list[tuple[float, list[str]]] = [(0.0, [])]
        for end in range(1, len(word) + 1):
            starts = range(max(0, end - _LONGEST_PIECE), end)
            score, start = max((best[start][0] + self._piece_score(word[start:end]), start) for start in starts)
            best.append((score, [*best[start][1], word[start:end]]))
        score, pieces = best[-1]
        return pieces if score > 0 else [word]

    def _piece_score(self, piece: str) -> float:
        """How good it is to see a piece of a word as a word: long ones that are known are; others end the try."""
        if len(piece) == 1:
            return 0.0 if is_weak(piece, frozenset()) else -1.0 if self._knows(piece) else -math.inf
        return len(piece) ** 2 if self._knows(piece) else -2 * len(piece)

    def _knows(self, word: str) -> bool:
        found = asked_readings(word)
        return is_asking(word, found) or is_weak(word, found) or self._sentences.know(found)

    # The documents

    def _scores(self, terms: Sequence[Term]) -> dict[int, _Score]:
        """The score of each document that holds something of the question, and its best sentence."""
        everywhere: dict[int, float] = {}
        in_place: dict[int, float] = {}
        total = 0.0
        for one in terms:
            fits = self._sentences.fit(one)
            weight = self._weight(one, fits)
            if not one.weak:
                total += weight
            in_document: dict[int, float] = {}
            for sentence, how in fits.items():
                document = self._document_of[sentence]
                in_document[document] = max(in_document.get(document, 0.0), how)
                in_place[sentence] = in_place.get(sentence, 0.0) + weight * how
            for document, how in in_document.items():
                everywhere[document] = everywhere.get(document, 0.0) + weight * how
        if total == 0.0:
            return {}
        best: dict[int, int] = {}
        for sentence in sorted(in_place):
            document = self._document_of[sentence]
            if document not in best or in_place[sentence] > in_place[best[document]]:
                best[document] = sentence
        return {
            document: _Score(
                ((1 - _IN_ONE_PLACE) * held + _IN_ONE_PLACE * in_place[best[document]]) / total, best[document]
            )
            for document, held in everywhere.items()
        }

    def _weight(self, one: Term, fits: dict[int, float]) -> float:
        many = len(self._documents)
        holding = len({self._document_of[sentence] for sentence, how in fits.items() if how >= _HELD})
        weight = math.log(1 + many / holding) / math.log(1 + 2 * many) if holding else _UNKNOWN_WEIGHT
        return weight * (_PREDICATE_WEIGHT if one.predicate else 1.0) * (_WEAK_WEIGHT if one.weak else 1.0)

    def _of_days(self, asked: Asked, scores: dict[int, _Score], about_something: bool) -> dict[int, _Score]:
        inside = [number for number, document in enumerate(self._documents) if asked.holds(document.day)]
        if not about_something:
            score = 1.0 if asked.exact else _OF_A_LONG_TIME
            return {number: _Score(score) for number in inside}
        if asked.exact:
            least = _OF_THE_DAY if asked.is_day else 0.0
            known = {number: scores.get(number, _NOTHING) for number in inside}
            return {number: _Score(_raised(one.score, least), one.sentence) for number, one in known.items()}
        traced = {number: one for number, one in scores.items() if one.score >= _A_TRACE}
        within = set(inside)
        return {
            number: _Score(_raised(one.score, _IN_TIME) if number in within else one.score * _OTHER_TIME, one.sentence)
            for number, one in traced.items()
        }

    def _passage(self, number: int, sentence: int | None) -> str:
        document = self._documents[number]
        if sentence is not None and self._sentences.texts[sentence] != document.title:
            return self._sentences.texts[sentence]
        return next((text.strip() for text in _SENTENCE.findall(document.content)), document.title)


def _raised(score: float, least: float) -> float:
    return least + (1 - least) * score
