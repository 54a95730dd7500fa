"""What the callers of `bench turns` do: four kinds of calls, for each of three voices.

A day is told in things to say, each of one utterance or of several with pauses between them. Must not know how calls
are made or measured.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle

from bot.lab.script import BargeIn, Burst, HangUp, Murmur, Say, Step, WaitForBot

Parts = tuple[str | int, ...]

PAUSES_MS = (400, 500, 600, 700, 800, 900)
STORY_PAUSE_MS = 900
AFTER_MS = (600, 900, 1200, 1500)
WENT_ON_MS = 1_800
"""Quiet after which a reply that was disturbed is over: longer than any pause that a disturbance may make."""

BURSTS = (
    Burst("cough", ms=1000, from_ms=500),
    Burst("keyboard", ms=1200, from_ms=300),
    Burst("cough", ms=900, from_ms=3200),
    Burst("street", ms=1500, from_ms=2000),
    Burst("cough", ms=500, from_ms=5600),
    Burst("music", ms=1000, from_ms=1000),
    Burst("cough", ms=1300, from_ms=7800),
    Burst("babble", ms=1000, from_ms=2000),
    Burst("tone", ms=800),
)


@dataclass(frozen=True, slots=True)
class Material:
    """What one voice has to say: utterances by name, without the voice's own.

    `days` is said in one breath, `begun` goes on after a pause with its `-then`; `others` are turns whose text ends as
    if they went on, or with a bare word; `murmurs` are a listener's.
    """

    voice: str
    days: tuple[str, ...]
    begun: tuple[str, ...]
    fillers: tuple[str, ...]
    murmurs: tuple[str, ...]
    barge_ins: tuple[str, ...]
    others: tuple[str, ...] = ("trailing", "bare")

    def named(self, parts: Parts) -> Parts:
        """The same with the utterances' whole names."""
        return tuple(f"{self.voice}-{part}" if isinstance(part, str) else part for part in parts)


JIA = Material(
    "jia",
    ("morning", "lunch", "talk", "praise", "mother"),
    ("desk", "called", "cook", "busy", "sunny", "sore", "cake", "crowded", "someday"),
    ("um", "geu", "mwonya", "jeogi"),
    ("yes", "um", "ah", "eung", "so", "right"),
    ("interrupt", "wait", "not-that"),
)
MINHO = Material(
    "minho",
    ("late", "subway", "coffee", "baseball", "tired"),
    ("woke", "hospital", "meeting", "game", "guitar", "rained", "pricey", "father", "movie"),
    ("um", "uh", "geu", "mwonya", "jeogi"),
    ("ne", "um", "ah", "yes", "so", "exactly"),
    ("stop", "other", "not-that"),
)
SUNJA = Material(
    "sunja",
    ("strawberries", "garden", "letter", "walk", "tears"),
    ("dawn", "kimchi", "son", "temple", "bus", "cold", "eyes", "singing", "neighbour"),
    ("um", "uh", "geu", "mwonya", "jeogi"),
    ("yes", "um", "ah", "eung", "so", "right"),
    ("other", "wait", "not-that"),
)
VOICES = (JIA, MINHO, SUNJA)
UNFINISHED = frozenset(f"{material.voice}-{name}" for material in VOICES for name in material.others)
"""Utterances that end a turn without a final ending."""

SECTIONS = ("turns", "pauses", "bargein", "disturbances")


def scripts(section: str) -> list[list[Step]]:
    """All calls of a section."""
    return [make(material, at) for at in range(CALLS[section]) for material in VOICES for make in (MAKERS[section],)]


def turns(material: Material, at: int) -> list[Step]:
    """A whole call: five things in one breath, five with a pause, two that end as if they did not, and its end."""
    told: list[Parts] = [(name,) for name in material.days]
    told += [(name, PAUSES_MS[(at + n) % 6], f"{name}-then") for n, name in enumerate(_five(material, at))]
    told += [(name,) for name in (*material.others, "finish", "right")]
    return [step for parts in told for step in (WaitForBot(), Say(material.named(parts)))]


def pauses(material: Material, at: int) -> list[Step]:
    """A caller who pauses twice in each turn, after a filler and after a beginning that goes on, and tells a story."""
    lengths_ms = cycle(PAUSES_MS[at:] + PAUSES_MS[:at])
    steps: list[Step] = []
    for filler, name in zip(cycle(material.fillers), material.begun, strict=False):
        parts = (filler, next(lengths_ms), name, next(lengths_ms), f"{name}-then")
        steps += [WaitForBot(), Say(material.named(parts))]
    story: Parts = sum(((name, STORY_PAUSE_MS) for name in material.begun[:-1]), ())
    story += (material.begun[-1], STORY_PAUSE_MS, f"{material.begun[-1]}-then")
    return [*steps, WaitForBot(), Say(material.named(story)), WaitForBot(), HangUp()]


def bargein(material: Material, at: int) -> list[Step]:
    """A caller who breaks in three times in a row, on the whole with words of a listener before the real ones."""
    before: Iterator[Parts] = cycle(((), ("um", 300), ("so", 150), ("ah", 700)))
    after_ms = cycle(AFTER_MS[at:] + AFTER_MS[:at])
    steps: list[Step] = []
    for name in material.days[:3]:
        steps += [WaitForBot(), Say(material.named((name,)))]
        for words in material.barge_ins:
            steps.append(BargeIn(material.named((*next(before), words)), next(after_ms)))
    return [*steps, WaitForBot(), HangUp()]


def disturbances(material: Material, at: int) -> list[Step]:
    """A caller who says, coughs or types something over every reply of theirs, and wants nothing by it."""
    bursts, murmurs = list(BURSTS[3 * at :] + BURSTS[: 3 * at]), list(material.murmurs[2 * at :] + material.murmurs)
    after_ms = cycle(AFTER_MS[at:] + AFTER_MS[:at])
    told: list[Parts] = [*((name,) for name in material.days), *((f"{name}-then",) for name in material.begun[:7])]
    steps: list[Step] = [WaitForBot()]
    for n, parts in enumerate(told):
        wait_ms = next(after_ms)
        if n % 2:
            burst = bursts[n // 2]
            over: Step = Burst(burst.kind, burst.ms, burst.from_ms, burst.snr_db, wait_ms)
        else:
            over = Murmur(material.named((murmurs[n // 2],)), wait_ms)
        steps += [Say(material.named(parts)), over, WaitForBot(WENT_ON_MS)]
    return [*steps, HangUp()]


def undisturbed(material: Material) -> list[Step]:
    """The same things said as in `disturbances`, by a caller who hears the bot out."""
    kept = [step for step in disturbances(material, 0) if not isinstance(step, Murmur | Burst)]
    return [WaitForBot() if isinstance(step, WaitForBot) else step for step in kept]


def _five(material: Material, at: int) -> tuple[str, ...]:
    return (material.begun[5 * at % 9 :] + material.begun)[:5]


MAKERS: dict[str, Callable[[Material, int], list[Step]]] = {
    "turns": turns,
    "pauses": pauses,
    "bargein": bargein,
    "disturbances": disturbances,
}
CALLS = {"turns": 2, "pauses": 2, "bargein": 2, "disturbances": 3}
"""How often each voice makes a call of each section."""
