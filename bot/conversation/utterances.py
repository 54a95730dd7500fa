"""The recogniser's texts of the turn that is being spoken, joined in the order of their utterances.

An interim replaces the one before it and is replaced by its final. An utterance whose text was already used in a turn
may still grow, when the recogniser was slow and the caller went on in the same breath: then only what is new counts.
"""

from dataclasses import dataclass, field

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
        words, letters = text.split(), len(normalise(used))
        if not normalise(text).startswith(normalise(used)):
            return " ".join(words[len(used.split()) :])
        while words and letters >= len(normalise(words[0])):
            letters -= len(normalise(words.pop(0)))
        return " ".join(words)
