"""What a call cost at the recogniser, what keeping its socket saved, and how long its finals take.

Counts and times only; knows no clock, and nothing that was said.
"""

from collections import deque
from dataclasses import dataclass
from statistics import quantiles

from bot.services.stt_outbox import TRAILING_MS

LAST_FINALS = 200
FEWEST_FINALS = 5
NOTABLE_CHANGE = 0.1
ROUNDING_MS = 50.0


@dataclass(slots=True)
class SttStats:
    """What a call cost at the recogniser."""

    sockets: int = 0
    connect_ms: float = 0.0  # in all: TCP, TLS and the handshake
    finalizes: int = 0
    eos: int = 0
    finals: int = 0
    utterances: int = 0
    reused: int = 0  # utterances that found the socket of the one before
    dropped_bytes: int = 0
    faults: int = 0  # messages that were no message, or an error

    @property
    def saved_ms(self) -> float:
        """What opening a socket for each utterance would have cost on top."""
        return self.connect_ms / self.sockets * self.reused if self.sockets else 0.0

    def line(self) -> str:
        """Return the call's line in the log."""
        each = self.connect_ms / self.sockets if self.sockets else 0.0
        return (
            f"{self.sockets} socket{'s' * (self.sockets != 1)} opened, {self.reused} of {self.utterances} utterances "
            f"reused it: {each:.0f} ms to connect × {self.reused} = {self.saved_ms:.0f} ms saved"
        )


class FinalPace:
    """How long the recogniser takes from a Finalize to the final that answers it, over the last `LAST_FINALS`."""

    def __init__(self) -> None:
        self._answers_ms: deque[float] = deque(maxlen=LAST_FINALS)

    def add(self, answer_ms: float) -> None:
        """Note one more."""
        self._answers_ms.append(answer_ms)

    @property
    def p95_ms(self) -> int | None:
        """Return the 95th percentile; None with fewer than `FEWEST_FINALS`."""
        if len(self._answers_ms) < FEWEST_FINALS:
            return None
        return round(quantiles(self._answers_ms, n=20, method="inclusive")[-1])

    def news(self, told_ms: int | None) -> int | None:
        """Return `p95_ms` if it differs enough from what was told last (None: nothing was) to be told."""
        p95_ms = self.p95_ms
        if p95_ms is None or told_ms is None:
            return p95_ms
        return p95_ms if abs(p95_ms - told_ms) >= NOTABLE_CHANGE * told_ms else None


class Unanswered:
    """The Finalizes of one connection that have no final yet.

    Nothing in a final tells which Finalize it answers, if any, and many get no answer. What tells is where its
    utterance ends: an answer can only hold audio that was sent before the Finalize, and not all before an earlier one;
    and an utterance that ended long before the Finalize was ended by the recogniser itself. Positions are ms of the
    connection's audio, times are ms of any clock.
    """

    def __init__(self, caught_up_ms: float) -> None:
        """The audio up to `caught_up_ms` waited for the connection: it is sent in one go, and tells nothing of pace."""
        self._caught_up_ms = caught_up_ms
        self._sent: deque[tuple[float, float]] = deque()

    def finalized(self, position_ms: float, now_ms: float) -> None:
        """Note that a Finalize was sent behind `position_ms` of audio."""
        if position_ms > self._caught_up_ms:
            self._sent.append((position_ms, now_ms))

    def answered(self, end_ms: float, now_ms: float) -> float | None:
        """Return how long the final of an utterance that ends at `end_ms` took; None when nobody asked for it."""
        while self._sent and self._sent[0][0] + ROUNDING_MS < end_ms:
            self._sent.popleft()
        if not self._sent or self._sent[0][0] - end_ms >= TRAILING_MS:
            return None
        return now_ms - self._sent.popleft()[1]
