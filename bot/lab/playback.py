"""What Twilio does with the audio it is sent: a queue of sound and marks, and a playhead that moves 20 ms at a time.

Must not know sockets or clocks: whoever calls `tick()` every 20 ms is the clock.
"""

from collections import deque
from dataclasses import dataclass

from bot.audio.frames import MULAW_FRAME_BYTES, MULAW_HZ, MULAW_SILENCE
from bot.lab.level import is_audible

ASIDE = "aside:"
"""A sound that is no reply stands between two marks: `aside:N` before it, `aside:N:end` behind it."""
ASIDE_END = ":end"


@dataclass(frozen=True, slots=True)
class Tick:
    """What one step of the playhead gave: 20 ms of sound, whether any of it was sent, and marks whose sound is over.

    `is_aside`: the sound stands between the marks of an aside.
    """

    frame: bytes
    was_sent: bool
    echoed: tuple[str, ...]
    is_aside: bool = False


NOTHING = Tick(MULAW_SILENCE * MULAW_FRAME_BYTES, False, ())
"""What a line on which nothing is carried brings to the caller's ear."""


class Playback:
    """A first-in, first-out queue of sound (bytes) and marks (str)."""

    def __init__(self) -> None:
        self._queue: deque[bytes | str] = deque()
        self._offset = 0
        self._passed: list[str] = []
        self._playing = False
        self._queued_bytes = 0
        self._in_aside = False

    @property
    def queued_ms(self) -> int:
        """How much sound waits to be heard."""
        return self._queued_bytes * 1000 // MULAW_HZ

    @property
    def is_idle(self) -> bool:
        """Nothing is being heard, and nothing waits."""
        return not self._playing and not self._queued_bytes

    @property
    def pending_marks(self) -> int:
        """How many marks have not been echoed."""
        return len(self._passed) + sum(isinstance(item, str) for item in self._queue)

    def media(self, mulaw: bytes) -> None:
        """Queue sound behind all that is queued."""
        if mulaw:
            self._queue.append(mulaw)
            self._queued_bytes += len(mulaw)

    def mark(self, name: str) -> tuple[str, ...]:
        """Queue a mark; returns it at once when there is nothing to wait for."""
        if self.is_idle and not self._queue and not self._passed:
            self._pass(name)
            return (name,)
        self._queue.append(name)
        return ()

    def clear(self) -> tuple[str, ...]:
        """Drop all sound; returns all pending marks, in order."""
        marks = (*self._passed, *(item for item in self._queue if isinstance(item, str)))
        self._queue.clear()
        self._passed = []
        self._offset = self._queued_bytes = 0
        self._playing = self._in_aside = False
        return marks

    def tick(self) -> Tick:
        """Play the next 20 ms. A mark comes back on the tick after the one that played the last of its sound."""
        echoed, self._passed = self._passed, []
        while self._queue and isinstance(self._queue[0], str):
            echoed.append(self._pass(str(self._queue.popleft())))
        is_aside = self._in_aside
        sound = self._take(MULAW_FRAME_BYTES)
        self._playing = bool(sound)
        return Tick(sound.ljust(MULAW_FRAME_BYTES, MULAW_SILENCE), self._playing, tuple(echoed), is_aside)

    def audible_ms_left(self) -> int:
        """How much of the sound that waits could be heard, silence not counted."""
        sound = b"".join(item for item in self._queue if isinstance(item, bytes))[self._offset :]
        frames = (sound[at : at + MULAW_FRAME_BYTES] for at in range(0, len(sound), MULAW_FRAME_BYTES))
        return sum(len(frame) for frame in frames if is_audible(frame)) * 1000 // MULAW_HZ

    def _pass(self, mark: str) -> str:
        """The playhead is past `mark`."""
        if mark.startswith(ASIDE):
            self._in_aside = not mark.endswith(ASIDE_END)
        return mark

    def _take(self, wanted_bytes: int) -> bytes:
        sound = b""
        while self._queue and len(sound) < wanted_bytes:
            head = self._queue[0]
            if isinstance(head, str):
                self._passed.append(self._pass(head))
                self._queue.popleft()
                continue
            piece = head[self._offset : self._offset + wanted_bytes - len(sound)]
            sound += piece
            self._offset += len(piece)
            if self._offset == len(head):
                self._queue.popleft()
                self._offset = 0
        self._queued_bytes -= len(sound)
        return sound
