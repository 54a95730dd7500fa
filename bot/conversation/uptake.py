"""What of the caller's words a reply can take up: an event, a plan, a state, a noun. Knows particles and endings.

Everything here turns the caller's I into the one who is spoken to: the pronoun goes, -시- comes, 엄마 becomes 어머니.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from bot.conversation.clauses import Clause, bare, clause, main_noun, noun_and_particle, sentences
from bot.conversation.endings import adnominal, base, honoured, is_unwilled, present
from bot.conversation.hangul import final_of, has_pair, is_syllable, with_final, with_particle, without_final
from bot.conversation.texts import table, words

_LISTS: dict[str, Any] = table("endings")["lists"]
_KIN: dict[str, str] = table("endings")["kin"]
_PEOPLE = tuple(_LISTS["people"])
_SMALL = frozenset(_LISTS["small"])
_OWN = frozenset(_LISTS["own"])
_ELDERS = tuple(_LISTS["elders"])
_SELF = frozenset(_LISTS["self"])
_OPENERS = frozenset(_LISTS["openers"])
_NOT_ECHOED = words("replies", "not_echoed")
_PLAN = re.compile(
    r"^(?:거(?:예요|에요|야|거든요?|라서요?)|건데요?|겁니다|예정이(?:에요|야|거든요)|계획이(?:에요|야)|생각이(?:에요|야))$"
)
_INTENDED = re.compile(r"^([가-힣]*[가-힣])려고요?$")
_PLAN_OF: dict[str, str] = table("endings")["plan"]
_WISH = ("싶어요", "싶어", "싶습니다", "싶네요", "싶더라고요")
_TO_ME = re.compile(r"(?<![가-힣])(?:(?:나|저)(?:를|한테|에게|랑|보고)|날|내게|제게)(?![가-힣])")
_THERE = tuple(_LISTS["there"])
MOST_LETTERS = 34
"""What is taken up is no longer than this: nobody wants to hear all of it again."""


@dataclass(frozen=True, slots=True)
class Uptake:
    """What can be taken up: the kind names the templates, the slots fill them."""

    kind: str
    slots: dict[str, str] = field(default_factory=dict)
    about: str = ""
    """The caller's own words that it takes up."""
    someone_else: bool = False
    """Whether it tells of another person."""
    small: bool = False
    """Whether it is too small a thing to name a day by."""


def uptakes(text: str) -> list[Uptake]:
    """What can be taken up of an utterance, the best first; empty when there is nothing."""
    if any(word in text for word in _NOT_ECHOED):
        return []
    found = [_event(text), _plan(text), _wish(text), _present(text), _noun(text)]
    return [uptake for uptake in found if uptake is not None and _may_be_said(uptake)]


def _may_be_said(uptake: Uptake) -> bool:
    said = " ".join(uptake.slots.values())
    return all(len(slot) <= MOST_LETTERS for slot in uptake.slots.values()) and all(
        is_syllable(char) or char.isalnum() or char in " .,%" for char in said
    )


def kin(word: str) -> str:
    """A written word with the caller's kin as the bot speaks of them: 엄마랑 → 어머니랑, 딸이 → 따님이."""
    if word in _KIN:
        return _KIN[word]
    found = noun_and_particle(word)
    if found and found[0] in _KIN:
        noun, particle = _KIN[found[0]], found[1]
        return with_particle(noun, particle) if has_pair(particle) else noun + particle
    return word


def _event(text: str) -> Uptake | None:
    told = clause(text)
    if told is None or (told.predicate.form in {"했", "그랬", "였", "이었", "됐", "있었", "없었"} and not told.words):
        return None
    before = "".join(kin(word) + " " for word in told.words)
    form = told.predicate.form
    subject = kin(told.subject) if told.subject else None
    named = subject is not None and subject not in _OWN
    someone = named and (subject or "").endswith((*_PEOPLE, *_ELDERS)) and not _TO_ME.search(text)
    polite = _polite(told, form, named and not (subject or "").endswith(_ELDERS), subject in _OWN)
    copula = base(form) is None and form.endswith(("였", "이었"))
    polite = form if copula else polite
    kind = "event_unwilled" if is_unwilled(form) or named or polite == form else "event"
    return Uptake(
        "event_other_day" if told.other_day else kind,
        {"C": before + polite, "A": before + adnominal(form)},
        about=told.before + form,
        someone_else=someone,
        small=copula or not told.words or form.endswith(("잤", "있었")) or (form in _SMALL and len(told.words) < 2),
    )


def _polite(told: Clause, form: str, plainly: bool, own: bool) -> str:
    """The past form with -시- where it is due."""
    if plainly or (is_unwilled(form) and not own):
        return form
    if form.endswith("있었") and told.words and told.words[-1].endswith(_THERE):
        return form[:-2] + "계셨"
    return honoured(form) or form


def _last_clause(text: str, words_at_end: int) -> tuple[list[str], list[str]]:
    """(words before, the last words) of the last sentence, without starters and the caller's I."""
    last = sentences(text)[-1:] or [""]
    said = [word for word in map(bare, last[0].split()) if word]
    before, end = said[:-words_at_end], said[-words_at_end:]
    breaks = [i + 1 for i, word in enumerate(before) if word.endswith(("데", "지만", "니까"))]
    start = max(breaks, default=0)
    kept = [kin(word) for word in before[start:] if word not in _SELF]
    while kept and kept[0] in _OPENERS:
        kept.pop(0)
    return kept[-5:], end


def _plan(text: str) -> Uptake | None:
    before, end = _last_clause(text, 1)
    if not end:
        return None
    if intended := _INTENDED.match(end[0]):
        verb = intended.group(1)
        verb = verb if final_of(verb) == "ㄹ" else with_final(verb, "ㄹ")
    elif before and _PLAN.match(end[0]):
        verb = before.pop()
    else:
        return None
    if final_of(verb) != "ㄹ" or not is_syllable(verb[-1]):
        return None
    future = _PLAN_OF.get(verb) or with_final(without_final(verb) + "시", "ㄹ")
    return Uptake("plan", {"P": " ".join([*before, future])}, about=text)


def _wish(text: str) -> Uptake | None:
    before, end = _last_clause(text, 1)
    if not end or not end[0].endswith(_WISH) or not before or not before[-1].endswith("고"):
        return None
    return Uptake("wish", {"F": " ".join([*before, "싶으시"])}, about=text)


def _present(text: str) -> Uptake | None:
    before, end = _last_clause(text, 1)
    form = present(end[0]) if end else None
    found = base(form) if form else None
    if form is None or found is None or final_of(found) or not before:
        return None
    if form.endswith(("있었", "없었")):
        there = form.endswith("있었") and before[-1].endswith(_THERE)
        polite = "계시" if there else form[-2] + "으시"
        return Uptake("have", {"F": " ".join([*before, form[:-2] + polite])}, about=text)
    subjects = [got[0] for word in before if (got := noun_and_particle(word)) and got[1] in "이가"]
    theirs = subjects and not subjects[0].endswith(_ELDERS) and subjects[0] not in _OWN
    if theirs and not form.endswith(("많았", "바빴", "적었")):
        return None
    return Uptake("present", {"F": " ".join([*before, found + "시"])}, about=text)


def _noun(text: str) -> Uptake | None:
    noun = main_noun(text)
    return Uptake("noun", {"N": kin(noun)}, about=text) if noun else None
