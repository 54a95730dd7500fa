"""What an utterance tells: its last clause in the past, or its main noun. Knows particles and endings, no vocabulary.

Words are Korean written words (어절): a stem with its particles or endings.
"""

import re
from dataclasses import dataclass
from typing import Any

from bot.conversation.endings import Past, past
from bot.conversation.hangul import final_of, is_syllable
from bot.conversation.korean import strip_fillers, whole_sentences
from bot.conversation.texts import table

_LISTS: dict[str, Any] = table("endings")["lists"]
_SELF = frozenset(_LISTS["self"])
_OPENERS = frozenset(_LISTS["openers"])
_NOT_SUBJECTS = frozenset(_LISTS["not_subjects"])
_PEOPLE = tuple(_LISTS["people"])
_OTHER_DAYS = tuple(_LISTS["other_days"])

MOST_WORDS = 6
"""A clause that is taken up has at most so many words."""

# A recogniser often leaves the full stop out: these endings surely end a sentence …
_FINAL_ENDINGS = ("어요", "어", "습니다", "거든요", "더라고요", "네요", "죠", "답니다")
# … unless the next word quotes it.
_QUOTES = ("라고", "라는", "라며", "하고", "하면서", "하는", "란")
_CONNECTS = ("고", "서", "러", "려고", "면서", "느라", "다가", "자마자", "도록", "려다가")
_BREAKS = ("는데", "은데", "지만", "니까", "거든", "어도", "아도", "으면", "다면", "이라면")
_PARTICLE = re.compile(
    r"^(?P<noun>[가-힣A-Za-z0-9]+?)(?P<particle>에서는|에서도|에서|한테서|한테|에게서|에게|께서|이랑|하고|까지|부터|처럼|보다|께|을|를|이|가|은|는|과|와|랑|에|의|도|만|으로|로)$"
)
_NEEDS_FINAL = frozenset({"을", "이", "은", "과", "이랑"})
_NEEDS_VOWEL = frozenset({"를", "가", "는", "와", "랑"})


@dataclass(frozen=True, slots=True)
class Clause:
    """The last thing that was told in the past: the words before the predicate, and the predicate."""

    words: tuple[str, ...]
    predicate: Past
    subject: str | None
    """The noun of the subject, when one other than the caller is named."""
    other_day: bool
    """Whether it tells of another day than today."""

    @property
    def before(self) -> str:
        """The words before the predicate, with a space behind them when there are any."""
        return " ".join(self.words) + (" " if self.words else "")


def sentences(text: str) -> list[str]:
    """The sentences of an utterance without fillers, also where the recogniser left out the full stop."""
    found: list[str] = []
    for part in whole_sentences(text):
        words = part.split()
        start = 0
        for index, word in enumerate(words[:-1]):
            if _surely_ends(word) and not words[index + 1].startswith(_QUOTES):
                found.append(" ".join(words[start : index + 1]))
                start = index + 1
        found.append(" ".join(words[start:]))
    return [stripped for sentence in found if (stripped := strip_fillers(sentence))]


def _surely_ends(word: str) -> bool:
    told = past(word)
    return (told is not None and told.ending in _FINAL_ENDINGS) or word.endswith(
        ("습니다", "합니다", "입니다", "됩니다")
    )


def parts(text: str) -> list[str]:
    """The sentences of an utterance, cut also behind 했는데, 갔고 and the like."""
    found: list[str] = []
    for sentence in sentences(text):
        words = sentence.split()
        start = 0
        for index, word in enumerate(words[:-1]):
            told = past(word)
            if told is not None and told.ending in {"는데", "고", "지만"}:
                found.append(" ".join(words[start : index + 1]))
                start = index + 1
        found.append(" ".join(words[start:]))
    return found


def bare(word: str) -> str:
    """A word without the punctuation around it."""
    return word.strip(".,?!…~\"'“”‘’() ")


def noun_and_particle(word: str) -> tuple[str, str] | None:
    """`친구를` → (친구, 를); None when the word does not surely end in a particle that fits its noun."""
    match = _PARTICLE.match(bare(word))
    if not match or bare(word) in _NOT_SUBJECTS:
        return None
    noun, particle = match.group("noun"), match.group("particle")
    final = bool(final_of(noun))
    if (particle in _NEEDS_FINAL and not final) or (particle in _NEEDS_VOWEL and final):
        return None
    return noun, particle


