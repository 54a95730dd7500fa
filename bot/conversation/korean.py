"""Korean text for the ear: what may reach speech, what only holds the floor, what is the same said twice.

Knows no grammar of verbs (endings.py) and no meaning (intents.py, moods.py).
"""

import re
import unicodedata
from typing import Any

from bot.conversation.hangul import (
    eul_reul,
    eun_neun,
    fill,
    i_ga,
    ieot_yeot,
    is_syllable,
    wa_gwa,
    with_particle,
)
from bot.conversation.numerals import read_native_counters
from bot.conversation.splitting import SentenceSplitter as _Splitter
from bot.conversation.texts import table, words

__all__ = [
    "SentenceSplitter",
    "eul_reul",
    "eun_neun",
    "fill",
    "i_ga",
    "ieot_yeot",
    "is_backchannel",
    "is_filler",
    "normalise",
    "speakable",
    "split_sentences",
    "strip_fillers",
    "wa_gwa",
    "whole_sentences",
    "with_particle",
]

_WORDS: dict[str, Any] = table("korean")
_SYMBOLS: dict[str, str] = _WORDS["symbols"]

_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*\)")
_URL = re.compile(r"(?:https?://|www\.)[^\s가-힣]+", re.IGNORECASE)
_HTML = re.compile(r"</?[a-zA-Z][^<>\n]{0,80}>")
_FENCE = re.compile(r"```[\w-]*")
_LIST = re.compile(r"^[ \t]*(?:(?:[-*+•·▪◦]|\d{1,2}[.)])[ \t]+|#{1,6}[ \t]*|>[ \t]*)+", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*[-*_=]{3,}[ \t]*$", re.MULTILINE)
_RANGE = re.compile(
    r"(\d+)\s?(시|분|일|월|년|명|개|살|번|잔|원)?\s?[~∼〜]\s?(\d+)\s?(시|분|일|월|년|명|개|살|번|잔|원)?"
)
_LAUGHTER = re.compile(r"[ㄱ-ㅎㅏ-ㅣ]+|\^+_*\^+")
_SYMBOL = re.compile("|".join(re.escape(symbol) for symbol in sorted(_SYMBOLS, key=len, reverse=True)))
_KEPT = set(".,?!…:;'\"“”‘’()-/%+") | {" "}
# What is taken out may leave something to be taken out: an emoji before a list marker.
_MOST_PASSES = 8
_PUNCTUATION = re.compile(r"[^\w]|_")


def _is_spoken(char: str) -> bool:
    return char in _KEPT or unicodedata.category(char)[0] in "LN"


def _read_range(match: re.Match[str]) -> str:
    low, low_unit, high, high_unit = match.groups(default="")
    return f"{low}{low_unit or high_unit}에서 {high}{high_unit}"


def speakable(text: str) -> str:
    """The text as one line that may be spoken: no markdown, emoji, address or control character; idempotent."""
    for _ in range(_MOST_PASSES):
        cleaned = _clean(text)
        if cleaned == text:
            break
        text = cleaned
    return text


def _clean(text: str) -> str:
    text = unicodedata.normalize("NFC", text)
    text = "".join("\n" if char in "\n\r\u2028\u2029" else " " if char == "\t" else char for char in text)
    text = _HTML.sub(" ", _URL.sub(" ", _LINK.sub(r"\1", _FENCE.sub(" ", text))))
    text = _LIST.sub("", _RULE.sub(" ", text))
    text = _RANGE.sub(_read_range, text)
    text = _SYMBOL.sub(lambda match: _SYMBOLS[match.group(0)], text)
    text = _LAUGHTER.sub(" ", text)
    text = read_native_counters(text)
    text = "".join(char if _is_spoken(char) else " " if char.isspace() or char in "|—–→" else "" for char in text)
    text = re.sub(r"\(\s*\)", "", text)
    text = re.sub(r"\s+([.,?!…])", r"\1", re.sub(r"\s+", " ", text)).lstrip(" -:;/+,").rstrip(" -:;/+")
    return text if any(char.isalnum() for char in text) else ""


class SentenceSplitter:
    """Turns streamed deltas into sentences that may be spoken, each given as soon as it is surely complete.

    With `first_clause` the first piece is only the first clause of its sentence.
    """

    __slots__ = ("_raw",)

    def __init__(self, *, first_clause: bool = False) -> None:
        self._raw = _Splitter(first_clause=first_clause)

    def push(self, delta: str) -> list[str]:
        """The sentences that `delta` completes."""
        return _spoken(self._raw.push(delta))

    def flush(self) -> list[str]:
        """What is left when no more will come."""
        return _spoken(self._raw.flush())


def _spoken(parts: list[str]) -> list[str]:
    return [spoken for part in parts if (spoken := speakable(part))]


def split_sentences(text: str) -> list[str]:
    """A whole text as sentences that may be spoken; very long ones are cut at a clause."""
    splitter = SentenceSplitter()
    return splitter.push(text) + splitter.flush()


def whole_sentences(text: str) -> list[str]:
    """A whole text as sentences, however long they are: for the page, not for the ear."""
    splitter = _Splitter(whole=True)
    return _spoken(splitter.push(text) + splitter.flush())


def normalise(text: str) -> str:
    """The text for comparing: NFC, lower case, without spaces and punctuation."""
    return _PUNCTUATION.sub("", unicodedata.normalize("NFC", text)).lower()


_FILLERS = frozenset(normalise(word) for word in _WORDS["fillers"])
_BACKCHANNELS = frozenset(normalise(word) for word in _WORDS["backchannels"])
_POLITE = frozenset(_WORDS["polite"])
_AROUND_POLITE = frozenset(_WORDS["around_polite"]) | _BACKCHANNELS | _FILLERS
_THANKS = frozenset(_WORDS["thanks"])
_THANKED_FOR = frozenset(_WORDS["thanked_for"])
_GOOD_WISHES = frozenset(normalise(wish) for wish in _WORDS["good_wishes"])
_ALWAYS = frozenset(_WORDS["always_fillers"])
_LEADING = frozenset(_WORDS["leading_fillers"])
_POINTED = words("korean", "after_pointing")
_SHORT_SOUNDS = frozenset("음어아에으흠엄")


def _parts_fit(text: str, known: frozenset[str]) -> bool:
    words_said = [normalise(word) for word in text.split()]
    return normalise(text) in known or (bool(words_said) and all(word in known for word in words_said if word))


def is_filler(text: str) -> bool:
    """Whether it only holds the floor: 음, 어, 그…, 뭐냐. An empty text is not a filler."""
    compact = normalise(text)
    if not compact:
        return False
    return set(compact) <= _SHORT_SOUNDS or _parts_fit(text, _FILLERS)


def is_backchannel(text: str) -> bool:
    """Whether it only says that one listens: 네, 응, 아, 그렇죠. An empty text is not one."""
    return bool(normalise(text)) and _parts_fit(text, _BACKCHANNELS)


def is_polite(text: str) -> bool:
    """Whether it is only thanks, a good night or an 알겠습니다. An empty text is not."""
    said = {normalise(word) for word in text.split()} - {""}
    around = _AROUND_POLITE | _THANKED_FOR if said & _THANKS else _AROUND_POLITE
    wish = "".join(bare for word in text.split() if (bare := normalise(word)) not in _BACKCHANNELS | _FILLERS)
    return (said <= _POLITE | around and bool(said & _POLITE)) or wish in _GOOD_WISHES


def strip_fillers(text: str) -> str:
    """The text without words that only hold the floor; 그 사람 and 저 친구 keep theirs."""
    kept: list[str] = []
    said = text.split()
    for index, word in enumerate(said):
        bare = word.strip(".,…!~ ")
        if bare in _ALWAYS or _is_held(bare):
            continue
        after = said[index + 1] if index + 1 < len(said) else ""
        held = word != bare or not after.startswith(_POINTED)
        starts = not kept or kept[-1].endswith((".", "?", "!"))
        if starts and bare in _LEADING and held and not word.endswith(("?", "!")):
            continue
        kept.append(word)
    return " ".join(kept)


def _is_held(word: str) -> bool:
    return len(word) > 1 and len(set(word)) == 1 and word[0] in _SHORT_SOUNDS and is_syllable(word[0])
