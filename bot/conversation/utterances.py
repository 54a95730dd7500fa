"""The recogniser's texts of the turn that is being spoken, joined in the order of their utterances.

An interim replaces the one before it and is replaced by its final. An utterance whose text was already used in a turn
may still grow, when the recogniser was slow and the caller went on in the same breath: then only what is new counts.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate

from bot.conversation.events import Final, Interim
from bot.conversation.korean import is_backchannel, is_filler, normalise

UtteranceKey = tuple[int, int]
"""An utterance: the number of the connection, and `seq` on it."""


@dataclass(slots=True)
class Utterances:
    """What was recognised since the last turn ended."""

    _finals: dict[UtteranceKey, str] = field(default_factory=dict)
    _interims: dict[UtteranceKey, str] = field(default_factory=dict)
    _used: dict[UtteranceKey, str] = field(default_factory=dict)
    _promoted: set[UtteranceKey] = field(default_factory=set)
    _last_final_ms: int = -1

    def take(self, event: Interim | Final, now_ms: int) -> bool:
        """Take a text; False: it says nothing that is not known already."""
        self._drop_what_is_said_again(event.utterance[0])
        text = self._new_part(event)
        if isinstance(event, Interim):
            if text and event.utterance not in self._finals:
                self._interims[event.utterance] = text
            return bool(text)
        self._last_final_ms = now_ms
        self._promoted.discard(event.utterance)
        text = text or self._interims.get(event.utterance, "")
        self._interims.pop(event.utterance, None)
        if text:
            self._finals[event.utterance] = text
        return bool(text)

    def promote(self) -> None:
        """Take the interims that stand open for finals."""
        self._promoted |= self._interims.keys()
        self._finals.update(self._interims)
        self._interims.clear()

    def _drop_what_is_said_again(self, connection: int) -> None:
        """A new connection hears all audio since the last final once more: interims of the old one are void."""
        for parts in (self._interims, self._finals):
            unsettled = [
                key for key in parts if key[0] < connection and (parts is self._interims or key in self._promoted)
            ]
            for key in unsettled:
                del parts[key]

    def end_turn(self) -> str:
        """Give the text of the turn and begin the next one."""
        self.promote()
        text = self.text
        for key, part in self._finals.items():
            self._used[key] = f"{self._used.get(key, '')} {part}".strip()
        self._finals.clear()
        return text

    @property
    def text(self) -> str:
        """All that is known of the turn, interims too."""
        parts = {**self._interims, **self._finals}
        return " ".join(parts[key] for key in sorted(parts))

    @property
    def interim_open(self) -> bool:
        """An utterance has an interim and no final yet."""
        return bool(self._interims)

    def final_since(self, ms: int) -> bool:
        """Whether a final has come at or after `ms`."""
        return self._last_final_ms >= ms

    def _new_part(self, event: Interim | Final) -> str:
        text = event.text.strip()
        if (used := self._used.get(event.utterance)) is None:
            return text
        if is_backchannel(used) or is_filler(used):
            return "" if normalise(text) == normalise(used) else text
        words = text.split()
        return " ".join(words[_used_words(words, used) :])


def _used_words(words: list[str], used: str) -> int:
    """How many of the words, from the first on, are those of `used`, spelled alike or not; fewer when in doubt."""
    letters, spelled = normalise(used), [normalise(word) for word in words]
    ends, text = [0, *accumulate(map(len, spelled))], "".join(spelled)
    if text.startswith(letters):
        return bisect_right(ends, len(letters)) - 1
    distances = edit_distances(letters, text[: 2 * len(letters)])
    count = min((distances[end], index) for index, end in enumerate(ends) if end < len(distances))[1]
    last = spelled[count - 1] if count else ""
    if not letters.endswith(last) and any(letters.endswith(last[:size]) for size in range(1, len(last))):
        count -= 1  # 만나 became 만나고
    return bisect_right(ends, ends[count]) - 1


def edit_distances(one: str, other: str) -> list[int]:
    """The edit distances of `one`, which is not empty, and every beginning of `other`, the empty one first.

    A column of the table of distances is two integers: a bit for each row that is one more than that above it, or one
    less (Myers 1999). So 400 letters and 800 take about a millisecond.
    """
    full, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    rows: dict[str, int] = {}
    for row, letter in enumerate(one):
        rows[letter] = rows.get(letter, 0) | 1 << row
    more, less, found = full, 0, [len(one)]
    for equal in (rows.get(letter, 0) for letter in other):
        kept = (((equal & more) + more) ^ more) | equal
        right_more, right_less = less | (full & ~(kept | more)), more & kept
        found.append(found[-1] + bool(right_more & last) - bool(right_less & last))
        right_more, right_less = right_more << 1 | 1, right_less << 1
        more, less = full & (right_less | ~(equal | less | right_more)), full & right_more & (equal | less)
    return found
