"""What the callers of `bench soak` do: days of different length, and every way for a call to end or to break.

Must not know how calls are made, or what goes wrong outside of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random
from typing import Literal

from bot.lab.chaos_callers import OVER_MS, TOLD, WRITING_MS
from bot.lab.report import Turn
from bot.lab.script import Drop, HangUp, Say, Step, Tell, WaitForBot

How = Literal["approves", "stop", "close", "reset", "leaves", "drops"]
HOWS: tuple[How, ...] = ("approves", "stop", "close", "reset", "leaves", "drops")
LAST: dict[How, Step] = {"close": HangUp("close"), "reset": HangUp("reset")}
SHORTEST, LONGEST = 1, 6
LEAVES_S = (4.0, 60.0)
QUIET_MS = (400, 600, 900)


@dataclass(frozen=True, slots=True)
class Day:
    """One call. `leaves_s`: so long after its begin the caller hangs up, whatever is being said."""

    how: How
    steps: tuple[Step, ...]
    leaves_s: float | None = None


def day(index: int, luck: Random) -> Day:
    """The call with this number; every way to end has its turn."""
    how, voice = HOWS[index % len(HOWS)], sorted(TOLD)[index // len(HOWS) % len(TOLD)]
    names = luck.sample(TOLD[voice], luck.randint(SHORTEST, LONGEST))
    told: list[Step] = [
        Tell((f"{voice}-{name}",), over_ms=luck.choice((None, OVER_MS)), quiet_ms=luck.choice(QUIET_MS))
        for name in names
    ]
    leaves_s = luck.uniform(*LEAVES_S) if how == "leaves" else None
    if how == "drops":
        for at in range(len(told), 0, -2):
            told.insert(at, Drop(luck.choice(("reset", "close"))))
    if how == "approves":
        told += [Tell((f"{voice}-finish",)), WaitForBot(WRITING_MS), Say((f"{voice}-right",))]
    else:
        told += [WaitForBot(), LAST.get(how, HangUp())]
    return Day(how, tuple(told), leaves_s)


def long_day(seconds: float) -> Day:
    """Somebody who talks for so long, and hears the bot out."""
    voice = "jia"
    names = islice(cycle(TOLD[voice]), int(seconds / 4) + 8)
    return Day("leaves", tuple(Tell((f"{voice}-{name}",), quiet_ms=1_500) for name in names), seconds)


def told(turns: Sequence[Turn]) -> list[str]:
    """What of the day was said to its end; what was said again because it had not arrived counts once."""
    whole = [turn.said_text for turn in turns if turn.said_end_ms is not None and _is_told(turn)]
    return [text for at, text in enumerate(whole) if at == 0 or whole[at - 1] != text]


def _is_told(turn: Turn) -> bool:
    """Whether it belongs into the day: "that's all for today" and "that's right" do not."""
    voice, _, name = str(turn.parts[0]).partition("-")
    return name in TOLD[voice]
