"""Which whole utterances are commands to the diary. Knows no stage of the talk: the caller of `intent` does.

Recognisers put spaces and punctuation where they like, so a text is matched without any. A command must fill the
whole utterance but for fillers, politeness and a leading 네 or 아니; a story that quotes one does not match. There are
three exceptions. A correction may be followed by more. The wish to keep something off the record is found between other
words, too, for it is mostly said in one breath with what it means. And a talk may be ended right behind a story. What
else was said is given in the caller's own spelling.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import dropwhile, pairwise, takewhile
from typing import Any

from bot.conversation.korean import normalise
from bot.conversation.naming import in_common, names_in
from bot.conversation.texts import table


class IntentKind(StrEnum):
    """What the caller asks of the diary."""

    FINISH = "finish"
    APPROVE = "approve"
    CORRECT = "correct"
    DISCARD = "discard"
    FORGET_DAY = "forget_day"
    OFF_RECORD = "off_record"
    REPEAT = "repeat"
    SLOWER = "slower"
    LOUDER = "louder"
    WAIT = "wait"
    FAREWELL = "farewell"
    GREETING = "greeting"


@dataclass(frozen=True, slots=True)
class Intent:
    """A command, and what was said in the same breath: the correction itself after CORRECT, anything by OFF_RECORD."""

    kind: IntentKind
    rest: str = ""
    """What followed it."""
    before: str = ""
    """What stood before it."""
    points: bool = False
    """It points at something (이건), which need not be what was said last."""
    last: bool = False
    """It says that it means what was said last: 방금 한 말."""
    about: tuple[str, ...] = ()
    """What names its objects: 병원 of 병원 얘기는 빼 줘."""
    left: str = ""
    """What was told beside it and is not meant: 산책했어요 of 산책했어요. 병원 얘기는 빼 줘."""


MOST_LETTERS = 32
"""A command has no more letters; an utterance that has more is a story, with a command in it at most."""

_DATA: dict[str, Any] = table("intents")
_PARTS: dict[str, str] = {"past": "[" + "".join(map(chr, range(ord("갔"), ord("힣") + 1, 28))) + "]"}
_FEW = "{0,6}"  # politeness has an end, and so has the time that a search may take


def _alternatives(patterns: list[str]) -> str:
    """Patterns as one group, with the named parts put in; spaces in the data are for the reader."""
    joined = "|".join(pattern.replace(" ?", "").replace(" ", "") for pattern in patterns)
    return "(?:" + re.sub(r"\{([가-힣a-z_]+)\}", lambda match: _PARTS[match.group(1)], joined) + ")"


for _name, _patterns in _DATA["parts"].items():
    _PARTS[_name] = _alternatives(_patterns)


def _command(lead: str, says: list[str]) -> re.Pattern[str]:
    return re.compile(f"{_PARTS[lead]}{_FEW}{_alternatives(says)}{_PARTS['tail']}{_FEW}")


# CORRECT before APPROVE and DISCARD: 아니 지우지 말고 고쳐 줘 is a correction. What is deleted by a name goes before
# DISCARD, which takes everything.
_ORDER = (
    IntentKind.CORRECT,
    IntentKind.FORGET_DAY,
    IntentKind.OFF_RECORD,
    IntentKind.DISCARD,
    IntentKind.FINISH,
    IntentKind.APPROVE,
    IntentKind.SLOWER,
    IntentKind.LOUDER,
    IntentKind.REPEAT,
    IntentKind.WAIT,
    IntentKind.FAREWELL,
    IntentKind.GREETING,
)
_WHOLE = {
    kind: _command(data.get("lead", "lead"), [*data["says"], *data.get("alone", []), *data.get("bare", [])])
    for kind in _ORDER
    for data in (_DATA[kind.value],)
}
_CORRECT = _DATA["correct"]
_BEGINS = re.compile(f"{_PARTS['lead_no']}{_FEW}{_alternatives(_CORRECT['begins'])}")
_NOT_AFTER = re.compile(_alternatives(_CORRECT["not_after"]))
_BUT = re.compile(
    f"{_PARTS['lead']}{_FEW}(?:{_alternatives(_DATA['approve']['says'])})?{_alternatives(_CORRECT['but'])}"
)
_NO = re.compile(_alternatives(_CORRECT["no"]))
_NO_WORD = re.compile(f"{_PARTS['no']}+")
_LEAD_NO_WORD = re.compile(f"{_PARTS['no']}+|{_PARTS['filler']}")
_INSTEAD = re.compile(_alternatives(_CORRECT["instead"]))
_REQUEST = re.compile(_alternatives([_CORRECT["requests"]]))
_OFF: dict[str, Any] = _DATA["off_record"]
_SIGN = re.compile(_alternatives(_OFF["signs"]))
_POINTED = _command(_OFF["lead"], [*_OFF["says"], *_OFF["beside"]])
_ALONE = _command(_OFF["lead"], [*_OFF["says"], *_OFF["alone"]])
_BARE = _command(_OFF["lead"], [*_OFF["alone"], *_OFF["bare"]])
_BEHIND_REASON = _command(_OFF["lead"], _OFF["behind_reason"])
_QUOTED_BY = re.compile(_alternatives(_OFF["not_before"]) + "$")
_QUOTED_AS = re.compile(_alternatives(_OFF["not_after"]))
_QUOTED_AFTER_STOP = re.compile(_alternatives(_OFF["not_after_stop"]))
_ABOUT = [re.compile(_alternatives([pattern])) for pattern in _OFF["about"]]
_AND = re.compile(_alternatives([_OFF["and"]]))
_PAST_CLAUSE = re.compile(_alternatives([_OFF["past_clause"]]) + "$")
_GOES_ON = re.compile(_alternatives(_OFF["goes_on"]))
_TOLD = re.compile(_alternatives([_OFF["told"]]))
_MERE_NAME = re.compile(_alternatives([_OFF["mere_name"]]))
_TOPIC = re.compile(_alternatives([_OFF["topic"]]))
_SAID_LAST = re.compile(_alternatives(_OFF["said_last"]))
_EARLIER = _command("lead_no", [_OFF["earlier"]])
_POINTERS = frozenset(_OFF["pointers"])
_POINTS = re.compile(f"{_PARTS['lead_no']}{_FEW}(?:{_PARTS['this']}|{_PARTS['that_story']})")
_LAST = re.compile(f"{_PARTS['lead_no']}{_FEW}{_PARTS['last']}")
_OPENERS = _command("lead_no", _OFF["openers"])
_REASON = re.compile(_alternatives(_OFF["reasons"]))
_MOST_WORDS_OF_REASON = 4
_REASON_OF_OTHERS = re.compile(_alternatives(_OFF["reasons_of_others"]))
_MOST_WORDS_OF_OTHERS = 7
_REMARK = re.compile(_alternatives(_OFF["remarks"]))
_ENDS = (IntentKind.FINISH, IntentKind.FAREWELL)
_STATE = re.compile(_alternatives([_DATA["farewell"]["states"]]))
_SIGN_OF_END = re.compile(_DATA["finish"]["signs"])
_SURE_END = re.compile(_alternatives([_DATA["finish"]["sure"]]))
_LEAD = re.compile(_PARTS["lead_no"])
_LEADS = re.compile(_PARTS["lead_no"] + "{1,6}")
_PATIENCE = _command(_DATA["patience"]["lead"], _DATA["patience"]["says"])
_IMPATIENCE = _command(_DATA["impatience"]["lead"], _DATA["impatience"]["says"])
_STOPS = (".", "?", "!", "…")
_ENDS_SENTENCE = re.compile(_alternatives(_OFF["ends"]) + "$")


def intent(text: str) -> Intent | None:
    """The command that the whole of `text` is, or None when it is something to be written down."""
    compact = normalise(text)
    if not compact:
        return None
    if len(compact) <= MOST_LETTERS:
        for kind in _ORDER:
            if _WHOLE[kind].fullmatch(compact):
                return _pointing(Intent(kind), compact)
    words = text.split()
    if _SIGN.search(compact) and (found := _off_record_by_name(words) or _off_record(words)):
        return found
    rest = _correction(text, compact)
    return Intent(IntentKind.CORRECT, rest) if rest else None


def ends_with(text: str) -> bool:
    """Whether the last sentence of a longer text ends the talk, or a text that gives a reason for it."""
    words = text.split()
    for at in range(len(words)):
        tail = " ".join(words[at:])
        if (at and not _stops(words[at - 1])) or len(normalise(tail)) > MOST_LETTERS:
            continue
        found = intent(tail) if at else None
        if (found and found.kind in _ENDS and not may_tell(tail)) or end_with_reason(tail):
            return True
    return False


def may_end(text: str) -> bool:
    """Whether a text holds a word of which goodbyes are made; most hold none."""
    return _SIGN_OF_END.search(normalise(text)) is not None


def may_tell(text: str) -> bool:
    """Whether a goodbye may as well tell how somebody is: 잘 지내요."""
    return _STATE.fullmatch(normalise(text)) is not None


def end_with_reason(text: str) -> IntentKind | None:
    """The goodbye in a text that gives nothing but a reason for it: 지금 밥 먹어야 돼서 끊을게요."""
    words = text.split()
    for start in range(1, min(len(words), _MOST_WORDS_OF_REASON + 1)):
        end = normalise("".join(words[start:]))
        if len(end) <= MOST_LETTERS and _SURE_END.search(end) and is_mere_reason(" ".join(words[:start])):
            found = intent(end)
            if found and found.kind in _ENDS:
                return found.kind
    return None


def puts_right(text: str) -> bool:
    """Whether a text says what is to stand instead of what, or how it is to be written: 밥이 아니고 국수요."""
    compact = normalise(text)
    return _INSTEAD.search(compact) is not None or _REQUEST.search(compact) is not None


def is_patience(text: str) -> bool:
    """Whether a text, said while an entry is written, only leaves the time for it: 천천히 하세요."""
    return _PATIENCE.fullmatch(normalise(text)) is not None


def is_impatience(text: str) -> bool:
    """Whether a text, said while an entry is written, only asks how long that takes: 얼마나 걸려요?"""
    return _IMPATIENCE.fullmatch(normalise(text)) is not None


def is_mere_lead(text: str) -> bool:
    """Whether it is nothing but what may lead a command: 네, 아니, 그럼."""
    return _LEADS.fullmatch(normalise(text)) is not None


def is_mere_reason(text: str) -> bool:
    """Whether what stands before a wish tells nothing but why, which may be for what was told before: 부끄러우니까."""
    compact, words = normalise(text), len(text.split())
    return (
        _OPENERS.fullmatch(compact) is not None
        or (words <= _MOST_WORDS_OF_REASON and _REASON.search(compact) is not None)
        or (words <= _MOST_WORDS_OF_OTHERS and _REASON_OF_OTHERS.search(compact) is not None)
    )


def is_remark(text: str) -> bool:
    """Whether what stands before a wish that points (이건 적지 마) only speaks of it: 쪽팔려, 이 얘기 아무도 몰라요."""
    return all(
        is_mere_reason(sentence)
        or (len(sentence.split()) <= _MOST_WORDS_OF_OTHERS and _REMARK.search(normalise(sentence)))
        for sentence in _sentences(text.split())
    )


def is_topic(text: str, *, of_told: bool) -> bool:
    """Whether what stands before a wish that points names what it points at: 아까 병원 간 얘기, 그건 빼 줘.

    `of_told`: it can only be something that was told, so that 병원 or 병원 간 거 does, too.
    """
    if _TOLD.search(normalise(text)):
        return True
    is_noun = len(text.split()) == 1 and not is_mere_reason(text)
    return of_told and (is_noun or _TOPIC.search(normalise(text)) is not None)


def _off_record(words: list[str]) -> Intent | None:
    """The wish to keep something off the record, between other words: the longest that stands at the first place."""
    signs = [bool(_SIGN.search(normalise(word))) for word in words]
    for start in range(len(words)):
        end = next(
            (end for end in _ends_of_command(words, start) if any(signs[start:end]) and _asks(words, start, end)), 0
        )
        before, rest = words[:start], words[end:]
        if end and not _quoted(before, words[start:end], rest):
            behind = " ".join(rest)
            left = behind if _GOES_ON.match(normalise(behind)) else ""
            found = Intent(IntentKind.OFF_RECORD, rest=behind, left=left)
            if _EARLIER.fullmatch(normalise("".join(before))):
                return replace(found, about=(" ".join(before),))
            return _pointing(replace(found, before=" ".join(before)), normalise("".join(words[start:end])))
    return None


def _pointing(found: Intent, command: str) -> Intent:
    """The intent with what the command itself means, without a name for it."""
    points = _POINTS.match(command) is not None
    return replace(found, points=points, last=not points and _LAST.match(command) is not None)


def _off_record_by_name(words: list[str]) -> Intent | None:
    """The wish to keep off the record what is named, or more of them, and what is told beside them.

    Beside it is meant from the first sentence on that names it; when none does before the wish, what was told before.
    """
    wishes = list(_named_wishes(words))
    if not wishes:
        return None
    names = {about: names_in(about) for _, _, abouts in wishes for about in abouts}
    gone: list[str] = []
    left: list[str] = []
    about: list[str] = []
    at = 0
    for start, end, abouts in (*wishes, (len(words), len(words), ())):
        sentences = [each for each in _sentences(words[at:start]) if not _merely_names(each, names.values())]
        names_it = [any(in_common(sentence, name) for name in names.values()) for sentence in sentences]
        first = names_it.index(True) if any(names_it) else len(sentences)
        if at and not any(names.values()):  # 이제부터 하는 얘기는 적지 마 means what follows
            first = 0
        left += filter(_tells, sentences[:first])
        gone += sentences[first:]
        about += (each for each in abouts if each not in about and not in_common(" ".join(gone), names[each]))
        at = end
    return Intent(IntentKind.OFF_RECORD, before=" ".join(gone), about=tuple(about), left=" ".join(left))


def _merely_names(sentence: str, names: Iterable[list[str]]) -> bool:
    """Whether a sentence before a wish only says what the wish names, as an answer does: 병원 얘기요."""
    return _MERE_NAME.search(normalise(sentence)) is not None and any(in_common(sentence, name) for name in names)


def _tells(sentence: str) -> bool:
    """Whether a sentence beside a wish is no command and no reason for it."""
    words = list(dropwhile(lambda word: _OPENERS.fullmatch(normalise(word)), sentence.split()))
    found = intent(" ".join(words))
    return bool(names_in(" ".join(words))) and not is_mere_reason(sentence) and (found is None or bool(found.rest))


def _named_wishes(words: list[str]) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Where the wishes begin and end that name their objects, and the names."""
    signs = [bool(_SIGN.search(normalise(word))) for word in words]
    done = 0
    for start in filter(lambda start: _begins_sentence(words, start), range(len(words))):
        ends = (end for end in _ends_of_command(words, start) if start >= done and any(signs[start:end]))
        found = next(((match, end) for end in ends if (match := _about(words[start:end]))), None)
        if found and not _quoted([], words[start : found[1]], words[found[1] :]):
            match, done = found
            yield start, done, tuple(filter(None, map(str.strip, _AND.split(match))))


