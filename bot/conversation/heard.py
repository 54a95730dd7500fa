"""The ledger of one reply: which of its sentences were sent, and which of them the caller has really heard.

A mark comes back when the audio before it was played *or cleared*, so the ledger of a reply that was stopped takes no
more marks: whoever stops a reply asks the ledger first, then throws it away.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class _Sentence:
    text: str
    started: bool = False
    audio_ms: int | None = None
    heard: bool = False


@dataclass(slots=True)
class Ledger:
    """Reply `reply`, spoken in answer to turn `turn` (-1: nothing was said yet)."""

    reply: int
    turn: int
    started_ms: int | None = None
    ended: bool = False
    _sentences: dict[int, _Sentence] = field(default_factory=dict)

    def made(self, index: int, text: str) -> None:
        """Sentence `index` is going to be spoken."""
        self._sentences.setdefault(index, _Sentence(text))

    def started(self, index: int, now_ms: int) -> None:
        """The first frame of sentence `index` was sent."""
        if self.started_ms is None:
            self.started_ms = now_ms
        if sentence := self._sentences.get(index):
            sentence.started = True

    def sent(self, index: int, audio_ms: int) -> None:
        """All of sentence `index` was sent; it lasts `audio_ms`."""
        if sentence := self._sentences.get(index):
            sentence.audio_ms = audio_ms

    def echoed(self, index: int) -> None:
        """The mark behind sentence `index` came back while the reply was alive."""
        for each, sentence in self._sentences.items():
            if each <= index and sentence.audio_ms is not None:
                sentence.heard = True

    @property
    def done(self) -> bool:
        """Nothing more will come, and all that was begun was heard."""
        return self.ended and all(s.heard or not s.started for s in self._sentences.values())

    @property
    def unplayed_ms(self) -> int:
        """How long the sentences last that were sent and not yet given back."""
        return sum(s.audio_ms or 0 for s in self._sentences.values() if not s.heard)

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that was going to be said."""
        return tuple(sentence.text for _, sentence in sorted(self._sentences.items()))

    @property
    def last_index(self) -> int:
        """The sentence that was made last; -1 when there is none."""
        return max(self._sentences, default=-1)

    @property
    def heard(self) -> str:
        """The words that were heard for certain."""
        return " ".join(sentence.text for _, sentence in sorted(self._sentences.items()) if sentence.heard)

    @property
    def unheard(self) -> tuple[str, ...]:
        """The sentences that were not heard to their end, begun or not."""
        return tuple(sentence.text for _, sentence in sorted(self._sentences.items()) if not sentence.heard)
