"""One call without its wires: messages and events in, commands out.

Here the pure parts meet: a frame of a telephone or of a browser becomes PCM for the recogniser and for the VAD, and
what the VAD hears becomes turn-taking. The call clock is `media.timestamp`, or how much sound a browser has sent; a gap
in it is filled with silence, so that the VAD and the recogniser keep the time too.
"""

from collections.abc import Iterable, Iterator

from bot.audio import mulaw, second_opinion
from bot.audio.frames import FRAME_MS, MULAW_FRAME_BYTES, MULAW_HZ, MULAW_SILENCE, PCM_FRAME_BYTES, PCM_HZ
from bot.audio.resample import Resampler
from bot.audio.vad import Vad, VoiceActivityDetector
from bot.conversation.commands import Command, Recognise
from bot.conversation.events import CallerGone, Event, KeyPressed, MarkEchoed, StopPressed, Tick, TurnTyped
from bot.conversation.turns import Turns
from bot.protocols import browser, twilio
from bot.protocols.browser import Sound, Typed
from bot.protocols.playing import Interrupt
from bot.protocols.twilio import KeyDown, Mark, Media

Inbound = twilio.Inbound | browser.Inbound
"""What comes in, through whichever door."""

MAX_GAP_MS = 5_000
"""A longer gap is filled no further: whatever was said then is gone."""

JITTER_MS = 60
"""Timestamps jitter by less than this; only more is a gap."""

LONGEST_MARK = 20
"""Letters in a name of `mark_name`."""


class Talk:
    """A call's ears and its turn-taking."""

    def __init__(self, turns: Turns, vad: VoiceActivityDetector | None = None) -> None:
        self.turns = turns
        self.now_ms = 0
        self.frames = 0
        self._vad = vad or Vad(second_opinion.for_call())
        self._resampler = Resampler(MULAW_HZ, PCM_HZ)
        self._last_media_ms: int | None = None

    def hear(self, message: Inbound, behind_ms: int = 0) -> list[Command]:
        """Take a message of the media stream; sound may be `behind_ms` late, when there is more of it to come."""
        self.turns.behind(behind_ms)
        match message:
            case Media(at_ms, payload):
                return self._hear_audio(at_ms, self._frames_of(payload))
            case Sound(at_ms, pcm):
                return self._hear_audio(at_ms, _cut(pcm, PCM_FRAME_BYTES))
            case KeyDown(digit):
                return self.tell(KeyPressed(digit))
            case Typed(text):
                return self.tell(TurnTyped(text))
            case Interrupt():
                return self.tell(StopPressed())
            case Mark(name):
                return self.tell(echo) if (echo := parse_mark(name)) else []
            case _:
                return []

    def tell(self, event: Event) -> list[Command]:
        """Take an event that happened now."""
        return self.turns.step(event, self.now_ms)

    def _frames_of(self, payload: bytes) -> Iterator[bytes]:
        """The telephone's sound as 16 kHz PCM; a part of a frame is filled up with silence."""
        for frame in _cut(payload, MULAW_FRAME_BYTES):
            yield self._resampler.push(mulaw.decode(frame.ljust(MULAW_FRAME_BYTES, MULAW_SILENCE)))

    def _hear_audio(self, at_ms: int, frames: Iterable[bytes]) -> list[Command]:
        commands, count = self._fill_gap(at_ms), 0
        for index, pcm in enumerate(frames):
            count += 1
            self.now_ms = max(self.now_ms, at_ms + (index + 1) * FRAME_MS)
            commands.append(Recognise(pcm, urgent=self.turns.expects_words))
            commands += self._listen(pcm)
        self._last_media_ms = at_ms + (count - 1) * FRAME_MS
        self.frames += count
        return commands

    def _listen(self, pcm: bytes) -> list[Command]:
        commands = self.tell(Tick())
        for event in self._vad.push(pcm, self.now_ms):
            commands += self.tell(event)
        return commands

    def _fill_gap(self, at_ms: int) -> list[Command]:
        """Put silence where frames are missing."""
        if self._last_media_ms is None:
            return []
        gap_ms = min(at_ms - self._last_media_ms - FRAME_MS, MAX_GAP_MS)
        if gap_ms < JITTER_MS:
            return []
        silence = bytes(PCM_FRAME_BYTES)
        commands: list[Command] = []
        for missing in range(gap_ms // FRAME_MS, 0, -1):
            self.now_ms = max(self.now_ms, at_ms - (missing - 1) * FRAME_MS)
            commands.append(Recognise(silence))
            commands += self._listen(silence)
        return commands

    def hang_up(self) -> list[Command]:
        """The stream is over, and no text will come any more."""
        return self.tell(CallerGone())


def _cut(sound: bytes, frame_bytes: int) -> Iterator[bytes]:
    return (sound[at : at + frame_bytes] for at in range(0, len(sound), frame_bytes))


def mark_name(reply: int, index: int) -> str:
    """Name the mark behind sentence `index` of reply `reply`."""
    return f"{reply}:{index}"


def parse_mark(name: str) -> MarkEchoed | None:
    """Read a name of `mark_name`; None: it is not one of ours."""
    reply, _, index = name.partition(":")
    ours = len(name) <= LONGEST_MARK and name.isascii() and reply.isdecimal() and index.isdecimal()
    return MarkEchoed(int(reply), int(index)) if ours else None
