"""A spoken correction: `지민이가 아니라 지수야` puts 지수 where 지민 was. Knows particles, nothing of entries."""

import re
from dataclasses import dataclass
from typing import Any

from bot.conversation.clauses import noun_and_particle
from bot.conversation.endings import past
from bot.conversation.hangul import PARTICLES, final_of, has_pair, is_syllable, particle
from bot.conversation.korean import strip_fillers
from bot.conversation.numerals import numbers
from bot.conversation.texts import table

_DATA: dict[str, Any] = table("diary")["corrections"]
_PATTERNS = tuple(re.compile(pattern) for pattern in _DATA["patterns"])
_NEW_ENDS = re.compile(_DATA["new_ends"] + "$")
_FORMS = "|".join(sorted({form for pair in PARTICLES.values() for form in pair}, key=len, reverse=True))
_MOST_WORDS = 4
# These may as well be the end of the noun: 회의, 포도, 아이.
_MAY_BE_NOUN = frozenset({"이", "가", "만", "도", "로", "의", "과", "은", "에"})


@dataclass(frozen=True, slots=True)
class Replacement:
    """What was wrong, in the spellings to look for, and what is right."""

    old: tuple[str, ...]
    new: str


def replacement(correction: str) -> Replacement | None:
    """What a correction replaces by what, or None when it only adds something."""
    text = re.sub(r"\s+", " ", strip_fillers(correction)).strip(" .,?!…~")
    for pattern in _PATTERNS:
        match = pattern.match(text)
        if not match:
            continue
        old, new = match.group("old").strip(" ,."), _right(match.group("new").strip(" ,."))
        if old and new and len(old.split()) <= _MOST_WORDS and len(new.split()) <= _MOST_WORDS:
            return Replacement(_spellings(old), new)
    return None


def _right(new: str) -> str:
    """The right word alone: 지훈이랑 먹었어요 → 지훈; 네 시예요 → 네 시."""
    words = new.split()
    told = len(words) > 1 and past(words[-1]) is not None
    right = " ".join(words[:-1]) if told else _NEW_ENDS.sub("", new, count=1).strip()
    return (
        _without_particle(right) if told or right.endswith(("에서", "으로", "한테", "에게", "까지", "부터")) else right
    )


def _without_particle(word: str) -> str:
    head, _, last = word.rpartition(" ")
    found = noun_and_particle(last)
    return f"{head} {found[0]}".strip() if found and found[1] not in _MAY_BE_NOUN else word


def _spellings(old: str) -> tuple[str, ...]:
    """How the wrong word may stand in the text: 점심은 민수, 민수; 부산에서 → 부산; 지민이 → 지민."""
    words = old.split()
    spellings: list[str] = []
    for start in range(len(words)):
        part = " ".join(words[start:])
        spellings += dict.fromkeys((_without_particle(part), part))
        if part.endswith("이") and len(part) > 2 and is_syllable(part[-2]) and final_of(part[:-1]):
            spellings.append(part[:-1])
    return tuple(spellings)


def replace(text: str, wanted: Replacement) -> str:
    """The text with the wrong word replaced and the particle behind it chosen anew; unchanged when it is not there."""
    for old in wanted.old:
        replaced = _replace_word(text, old, wanted.new)
        if replaced != text:
            return replaced
    return _replace_number(text, wanted)


def _replace_word(text: str, old: str, new: str) -> str:
    pattern = re.compile(
        rf"(?<![가-힣A-Za-z0-9]){re.escape(old)}(?:이(?=가|는|를|랑|도|한테|와|에게))?(?P<particle>{_FORMS})?"
    )

    def one(match: re.Match[str]) -> str:
        after = match.group("particle") or ""
        return new + (particle(new, after) if after and has_pair(after) else after)

    return pattern.sub(one, text)


def _replace_number(text: str, wanted: Replacement) -> str:
    """세 시 and 3시 are the same number in two spellings."""
    old = numbers(wanted.old[0])
    if len(old) != 1:
        return text
    for match in re.finditer(r"[가-힣0-9,.]+(?: [가-힣0-9]+)?", text):
        for size in (len(match.group(0)), *[space.start() for space in re.finditer(" ", match.group(0))]):
            piece = match.group(0)[:size]
            for end in range(len(piece), 0, -1):
                found = numbers(piece[:end])
                if len(found) == 1 and found[0] == old[0] and piece[:end].endswith(found[0].unit):
                    return text[: match.start()] + wanted.new + text[match.start() + end :]
    return text
