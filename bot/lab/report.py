"""What a call was: its turns and their latencies, its sound on two channels, and every breach of protocol by the app.

Times in ms are the call's own timeline: 0 is the first frame of the first stream, and streams follow each other in it.
"""

import audioop
import io
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bot.audio.frames import FRAME_MS, MULAW_FRAME_BYTES, MULAW_HZ


@dataclass(slots=True)
class Turn:
    """One thing that the caller said, and when the answer to it was first audible at the caller's ear.

    `talked_over`: the bot began to speak in the middle of it. `silenced_ms`: for a turn that began while the bot spoke,
    how long the bot went on being audible.
    """

    said_text: str
    said_start_ms: int
    said_end_ms: int | None = None
    heard_start_ms: int | None = None
    talked_over: bool = False
    silenced_ms: int | None = None

    @property
    def voice_to_voice_ms(self) -> int | None:
        """From the end of the caller's last voiced frame to the first audible frame of the bot; None: no answer."""
        if self.said_end_ms is None or self.heard_start_ms is None:
            return None
        return self.heard_start_ms - self.said_end_ms


@dataclass(frozen=True, slots=True)
class LogLine:
    """Something that happened, `at_ms` after the call began on the wall clock; `detail` may hold what was said."""

    at_ms: int
    what: str
    detail: str


class Recording:
    """Both directions of a call, frame by frame, on one timeline of 8 kHz: the caller left, the bot right."""

    def __init__(self) -> None:
        self.caller = bytearray()
        self.bot = bytearray()

    @property
    def length_ms(self) -> int:
        """How long the recording is so far."""
        return len(self.bot) // MULAW_FRAME_BYTES * FRAME_MS

    def add(self, caller: bytes, bot: bytes) -> None:
        """Add 20 ms of both."""
        self.caller += caller
        self.bot += bot

    def wav_bytes(self) -> bytes:
        """The call as a stereo WAV file, 16 bits, 8 kHz."""
        left, right = (audioop.ulaw2lin(bytes(side), 2) for side in (self.caller, self.bot))
        stereo = audioop.add(audioop.tostereo(left, 2, 1, 0), audioop.tostereo(right, 2, 0, 1), 2)
        file = io.BytesIO()
        with wave.open(file, "wb") as wav:
            wav.setnchannels(2)
            wav.setsampwidth(2)
            wav.setframerate(MULAW_HZ)
            wav.writeframes(stereo)
        return file.getvalue()


@dataclass(slots=True)
class CallReport:
    """One call, from dialling to hanging up.

    `greeting_ms`: from sending the first `start` to the first audible frame. `ended_by`: "caller" hung up, "app" ended
    the stream and the call, "failed" for a call that Twilio gave up. `most_ahead_ms`: the most sound that ever waited.
    `late_ms`: by how much the worst 20 ms step of this stand-in was late; latencies are known no better than that.
    """

    call_sid: str
    number: str
    breaches: list[str] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    greeting_ms: int | None = None
    ended_by: Literal["app", "caller", "failed"] = "failed"
    marks: list[str] = field(default_factory=list)
    clears: int = 0
    stream_sids: list[str] = field(default_factory=list)
    close_codes: list[int] = field(default_factory=list)
    unanswered_waits: int = 0
    most_ahead_ms: int = 0
    late_ms: int = 0
    webhooks: list[tuple[str, int, int]] = field(default_factory=list)
    """(path, HTTP status, ms) of every webhook."""
    log: list[LogLine] = field(default_factory=list, repr=False)
    recording: Recording = field(default_factory=Recording, repr=False)
    on_event: Callable[[LogLine], None] | None = field(default=None, repr=False)
    clock_ms: Callable[[], int] = field(default=lambda: 0, repr=False)

    def breach(self, what: str) -> None:
        """Keep a breach, once."""
        if what not in self.breaches:
            self.breaches.append(what)
            self.note("breach", what)

    def note(self, what: str, detail: str = "") -> None:
        """Keep a line of what happened."""
        line = LogLine(self.clock_ms(), what, detail)
        self.log.append(line)
        if self.on_event is not None:
            self.on_event(line)

    def wav_bytes(self) -> bytes:
        """The call as a stereo WAV file: the caller left, what the caller heard right."""
        return self.recording.wav_bytes()

    def save_wav(self, path: Path) -> None:
        """Write `wav_bytes` to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.wav_bytes())
