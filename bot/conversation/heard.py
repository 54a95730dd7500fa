"""The ledger of one reply: which of its pieces were sent, and which words of it the caller has really heard.

A piece is a sentence, or the first clause of one. A mark comes back when the audio before it was played *or cleared*,
so the ledger of a reply that was stopped takes no more marks: whoever stops a reply asks the ledger first, then throws
it away. Inside a piece that was cut, the words are told from how much of its sound was played; when in doubt, a word
was not heard. Times are ms of the call clock.
"""

from dataclasses import dataclass, field

SURELY_MS = 120
"""A word counts as heard when the estimate puts its end so long before the cut."""

LETTER_MS = 230
"""What a letter lasts, at the slowest, while the length of its piece is not known."""

BREAK_LETTERS = 2
"""A comma or a full stop lasts as long as so many letters."""


@dataclass(slots=True)
class _Piece:
    text: str
    started: bool = False
    audio_ms: int | None = None
    """Its length, once it is known."""
    sent: bool = False
    """All of it was sent."""
    heard: bool = False
    sent_ms: int = 0
    ahead_ms: int = 0
    at_ms: int = 0

    def played_ms(self, now_ms: int) -> int:
        """How much of it was surely played at `now_ms`."""
        return max(0, self.sent_ms - max(0, self.ahead_ms - (now_ms - self.at_ms)))

    def words_heard(self, now_ms: int) -> str:
        """The words of it that were heard, when it stops now."""
        words = self.text.split()
        weights = [_weight(word) for word in words]
        each_ms = self.audio_ms / sum(weights) if self.audio_ms and sum(weights) else LETTER_MS
        until_ms, end_ms, count = self.played_ms(now_ms) - SURELY_MS, 0.0, 0
        for weight in weights:
            end_ms += weight * each_ms
            if end_ms > until_ms:
                break
            count += 1
        return " ".join(words[:count])


def _weight(word: str) -> int:
    return sum(char.isalnum() for char in word) + BREAK_LETTERS * (not word[-1].isalnum())


@dataclass(slots=True)
class Ledger:
    """Reply `reply`, spoken in answer to turn `turn` (-1: nothing was said yet)."""

    reply: int
    turn: int
    repeats: bool = False
    """It says the last thing once more."""
    started_ms: int | None = None
    token_ms: int | None = None
    clause_ms: int | None = None
    audio_ms: int | None = None
    ended: bool = False
    false_alarms: int = 0
    """Voices that paused it and said nothing."""
    _pieces: dict[int, _Piece] = field(default_factory=dict)

    def made(self, index: int, text: str) -> None:
        """Piece `index` is going to be spoken."""
        self._pieces.setdefault(index, _Piece(text))

    def started(self, index: int, now_ms: int) -> None:
        """The first frame of piece `index` was sent; all before it were sent whole."""
        if self.started_ms is None:
            self.started_ms = now_ms
        if piece := self._pieces.get(index):
            piece.started = True

    def sent_so_far(self, index: int, sent_ms: int, ahead_ms: int, audio_ms: int | None, now_ms: int) -> None:
        """`sent_ms` of piece `index` were sent; the last `ahead_ms` of all that was sent wait at the caller's ear."""
        if piece := self._pieces.get(index):
            piece.audio_ms = audio_ms if audio_ms is not None else piece.audio_ms
            for before in range(index, -1, -1):
                if (piece := self._pieces.get(before)) is None or piece.heard:
                    break
                piece.sent_ms = sent_ms if before == index else piece.audio_ms or piece.sent_ms
                piece.ahead_ms, piece.at_ms = ahead_ms, now_ms
                if (ahead_ms := ahead_ms - piece.sent_ms) <= 0:
                    break

    def sent(self, index: int, audio_ms: int) -> None:
        """All of piece `index` was sent; it lasts `audio_ms`."""
        if piece := self._pieces.get(index):
            piece.audio_ms, piece.sent = audio_ms, True

    def echoed(self, index: int) -> None:
        """The mark behind piece `index` came back while the reply was alive."""
        for each, piece in self._pieces.items():
            if each <= index and piece.sent:
                piece.heard = True

    @property
    def done(self) -> bool:
        """Nothing more will come, and all that was begun was heard."""
        return self.ended and self.between_pieces

    @property
    def unplayed_ms(self) -> int:
        """How long the pieces last that were sent whole and not yet given back."""
        return sum(piece.audio_ms or 0 for piece in self._pieces.values() if piece.sent and not piece.heard)

    def left_ms(self, now_ms: int) -> int:
        """How much of what was sent still waits at the ear, by what was told of that last."""
        unheard = (piece for piece in self._pieces.values() if not piece.heard)
        return max([0, *(piece.ahead_ms - (now_ms - piece.at_ms) for piece in unheard)])

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that was going to be said."""
        return tuple(piece.text for _, piece in sorted(self._pieces.items()))

    @property
    def last_index(self) -> int:
        """The piece that was made last; -1 when there is none."""
        return max(self._pieces, default=-1)

    @property
    def asks(self) -> bool:
        """Whether it ended with a question."""
        return self.last_index >= 0 and self._pieces[self.last_index].text.endswith("?")

    @property
    def begun(self) -> bool:
        """Something of it was sent."""
        return self.started_ms is not None

    @property
    def sent_whole(self) -> bool:
        """All that was begun was sent to its end: the next frame would begin another piece."""
        return all(piece.sent or not piece.started for piece in self._pieces.values())

    @property
    def between_pieces(self) -> bool:
        """All that was begun was heard."""
        return all(piece.heard or not piece.started for piece in self._pieces.values())

    @property
    def heard_whole(self) -> str:
        """The pieces that were heard to their end."""
        return " ".join(piece.text for _, piece in sorted(self._pieces.items()) if piece.heard)

    @property
    def any_heard(self) -> bool:
        """Whether one piece was heard to its end."""
        return any(piece.heard for piece in self._pieces.values())

    def heard(self, now_ms: int) -> str:
        """The words that were heard, if the reply ends at `now_ms`."""
        pieces = [piece for _, piece in sorted(self._pieces.items())]
        reached = [at for at, piece in enumerate(pieces) if piece.heard or piece.played_ms(now_ms) > 0]
        if not reached:
            return ""
        last = pieces[reached[-1]]
        whole = [piece.text for piece in pieces[: reached[-1]] if piece.heard or piece.started]
        return " ".join([*whole, last.text if last.heard else last.words_heard(now_ms)]).strip()

    @property
    def unheard(self) -> tuple[str, ...]:
        """The pieces that were not heard to their end, begun or not."""
        return tuple(piece.text for _, piece in sorted(self._pieces.items()) if not piece.heard)
