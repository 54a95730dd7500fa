"""What a call was: its turns and their latencies, its sound on two channels, and every breach of protocol by the app.

Times in ms are the call's own timeline: 0 is the first frame of the first stream, and streams follow each other in it.
"""

import audioop
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bot.audio.frames import FRAME_MS, MULAW_FRAME_BYTES, MULAW_HZ
from bot.lab.silences import Sounds
from bot.lab.wav import wav_file


@dataclass(slots=True)
class Turn:
    """One thing that the caller said, and when the answer to it was first audible at the caller's ear.

    `parts`: the utterances and pauses that it was made of. `talked_over`: a reply became audible in the middle of it;
    `cut_off_at` are the pauses, from 0, in which or after which it did. `silenced_ms`: for a turn that began while the
    bot spoke, how long the bot went on being audible. A sound between the marks of an aside is no answer.
    """

    said_text: str
    said_start_ms: int
    said_end_ms: int | None = None
    heard_start_ms: int | None = None
    talked_over: bool = False
    silenced_ms: int | None = None
    parts: tuple[str | int, ...] = ()
    cut_off_at: set[int] = field(default_factory=set)

    @property
    def pauses(self) -> int:
        """How many pauses it was made with."""
        return sum(isinstance(part, int) for part in self.parts)

    @property
    def voice_to_voice_ms(self) -> int | None:
        """From the end of the caller's last voiced frame to the first audible frame of the bot; None: no answer."""
        if self.said_end_ms is None or self.heard_start_ms is None:
            return None
        return self.heard_start_ms - self.said_end_ms


@dataclass(slots=True)
class Disturbance:
    """A sound of the caller's over the bot that asks for nothing: what it was, and from when to when it was voiced.

    `over_bot`: a reply was being played as it began.
    """

    what: str
    start_ms: int
    end_ms: int
    over_bot: bool


@dataclass(slots=True)
class Aside:
    """A sound of the bot's outside of any reply.

    `in_turn`: it began in the middle of a turn of the caller's, `over_voice`: while the caller was voiced.
    """

    start_ms: int
    length_ms: int
    in_turn: bool
    over_voice: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """All the sound that was played up to the mark `name`, since the mark or the `clear` before it, pauses left out."""

    name: str
    start_ms: int
    mulaw: bytes


@dataclass(frozen=True, slots=True)
class LogLine:
    """Something that happened, `at_ms` after the call began on the wall clock; `detail` may hold what was said."""

    at_ms: int
    what: str
    detail: str


class Recording:
    """Both directions of a call, frame by frame, on one timeline of 8 kHz: the caller left, the bot right.

    `replying` has a byte for each frame: 1 where sound of a reply was played, audible or not, else 0.
    """

    def __init__(self) -> None:
        self.caller = bytearray()
        self.bot = bytearray()
        self.replying = bytearray()

    @property
    def length_ms(self) -> int:
        """How long the recording is so far."""
        return len(self.bot) // MULAW_FRAME_BYTES * FRAME_MS

    def add(self, caller: bytes, bot: bytes, *, replying: bool = False) -> None:
        """Add 20 ms of both."""
        self.caller += caller
        self.bot += bot
        self.replying.append(replying)

    def wav_bytes(self) -> bytes:
        """The call as a stereo WAV file, 16 bits, 8 kHz."""
        left, right = (audioop.ulaw2lin(bytes(side), 2) for side in (self.caller, self.bot))
        stereo = audioop.add(audioop.tostereo(left, 2, 1, 0), audioop.tostereo(right, 2, 0, 1), 2)
        return wav_file(stereo, MULAW_HZ, channels=2)


@dataclass(slots=True)
class CallReport:
    """One call, from dialling to hanging up.

    `said_again`: how often a line was told once more because it had not arrived. `sounds`: who was to be heard when, by
    the wall. `greeting_ms`: from sending the first `start` to the first audible frame. `ended_by`: "caller" hung up,
    "app" ended the stream and the call, "failed" for a call that Twilio gave up. `most_ahead_ms`: the most sound that
    ever waited. `late_ms`: by how much the worst 20 ms step of this stand-in was late; latencies are known no better
    than that.
    """

    call_sid: str
    number: str
    breaches: list[str] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    disturbances: list[Disturbance] = field(default_factory=list)
    asides: list[Aside] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    """What was heard to its end, in order; asides are not among it."""
    greeting_ms: int | None = None
    ended_by: Literal["app", "caller", "failed"] = "failed"
    marks: list[str] = field(default_factory=list)
    cleared_ms: list[int] = field(default_factory=list)
    stream_sids: list[str] = field(default_factory=list)
    close_codes: list[int] = field(default_factory=list)
    unanswered_waits: int = 0
    said_again: int = 0
    most_ahead_ms: int = 0
    late_ms: int = 0
    webhooks: list[tuple[str, int, int]] = field(default_factory=list)
    """(path, HTTP status, ms) of every webhook."""
    log: list[LogLine] = field(default_factory=list, repr=False)
    recording: Recording = field(default_factory=Recording, repr=False)
    sounds: Sounds = field(default_factory=Sounds, repr=False)
    on_event: Callable[[LogLine], None] | None = field(default=None, repr=False)
    clock_ms: Callable[[], int] = field(default=lambda: 0, repr=False)

    @property
    def clears(self) -> int:
        """How often the app dropped what was not played."""
        return len(self.cleared_ms)

    def breach(self, what: str) -> None:
        """Keep a breach, once."""
        if what not in self.breaches:
            self.breaches.append(what)
            self.note("breach", what)

    def webhook(self, path: str, status: int, took_ms: int) -> None:
        """Keep that a webhook was answered."""
        self.webhooks.append((path, status, took_ms))
        self.note("webhook", f"{path} {status} {took_ms} ms")

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
