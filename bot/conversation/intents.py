"""Which whole utterances are commands to the diary. Knows no stage of the talk: the caller of `intent` does.

Recognisers put spaces and punctuation where they like, so a text is matched without any. A command must fill the
whole utterance but for fillers, politeness and a leading 네 or 아니; a story that quotes one does not match. Only a
correction may be followed by more, which is then given as `rest` in the caller's own spelling.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bot.conversation.korean import normalise
from bot.conversation.texts import table


class IntentKind(StrEnum):
    """What the caller asks of the diary."""

    FINISH = "finish"
    APPROVE = "approve"
    CORRECT = "correct"
    DISCARD = "discard"
    REPEAT = "repeat"
    FAREWELL = "farewell"
    GREETING = "greeting"


@dataclass(frozen=True, slots=True)
class Intent:
    """A command, and what followed it in the same breath: the correction itself after CORRECT, else empty."""

    kind: IntentKind
    rest: str = ""


MOST_LETTERS = 32
"""An utterance with more letters is a story, unless it begins with a correction."""

_DATA: dict[str, Any] = table("intents")
_PARTS: dict[str, str] = {}
_FEW = "{0,6}"  # politeness has an end, and so has the time that a search may take


def _alternatives(patterns: list[str]) -> str:
    """Patterns as one group, with the named parts put in; spaces in the data are for the reader."""
    joined = "|".join(pattern.replace(" ", "") for pattern in patterns)
    return "(?:" + re.sub(r"\{([가-힣a-z_]+)\}", lambda match: _PARTS[match.group(1)], joined) + ")"


for _name, _patterns in _DATA["parts"].items():
    _PARTS[_name] = _alternatives(_patterns)


def _whole(kind: IntentKind) -> re.Pattern[str]:
    data = _DATA[kind.value]
    lead = _PARTS[data.get("lead", "lead")]
    return re.compile(f"{lead}{_FEW}{_alternatives(data['says'])}{_PARTS['tail']}{_FEW}")


# CORRECT before APPROVE and DISCARD: 아니 지우지 말고 고쳐 줘 is a correction.
_ORDER = (
    IntentKind.CORRECT,
    IntentKind.DISCARD,
    IntentKind.FINISH,
    IntentKind.APPROVE,
    IntentKind.REPEAT,
    IntentKind.FAREWELL,
    IntentKind.GREETING,
)
_WHOLE = {kind: _whole(kind) for kind in _ORDER}
_CORRECT = _DATA["correct"]
_BEGINS = re.compile(f"{_PARTS['lead_no']}{_FEW}{_alternatives(_CORRECT['begins'])}")
_NOT_AFTER = re.compile(_alternatives(_CORRECT["not_after"]))
_BUT = re.compile(
    f"{_PARTS['lead']}{_FEW}(?:{_alternatives(_DATA['approve']['says'])})?{_alternatives(_CORRECT['but'])}"
)
_NO = re.compile(_alternatives(_CORRECT["no"]))
_INSTEAD = re.compile(_alternatives(_CORRECT["instead"]))


def intent(text: str) -> Intent | None:
    """The command that the whole of `text` is, or None when it is something to be written down."""
    compact = normalise(text)
    if not compact:
        return None
    if len(compact) <= MOST_LETTERS:
        for kind in _ORDER:
            if _WHOLE[kind].fullmatch(compact):
                return Intent(kind)
    rest = _correction(text, compact)
    return Intent(IntentKind.CORRECT, rest) if rest else None


def _correction(text: str, compact: str) -> str:
    """What follows 고칠게, 아니, or 네 그런데, when it is a correction; else empty."""
    for end in _ends(_BEGINS, compact):
        if not _NOT_AFTER.match(compact[end:]):
            return _original(text, end)
    for pattern in (_NO, _BUT):
        for end in _ends(pattern, compact):
            rest = compact[end:]
            if len(rest) <= MOST_LETTERS and _INSTEAD.search(rest):
                return _original(text, end)
    return ""


def _ends(pattern: re.Pattern[str], compact: str) -> list[int]:
    """Where the pattern may end, when something follows it: the longest fit only."""
    match = pattern.match(compact)
    return [match.end()] if match and match.end() < len(compact) else []


def _original(text: str, letters: int) -> str:
    """The part of `text` behind its first `letters` letters that count."""
    seen = 0
    for index, char in enumerate(text):
        if seen >= letters and normalise(char):
            return text[index:].strip()
        seen += len(normalise(char))
    return ""