def _about(command: list[str]) -> str:
    """What names the object of a wish of one sentence; empty when these words are none, or point at something."""
    compact, text = normalise("".join(command)), " ".join(command)
    if _WHOLE[IntentKind.FORGET_DAY].fullmatch(compact):
        return ""
    for found in filter(None, (pattern.fullmatch(compact) for pattern in _ABOUT)):
        until = len(_original(text, 0, found.end("about")).split())
        about = _original(text, found.start("about"), found.end("about"))
        points = not about or normalise(about.split()[-1]) in _POINTERS or _SAID_LAST.search(about)
        if not points and not any(_begins_sentence(command, at) for at in range(1, until)):
            return about
    return ""


def _stops(word: str) -> bool:
    """Whether a sentence ends with this word, maybe without a full stop."""
    return word.endswith(_STOPS) or _ENDS_SENTENCE.search(normalise(word)) is not None


def _begins_sentence(words: list[str], at: int) -> bool:
    """Whether a sentence may begin at this word: it is the first, or the one before it ends one."""
    return at == 0 or _stops(words[at - 1]) or _PAST_CLAUSE.search(words[at - 1]) is not None


def _sentences(words: list[str]) -> list[str]:
    begins = [at for at in range(len(words)) if _begins_sentence(words, at)]
    return [" ".join(words[start:end]) for start, end in pairwise([*begins, len(words)])]


