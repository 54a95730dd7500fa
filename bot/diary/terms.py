"""The words of a text as what they may be forms of, so that a question and an entry meet in them.

A reading is `N` and a noun, `V` and a stem, or `#` and a number with what it counts; a word has as many as its letters
allow (see stems.py). It knows no dates and no entries.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

from bot.conversation.hangul import is_syllable
from bot.conversation.numerals import numbers
from bot.conversation.texts import table
from bot.diary.stems import nouns, parts, stems

_DATA: dict[str, Any] = table("search")
_WORD = re.compile(r"[가-힣]+|[a-z]+|\d+")
_ASKING_WORDS = frozenset(_DATA["asking_words"])
_ASKING_BEGINS = tuple(_DATA["asking_begins"])
_PREDICATE_ENDS = tuple(_DATA["predicate_ends"])
_BEFORE_NOUNS = tuple(_DATA["before_nouns"])
_ASKING_TAILS = tuple(_DATA["asking_tails"])
_ASKING_ENDS = tuple(_DATA["asking_ends"])
_ASKING = frozenset([f"N{noun}" for noun in _DATA["asking_nouns"]] + [f"V{stem}" for stem in _DATA["asking_stems"]])
_WEAK_WORDS = frozenset(_DATA["weak_words"])
_WEAK = frozenset([f"N{noun}" for noun in _DATA["weak_nouns"]] + [f"V{stem}" for stem in _DATA["weak_stems"]])
_SAME: dict[str, frozenset[str]] = {}
for _group in (*table("diary")["same"], *_DATA["same"]):
    for _one in _group:
        _SAME[_one] = _SAME.get(_one, frozenset()) | frozenset(_group)
_ASKING_PARTICLES: tuple[str, ...] = tuple(_DATA["asking_particles"])
_PLAIN: str = _DATA["plain"]
_LONGEST_WORD = 40
"""No word of Korean is longer; the readings of a longer one would take long."""


@dataclass(frozen=True, slots=True)
class Term:
    """A word of a question: what it may be a form of, whether it says little, and whether it tells what was done."""

    word: str
    readings: frozenset[str]
    weak: bool = False
    predicate: bool = False

    @property
    def long_nouns(self) -> list[str]:
        """The nouns of two letters and more that it may be, the longest first."""
        nouns = (one[1:] for one in self.readings if one[0] == "N" and len(one) > 2)
        return sorted(nouns, key=lambda noun: (-len(noun), noun))


def term(word: str, after: str) -> Term | None:
    """A word of a question, before the word `after`; None when it only asks."""
    found = asked_readings(word)
    if is_asking(word, found):
        return None
    return Term(word, found, is_weak(word, found), _is_predicate(word, after))


def words(text: str) -> list[str]:
    """The words and numbers of a text without its punctuation; a word of Korean is as long as it is written."""
    return [word[:_LONGEST_WORD] for word in _WORD.findall(plain(text))]


def plain(text: str) -> str:
    """The text with whole syllables and small letters."""
    return normalize("NFC", text).lower()


def readings(word: str) -> frozenset[str]:
    """Everything that a word may be a form of."""
    if not is_syllable(word[0]):
        return frozenset({f"N{word}"})
    as_stems = stems(word)
    made_of = {noun for stem in as_stems for noun, _ in parts(stem)}
    return frozenset({f"N{noun}" for noun in nouns(word) | made_of} | {f"V{stem}" for stem in as_stems})


def asked_readings(word: str) -> frozenset[str]:
    """The same of a word of a question: 갔었나 is a form of what 갔었다 is one of."""
    found = readings(word)
    for ending in _ASKING_ENDS:
        if word.endswith(ending) and len(word) > len(ending):
            found |= frozenset(f"V{stem}" for stem in stems(word.removesuffix(ending) + _PLAIN))
    for particle in _ASKING_PARTICLES:
        if word.endswith(particle) and len(word) > len(particle) + 1:
            found |= {f"N{word.removesuffix(particle)}"}
    return found


def number_readings(text: str) -> frozenset[str]:
    """The numbers of a text with what they count: 이십오 미터 and 25미터 are the same."""
    return frozenset(f"#{number.value:g}{number.unit}" for number in numbers(text) if number.unit)


def same(found: Iterable[str]) -> frozenset[str]:
    """Other words for the same thing, as far as the diary's texts give them."""
    known = frozenset(found)
    others = {other for one in known for other in _SAME.get(one[1:], ())}
    return frozenset(f"{kind}{other}" for other in others for kind in "NV") - known


def _is_predicate(word: str, after: str) -> bool:
    """Whether a word tells what was done: 넘어져서, and 다친 before 곳."""
    if after.startswith(_BEFORE_NOUNS) and stems(word):
        return True
    return word.endswith(_PREDICATE_ENDS) and bool(stems(word, adnominal=False))


def is_asking(word: str, found: frozenset[str]) -> bool:
    """Whether a word only asks: 언제였지, 알려줘."""
    if word in _ASKING_WORDS or word.startswith(_ASKING_BEGINS) or word.endswith(_ASKING_TAILS):
        return True
    return bool(found & _ASKING)


def is_weak(word: str, found: frozenset[str]) -> bool:
    """Whether a word says little: 날, 이유, 갔어."""
    return word in _WEAK_WORDS or bool(found & _WEAK)
