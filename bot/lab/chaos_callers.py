"""What the callers of `make chaos` tell: for each voice a few days of four or five things, in recorded Korean speech.

A caller waits for the bot, tells a thing, and tells it again when the line broke under it or nobody answered, as people
do. Most are brisk and speak on before the bot is done, some hear it out. Then the day is ended and approved, or the
caller hangs up. Must not know what goes wrong, or when.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from bot.lab import utterances
from bot.lab.report import CallReport
from bot.lab.script import HangUp, Say, Step, Tell, Wait, WaitForBot

TOLD = {
    "jia": ("morning", "lunch", "talk", "praise", "rain", "clinic", "porridge", "price", "mother"),
    "minho": ("late", "subway", "coffee", "baseball", "cat", "moving", "exam", "quarrel", "tired"),
    "sunja": ("strawberries", "garden", "walk", "letter", "busan", "grateful"),
}
APPROVED_LINES, PATIENT_LINES, BRISK_LINES = 4, 4, 6
OVER_MS = 2_500
"""So long a brisk caller listens to an answer."""
WRITING_MS = 5_000
"""So long the bot is waited for once it was asked to write: it may fall silent in the middle of it."""
LAST_MS = 500
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Plan:
    """One caller: the steps of the call, and the texts of what it tells."""

    steps: tuple[Step, ...]
    texts: tuple[str, ...]


def plan(index: int, luck: Random) -> Plan:
    """The caller with this number: of four, one approves of the day, one hears the bot out, and two are brisk."""
    voice = sorted(TOLD)[index % len(TOLD)]
    approves, patient = index % 4 == 0, index % 4 == 1
    count = APPROVED_LINES if approves else PATIENT_LINES if patient else BRISK_LINES
    names = luck.sample(TOLD[voice], count)
    told: list[Step] = [Tell((f"{voice}-{name}",), over_ms=None if patient else OVER_MS) for name in names]
    if approves:
        told += [Tell((f"{voice}-finish",)), WaitForBot(WRITING_MS), Say((f"{voice}-right",))]
    else:
        told += [WaitForBot(LAST_MS), Wait(luck.randrange(0, 1000, 20)), HangUp()]
    known = utterances.load()
    return Plan(tuple(told), tuple(known[f"{voice}-{name}"].text for name in names))


def words(texts: Iterable[str]) -> Counter[str]:
    """The words of some texts, without punctuation."""
    return Counter(word for text in texts for word in _WORD.findall(text))


def spoken(report: CallReport, told: Iterable[str]) -> list[str]:
    """Which of these texts a caller has said to their end, each once."""
    said = {turn.said_text for turn in report.turns if turn.said_end_ms is not None}
    return [text for text in told if text in said]