def _ends_of_command(words: list[str], start: int) -> Iterator[int]:
    """Where a row of words from `start` may end that is short enough for a command; the longest first."""
    end, letters = start, 0
    while end < len(words) and (letters := letters + len(normalise(words[end]))) <= MOST_LETTERS:
        end += 1
    yield from range(end, start, -1)


def _asks(words: list[str], start: int, end: int) -> bool:
    """Whether these words are a wish; one that points at nothing has to be a sentence of its own, or give a reason."""
    compact = normalise("".join(words[start:end]))
    if _POINTED.fullmatch(compact):
        return True
    if end < len(words) and not words[end - 1].endswith(_STOPS):
        return False
    if (start == 0 or _stops(words[start - 1])) and _ALONE.fullmatch(compact):
        return True
    is_bare = _BARE.fullmatch(compact) is not None
    if start == 0 or not (is_bare or _BEHIND_REASON.fullmatch(compact)):
        return is_bare
    reason = _sentences(words[:start])[-1]
    return is_remark(reason) and (is_bare or _OPENERS.fullmatch(normalise(reason)) is None)


def _quoted(before: list[str], command: list[str], rest: list[str]) -> bool:
    """Whether the command between these words is what somebody else said, maybe more than once."""
    while before and _LEAD.fullmatch(normalise(before[-1])):
        before = before[:-1]
    by = bool(before) and not before[-1].endswith(_STOPS) and _QUOTED_BY.search(normalise("".join(before[-2:])))
    while size := next((size for size in range(len(command), 0, -1) if rest[:size] == command[-size:]), 0):
        rest = rest[size:]
    quoted_as = _QUOTED_AFTER_STOP if command[-1].endswith(_STOPS) else _QUOTED_AS
    return bool(by) or quoted_as.match(normalise("".join(rest))) is not None


