"""Hangul syllables and the particles that depend on them. Knows letters, no words.

A syllable is an onset, a vowel and a final (받침), laid out in Unicode as 0xAC00 + (onset × 21 + vowel) × 28 + final.
"""

import re

ONSETS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
FINALS = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")
_FIRST, _LAST = 0xAC00, 0xD7A3

# How the last digit or Latin letter is said decides its particle: 0 영, 1 일, 3 삼, 6 육, 7 칠, 8 팔 have a final.
_SAID_FINALS = dict(zip("01368" + "7lmnr", "ㅇㄹㅁㄱㄹ" + "ㄹㄹㅁㄴㄹ", strict=True))


def is_syllable(char: str) -> bool:
    """Whether it is one whole Hangul syllable."""
    return len(char) == 1 and _FIRST <= ord(char) <= _LAST


def split(syllable: str) -> tuple[str, str, str]:
    """A syllable as (onset, vowel, final); the final is empty when there is none."""
    code = ord(syllable) - _FIRST
    return ONSETS[code // 588], VOWELS[code % 588 // 28], FINALS[code % 28]


def join(onset: str, vowel: str, final: str = "") -> str:
    """The syllable of an onset, a vowel and a final."""
    return chr(_FIRST + (ONSETS.index(onset) * 21 + VOWELS.index(vowel)) * 28 + FINALS.index(final))


def final_of(word: str) -> str:
    """The final of the last letter as it is said, or an empty string."""
    said = word.rstrip("\"'”’)]」』 ")
    if not said:
        return ""
    return split(said[-1])[2] if is_syllable(said[-1]) else _SAID_FINALS.get(said[-1].lower(), "")


def with_final(word: str, final: str) -> str:
    """The word with the final of its last syllable replaced; the word must end in Hangul."""
    onset, vowel, _ = split(word[-1])
    return word[:-1] + join(onset, vowel, final)


def without_final(word: str) -> str:
    """The word with its last final dropped; the word must end in Hangul."""
    return with_final(word, "")


# (after a final, after a vowel); written in templates as {이}, {은}, {을} …
PARTICLES = {
    "이": ("이", "가"),
    "은": ("은", "는"),
    "을": ("을", "를"),
    "과": ("과", "와"),
    "이랑": ("이랑", "랑"),
    "이나": ("이나", "나"),
    "이라": ("이라", "라"),
    "이라고": ("이라고", "라고"),
    "이었": ("이었", "였"),
    "이에요": ("이에요", "예요"),
    "이군요": ("이군요", "군요"),
    "이네요": ("이네요", "네요"),
    "이다": ("이다", "다"),
    "으로": ("으로", "로"),
    "아": ("아", "야"),
}
_PAIR_OF = {form: name for name, pair in PARTICLES.items() for form in pair} | {name: name for name in PARTICLES}


def particle(word: str, name: str) -> str:
    """The form of a particle after a word: `particle("책", "을") == "을"`; any form of the pair names it."""
    after_final, after_vowel = PARTICLES[_PAIR_OF[name]]
    final = final_of(word)
    if _PAIR_OF[name] == "으로" and final == "ㄹ":
        return after_vowel
    return after_final if final else after_vowel


def with_particle(word: str, name: str) -> str:
    """The word and its particle: `with_particle("친구", "이") == "친구가"`."""
    return word + particle(word, name)


def has_pair(form: str) -> bool:
    """Whether a particle has two forms (을/를), so that it must be chosen anew when its word changes."""
    return form in _PAIR_OF


def eul_reul(word: str) -> str:
    """책 → 책을, 나무 → 나무를."""
    return with_particle(word, "을")


def i_ga(word: str) -> str:
    """책 → 책이, 나무 → 나무가."""
    return with_particle(word, "이")


def eun_neun(word: str) -> str:
    """책 → 책은, 나무 → 나무는."""
    return with_particle(word, "은")


def wa_gwa(word: str) -> str:
    """책 → 책과, 나무 → 나무와."""
    return with_particle(word, "과")


def ieot_yeot(word: str) -> str:
    """하루 → 하루였, 책 → 책이었."""
    return with_particle(word, "이었")


_SLOT = re.compile(r"\{(\w+)(?:\|(\w+))?\}")


def fill(template: str, slots: dict[str, str]) -> str:
    """A template with `{N}` or `{N|을}` filled, the particle as its word asks for it. KeyError on unknown slots."""

    def one(match: re.Match[str]) -> str:
        word = slots[match.group(1)]
        return with_particle(word, match.group(2)) if match.group(2) else word

    return _SLOT.sub(one, template)


def slots_of(template: str) -> frozenset[str]:
    """The names of the slots that a template needs."""
    return frozenset(match.group(1) for match in _SLOT.finditer(template))
