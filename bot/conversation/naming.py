"""The nouns by which a caller names what was told: 병원 of 병원에서 있었던 일."""

from bot.conversation.clauses import noun_and_particle
from bot.conversation.korean import normalise
from bot.conversation.texts import table

_VAGUE = frozenset(table("dialogue")["vague"])


def names_in(what: str) -> list[str]:
    """The names in a wish, as letters to be found in texts; 아까 and 오늘 are none."""
    return [name for word in what.split() if (name := _name(word)) and name not in _VAGUE]


def in_common(text: str, names: list[str]) -> int:
    """How many letters of the names a text has, of each from the first on: 수술 of 수술한; a single one as a word."""
    return sum(_letters(text, name) for name in names)


def _letters(text: str, name: str) -> int:
    if len(name) == 1:
        return int(name in map(_name, text.split()))
    return next((size for size in range(len(name), 1, -1) if name[:size] in normalise(text)), 0)


def _name(word: str) -> str:
    """The noun of a written word: 병원에서 → 병원."""
    found = noun_and_particle(word.strip(".,?!…~"))
    return normalise(found[0] if found else word)