def clause(text: str) -> Clause | None:
    """The last clause in the past, without the caller's I and without starters; None when none is told."""
    for sentence in reversed(sentences(text)):
        words = [bare(word) for word in sentence.split()]
        words = [word for word in words if word]
        for index in range(len(words) - 1, -1, -1):
            predicate = past(words[index])
            if predicate is None or (
                index != len(words) - 1 and not predicate.ending.startswith(("는데", "고", "지만"))
            ):
                continue
            return _clause(words, index, predicate)
    return None


def _clause(words: list[str], index: int, predicate: Past) -> Clause:
    start = index
    while start > 0 and index - start < MOST_WORDS and not _is_break(words[start - 1]):
        start -= 1
    cut_short = start > 0 and not _is_break(words[start - 1])
    kept = words[start:index]
    if cut_short:
        kept = _from_whole_phrase(kept)
    while kept and (kept[0] in _OPENERS or kept[0] in _SELF):
        kept.pop(0)
    kept = [word for word in kept if word not in _SELF or word == "전"]
    return Clause(
        words=tuple(kept),
        predicate=predicate,
        subject=_subject(kept),
        other_day=any(word.startswith(_OTHER_DAYS) for word in words[:index]),
    )


def _is_break(word: str) -> bool:
    found = past(word)
    if found is not None:
        return found.ending != "다"  # 갔다 왔어요 is one doing
    return word.endswith(_BREAKS)


def _from_whole_phrase(words: list[str]) -> list[str]:
    """Drops the broken phrase at the start of a clause that was too long: up to a connecting word, if any."""
    for index, word in enumerate(words[:-1]):
        if word.endswith(_CONNECTS) and not word.endswith(("에서", "께서", "하고", "그리고")):
            return words[index + 1 :]
    return words[-4:]


def _subject(words: list[str]) -> str | None:
    last_connect = max((i for i, word in enumerate(words) if _connects(word)), default=-1)
    for word in reversed(words[last_connect + 1 :]):
        found = noun_and_particle(word)
        if not found:
            continue
        noun, particle = found
        if particle in {"이", "가", "께서"} or (particle in {"은", "는", "도"} and noun.endswith(_PEOPLE)):
            return noun
    return None


def _connects(word: str) -> bool:
    return word.endswith(_CONNECTS) and not word.endswith(("에서", "께서", "하고", "다고", "라고", "자고", "냐고"))


_TOO_BARE = frozenset(_LISTS["too_bare"])
_LONE_NOUNS = frozenset(_LISTS["lone_nouns"])
_NOT_NOUN_ENDS = tuple(_LISTS["not_noun_ends"])
_OBJECTS = ("을", "를")
_OTHERS = ("이", "가", "이랑", "랑", "하고", "과", "와", "한테", "에게", "에서")


def main_noun(text: str) -> str | None:
    """The noun an utterance is about: an object before a subject before a companion or place; a lone noun is itself."""
    words = [bare(word) for sentence in sentences(text) for word in sentence.split()]
    words = [word for word in words if word and word not in _SELF]
    for wanted in (_OBJECTS, _OTHERS):
        for index in range(len(words) - 1, -1, -1):
            found = noun_and_particle(words[index])
            if found and found[1] in wanted and _is_noun(found[0], words, index):
                return found[0]
    content = [word for word in words if word not in _OPENERS]
    if 1 <= len(content) <= 3 and all(_is_lone_noun(word) for word in content):
        return " ".join(content)
    return next((known for word in reversed(words) for known in [_known_noun(word)] if known), None)


def _known_noun(word: str) -> str | None:
    found = noun_and_particle(word)
    noun = word if word in _LONE_NOUNS else found[0] if found else ""
    return noun if noun in _LONE_NOUNS else None


def _is_noun(noun: str, words: list[str], index: int) -> bool:
    if noun in _TOO_BARE or noun in _SELF or len(noun) < 2 or past(noun):
        return False
    following = words[index + 1] if index + 1 < len(words) else ""
    # 먹을 거, 갈 때: an adnominal, not an object.
    return not following.startswith(("거", "것", "게", "때", "수", "줄", "데", "만큼", "뻔", "예정", "계획", "생각"))


def _is_lone_noun(word: str) -> bool:
    if word in _LONE_NOUNS:
        return True
    if (
        not 2 <= len(word) <= 10
        or word in _TOO_BARE
        or word in _NOT_SUBJECTS
        or not all(is_syllable(char) for char in word)
    ):
        return False
    return past(word) is None and not word.endswith(_NOT_NOUN_ENDS)
