"""Korean predicates by rule: from a past form (만났어요) to the forms that take it up (만난, 만나셨, 만났다).

Knows no dictionary but the exceptions of texts/endings.toml; what no rule covers gives None, never a guess.
"""

import re
from dataclasses import dataclass
from typing import Any

from bot.conversation.hangul import final_of, is_syllable, join, split, with_final, without_final
from bot.conversation.texts import table

_DATA: dict[str, Any] = table("endings")
_BASES: dict[str, str] = _DATA["bases"]
_POLITE: dict[str, str] = _DATA["polite"]
_UNWILLED: tuple[str, ...] = tuple(_DATA["lists"]["unwilled"])
_WILLED: tuple[str, ...] = tuple(_DATA["lists"]["willed"])

# What may stand behind the past marker at the end of a sentence that tells something.
_TELLS = (
    "어요|어여|어유|어|습니다|습니당|다|네요|네|지요|죠|지|거든요|거든|더라고요|더라구요|더라고|더라|는데요|는데"
    "|던데요|던데|고요|구요|고|군요|으니까요|으니까|어서요|단 말이에요|단 말이야|다고요|다니까요|답니다|어용|음"
    "|잖아요|잖아|는걸요|는걸|지만요|지만"
)
_PAST = re.compile(rf"^(?P<past>[가-힣]+?)(?P<ending>{_TELLS})$")
_NOT_PRESENT = tuple(_DATA["lists"]["not_present"])
_PAST_VOWELS = {"ㅘ": "ㅗ", "ㅝ": "ㅜ", "ㅙ": "ㅚ", "ㅕ": "ㅣ", "ㅐ": "ㅐ", "ㅔ": "ㅔ", "ㅏ": "ㅏ"}
_STEM_VOWELS = frozenset("ㅚㅟㅢㅣㅔㅐ")
_EU_ONSETS = frozenset("ㅆㅋㄸㄲㅃㅍ")


@dataclass(frozen=True, slots=True)
class Past:
    """A predicate in the past: `만났` and what stood behind it (`어요`)."""

    form: str
    ending: str

    @property
    def finished(self) -> bool:
        """Whether the sentence ended there, and did not break off in the middle (-는데, -고)."""
        return not self.ending.startswith(("는데", "고", "구", "으니까", "던데", "지만", "어서", "단 말"))


def past(word: str) -> Past | None:
    """The past form at the end of a word, or None: `만났어요` → 만났 + 어요."""
    match = _PAST.match(word.rstrip(".,?!…~\"'”’ "))
    if not match or final_of(match.group("past")) != "ㅆ" or match.group("past")[-1] in "있겠":
        return _past_of_is(word)
    return Past(_single_past(match.group("past")), match.group("ending"))


def _past_of_is(word: str) -> Past | None:
    """있었어요 is past, 있어요 and 가겠어요 are not."""
    match = re.match(rf"^(?P<past>[가-힣]*있었)(?P<ending>{_TELLS})$", word.rstrip(".,?!…~\"'”’ "))
    return Past(match.group("past"), match.group("ending")) if match else None


def _single_past(form: str) -> str:
    """갔었 → 갔: the doubled past says nothing more here."""
    if len(form) > 1 and form[-1] in "었" and final_of(form[:-1]) == "ㅆ" and form[-2] != "있":
        return form[:-1]
    return form


def base(form: str) -> str | None:
    """The base that -시- and -ㄴ attach to: 만났 → 만나, 먹었 → 먹으, 놀았 → 노, 추웠 → 추우; None when unsure."""
    for size in range(len(form), 0, -1):
        if form[-size:] in _BASES:
            found = _BASES[form[-size:]]
            return form[:-size] + found if found else None
    if not all(is_syllable(char) for char in form) or final_of(form) != "ㅆ":
        return None
    onset, vowel, _ = split(form[-1])
    head = form[:-1]
    if onset == "ㅇ" and vowel in "ㅏㅓ" and head:
        return _base_of_open(head)
    if onset == "ㅎ" and vowel == "ㅐ":
        return head + "하"
    if onset == "ㄹ" and vowel in "ㅏㅓ" and final_of(head) == "ㄹ":
        return without_final(head) + "르"
    if vowel == "ㅓ":
        return head + join(onset, "ㅡ" if onset in _EU_ONSETS else "ㅓ")
    return head + join(onset, _PAST_VOWELS[vowel]) if vowel in _PAST_VOWELS else None


