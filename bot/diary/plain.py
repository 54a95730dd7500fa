"""An entry without a model: the caller's own sentences in their order. Knows no store and no service."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from bot.conversation.clauses import clause, main_noun, noun_and_particle, sentences
from bot.conversation.commands import Mood
from bot.conversation.endings import adnominal, past, plain
from bot.conversation.korean import is_backchannel, is_filler, normalise
from bot.conversation.moods import mood_of
from bot.conversation.texts import table
from bot.conversation.told import tells_of_day
from bot.diary.corrections import Replacement, pieces, replace, replacement

_DATA: dict[str, Any] = table("diary")
_TALK = re.compile("|".join(_DATA["talk"]))
_TO_WRITE = re.compile(_DATA["wishes"]["to_write"])
_HOW_TO_WRITE = re.compile("|".join(_DATA["wishes"]["how"]))
_SELF: dict[str, str] = table("plain")["self"]
_FELT: dict[str, str] = table("plain")["felt"]
_MID_POLITE = re.compile(r"(는데|은데|인데|고|구|서|니까|지만|거든|는|은)요$")
_GOES_ON = tuple(_DATA["goes_on"])
_GOES_NOT_ON = tuple(_DATA["goes_not_on"])
_MOST_JOINED = 90
_HANGS = frozenset(_DATA["hangs"])
_HANGING_WORDS = frozenset(_DATA["hanging_words"])
_HANGS_NOT = tuple(_DATA["hangs_not"])
_BINDS = frozenset(_DATA["title"]["binds"])
_LONE_NOUNS = frozenset(table("endings")["lists"]["lone_nouns"])
_MOST_WORDS_OF_REST = 3
TITLE_LETTERS = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A day as a diary entry: first person, past tense, plain register."""

    title: str
    body: str
    mood: Mood


def plain_entry(said: Sequence[str], corrections: Sequence[str], day: date) -> Entry:
    """The caller's own sentences as an entry, with the corrections put in; nothing is added that was not said."""
    told, added = told_sentences(said, corrections)
    return entry_of([*told, *filter(None, map(_as_told, added))], day)


def told_sentences(said: Sequence[str], corrections: Sequence[str]) -> tuple[list[str], list[str]]:
    """What was told for a diary, with the corrections put in; and what those add that had nothing to replace."""
    told = _joined([sentence for text in said for sentence in sentences(text) if _belongs(sentence)])
    told, _, left = corrected(told, corrections)
    return told, [sentence for correction in left for sentence in sentences(correction) if _belongs(sentence)]


def tells(said: Sequence[str], corrections: Sequence[str]) -> bool:
    """Whether there is anything for a diary: whether `plain_entry` has a body."""
    return any(_belongs(sentence) for text in said for sentence in sentences(text)) or any(
        _belongs(sentence) and _as_told(sentence) for text in corrections for sentence in sentences(text)
    )


def entry_of(told: list[str], day: date) -> Entry:
    """An entry of spoken sentences."""
    return Entry(title=title(told, day), body=" ".join(map(diary_sentence, told)), mood=mood_of(told))


def _joined(told: list[str]) -> list[str]:
    """The sentences with what broke off (시장에 가서, 만났는데, 김치찌개를) before what came next."""
    joined: list[str] = []
    for sentence in told:
        before = joined[-1] if joined else ""
        if before and _goes_on(before, sentence) and len(before) + len(sentence) <= _MOST_JOINED:
            joined[-1] = f"{before.rstrip('.…, ')} {sentence}"
        else:
            joined.append(sentence)
    return joined


def _goes_on(sentence: str, following: str) -> bool:
    """Whether `following` is the rest of a sentence that broke off."""
    if sentence.endswith(("?", "!")):
        return False
    said = sentence.rstrip(".…, ")
    if (said.endswith(_GOES_ON) and not said.endswith(_GOES_NOT_ON)) or is_fragment(sentence):
        return True
    # 점심에는 김치찌개 / 먹었어요; but 산책 / 책을 읽었어요 are two things.
    rest = following.split()
    objects = any((found := noun_and_particle(word)) and found[1] in {"을", "를", "이", "가"} for word in rest)
    return said.split(" ")[-1] in _LONE_NOUNS and len(rest) <= _MOST_WORDS_OF_REST and not objects


