"""A spoken correction: `지민이가 아니라 지수야` puts 지수 where 지민 was. Knows particles, nothing of entries."""

import re
from dataclasses import dataclass
from typing import Any

from bot.conversation.clauses import noun_and_particle, sentences
from bot.conversation.endings import past
from bot.conversation.hangul import PARTICLES, final_of, has_pair, is_syllable, particle
from bot.conversation.korean import strip_fillers
from bot.conversation.numerals import numbers
from bot.conversation.texts import table

_DATA: dict[str, Any] = table("diary")["corrections"]
_PATTERNS = tuple(re.compile(pattern) for pattern in _DATA["patterns"])
_APART = re.compile(_DATA["apart"])
_LEAD = re.compile(_DATA["lead"])
_NEW_ENDS = re.compile(_DATA["new_ends"] + "$")
_OVER = re.compile(_DATA["over"] + "$")
_MAY_BE_OVER = re.compile(_DATA["may_be_over"] + "$")
_BEGINS = frozenset(_DATA["begins"])
_INSTEAD = frozenset(_DATA["instead"])
_CONNECTS = tuple(_DATA["connects"])
_BEFORE_VERB = frozenset(_DATA["before_verb"])
_COMPANION = frozenset(_DATA["companion"])
_PEOPLE = frozenset(table("endings")["lists"]["people"])
_FORMS = "|".join(sorted({form for pair in PARTICLES.values() for form in pair}, key=len, reverse=True))
_MOST_WORDS = 4
_MOST_WORDS_OF_ONE = 12
# These may as well be the end of the noun: 회의, 포도, 아이.
_MAY_BE_NOUN = frozenset({"이", "가", "만", "도", "로", "의", "과", "은"})


@dataclass(frozen=True, slots=True)
class Replacement:
    """What was wrong, in the spellings to look for, and what is right."""

    old: tuple[str, ...]
    new: str


def pieces(correction: str) -> list[str]:
    """The sentences of a correction, cut where a replacement is over or begins: 민수가 아니라 민호고 / 영화가 아니라 …

    The right word said once more is left out: 지수야 / 지수.
    """
    if apart := _APART.match(_bare(correction)):
        return [f"{apart['old']} 아니라 {apart['new']}"]
    cut: list[str] = []
    for sentence in sentences(correction):
        words, start = sentence.split(), 0
        for end in range(1, len(words)):
            if _is_over(words[start:end], words[end:]):
                cut.append(" ".join([*words[start : end - 1], _finished(words[end - 1])]))
                start = end
        cut.append(" ".join(words[start:]))
    found: list[str] = []
    for piece in cut:
        before = replacement(found[-1]) if found else None
        if before is None or _NEW_ENDS.sub("", _bare(piece), count=1) != before.new:
            found.append(piece)
    return found


def _finished(word: str) -> str:
    """갔고 → 갔다: what came behind it is on its own."""
    told = past(word)
    return word if told is None or told.finished else f"{told.form}다"


def _is_over(words: list[str], rest: list[str]) -> bool:
    """Whether something else begins behind these words of a sentence."""
    told, another = past(words[-1]), not _INSTEAD.isdisjoint(rest)
    breaks = told is not None and not told.finished
    if len(words) > _MOST_WORDS_OF_ONE or (breaks and another):
        return breaks and another
    over = breaks or rest[0] in _BEGINS or _ends_in_verb(words) or _ends_in_is(words, surely=another)
    return (over or (another and words[-1].endswith(","))) and replacement(" ".join(words)) is not None


def _ends_in_is(words: list[str], *, surely: bool = False) -> bool:
    """Whether the last word says that something is so: 민호예요, 네 시고; 사고 only when it is `surely` no noun."""
    word = words[-1].rstrip(".,!?…~")
    if _OVER.search(word):
        return True
    stem = word.removesuffix("요")
    if not _MAY_BE_OVER.search(word) or (stem.endswith("고") and final_of(stem[:-1])):
        return False
    return surely or len(word) > 2 or bool(numbers(" ".join(words[-2:])))


def replacement(correction: str) -> Replacement | None:
    """What a correction replaces by what, or None when it only adds something, or goes on behind what is right."""
    text = _LEAD.sub("", _bare(strip_fillers(correction)))
    for pattern in _PATTERNS:
        match = pattern.match(text)
        if not match:
            continue
        old, new = match.group("old").strip(" ,."), _right(match.group("new").strip(" ,."))
        if old and new and len(old.split()) <= _MOST_WORDS and len(new.split()) <= _MOST_WORDS:
            return Replacement(_spellings(old), new)
    return None


def _bare(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip(" .,?!…~")


def _right(new: str) -> str:
    """The right word alone: 지훈이랑 먹었어요 → 지훈; 네 시예요 → 네 시. Empty when more follows: 민호야 저녁에."""
    words = new.split()
    while _ends_in_verb(words):
        words.pop()
    if _connects(words) or not _INSTEAD.isdisjoint(words) or any(_breaks(words[:end]) for end in range(1, len(words))):
        return ""
    told = len(words) < len(new.split())
    right = " ".join(words) if told else _NEW_ENDS.sub("", new, count=1).strip()
    if told or right.endswith(("에서", "으로", "한테", "에게", "까지", "부터")):
        return _without_particle(right, subject=told)
    return right


def _breaks(words: list[str]) -> bool:
    """Whether what is right, or something that was told, has ended with the last word."""
    last = words[-1]
    return past(last) is not None or last.endswith((".", "?", "!")) or _ends_in_is(words) or _connects(words)


def _ends_in_verb(words: list[str]) -> bool:
    """Whether the last word is a verb with something before it: 지훈이랑 먹었어요, 빵을 먹고."""
    return len(words) > 1 and (past(words[-1]) is not None or _connects(words, surely=True))


def _connects(words: list[str], *, surely: bool = False) -> bool:
    """Whether the last word looks like a verb that goes on: 민호랑 만나고; `surely`: it can be no noun, as 영희고."""
    word = words[-1].rstrip(",").removesuffix("요")
    if len(words) < 2 or not word.endswith(_CONNECTS) or _OVER.search(word):
        return False
    if not (found := noun_and_particle(words[-2])) or not surely:
        return found is not None
    may_be_noun = word.endswith("고") and not final_of(word[:-1])
    return found[1] in _BEFORE_VERB or (found[1] in _COMPANION and not may_be_noun)


def _without_particle(word: str, *, subject: bool = False) -> str:
    """The word without what is surely a particle; with `subject`, 이 and 가 mark one."""
    head, _, last = word.rpartition(" ")
    if not (found := noun_and_particle(last)):
        return word
    noun, after = found
    sure = after not in _MAY_BE_NOUN or (subject and after in {"이", "가"} and (len(noun) > 1 or noun in _PEOPLE))
    return f"{head} {noun}".strip() if sure else word


def _spellings(old: str) -> tuple[str, ...]:
    """How the wrong word may stand in the text: 점심은 민수, 민수; 부산에서 → 부산; 지민이 → 지민."""
    words = old.split()
    spellings: list[str] = []
    for start in range(len(words)):
        part = " ".join(words[start:])
        if numbers(part) != numbers(old):
            break
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
