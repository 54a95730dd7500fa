"""Whether an entry holds only what was said: every word of it must stand on a word of the caller.

A word passes that the caller used in some form, or that tells nothing by itself; what is in doubt does not pass.
Knows forms of words, not meanings.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bot.conversation.endings import past
from bot.conversation.hangul import is_syllable, split
from bot.conversation.korean import normalise, whole_sentences
from bot.conversation.numerals import Number, numbers
from bot.conversation.texts import table, words
from bot.diary.plain import TITLE_LETTERS, Entry
from bot.diary.stems import nouns, nouns_and_particles, parts, stems

_DATA: dict[str, Any] = table("diary")
_ORDINARY = frozenset(_DATA["ordinary"])
_ORDINARY_WORDS = frozenset(_DATA["ordinary_words"])
_LIGHT = frozenset(_DATA["light"])
_HELPING = frozenset(_DATA["helping"])
_IDLE = {stem: tuple(behind) for stem, behind in _DATA["idle"].items()}
_COUNTED = frozenset({"", *_DATA["counted_alone"]})
_EITHER = frozenset(_DATA["either"])
_BEFORE = tuple(_DATA["before"])
_EITHER_BEHIND = frozenset(_DATA["either_behind"])
_BEHIND = tuple(_DATA["behind"])
_NEGATION = frozenset(_DATA["negation"])
_AFTER_ADNOMINAL = tuple(_DATA["after_adnominal"])
_SAME: list[frozenset[str]] = [frozenset(group) for group in _DATA["same"]]
_SAYS: dict[str, str] = _DATA["problems"]
_HEADS = tuple(normalise(template.split("{}")[0]) for template in _SAYS.values())
_POLITE = re.compile(r"(?:요|니다|니까|세요|죠)[.!?…\"'”’]*$")
_WORD = re.compile(r"\w+")
_HANGUL = re.compile(r"[가-힣]+")
_COUNTER = "|".join(words("korean", "counters"))
_AFTER_NUMBER = (
    r"(?:쯤|정도|째|짜리|어치|씩|간|이나|나|밖에|만|이|가|은|는|을|를|에|에는|에서|에서는|에도|의|도|과|와|으로|로|까지|부터"
    r"|동안|이다|이었다|였다|이고|인데|이라|이라서|이었고|였고|이었는데|였는데|인|짜리를|이랑|하고|마다|이서|이서는|이며|대)*"
)
_ONES = "하나|한|둘|두|셋|세|석|넷|네|넉|다섯|여섯|일곱|여덟|아홉"
_NUMBER_WORD = re.compile(
    rf"^(?:[\d.]+[백천만억조]*|(?:열|스물|스무|서른|마흔|쉰|예순|일흔|여든|아흔)?(?:{_ONES})?|[일이삼사오육칠팔구십백천만억]+)"
    rf"(?P<counter>{_COUNTER})?{_AFTER_NUMBER}$"
)
_COUNTER_WORD = re.compile(rf"^(?:{_COUNTER}){_AFTER_NUMBER}$")
_DIGIT = re.compile(rf"^([일이삼사오육칠팔구]){_AFTER_NUMBER}$")
_HALF = re.compile(rf"^반{_AFTER_NUMBER}$")
_ONE = re.compile(rf"(?<![가-힣\d.,])(?:한|1)\s?(?P<unit>{_COUNTER})(?={_AFTER_NUMBER}(?![가-힣]))")
_IS = re.compile(r"(?:였|이었)(?:다|고|지만|는데)$")
_SHORT_FORMS = frozenset({"해", "한", "할", "된", "될", "간", "갈", "온", "올", "와", "가", "돼"})
_MOST_NUMBER_WORDS = 5


def problems(entry: Entry, said: "Sequence[str] | Spoken") -> list[str]:
    """What is wrong with an entry, in Korean for the model that wrote it; empty when it may be read back."""
    spoken = said if isinstance(said, Spoken) else spoken_by(said)
    found = sentence_problems(entry.title, spoken)
    if len(entry.title) > TITLE_LETTERS:
        found.append(_SAYS["title_long"])
    told = whole_sentences(entry.body)
    if not told:
        found.append(_SAYS["empty"])
    for sentence in told:
        found += sentence_problems(sentence, spoken)
        if is_polite(sentence):
            found.append(_SAYS["polite"].format(sentence))
    return list(dict.fromkeys(found))


def sentence_problems(sentence: str, said: "Sequence[str] | Spoken") -> list[str]:
    """Numbers and words of a sentence that were not said, and a sentence that repeats what this check says."""
    spoken = said if isinstance(said, Spoken) else spoken_by(said)
    found = [_SAYS["number"].format(number) for number in _unsaid_numbers(sentence, spoken)]
    found += [_SAYS["noun"].format(word) for word in _unsaid_words(sentence, spoken)]
    compact = normalise(sentence)
    if any(head in compact and head not in spoken.compact for head in _HEADS):
        found.append(_SAYS["echo"].format(sentence))
    return found


def is_polite(sentence: str) -> bool:
    """Whether a sentence ends in 존댓말, which a diary does not."""
    return bool(_POLITE.search(sentence))


@dataclass(frozen=True, slots=True)
class Spoken:
    """What was said, as it is looked up."""

    compact: str
    words: frozenset[str]
    nouns: frozenset[str]
    single_nouns: frozenset[str]
    """Those that were said as one word."""
    stems: frozenset[str]
    numbers: tuple[Number, ...]
    ones: frozenset[str]
    """The counters behind 한."""


def spoken_by(said: Sequence[str]) -> Spoken:
    """What was said, made ready to be looked up; kept nowhere."""
    known_words: set[str] = set()
    known_nouns: set[str] = set()
    single: set[str] = set()
    known_stems: set[str] = set()
    read: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    for text in said:
        told = [word.lower() for word in _WORD.findall(text)]
        known_words.update(told)
        for index, word in enumerate(told):
            if word not in read:
                read[word] = (nouns(word), stems(word))
            as_nouns, as_stems = read[word]
            known_stems |= as_stems
            if not (as_stems and _is_doing(word, told[index - 1] if index else "")):
                single |= as_nouns
            # 김치 찌개 may be written 김치찌개.
            for size in (2, 3):
                if index >= size - 1:
                    before = "".join(told[index - size + 1 : index])
                    known_nouns |= {before + noun for noun in as_nouns}
                    known_stems |= {before + stem for stem in as_stems}
    known_nouns |= single
    for stem in tuple(known_stems):
        for noun, maker in parts(stem):
            if len(noun) > 1 or maker in {"하", "되", "나", "있", "없"}:
                known_nouns.add(noun)
                known_stems.add(maker)
    known_nouns |= {noun[:-1] for noun in tuple(known_nouns) if len(noun) > 1 and noun.endswith("히")}
    everything = " ".join(said)
    return Spoken(
        compact=normalise(everything),
        words=frozenset(known_words),
        nouns=frozenset(known_nouns),
        single_nouns=frozenset(single),
        stems=frozenset(known_stems),
        numbers=tuple(numbers(everything)),
        ones=frozenset(_ones(everything)),
    )


def _is_doing(word: str, before: str) -> bool:
    """약을 사고: behind its object it is a verb, and not the accident that it may be elsewhere."""
    return before.endswith(("을", "를")) and word.endswith(("고", "지", "게", "기", "러", "도"))


def _ones(text: str) -> Iterator[str]:
    return (match.group("unit") for match in _ONE.finditer(text))


def _unsaid_numbers(sentence: str, spoken: Spoken) -> Iterator[str]:
    for number in numbers(sentence):
        if not any(_is_same_number(number, other) for other in spoken.numbers):
            yield f"{number.value:g}{number.unit}"
    told_ones = {number.unit for number in spoken.numbers if number.value == 1} | spoken.ones
    yield from (f"1{unit}" for unit in _ones(sentence) if unit not in told_ones)


def _is_same_number(number: Number, other: Number) -> bool:
    if not number.unit or not other.unit:  # 셋이서: of 세 명, not of 세 시
        return number.value == other.value and {number.unit, other.unit} <= _COUNTED
    return number.same(other)


def _unsaid_words(sentence: str, spoken: Spoken) -> Iterator[str]:
    found = _WORD.findall(sentence)
    skip = _number_words(found)
    for index, word in enumerate(found):
        before = found[index - 1] if index else ""
        after = found[index + 1] if index + 1 < len(found) else ""
        if index not in skip and not _stands(word, before, after, spoken):
            yield word


def _number_words(found: list[str]) -> set[int]:
    """Which words only make up numbers, which are looked at by their value: 이만 오천 원을, 세 시 반에."""
    skip: set[int] = set()
    index = 0
    while index < len(found):
        size = next((size for size in range(_MOST_NUMBER_WORDS, 0, -1) if _is_number(found[index : index + size])), 0)
        skip.update(range(index, index + size))
        index += size or 1
    return skip


def _is_number(run: list[str]) -> bool:
    rest = list(run)
    if len(rest) > 1 and _HALF.match(rest[-1]) and "시" in rest[-2]:
        rest.pop()
    match = _NUMBER_WORD.match(rest[-1])
    if match is None and len(rest) > 1 and _COUNTER_WORD.match(rest[-1]):
        rest.pop()
    if not rest or not all(_NUMBER_WORD.match(word) for word in rest):
        return False
    text = " ".join(run)
    return bool(numbers(text)) or bool(_ONE.match(text))


def _stands(word: str, before: str, after: str, spoken: Spoken) -> bool:
    """Whether a word may stand in the entry."""
    word = word.lower()
    if word in spoken.words or (word in _ORDINARY_WORDS and not word.isdigit()):
        return True
    if (digit := _DIGIT.match(word)) and any(
        number.value == each.value for number in spoken.numbers for each in numbers(digit.group(1) + "층")
    ):
        return True
    if not _HANGUL.fullmatch(word):
        return _stands_in_pieces(word, spoken)
    if any(_noun_stands(noun, spoken) for noun in nouns(word)):
        return True
    if (word in _EITHER and not after.startswith(_BEFORE)) or (word in _EITHER_BEHIND and not before.endswith(_BEHIND)):
        return False
    # An adnominal form stands before a noun; before a verb it is rather a name: 가온 만났다.
    before_verb = past(after) is not None and not after.startswith(_AFTER_ADNOMINAL) and not _IS.search(after)
    return any(_stem_stands(stem, word, before, spoken) for stem in stems(word, adnominal=not before_verb))


def _stands_in_pieces(word: str, spoken: Spoken) -> bool:
    """KTX를, 카페24에서: each piece must have been said, or be a particle."""
    pieces = re.findall(r"[가-힣]+|\d+|[^\W\d가-힣]+", word)
    for index, piece in enumerate(pieces):
        if _HANGUL.fullmatch(piece):
            particle = index > 0 and any(noun == "가" for noun, _ in nouns_and_particles("가" + piece))
            particle = particle or (index > 0 and any(noun == "각" for noun, _ in nouns_and_particles("각" + piece)))
            if not particle and not any(_noun_stands(noun, spoken) for noun in nouns(piece)):
                return False
        elif piece not in re.findall(r"\d+|[^\W\d가-힣]+", " ".join(spoken.words)):
            return False
    return True


def _noun_stands(noun: str, spoken: Spoken) -> bool:
    if noun in spoken.nouns or noun in _ORDINARY or _is_same(noun, spoken):
        return True
    if len(noun) > 1 and noun.endswith("히") and (noun[:-1] in spoken.nouns or noun[:-1] + "하" in spoken.stems):
        return True
    if len(noun) > 1 and any(len(known) > len(noun) + 1 and known.endswith(noun) for known in spoken.single_nouns):
        return True
    known = spoken.nouns | _ORDINARY
    return any(noun[:size] in known and noun[size:] in spoken.nouns for size in range(2, len(noun) - 1))


def _stem_stands(stem: str, word: str, before: str, spoken: Spoken) -> bool:
    if stem in _NEGATION:
        return bool(_NEGATION & (spoken.stems | spoken.words))
    if stem in spoken.stems or _is_same(stem, spoken):
        return True
    if stem in _LIGHT and (len(word) > 1 or word in _SHORT_FORMS):
        return True
    if (stem in _HELPING and _is_open(before)) or before.startswith(_IDLE.get(stem, "\n")):
        return True
    return any(
        len(noun) > 1 and (noun in spoken.nouns or noun in _ORDINARY or _is_same(noun, spoken))
        for noun, _ in parts(stem)
    )


def _is_open(word: str) -> bool:
    """Whether a word is a verb that another one may follow at once: 먹어, 사, 해."""
    return bool(word) and is_syllable(word[-1]) and split(word[-1])[1] in "ㅏㅓㅐㅔㅕㅘㅝㅙ" and not split(word[-1])[2]


def _is_same(form: str, spoken: Spoken) -> bool:
    return any(form in group and bool(group & (spoken.nouns | spoken.stems)) for group in _SAME)