def is_fragment(sentence: str) -> bool:
    """Whether a sentence surely broke off before its predicate: 약값이, 점심에는 민수랑."""
    words = sentence.rstrip(".…, ").split()
    if not words or sentence.endswith(("?", "!")):
        return False
    last = words[-1]
    if last in _HANGING_WORDS:
        return True
    if plain(last) is not None or past(last) is not None or last.endswith(_HANGS_NOT):
        return False
    found = noun_and_particle(last)
    return found is not None and found[1] in _HANGS


def corrected(said: Sequence[str], corrections: Sequence[str]) -> tuple[list[str], list[Replacement], list[str]]:
    """What was said with the corrections put in, what they replace, and what of them had nothing to replace.

    A correction is put in what those before it left, too, unless that was to replace something itself.
    """
    told, found = list(said), list[Replacement]()
    left: list[str] = []
    for correction in corrections:
        cut, rest = pieces(correction), []
        for piece in cut:
            if not (wanted := replacement(piece)):
                rest.append(piece)
                continue
            found.append(wanted)
            replaced = [replace(text, wanted) for text in told]
            added = [text if any(map(replacement, pieces(text))) else replace(text, wanted) for text in left]
            if (replaced, added) == (told, left):
                rest.append(piece)
            told, left = replaced, added
        left += rest if len(rest) < len(cut) else [correction]
    return told, found, left


def _belongs(sentence: str) -> bool:
    if is_filler(sentence) or is_backchannel(sentence) or _TALK.search(normalise(sentence)):
        return False
    return tells_of_day(sentence)


def _as_told(sentence: str) -> str:
    """What a correction tells of the day: 운동도 했다고 적어 주세요 → 운동도 했다; empty for 존댓말로 써 주세요."""
    bare = sentence.rstrip(".!?… ")
    if _HOW_TO_WRITE.search(bare):
        return ""
    wish = _TO_WRITE.match(bare)
    return f"{wish['told'][:-1]}다" if wish else sentence


def diary_sentence(sentence: str) -> str:
    """A spoken sentence in the plain register where the rule is safe, else as it was said; ends in punctuation."""
    broken = is_fragment(sentence)
    words = sentence.split()
    end = re.search(r"[.?!…]+$", sentence)
    words[-1] = words[-1].rstrip(".?!…,~") or words[-1]
    words = [_SELF.get(word, word) for word in words]
    words[:-1] = [_MID_POLITE.sub(r"\1", word) for word in words[:-1]]
    text = " ".join(words)
    felt = _felt(text)
    ended = felt if felt != text else plain(text)
    if broken:
        return text + "…"
    mark = end.group(0) if end else "."
    return ended + mark if ended is not None and "?" not in mark else text + mark


def _felt(sentence: str) -> str:
    """The sentence with a feeling at its end put into the past (기뻐 → 기뻤다); as it is when it ends in none."""
    said = sentence.rstrip(".…~, ")
    ending = next((end for end in _FELT if said.endswith(end)), None)
    return sentence if ending is None else said.removesuffix(ending) + _FELT[ending]


def title(told: list[str], day: date) -> str:
    """A short title from the caller's own words: what was done that day, else a noun, else the date."""
    for sentence in told:
        done = clause(_felt(sentence))
        if done is None or not done.words:
            continue
        words = [*done.words, adnominal(done.predicate.form)]
        while len(words) > 1:
            text = str(_DATA["title"]["event"]).format(" ".join(words))
            if len(text) <= TITLE_LETTERS:
                return text
            bound = words.pop(0) in _BINDS
            while bound and len(words) > 1:
                bound = words.pop(0) in _BINDS
    for sentence in told:
        noun = main_noun(sentence)
        if noun and len(noun) <= TITLE_LETTERS:
            return noun
    return str(_DATA["title"]["day"].format(day.month, day.day))
