"""What two written words of Korean have in common: the nouns and stems that a word may hold.

Endings are taken off by rule and without a dictionary, so a word gives every reading that its letters allow. A noun is
`N` and its letters, a stem of a verb or an adjective `V` and its letters. Knows no texts and no entries.
"""

from collections.abc import Iterator
from typing import Any

from bot.conversation.hangul import final_of, is_syllable, join, split, with_final, without_final
from bot.conversation.texts import table

_DATA: dict[str, Any] = table("stems")
_FULL = frozenset(_DATA["full"])
_LOOSE = frozenset(_DATA["loose"])
_MERGED: dict[str, frozenset[str]] = {
    "ㄴ": frozenset(_DATA["after_n"]),
    "ㄹ": frozenset(_DATA["after_l"]),
    "ㅁ": frozenset(_DATA["after_m"]),
    "ㅂ": frozenset(_DATA["after_b"]),
}
_OPEN = frozenset(_DATA["open"])
_LONGEST_ENDING = max(map(len, _FULL | _LOOSE | _OPEN))
_COPULA: tuple[str, ...] = tuple(_DATA["copula"])
_DROPPED_COPULA: tuple[str, ...] = tuple(_DATA["dropped_copula"])
_PARTICLES: tuple[str, ...] = tuple(_DATA["particles"])
_TAILS: dict[str, list[tuple[str, str]]] = {}
for _particle in _PARTICLES:
    for _behind in ("", *_DATA["then"]):
        _TAILS.setdefault(_particle + _behind, []).append((_particle, _behind))
_LONGEST_TAIL = max(map(len, _TAILS))
_AFTER_FINAL = frozenset(_DATA["after_final"])
_AFTER_VOWEL = frozenset(_DATA["after_vowel"])
_MAKES_VERB: tuple[str, ...] = tuple(_DATA["makes_verb"])
_AUXILIARY: tuple[str, ...] = tuple(_DATA["auxiliary"])
_UNCONTRACTED = {"ㅘ": "ㅗ", "ㅝ": "ㅜ", "ㅙ": "ㅚ", "ㅕ": "ㅣ"}
_OPEN_VOWELS = frozenset("ㅏㅓㅐㅔㅕㅘㅝㅙㅞ")
_SHORT = 2


def nouns(word: str) -> frozenset[str]:
    """The nouns that a word may hold: itself, and what is left without particles or the copula."""
    found = {word, *(noun for noun, _ in nouns_and_particles(word))}
    found |= {noun[:-1] for noun in found if len(noun) > _SHORT and noun.endswith("이") and final_of(noun[:-1])}
    found |= {noun[:-1] for noun in found if len(noun) > _SHORT and noun.endswith("들")}
    found |= set(_copula_nouns(word))
    return frozenset(found)


def nouns_and_particles(word: str) -> Iterator[tuple[str, str]]:
    """Every way to see a word as a noun and its particles: `집에서는` → (집, 에서는)."""
    for size in range(1, min(_LONGEST_TAIL + 1, len(word))):
        noun, tail = word[:-size], word[-size:]
        for particle, behind in _TAILS.get(tail, ()):
            if _fits(noun, particle) and (not behind or _fits(noun + particle, behind)):
                yield noun, tail


def _fits(noun: str, particle: str) -> bool:
    final = bool(final_of(noun))
    return not ((particle in _AFTER_FINAL and not final) or (particle in _AFTER_VOWEL and final))


def _copula_nouns(word: str) -> Iterator[str]:
    for stem in stems(word):
        if len(stem) > 1 and stem.endswith("이"):
            yield stem[:-1]
    for ending in _DROPPED_COPULA:
        noun = word[: -len(ending)]
        if len(noun) > 1 and word.endswith(ending) and is_syllable(noun[-1]):
            yield noun
    for ending in _COPULA:
        noun = word[: -len(ending) - 1]
        if noun and word.endswith("이" + ending) and final_of(noun):
            yield noun
    for size in range(2, len(word)):
        # 친구였다, 친구인데: the copula has taken the place of a syllable.
        if word[size] in "였인" and not final_of(word[:size]):
            yield word[:size]


def stems(word: str, *, adnominal: bool = True) -> frozenset[str]:
    """The stems that a word may be a form of: 걸었어요 → 걸, 걷. `adnominal`: whether it may stand before a noun."""
    if not word or not all(map(is_syllable, word)):
        return frozenset()
    found: set[str] = set()
    for head in _heads(word, adnominal):
        found |= set(_without_tense(head))
    found |= {stem for whole in found for stem in _before_auxiliary(whole, word)}
    return frozenset(stem for stem in found if stem)


def parts(stem: str) -> Iterator[tuple[str, str]]:
    """A stem as a noun and the stem that makes a predicate of it: 산책하 → (산책, 하)."""
    for maker in _MAKES_VERB:
        if stem.endswith(maker) and len(stem) > len(maker):
            yield stem[: -len(maker)], maker


