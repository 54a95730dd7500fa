"""Where silence ends a segment of speech, by the rule of whoever streams it.

The voice activity detector tells what is speech, and is sure of a silence after 200 ms; this counts how long it has
lasted since. Pure: frames in, what they mean for the recogniser out. It must not know words, sockets or clocks.
"""

from dataclasses import dataclass

from bot.audio.frames import FRAME_MS
from bot.audio.vad import VoiceActivityDetector
from bot.conversation.events import SpeechPaused, SpeechResumed, SpeechStarted, SpeechStopped


@dataclass(frozen=True, slots=True)
class Heard:
    """What one frame showed: whether somebody talks, and whether a segment ends behind it."""

    voiced: bool
    ends_segment: bool


class Segments:
    """The segments of one stream of 20 ms frames; a silence of `max_silence_ms` ends one.

    Less than 200 ms counts as 200 ms.
    """

    def __init__(self, vad: VoiceActivityDetector, *, max_silence_ms: int) -> None:
        self._vad = vad
        self._max_silence_ms = max_silence_ms
        self._now_ms = 0
        self._is_open = False
        self._voiced = False
        self._quiet_since_ms: int | None = None

    def push(self, frame: bytes) -> Heard:
        """Hear one frame of 640 bytes of 16 kHz PCM."""
        self._now_ms += FRAME_MS
        for event in self._vad.push(frame, self._now_ms):
            match event:
                case SpeechStarted() | SpeechResumed():
                    self._is_open = self._voiced = True
                    self._quiet_since_ms = None
                case SpeechPaused(at_ms) | SpeechStopped(at_ms):
                    self._voiced = False
                    self._quiet_since_ms = at_ms
        return Heard(self._voiced, self._ends())

    def _ends(self) -> bool:
        """Whether the silence has lasted long enough now; told once for each segment."""
        quiet_since_ms = self._quiet_since_ms
        if not self._is_open or quiet_since_ms is None or self._now_ms - quiet_since_ms < self._max_silence_ms:
            return False
        self._is_open = False
        return True
