"""What a page does with the sound it is sent: a queue of sentences, and a playback clock that moves 20 ms at a time.

It gives the same `Tick`s as a telephone's `Playback`, so that the same witness hears both. Must not know sockets or
clocks: whoever calls `tick()` every 20 ms is the clock.
"""

from collections import deque
from dataclasses import dataclass

from bot.audio import mulaw
from bot.audio.forms import WIDE
from bot.audio.frames import FRAME_MS, MULAW_HZ
from bot.audio.resample import Resampler
from bot.lab.playback import ASIDE, Tick

BEFORE_MS = 40
"""So much is waited for after a gap, as the page does."""


@dataclass(slots=True)
class _Run:
    sentence: str
    pcm: bytearray
    played_ms: int = 0


class PagePlayback:
    """A first-in, first-out queue of sentences."""

    def __init__(self) -> None:
        self.heard: tuple[str, int] | None = None
        """The sentence that was played last, and how many ms of it."""
        self._runs: deque[_Run] = deque()
        self._telephone = Resampler(WIDE.rate_hz, MULAW_HZ)
        self._playing = False
        self._waited_ms = 0

    @property
    def queued_ms(self) -> int:
        """How much sound waits to be heard."""
        return sum(len(run.pcm) for run in self._runs) * 1000 // WIDE.bytes_per_s

    @property
    def is_idle(self) -> bool:
        """Nothing is being heard, and nothing waits."""
        return not self._playing and not self.queued_ms

    def queue(self, sentence: str, pcm: bytes) -> None:
        """Queue sound behind all that is queued."""
        if not self._runs or self._runs[-1].sentence != sentence:
            self._runs.append(_Run(sentence, bytearray()))
        self._runs[-1].pcm += pcm

    def drop(self) -> int:
        """Drop all that was not played; returns how many ms that is."""
        dropped_ms = self.queued_ms
        self._runs.clear()
        self._playing = False
        return dropped_ms

    def tick(self) -> Tick:
        """Play the next 20 ms; `echoed` are the sentences that lie behind."""
        if not self._playing and self.queued_ms:
            self._waited_ms += FRAME_MS
            self._playing = self._waited_ms > BEFORE_MS or self.queued_ms >= BEFORE_MS
        if not self._playing:
            return self._tick(b"", ())
        self._waited_ms = 0
        passed: list[str] = []
        sound = b""
        while self._runs and len(sound) < WIDE.frame_bytes:
            run = self._runs[0]
            if not run.pcm:
                if len(self._runs) == 1:
                    break
                passed.append(self._runs.popleft().sentence)
                continue
            piece = bytes(run.pcm[: WIDE.frame_bytes - len(sound)])
            del run.pcm[: len(piece)]
            sound += piece
            run.played_ms += len(piece) * 1000 // WIDE.bytes_per_s
            self.heard = run.sentence, run.played_ms
        self._playing = bool(sound)
        return self._tick(sound, tuple(passed))

    def _tick(self, sound: bytes, passed: tuple[str, ...]) -> Tick:
        frame = mulaw.encode(self._telephone.push(sound.ljust(WIDE.frame_bytes, b"\0")))
        is_aside = bool(sound) and self.heard is not None and self.heard[0].startswith(ASIDE)
        return Tick(frame, bool(sound), passed, is_aside)