def _base_of_open(head: str) -> str | None:
    """The base before 었 or 았 that stands as a syllable of its own."""
    final = final_of(head)
    if final == "ㄹ":
        return without_final(head)
    if final:
        return head + "으"
    return head if split(head[-1])[1] in _STEM_VOWELS else head + "으"


def adnominal(form: str) -> str:
    """The form before a noun: 만났 → 만난, 힘들었 → 힘든, 있었 → 있었던; -던 where no rule is sure."""
    if form.endswith(("있었", "없었")):
        return form + "던"
    found = base(form)
    if found is None or final_of(found):
        return form + "던"
    return with_final(found, "ㄴ")


def honoured(form: str) -> str | None:
    """The same with -시-: 만났 → 만나셨, 먹었 → 드셨; None when it has no such form by rule."""
    if form.endswith("셨") and not form.endswith(("마셨", "모셨")):
        return form
    for size in range(len(form), 0, -1):
        if form[-size:] in _POLITE:
            found = _POLITE[form[-size:]]
            return form[:-size] + found if found else None
    if form.endswith("있었"):
        return form[:-2] + "있으셨"
    found_base = base(form)
    return None if found_base is None or final_of(found_base) else found_base + "셨"


def present(word: str) -> str | None:
    """The present of a polite sentence end, as a past form to work with: `많아요` → 많았; None when it is not one."""
    bare = word.rstrip(".,?!…~ ")
    if not bare.endswith("요") or len(bare) < 3 or "겠" in bare or bare.endswith(_NOT_PRESENT) or final_of(bare[:-1]):
        return None
    if not all(is_syllable(char) for char in bare):
        return None
    vowel = split(bare[-2])[1]
    return with_final(bare[:-1], "ㅆ") if vowel in "ㅏㅓㅐㅘㅝㅕㅙ" else None


def is_unwilled(form: str) -> bool:
    """Whether nobody does it (비가 내렸, 맛있었): -시- would be wrong."""
    return form.endswith(_UNWILLED) and not form.endswith(_WILLED)


_PLAIN_PAST = re.compile(
    r"^(?P<past>.*?)(?P<ending>어요|어여|어|습니다|습니당|네요|네|지요|죠|지|거든요|거든|더라고요|더라구요"
    r"|는데요|는데|고요|구요|답니다|군요|다고요|다)$"
)
_PRESENT: dict[str, str] = table("plain")["present"]
_COPULA = re.compile(
    r"^(?P<noun>.*[가-힣])(?P<ending>이에요|이예요|입니다|이야|이었어요|이었습니다|이었어|예요|에요|였어요|였습니다|였어)$"
)
_KEPT_NOUNS = tuple(table("plain")["not_copula"])


def plain(word: str) -> str | None:
    """The last word of a sentence in the plain register, where the rule is safe: 갔어요 → 갔다; else None."""
    bare = word.rstrip(".,?!…~ ")
    match = _PLAIN_PAST.match(bare)
    if match and match.group("past") and final_of(match.group("past")) == "ㅆ" and match.group("past")[-1] != "있":
        return match.group("past") + "다"
    for ending, plain_ending in _PRESENT.items():
        if bare.endswith(ending):
            return bare[: -len(ending)] + plain_ending
    return _plain_copula(bare)


def _plain_copula(bare: str) -> str | None:
    match = _COPULA.match(bare)
    if not match or bare.endswith(_KEPT_NOUNS):
        return None
    noun, ending = match.group("noun"), match.group("ending")
    was = ending.startswith(("이었", "였"))
    if ending in {"예요", "에요", "였어요", "였습니다", "였어"} and final_of(noun):
        return None
    after = "이었다" if was and final_of(noun) else "였다" if was else "이다" if final_of(noun) else "다"
    return noun + after
