"""The nouns by which a caller names what was told: 병원 of 병원에서 있었던 일."""

import re
from collections.abc import Iterator

from bot.conversation.clauses import noun_and_particle
from bot.conversation.korean import normalise
from bot.conversation.texts import table

_VAGUE = frozenset(table("dialogue")["vague"])
_ENDS = re.compile(table("dialogue")["name_ends"])


def names_in(what: str) -> list[str]:
    """The names in a wish, as letters to be found in texts; 아까 and 오늘 are none."""
    return [name for word in what.split() if (name := _name(word)) and name not in _VAGUE]


def in_common(text: str, names: list[str]) -> int:
    """How much of the names a text has: of each two for a word of it, one for a part of a word."""
    nouns, letters = set(map(_name, text.split())), normalise(text)
    return sum(max(_in(stem, nouns, letters) for stem in _stems(name)) for name in names)


def _in(name: str, nouns: set[str], letters: str) -> int:
    return 2 if name in nouns else int(len(name) > 1 and name in letters)


def _stems(name: str) -> Iterator[str]:
    """The name, and what it is without an ending: 수술한, 수술."""
    yield name
    if match := _ENDS.search(name):
        yield name[: match.start()]


def _name(word: str) -> str:
    """The noun of a written word: 병원에서 → 병원."""
    found = noun_and_particle(word.strip(".,?!…~"))
    return normalise(found[0] if found else word)
