"""What is to be sent to the recogniser, in order, and what may have to be sent again.

Audio and the marks that end an utterance stand on one line, measured in bytes since the call began. A cursor says how
far the present connection has got. Behind it everything since the last final is kept, so that a new connection can
begin there: no word that has no final yet is lost, and none that has one is said twice. Knows no sockets.
"""

from collections import deque
from itertools import islice

FINALIZE = object()  # what `take` returns where an utterance ends


class Outbox:
    """The line of one call."""

    def __init__(self, *, most_bytes: int, bytes_per_ms: int = 32) -> None:
        """Keep `most_bytes` of audio; `bytes_per_ms` converts the recogniser's times."""
        self._most_bytes = most_bytes
        self._bytes_per_ms = bytes_per_ms
        self._audio = bytearray()
        self._begins = 0  # position of the first byte that is kept
        self._sent = 0
        self._connected = 0  # position at which the connection began
        self._marks: deque[int] = deque()
        self._marks_sent = 0
        self.dropped_bytes = 0  # that no connection has been sent

    @property
    def unsent_bytes(self) -> int:
        """How much audio waits for this connection."""
        return self._begins + len(self._audio) - self._sent

    @property
    def mark_waits(self) -> bool:
        """Whether an utterance's end waits for this connection."""
        return self._marks_sent < len(self._marks)

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self.unsent_bytes and not self.mark_waits

    @property
    def sent_ms(self) -> float:
        """How much audio this connection was sent."""
        return (self._sent - self._connected) / self._bytes_per_ms

    def push(self, pcm: bytes) -> None:
        """Add audio; when there is too much, the oldest is dropped."""
        self._audio += pcm
        excess = len(self._audio) - self._most_bytes
        if excess > 0:
            # In one go for many frames, and by whole samples.
            self._forget(self._begins + excess + (self._most_bytes // 8 & ~1))

    def mark(self) -> None:
        """Add the end of an utterance."""
        self._marks.append(self._begins + len(self._audio))

    def take(self, at_most: int) -> bytes | object | None:
        """Return what is to be sent next: up to `at_most` bytes, or FINALIZE; None when nothing waits."""
        end = self._begins + len(self._audio)
        if self.mark_waits:
            end = self._marks[self._marks_sent]
            if end <= self._sent:
                self._marks_sent += 1
                return FINALIZE
        end = min(end, self._sent + at_most)
        if end <= self._sent:
            return None
        piece = bytes(self._audio[self._sent - self._begins : end - self._begins])
        self._sent = end
        return piece

    def rewind(self) -> None:
        """Begin again on a new connection: everything since the last final is to be sent."""
        self._sent = self._connected = self._begins
        self._marks_sent = 0

    def settled(self, start_ms: int, end_ms: int | None) -> None:
        """Forget what has its final: up to `end_ms` of this connection's audio.

        None: the final tells no length. Then it goes as far as the first mark behind its start that was sent.
        """
        if end_ms is not None:
            position = self._connected + end_ms * self._bytes_per_ms
        else:
            start = self._connected + start_ms * self._bytes_per_ms
            sent_marks = islice(self._marks, self._marks_sent)
            position = next((mark for mark in sent_marks if mark > start), self._sent)
        self._forget(min(position, self._sent))

    def _forget(self, position: int) -> None:
        count = min(position - self._begins, len(self._audio))
        if count <= 0:
            return
        del self._audio[:count]
        self._begins += count
        if self._begins > self._sent:
            # The connection's clock counts only what it was sent.
            self.dropped_bytes += self._begins - self._sent
            self._connected += self._begins - self._sent
            self._sent = self._begins
        # A mark that was sent is of use only behind audio that may have to be sent again.
        while self._marks_sent and self._marks[0] <= self._begins:
            self._marks.popleft()
            self._marks_sent -= 1
