"""How a text of the recogniser ends: as a sentence may, or in the middle of one. Knows no grammar but its table.

`texts/sentence_ends.toml` lists endings, particles and whole words for each way to end; the longest that fits counts.
Interims come without punctuation and are cut anywhere, so a wrong guess must be cheap: what no entry fits is BARE.
"""

import re
import unicodedata
from enum import StrEnum
from itertools import product
from typing import Any

from bot.conversation.hangul import FINALS, VOWELS
from bot.conversation.texts import table


class Ending(StrEnum):
    """What the end of a text tells of its sentence."""

    FINAL = "final"
    """It can be complete: 갔어요, 갔다, 갔지, 네."""
    CONNECTIVE = "connective"
    """A clause that another follows: 갔는데, 가서, 그리고."""
    PARTICLE = "particle"
    """A noun that waits for its verb: 친구가, 집에서."""
    FILLER = "filler"
    """What only holds the floor: 음, 그, 이제."""
    BARE = "bare"
    """Anything else: a noun, an adverb, an adnominal form, a word cut off."""
    NOTHING = "nothing"
    """No word at all."""


_PART = re.compile(r"\{([^}]+)\}")
_NOT_SAID = re.compile(r"[^\w\s]|_")
# A consonant or vowel that stands alone in the table, as the part of a syllable that Unicode calls it when composed.
_LETTERS = {letter: chr(0x11A7 + index) for index, letter in enumerate(FINALS) if letter}
_LETTERS |= {letter: chr(0x1161 + index) for index, letter in enumerate(VOWELS)}


def _letters(text: str) -> str:
    """Text taken apart into the letters of its syllables, so that 할게 ends in ㄹ게."""
    return unicodedata.normalize("NFD", text)


def _forms(entry: str, parts: dict[str, list[str]]) -> list[str]:
    """All that an entry of the table stands for, as letters."""
    texts = [parts[piece] if index % 2 else [piece] for index, piece in enumerate(_PART.split(entry))]
    return [_letters("".join(_LETTERS.get(char, char) for char in "".join(choice))) for choice in product(*texts)]


def _read() -> dict[str, Ending]:
    data: dict[str, Any] = table("sentence_ends")
    return {
        form: kind for kind in Ending for entry in data.get(kind.value, ()) for form in _forms(entry, data["parts"])
    }


_ENDS = _read()
_LONGEST = max(map(len, _ENDS))


def ending(text: str) -> Ending:
    """Say how an interim or a final ends. A `?` makes a bare word complete, a comma makes nothing complete."""
    said = " ".join(_NOT_SAID.sub(" ", text).lower().split())
    if not said:
        return Ending.NOTHING
    found = _longest_fit(_letters(f"^ {said}"))
    mark = text.rstrip("\"'”’ ")[-1]
    if found is Ending.BARE and mark == "?":
        return Ending.FINAL
    if found is Ending.FINAL and mark == ",":
        return Ending.BARE
    return found


def _longest_fit(letters: str) -> Ending:
    for start in range(max(0, len(letters) - _LONGEST), len(letters)):
        if found := _ENDS.get(letters[start:]):
            return found
    return Ending.BARE