def _heads(word: str, adnominal: bool) -> Iterator[str]:
    """What is left of a word without its last endings: stems, also with a tense or -시- in them."""
    for size in range(min(_LONGEST_ENDING, len(word)) + 1):
        head, ending = word[: len(word) - size], word[len(word) - size :]
        if ending in _FULL and (adnominal or ending not in {"는", "던"}):
            yield from _full_heads(head, ending)
        if ending in _LOOSE:
            yield from _loose_heads(head)
        for final, endings in _MERGED.items():
            alone = final in "ㄴㄹ" and not ending
            if ending in endings and (adnominal or not alone):
                yield from _merged_heads(head, final, alone)
        if ending in _OPEN:
            yield from _open_stems(head)


def _full_heads(head: str, ending: str) -> Iterator[str]:
    if not head:
        return
    yield head
    if not final_of(head) and ending[0] in "는네느":  # 사는: of 살
        yield with_final(head, "ㄹ")


def _loose_heads(head: str) -> Iterator[str]:
    if len(head) > 1 and head.endswith("으") and final_of(head[:-1]):
        yield from _before_eu(head[:-1])
    elif head and final_of(head) in {"", "ㄹ"}:
        yield head
        yield from _after_vowel(head)


def _merged_heads(head: str, final: str, alone: bool) -> Iterator[str]:
    # 봄, 잠, 꿈: a noun of one syllable is none of a verb's forms.
    if not head or final_of(head) != final or (final == "ㅁ" and len(head) == 1):
        return
    if len(head) > 1 and head[-1] in "은을음습" and final_of(head[:-1]):
        yield from _before_eu(head[:-1])
        return
    if alone and head[-1] in "은는을":
        return
    bare = without_final(head)
    yield bare
    yield with_final(bare, "ㄹ")
    yield from _after_vowel(bare)


def _before_eu(head: str) -> Iterator[str]:
    yield head
    if final_of(head) == "ㄹ":  # 걸으면: of 걷
        yield with_final(head, "ㄷ")


def _after_vowel(head: str) -> Iterator[str]:
    """도우면: of 돕; 지으면: of 짓; 사면: of 사, as it is."""
    if len(head) > 1 and not final_of(head[:-1]):
        if head[-1] == "우":
            yield with_final(head[:-1], "ㅂ")
        if head[-1] == "으":
            yield with_final(head[:-1], "ㅅ")


def _without_tense(head: str) -> Iterator[str]:
    if head.endswith("겠") and len(head) > 1:
        yield from _open_stems(head[:-2]) if head.endswith("야겠") else _without_tense(head[:-1])
        return
    if final_of(head) == "ㅆ" and head[-1] not in "있겠":
        for stem in _open_stems(without_final(head)):
            yield from _without_tense(stem) if stem != head else ()
        return
    yield head
    if len(head) > 1 and head.endswith("시"):
        rest = head[:-1]
        yield from _before_eu(rest[:-1]) if rest.endswith("으") and len(rest) > 1 else (rest,)


def _open_stems(form: str) -> Iterator[str]:
    """The stems that 먹어, 가, 해, 추워, 몰라 may come from."""
    if not form or final_of(form) or not is_syllable(form[-1]):
        return
    onset, vowel, _ = split(form[-1])
    head = form[:-1]
    if onset == "ㅇ" and vowel in "ㅏㅓㅕ" and head:
        yield from _open_by_itself(head)
    if vowel not in _OPEN_VOWELS or form == "하":
        return
    yield form
    if vowel in _UNCONTRACTED:
        yield head + join(onset, _UNCONTRACTED[vowel])
    if onset == "ㅎ" and vowel == "ㅐ":
        yield head + "하"
    if vowel in "ㅏㅓ" and onset != "ㅇ":
        yield head + join(onset, "ㅡ")
    if vowel in "ㅏㅓ" and onset == "ㄹ" and head and final_of(head) == "ㄹ":
        yield without_final(head) + "르"
    if onset == "ㅇ" and vowel in "ㅘㅝ" and head and not final_of(head):
        yield with_final(head, "ㅂ")


def _open_by_itself(head: str) -> Iterator[str]:
    yield head
    final = final_of(head)
    if final == "ㄹ":
        yield with_final(head, "ㄷ")
    elif not final:
        yield with_final(head, "ㅅ")


def _before_auxiliary(stem: str, word: str) -> Iterator[str]:
    """먹어보 → 먹; not in short words, where it may as well be a name: 해진, 서준."""
    if len(word) <= _SHORT:
        return
    for auxiliary in _AUXILIARY:
        if stem.endswith(auxiliary) and len(stem) > len(auxiliary):
            yield from _open_stems(stem[: -len(auxiliary)])