def _correction(text: str, compact: str) -> str:
    """What follows 고칠게, 아니, or 네 그런데, when it is a correction; else empty."""
    for end in _ends(_BEGINS, compact):
        if not _NOT_AFTER.match(compact[end:]):
            return _original(text, end)
    for end in (*(_ends_of_no(text) or _ends(_NO, compact)), *_ends(_BUT, compact)):
        rest = compact[end:]
        if len(rest) <= MOST_LETTERS and _INSTEAD.search(rest):
            return _original(text, end)
    return ""


def _ends_of_no(text: str) -> list[int]:
    """Where the words end that are each 아니 or a filler, when another follows: the 오 of 아니 오늘 is of 오늘."""
    words = [normalise(word) for word in text.split()]
    leading = list(takewhile(_LEAD_NO_WORD.fullmatch, words[:-1]))
    return [len("".join(leading))] if any(map(_NO_WORD.fullmatch, leading)) else []


def _ends(pattern: re.Pattern[str], compact: str) -> list[int]:
    """Where the pattern may end, when something follows it: the longest fit only."""
    match = pattern.match(compact)
    return [match.end()] if match and match.end() < len(compact) else []


def _original(text: str, start: int, end: int | None = None) -> str:
    """The part of `text` from its letter `start` up to its letter `end`; only those that are normal letters count."""
    places = [index for index, char in enumerate(text) if normalise(char)]
    if start >= len(places):
        return ""
    return text[places[start] : places[end] if end is not None and end < len(places) else None].strip()
