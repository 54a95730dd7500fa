"""What is said in a long talk, and what becomes of it: each utterance with its answer, figures over any minutes.

Pure: it gets what the page noted (`long_talk.js`) and knows no browser. Times are s of the page's audio clock.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from bot.lab.utterances import load

LEAD_S = 14.0
"""Silence at the beginning: the greeting. When the file begins anew it is one more long pause."""

SLOT_S, LONG_S, OVER_S = 20.0, 32.0, 26.0
"""From one turn to the next; with a pause in which the bot asks, and with words over its answer."""

OVER_AFTER_S = 4.0
"""So long after a turn something is said over the answer to it."""

NEAR_S = 0.7
PLAIN = (
    "jia-morning",
    "minho-late",
    "jia-lunch",
    "sunja-garden",
    "minho-subway",
    "jia-talk",
    "sunja-letter",
    "minho-coffee",
    "jia-praise",
    "sunja-walk",
    "minho-baseball",
    "jia-mother",
    "sunja-strawberries",
    "minho-cat",
    "jia-rain",
    "minho-moving",
    "jia-clinic",
    "sunja-grateful",
    "minho-exam",
    "jia-porridge",
    "minho-quarrel",
    "jia-price",
    "minho-tired",
    "sunja-tears",
)
OVER = {5: "minho-correction", 13: "jia-correction", 20: "sunja-correction"}
LONG = {3, 9, 16, 22}


@dataclass(frozen=True, slots=True)
class Said:
    """An utterance and when in the file it begins; `over`: over the answer to the one before."""

    name: str
    at_s: float
    length_s: float
    text: str
    over: bool = False


def script():
    """What is said, and how long the file is in s."""
    known, said, at_s = load(), [], LEAD_S
    for number, name in enumerate(PLAIN):
        said.append(_said(known[name], at_s))
        if over := OVER.get(number):
            said.append(_said(known[over], at_s + said[-1].length_s + OVER_AFTER_S, over=True))
        at_s += OVER_S if over else LONG_S if number in LONG else SLOT_S
    return said, at_s


def _said(utterance, at_s, *, over=False):
    return Said(utterance.name, at_s, len(utterance.mulaw()) / 8000, utterance.text, over)


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance as the page's microphone gave it, from `on` to `off`, and what became of it.

    `shift_ms`: so much later than the file has it, counted from the first. `holes_ms`: what is missing in it.
    `answer_ms`: from its end to the first sound of the answer. `is_covered`: the bot was heard beyond its end.
    """

    said: Said
    on: float
    off: float
    shift_ms: float
    holes_ms: float
    answer_ms: float | None
    is_covered: bool
    heard: tuple[str, ...]

    @property
    def words(self):
        """How many were said."""
        return len(self.said.text.split())

    @property
    def lost(self):
        """How many were said and not written."""
        return sum((Counter(self.said.text.split()) - Counter(self.heard)).values())

    @property
    def extra(self):
        """How many were written and not said."""
        return sum((Counter(self.heard) - Counter(self.said.text.split())).values())


@dataclass(slots=True)
class Notes:
    """All that the page has noted so far; times in s of its audio clock."""

    mic: list[tuple[float, float, float]] = field(default_factory=list)
    voice: list[tuple[float, float]] = field(default_factory=list)
    voice_on: list[float] = field(default_factory=list)
    finals: list[tuple[float, str]] = field(default_factory=list)
    others: list[tuple[float, str, float]] = field(default_factory=list)
    """(when, kind, ms) of what else happened."""

    def take(self, taken):
        """Take what `notes.take()` of the page gave."""
        for event in taken["events"]:
            at_s = taken["time"] - (taken["at"] - event["at"]) / 1000
            match event["kind"]:
                case "mic":
                    self.mic.append((event["on"], event["off"], event["holesMs"]))
                case "voice":
                    self.voice.append((event["on"], event["off"]))
                case "voice on":
                    if not (event.get("sentence") or "").startswith("aside"):
                        self.voice_on.append(event["on"])
                case "said":
                    if event["speaker"] == "user" and event["final"]:
                        self.finals.append((at_s, event["text"]))
                case kind:
                    self.others.append((at_s, kind, event.get("ms", 0)))

    def turns(self):
        """What was said so far and is over: the turns, and how many sounds of the microphone were none."""
        said, loop_s = script()
        found = []
        zero = self.mic[0][0] - said[0].at_s if self.mic else 0
        for on, off, holes_ms in self.mic:
            at_s = (on - zero + NEAR_S) % loop_s - NEAR_S
            near = min(said, key=lambda one: abs(one.at_s - at_s))
            if abs(near.at_s - at_s) <= NEAR_S:
                found.append((near, on, off, at_s - near.at_s, holes_ms))
        ends = [on for _, on, *_ in found[1:]] + [float("inf")]
        turns = [
            Turn(
                near,
                on,
                off,
                shift_s * 1000,
                holes_ms,
                next(((voice - off) * 1000 for voice in self.voice_on if off - 0.05 < voice < end), None),
                any(begun < off - 0.05 and ended > off + 0.4 for begun, ended in self.voice),
                tuple(" ".join(text for at, text in self.finals if on <= at < end).split()),
            )
            for (near, on, off, shift_s, holes_ms), end in zip(found, ends, strict=True)
        ]
        return turns, len(self.mic) - len(found)

    def missed(self, until):
        """How many utterances of the file the page's microphone did not give, of those that are over at `until`."""
        said, loop_s = script()
        if not self.mic:
            return 0
        zero = self.mic[0][0] - said[0].at_s
        loops = int((until - zero) // loop_s) + 1
        due = sum(zero + loop * loop_s + one.at_s + one.length_s + 2 < until for loop in range(loops) for one in said)
        return due - sum(turn.off + 2 < until for turn in self.turns()[0])


def spread(values):
    """(median, 95th percentile, most), whole."""
    if not values:
        return "-", "-", "-"
    return tuple(round(float(value)) for value in (np.median(values), np.percentile(values, 95), max(values)))


def slope(turns):
    """How fast answers become slower, in ms an hour, each utterance compared with itself; and its standard error.

    Not a number while fewer than five answers are to what was said more than once.
    """
    answered = [turn for turn in turns if turn.answer_ms is not None and not turn.said.over and not turn.is_covered]
    times = Counter(turn.said.name for turn in answered)
    answered = [turn for turn in answered if times[turn.said.name] > 1]
    if len(answered) < 5:
        return float("nan"), float("nan")
    usual = {
        name: np.median([turn.answer_ms for turn in answered if turn.said.name == name])
        for name in {turn.said.name for turn in answered}
    }
    hours = np.array([turn.off / 3600 for turn in answered])
    late = np.array([turn.answer_ms - usual[turn.said.name] for turn in answered])
    fit = np.polyfit(hours, late, 1)
    rest = late - np.polyval(fit, hours)
    error = np.sqrt((rest**2).sum() / (len(late) - 2) / ((hours - hours.mean()) ** 2).sum())
    return float(fit[0]), float(error)


def microphone_pcm(rate_hz, resampled):
    """The file's samples; `resampled` makes those of `rate_hz` of an utterance's."""
    said, loop_s = script()
    pcm = np.zeros(round(loop_s * rate_hz), "<i2")
    for one in said:
        samples = resampled(one.name)
        at = round(one.at_s * rate_hz)
        pcm[at : at + len(samples)] = samples
    return pcm.tobytes()
