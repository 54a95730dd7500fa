"""The sentences of many texts, and how well each of them holds a word: 0 to 1.

A word is held as a form of itself, under another name, as a part of a longer word, or letter by letter, so that blanks
count for little. It knows no questions, no days and no weights.
"""

from collections.abc import Iterable, Sequence

from bot.diary.terms import Term, number_readings, readings, same, words

_SHORT_STEM = 0.85
"""A stem of one syllable may be of another word: 지 is of 지었다 and of 졌다."""
_OTHER_NAME = 0.85
_PART_OF_WORD = 0.85
_LAST_SYLLABLE = 0.5
"""벚꽃 for 꽃."""
_ACROSS_WORDS = 0.6
_LETTERS = 0.7
_FEWEST_LETTERS = 0.3
"""With a smaller share of the letters a sentence has nothing of the word."""


class Sentences:
    """Sentences by their numbers, from 0 in the order in which they were added."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._letters: list[str] = []
        self._holding: dict[str, list[int]] = {}
        self._read: dict[str, frozenset[str]] = {}
        self._nouns = "\n"

    def __len__(self) -> int:
        return len(self.texts)

    def add(self, text: str, names: Iterable[str] = ()) -> None:
        """Add one sentence; it also holds the nouns `names`."""
        found = words(text)
        holds = set(number_readings(text)).union(f"N{name}" for name in names)
        for word in found:
            if word not in self._read:
                self._read[word] = readings(word)
            holds |= self._read[word]
        for one in holds:
            self._holding.setdefault(one, []).append(len(self.texts))
        self.texts.append(text)
        self._letters.append("".join(found))

    def complete(self) -> None:
        """Make it ready for questions, after the last sentence."""
        self._read = {}
        # One text to be searched for parts of words: many times faster than word by word.
        self._nouns = "\n".join(["", *(one[1:] for one in self._holding if one[0] == "N" and len(one) > 2), ""])

    def know(self, found: frozenset[str]) -> bool:
        """Whether any sentence holds one of these readings."""
        return any(one in self._holding for one in found)

    def fit(self, term: Term) -> dict[int, float]:
        """The sentences that have something of a word, and how well each holds it."""
        fits: dict[int, float] = {}

        def add(sentences: Iterable[int], how: float) -> None:
            for sentence in sentences:
                fits[sentence] = max(fits.get(sentence, 0.0), how)

        for one in term.readings:
            add(self._holding.get(one, ()), _SHORT_STEM if one[0] == "V" and len(one) == 2 else 1.0)
        for one in same(term.readings):
            add(self._holding.get(one, ()), _OTHER_NAME)
        nouns = term.long_nouns
        for noun in nouns:
            for known in self._nouns_with(f"\n{noun}") | self._nouns_with(f"{noun}\n"):
                add(self._holding[f"N{known}"], _PART_OF_WORD)
        if term.weak:
            return fits
        if len(term.word) == 1:
            for known in self._nouns_with(f"{term.word}\n"):
                if len(known) == 2:
                    add(self._holding[f"N{known}"], _LAST_SYLLABLE)
        if nouns:
            self._fit_letters(nouns[-1], fits)
        return fits

    def _nouns_with(self, part: str) -> set[str]:
        """The nouns that begin with what is behind the line break of `part`, or end with what is before it."""
        found: set[str] = set()
        at = self._nouns.find(part)
        while at >= 0:
            begin = at + 1 if part[0] == "\n" else self._nouns.rfind("\n", 0, at + 1) + 1
            found.add(self._nouns[begin : self._nouns.find("\n", begin)])
            at = self._nouns.find(part, at + 1)
        return found

    def _fit_letters(self, noun: str, fits: dict[int, float]) -> None:
        pairs = [noun[at : at + 2] for at in range(len(noun) - 1)]
        for number, letters in enumerate(self._letters):
            how = _ACROSS_WORDS if noun in letters else _share(pairs, letters)
            if how > max(fits.get(number, 0.0), _FEWEST_LETTERS):
                fits[number] = how


def _share(pairs: Sequence[str], letters: str) -> float:
    return _LETTERS * sum(pair in letters for pair in pairs) / len(pairs)
