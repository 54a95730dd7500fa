"""How much of the bot's sentences a page has played: as it tells, or else as long as they are.

Must not know sockets, clocks, messages, or what a sentence is part of. What time it is, in ms of the sound that came,
is an argument of everything that asks.

There are no marks on the browser's wire. Instead each piece of sound names its sentence, and `Heard` tells how much of
a sentence the page has played, all before it being played whole: from that, `Mark`s of the sentences that lie behind
are made here, as Twilio would echo them. After `clear` nothing that was sent before is ever echoed. A client that does
not tell what it heard, or has told nothing for a while, is taken to have heard everything a little later than it could
have. One that tells the same again and again has heard no more; when its player stands still for long, that is the same
as if stop had been pressed.
"""

from collections import deque
from dataclasses import dataclass

from bot.protocols.browser_messages import Heard
from bot.protocols.twilio import Mark

LATE_MS = 500
"""So much later than it could have been, a sentence counts as played for a client that does not tell."""

TELLS_WITHIN_MS = 2_000
"""A client that has told nothing for so long does not tell."""

STANDS_STILL_MS = 10_000
"""A player that had something to play and has not moved for so long will not."""

TOLD_EVERY_MS = 200
"""Between two `Played` that say only that the player moves, as everybody takes it to."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The person has pressed stop."""


@dataclass(frozen=True, slots=True)
class Played:
    """The page has told what it played; sentence by sentence, the texts of those whose sound has begun since."""

    begun: tuple[str, ...]


Found = Played | Mark | Interrupt


@dataclass(slots=True)
class _Sentence:
    """A sentence that was sent, in part at least; `ends_at_ms`: when its sound may be over at the earliest."""

    name: str
    on_the_wire: str
    text: str
    sent_ms: int = 0
    played_ms: int = 0
    ends_at_ms: int = 0
    whole: bool = False
    begun: bool = False

    @property
    def is_played(self) -> bool:
        return self.whole and self.played_ms >= self.sent_ms


class Playing:
    """The sentences that were sent to one page, until it has played them."""

    def __init__(self) -> None:
        self._sent: deque[_Sentence] = deque()
        self._echoes: list[Mark] = []
        self._told: Heard | None = None
        self._told_ms: int | None = None
        self._passed_on_ms: int | None = None
        self._moved_ms = 0

    # What is sent

    @property
    def last(self) -> str | None:
        """The sentence that was sent last; None after `clear`, and when all were played."""
        return self._sent[-1].name if self._sent else None

    def add(self, sentence: str, on_the_wire: str, text: str) -> None:
        """Sound of another sentence follows, which has a name of its own on the wire."""
        self._sent.append(_Sentence(sentence, on_the_wire, text))

    def sound(self, ms: int, at_ms: int) -> None:
        """So much of the last sentence is sent."""
        if not self._waiting_ms:
            self._moved_ms = at_ms
        last = self._sent[-1]
        before_ms = self._sent[-2].ends_at_ms if len(self._sent) > 1 else 0
        last.ends_at_ms = max(last.ends_at_ms, before_ms, at_ms) + ms
        last.sent_ms += ms

    def whole(self, at_ms: int) -> None:
        """All of the last sentence was sent."""
        self._sent[-1].whole = True
        if self._tells(at_ms) and self._sent[-1].is_played:
            self._pass()

    def clear(self) -> None:
        """The page drops all that it has not played."""
        self._sent.clear()
        self._echoes.clear()

    # What was played

    def heard(self, heard: Heard | None, at_ms: int, *, at_once: bool = False) -> list[Found]:
        """Take what the page has played. Of a sentence that was dropped, or played long since, it has nothing new.

        `at_once`: it is passed on however little time has gone by since the last.
        """
        if at_once:
            self._passed_on_ms = None
        if heard is None:
            return []
        stands_still = heard == self._told
        if not stands_still:
            self._told, self._moved_ms = heard, at_ms
        self._told_ms = at_ms
        if not self._sent:
            return []
        begun: list[str] = []
        if any(sentence.on_the_wire == heard.sentence for sentence in self._sent):
            begun = self._played(heard)
        echoes, self._echoes = self._echoes, []
        is_due = self._passed_on_ms is None or at_ms - self._passed_on_ms >= TOLD_EVERY_MS
        if not (begun or echoes or is_due or (stands_still and self._waiting_ms)):
            return []
        self._passed_on_ms = at_ms
        return [Played(tuple(begun)), *echoes]

    def due(self, at_ms: int) -> list[Found]:
        """What the time that has gone by brings: what must have been played, or that nothing is any more."""
        tells = self._tells(at_ms)
        found: list[Found] = [] if tells else self._assumed(at_ms)
        found += self._echoes
        self._echoes = []
        if tells and self._waiting_ms and at_ms - self._moved_ms > STANDS_STILL_MS:
            self._moved_ms = at_ms
            found.append(Interrupt())
        return found

    def unplayed_ms(self, at_ms: int) -> int | None:
        """How much of what was sent the page has not played, as far as it has told; None: it does not tell."""
        return self._waiting_ms if self._tells(at_ms) else None

    # ── small things ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _waiting_ms(self) -> int:
        return sum(sentence.sent_ms - sentence.played_ms for sentence in self._sent)

    def _tells(self, at_ms: int) -> bool:
        return self._told_ms is not None and at_ms - self._told_ms <= TELLS_WITHIN_MS

    def _played(self, heard: Heard) -> list[str]:
        begun: list[str] = []
        while self._sent[0].on_the_wire != heard.sentence:
            begun += self._begin()
            self._sent[0].whole = True
            self._pass()
        begun += self._begin()
        first = self._sent[0]
        first.played_ms = max(first.played_ms, min(heard.ms, first.sent_ms))
        if first.is_played:
            self._pass()
        return begun

    def _assumed(self, at_ms: int) -> list[Found]:
        """What a client has played that does not tell."""
        begun: list[str] = []
        while self._sent:
            first = self._sent[0]
            if at_ms >= first.ends_at_ms - first.sent_ms:
                begun += self._begin()
            if not first.whole or at_ms < first.ends_at_ms + LATE_MS:
                break
            self._pass()
        return [Played(tuple(begun))] if begun else []

    def _begin(self) -> list[str]:
        """The first sentence is being played; its text, once."""
        first = self._sent[0]
        if first.begun:
            return []
        first.begun = True
        return [first.text] if first.text else []

    def _pass(self) -> None:
        self._echoes.append(Mark(self._sent.popleft().name))
