"""What is to be sent to the recogniser, in order, and what may have to be sent again.

Audio and the marks that end an utterance stand on one line, measured in bytes since the call began. A cursor says how
far the present connection has got. Behind it everything since the last final is kept, so that a new connection can
begin there: no word that has no final yet is lost, and none that has one is said twice. Of a long quiet, in which
neither the recogniser nor the call heard a voice, only the end is sent again. Knows no sockets.
"""

from collections import deque
from itertools import islice

FINALIZE = object()  # what `take` returns where an utterance ends

TRAILING_MS = 800
"""The recogniser ends an utterance by itself after so much silence (its `epd_time`)."""

LONGEST_MS = 11_000
"""A longer utterance was cut by the recogniser (its `max_utter_duration` is 12 s): speech goes on behind its end."""

QUIET_MS = 10_000
"""So much of a quiet is sent again: a connection that died in it was noticed sooner than this."""

LEAD_MS = 1_000
"""So much is sent again before a voice, which is noticed late, and before an utterance's end if it had no words."""

ONSET_MS = 160
"""A voice that begins so shortly before an utterance is told to end may not have been noticed yet."""


class Outbox:
    """The line of one call."""

    def __init__(self, *, most_bytes: int, bytes_per_ms: int) -> None:
        """Keep `most_bytes` of audio; `bytes_per_ms` converts the recogniser's times."""
        self._most_bytes = most_bytes
        self._bytes_per_ms = bytes_per_ms
        self._audio = bytearray()
        self._begins = 0  # position of the first byte that is kept
        self._sent = 0
        self._connected = 0  # position at which the connection began
        self._marks: deque[int] = deque()
        self._marks_sent = 0
        self._voice: deque[tuple[int, int]] = deque()  # where it begins and ends
        self.voice_sent_ms = 0.0  # to this connection
        self.dropped_bytes = 0  # that no connection has been sent

    @property
    def unsent_bytes(self) -> int:
        """How much audio waits for this connection."""
        return self._end - self._sent

    @property
    def mark_waits(self) -> bool:
        """Whether an utterance's end waits for this connection."""
        return self._marks_sent < len(self._marks)

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self.unsent_bytes and not self.mark_waits

    @property
    def voice_bytes(self) -> int:
        """How much voice has no final yet."""
        return sum(end - begin for begin, end in self._voice)

    @property
    def open_bytes(self) -> int:
        """How far back the oldest voice begins that has no final yet."""
        return self._end - self._voice[0][0] if self._voice else 0

    @property
    def sent_ms(self) -> float:
        """How much audio this connection was sent."""
        return (self._sent - self._connected) / self._bytes_per_ms

    def since_call_began_ms(self, connection_ms: int) -> float:
        """Turn a time of this connection's audio to one of all audio, which other connections share."""
        return self._connected / self._bytes_per_ms + connection_ms

    @property
    def _end(self) -> int:
        return self._begins + len(self._audio)

    def push(self, pcm: bytes, *, voiced: bool = False) -> None:
        """Add audio, with a voice in it or not; when there is too much, the oldest is dropped."""
        begin = self._end
        self._audio += pcm
        if voiced and self._voice and self._voice[-1][1] == begin:
            self._voice[-1] = (self._voice[-1][0], self._end)
        elif voiced:
            self._voice.append((begin, self._end))
        excess = len(self._audio) - self._most_bytes
        if excess > 0:
            # In one go for many frames, and by whole samples.
            self._forget(self._begins + excess + (self._most_bytes // 8 & ~1))

    def mark(self) -> None:
        """Add the end of an utterance."""
        self._marks.append(self._end)

    def take(self, at_most: int) -> bytes | object | None:
        """Return what is to be sent next: up to `at_most` bytes, or FINALIZE; None when nothing waits."""
        end = self._end
        if self.mark_waits:
            end = self._marks[self._marks_sent]
            if end <= self._sent:
                self._marks_sent += 1
                return FINALIZE
        end = min(end, self._sent + at_most)
        if end <= self._sent:
            return None
        piece = bytes(self._audio[self._sent - self._begins : end - self._begins])
        voiced = sum(max(0, min(high, end) - max(low, self._sent)) for low, high in self._voice)
        self.voice_sent_ms += voiced / self._bytes_per_ms
        self._sent = end
        return piece

    def rewind(self, open_ms: int | None = None) -> None:
        """Begin again on a new connection: everything since the last final is to be sent, but no long quiet.

        `open_ms`: where on the old connection an utterance begins that has an interim and no final.
        """
        lead = LEAD_MS * self._bytes_per_ms
        keep = self._sent - QUIET_MS * self._bytes_per_ms
        if self._voice:
            keep = min(keep, self._voice[0][0] - lead)
        if open_ms is not None:
            keep = min(keep, self._connected + open_ms * self._bytes_per_ms - lead)
        self._forget(keep)
        self._sent = self._connected = self._begins
        self._marks_sent = 0
        self.voice_sent_ms = 0.0

    def settled(self, start_ms: int, end_ms: int | None, *, worded: bool = True) -> None:
        """Forget what has its final, with or without words: up to `end_ms` of this connection's audio.

        A `FINALIZE` that stands so soon behind it that only it can have ended the utterance is settled with it, and so
        is the voice between the two. But the last `ONSET_MS` before it are kept, behind the words that were heard, and
        without words `LEAD_MS`, as far as they are still there: a word may have begun in them. More behind words would
        be heard twice if the recogniser tells its end early. None: the final tells no length. Then it goes to the first
        mark behind its start.
        """
        start = self._connected + start_ms * self._bytes_per_ms
        sent_marks = islice(self._marks, self._marks_sent)
        if end_ms is None:
            end = until = next((mark for mark in sent_marks if mark > start), self._sent)
        else:
            end = until = self._connected + end_ms * self._bytes_per_ms
            mark = next((mark for mark in sent_marks if mark >= end), None)
            answers = mark is not None and mark - end < TRAILING_MS * self._bytes_per_ms
            if mark is not None and answers and end_ms - start_ms < LONGEST_MS:
                onset = mark - ONSET_MS * self._bytes_per_ms
                end, until = max(end, onset) if worded else mark - LEAD_MS * self._bytes_per_ms, mark
        self._forget(min(end, self._sent), min(until, self._sent))

    def excuse(self) -> None:
        """What was sent as a voice until now will get no final: it is none."""
        while self._voice and self._voice[0][0] < self._sent:
            _, end = self._voice.popleft()
            if end > self._sent:
                self._voice.appendleft((self._sent, end))

    def clear(self) -> None:
        """Nothing will be sent again: keep no audio, however long somebody holds on to this."""
        self._forget(self._end)

    def _forget(self, position: int, settled: int = 0) -> None:
        """Keep no audio from before `position`, and no mark or voice from before `settled`, which may be later."""
        count = min(position - self._begins, len(self._audio))
        if count > 0:
            del self._audio[:count]
            self._begins += count
        if self._begins > self._sent:
            # The connection's clock counts only what it was sent.
            self.dropped_bytes += self._begins - self._sent
            self._connected += self._begins - self._sent
            self._sent = self._begins
        settled = max(settled, self._begins)
        # A mark that was sent is of use only behind audio that may have to be sent again.
        while self._marks_sent and self._marks[0] <= settled:
            self._marks.popleft()
            self._marks_sent -= 1
        while self._voice and self._voice[0][1] <= settled:
            self._voice.popleft()
        if self._voice and self._voice[0][0] < settled:
            self._voice[0] = (settled, self._voice[0][1])
