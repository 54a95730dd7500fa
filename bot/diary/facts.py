"""Whether an entry holds only what was said: names, numbers and places are looked up in the caller's own words.

Knows particles, not meanings: a noun with its particle must have been said, or be so ordinary that it tells nothing.
"""

import re
from collections.abc import Sequence
from typing import Any

from bot.conversation.clauses import noun_and_particle
from bot.conversation.endings import past
from bot.conversation.hangul import final_of
from bot.conversation.korean import normalise, whole_sentences
from bot.conversation.numerals import numbers
from bot.conversation.texts import table
from bot.diary.plain import TITLE_LETTERS, Entry

_DATA: dict[str, Any] = table("diary")
_ORDINARY = frozenset(_DATA["ordinary"])
_VERBS = frozenset(_DATA["verbs"])
_LONG_VERBS = tuple(verb for verb in _VERBS if len(verb) > 1)
_ALSO_ENDINGS = ("시", "동", "구", "산", "군")
_NOT_NOUNS = frozenset(_DATA["not_nouns"])
_VERB_TAILS = tuple(_DATA["verb_tails"])
_SAME: list[list[str]] = _DATA["same"]
_PLACE_ENDS = tuple(_DATA["place_ends"])
_SURNAMES = tuple(_DATA["surnames"])
_TITLES = frozenset(_DATA["titles"])
_SURE_TITLES = frozenset(_DATA["sure_titles"])
_SAYS: dict[str, str] = _DATA["problems"]
_POLITE = re.compile(r"(?:요|니다|니까|세요|죠)[.!?…\"'”’]*$")
_COPULA = re.compile(r"(?:이었다|였다|이다|이었고|였고|이고|이었지만|였지만|이라|이라서|이어서|여서|이며|인)$")
_WORD = re.compile(r"[가-힣A-Za-z0-9]+")


def problems(entry: Entry, said: Sequence[str]) -> list[str]:
    """What is wrong with an entry, in Korean for the model that wrote it; empty when it may be read back."""
    found = sentence_problems(entry.title, said)
    if len(entry.title) > TITLE_LETTERS:
        found.append(_SAYS["title_long"])
    told = whole_sentences(entry.body)
    if not told:
        found.append(_SAYS["empty"])
    for sentence in told:
        found += sentence_problems(sentence, said)
        if _POLITE.search(sentence):
            found.append(_SAYS["polite"].format(sentence))
    return list(dict.fromkeys(found))


def sentence_problems(sentence: str, said: Sequence[str]) -> list[str]:
    """Numbers, names, places and nouns of a sentence that were not said."""
    spoken = " ".join(said)
    told = numbers(spoken)
    found = [
        _SAYS["number"].format(f"{number.value:g}{number.unit}")
        for number in numbers(sentence)
        if not any(number.same(other) for other in told)
    ]
    compact = normalise(spoken)
    words = _WORD.findall(sentence)
    for index, word in enumerate(words):
        if any(char.isdigit() for char in word) or numbers(word) or word in _NOT_NOUNS or word.endswith(_VERB_TAILS):
            continue
        following = words[index + 1] if index + 1 < len(words) else ""
        if name := _invented_name(word, following, compact):
            found.append(_SAYS["name"].format(name))
        elif noun := _invented_noun(word, compact):
            found.append(_SAYS["noun"].format(noun))
    return found


def is_polite(sentence: str) -> bool:
    """Whether a sentence ends in 존댓말, which a diary does not."""
    return bool(_POLITE.search(sentence))


def _was_said(word: str, compact: str) -> bool:
    form = normalise(word)
    if form in compact or form in _ORDINARY:
        return True
    if form.endswith("이") and len(form) > 2 and form[:-1] in compact:
        return True
    return any(word in group and any(normalise(other) in compact for other in group) for group in _SAME)


def _invented_name(word: str, following: str, compact: str) -> str | None:
    """A word that is surely a name or a place by its shape, and was not said; with or without a particle."""
    found = noun_and_particle(word)
    for form in (word, found[0]) if found else (word,):
        if _was_said(form, compact) or past(form):
            continue
        latin = form.isascii() and form.isalpha()
        place = len(form) >= 3 and form.endswith(_PLACE_ENDS) and not (form == word and form.endswith(_ALSO_ENDINGS))
        title = following.rstrip("이가은는을를과와의도랑")
        titled = title in _SURE_TITLES or (title in _TITLES and final_of(form) not in {"ㄴ", "ㄹ"})
        full_name = found is not None and form == found[0] and len(form) == 3 and form.startswith(_SURNAMES)
        if latin or place or (titled and 2 <= len(form) <= 3) or full_name:
            return form
    return None


def _invented_noun(word: str, compact: str) -> str | None:
    if normalise(word) in compact:
        return None
    if past(word):
        return _invented_by_copula(word, compact)
    found = noun_and_particle(word)
    if found is None:
        return _invented_by_copula(word, compact)
    noun, particle = found
    if noun in _NOT_NOUNS or _was_said(noun, compact):
        return None
    # 웃는, 좋은, 먹을: what stands before them is a verb.
    if particle in {"는", "은", "을"} and (noun in _VERBS or noun.endswith((*_LONG_VERBS, "하", "되"))):
        return None
    if len(noun) < 2 or _is_said_with_particle(noun, compact):
        return None
    return noun


def _is_said_with_particle(noun: str, compact: str) -> bool:
    """집에서는: the noun may itself end in a particle."""
    inner = noun_and_particle(noun)
    return inner is not None and _was_said(inner[0], compact)


def _invented_by_copula(word: str, compact: str) -> str | None:
    match = _COPULA.search(word)
    noun = word[: match.start()] if match else ""
    if len(noun) < 2 or _was_said(noun, compact) or noun.endswith(("것", "거", "터", "뿐", "날", "하루", "시간")):
        return None
    is_noun = match is not None and match.group(0) in {"이었다", "였다", "이다"}
    return noun if is_noun and not noun.endswith(("보", "하", "되")) else None
