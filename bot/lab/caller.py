"""The caller: plays a script one frame of 20 ms at a time, and listens.

Must not know sockets: it yields what happens next, and hears through `Ear`.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bot.audio.frames import FRAME_MS, MULAW_FRAME_BYTES, MULAW_SILENCE
from bot.lab import utterances
from bot.lab.acts import (
    SILENT_FRAME,
    Act,
    DisturbanceBegan,
    DisturbanceEnded,
    GaveUpWaiting,
    PauseBegan,
    SaidAgain,
    SaidFrame,
    TurnBegan,
    TurnEnded,
)
from bot.lab.level import is_audible, mix
from bot.lab.script import (
    BargeIn,
    Burst,
    Drop,
    Gap,
    HangUp,
    Murmur,
    Network,
    Noise,
    Press,
    Say,
    ScriptError,
    Send,
    Silent,
    Step,
    Tell,
    Wait,
    WaitForBot,
)
from bot.lab.utterances import FIXTURES, Utterance

SPEECH_DBFS = utterances.LEVEL_DBFS
NOISE_DBFS = -30.0
LONGEST_SPEECH_MS = 180_000


@dataclass(slots=True)
class Ear:
    """What the caller hears. Whoever plays the bot calls `listen` once per frame, before asking what comes next.

    `quiet_ms`: since the last audible frame, with nothing left to play. `speaking_ms`: since the first audible frame of
    this stretch of the bot's speech; 0 when it is quiet. `heard`: the bot has answered since the caller last spoke: it
    was audible, and not with the rest of what it was saying before. `on_tape`: what is said now is only recorded, so
    nobody answers.
    """

    quiet_ms: int = 0
    speaking_ms: int = 0
    heard: bool = False
    on_tape: bool = False
    _fresh: bool = True

    def listen(self, audible: bool, idle: bool) -> None:
        """Hear 20 ms of the bot; `idle`: nothing of it is left to play."""
        self.heard = self.heard or (audible and self._fresh)
        self._fresh = self._fresh or idle
        if audible:
            self.quiet_ms = 0
        elif idle:
            self.quiet_ms += FRAME_MS
        if audible or (self.speaking_ms and not idle):
            self.speaking_ms += FRAME_MS
        else:
            self.speaking_ms = 0

    def speak(self) -> None:
        """The caller speaks 20 ms, or does as much: an answer is what is heard after the bot has been idle."""
        self.heard = self.on_tape
        self._fresh = False
        if self.on_tape:
            self.quiet_ms = 0

    def line_broke(self) -> None:
        """The bot went away in the middle of the call: it is waited for anew."""
        self.heard, self._fresh, self.quiet_ms, self.speaking_ms = False, True, 0, 0


@dataclass
class Caller:
    """Somebody with a script. `acts()` is one generator for the whole call, over as many streams as it takes."""

    steps: Sequence[Step]
    patience_ms: int = 30_000
    fixtures: Path = FIXTURES
    leaves: Callable[[], bool] = lambda: False
    """Asked all the time: once it says so, the caller hangs up, whatever the script says."""
    ear: Ear = field(default_factory=Ear)
    _noise: bytes = field(default=b"", init=False)
    _noise_at: int = field(default=0, init=False)
    _noise_gain_db: float = field(default=0.0, init=False)
    _network: Network = field(default=Network(), init=False)
    _luck: Random = field(default_factory=lambda: Random(0), init=False)
    _frames: int = field(default=0, init=False)
    _next_step: int = field(default=0, init=False)
    _breaks: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        known = utterances.load(self.fixtures)
        self._sounds = {name: known[name] for name in _names(self.steps, known)}

    def next_key(self) -> str | None:
        """The key that the script presses next, if that is its next step (for <Gather>); the step is then done."""
        if self._next_step < len(self.steps) and isinstance(step := self.steps[self._next_step], Press):
            self._next_step += 1
            return step.digit
        return None

    def line_broke(self) -> None:
        """The stream is over and the call is not: wait for the bot, and say again what it cannot have heard."""
        self._breaks += 1
        self.ear.line_broke()

    def acts(self) -> Generator[Act, None, None]:
        """What the caller does: everything between two frames takes no time. Ends with hanging up."""
        for act in self._whole_script():
            if self.leaves():
                yield HangUp()
                return
            yield act

    def _whole_script(self) -> Generator[Act, None, None]:
        while self._next_step < len(self.steps):
            step = self.steps[self._next_step]
            self._next_step += 1
            yield from self._act(step)
        yield from self._wait(self.patience_ms)
        yield HangUp()

    def _act(self, step: Step) -> Generator[Act, None, None]:
        match step:
            case Say(parts):
                yield from self._say(parts)
            case Tell():
                yield from self._tell(step)
            case BargeIn(parts, after_ms, timeout_ms):
                yield from self._until(lambda: self.ear.speaking_ms >= after_ms, timeout_ms)
                yield from self._say(parts)
            case Murmur(parts, after_ms, timeout_ms):
                frames = [frame for part in parts for frame in self._frames_of(part)]
                yield from self._disturb(self._text(parts), frames, after_ms, timeout_ms)
            case Burst(kind, ms, from_ms, snr_db, after_ms, timeout_ms):
                frames = self._noise_frames(kind, from_ms, ms, SPEECH_DBFS - snr_db - NOISE_DBFS)
                yield from self._disturb(kind, frames, after_ms, timeout_ms)
            case WaitForBot(quiet_ms, timeout_ms):
                yield from self._until(lambda: self.ear.heard and self.ear.quiet_ms >= quiet_ms, timeout_ms)
            case Wait(ms):
                yield from self._wait(ms)
            case Noise(kind, snr_db):
                self._noise = (self.fixtures / "noises" / f"{kind}.ulaw").read_bytes() if kind else b""
                self._noise_gain_db = SPEECH_DBFS - snr_db - NOISE_DBFS
            case Network():
                self._network = step
            case Gap(ms):
                yield from (SaidFrame(None) for _ in range(0, ms, FRAME_MS))
            case Press() | Drop():
                self.ear.speak()
                yield step
            case Send() | HangUp() | Silent():
                yield step

    def _until(self, condition: Callable[[], bool], timeout_ms: int) -> Generator[Act, None, bool]:
        """Say nothing until the condition holds, or give up (True).

        Time counts against `timeout_ms` while the bot is not speaking.
        """
        quiet_ms = spoken_ms = 0
        while not condition():
            if quiet_ms >= timeout_ms or spoken_ms >= LONGEST_SPEECH_MS:
                yield GaveUpWaiting()
                return True
            quiet_ms += 0 if self.ear.speaking_ms else FRAME_MS
            spoken_ms += FRAME_MS if self.ear.speaking_ms else 0
            yield self._frame(SILENT_FRAME)
        return False

    def _wait(self, ms: int) -> Generator[Act, None, None]:
        for _ in range(0, ms, FRAME_MS):
            yield self._frame(SILENT_FRAME)

    def _tell(self, step: Tell) -> Generator[Act, None, None]:
        def may_speak() -> bool:
            interrupts = step.over_ms is not None and self.ear.speaking_ms >= step.over_ms
            return self.ear.heard and (interrupts or self.ear.quiet_ms >= step.quiet_ms)

        for once_more in range(step.times):
            yield from self._until(may_speak, step.timeout_ms)
            if once_more:
                yield SaidAgain()
            if (yield from self._say_and_wait(step)):
                return

    def _say_and_wait(self, step: Tell) -> Generator[Act, None, bool]:
        """Speak, and wait for the bot; returns whether it answered on the same line."""
        breaks = self._breaks
        yield from self._say(step.parts, ends_with_line=True)
        yield from self._until(lambda: self.ear.heard or self._breaks != breaks, step.timeout_ms)
        return self.ear.heard and self._breaks == breaks

    def _say(self, parts: tuple[str | int, ...], *, ends_with_line: bool = False) -> Generator[Act, None, None]:
        """Speak; `ends_with_line`: and stop in the middle when the line breaks."""
        breaks = self._breaks
        yield TurnBegan(self._text(parts), parts)
        for part in parts:
            if isinstance(part, int):
                yield PauseBegan()
            for frame in self._frames_of(part):
                if ends_with_line and self._breaks != breaks:
                    yield TurnEnded()
                    return
                if isinstance(part, str):
                    self.ear.speak()
                yield self._frame(frame)
        yield TurnEnded()

    def _disturb(self, what: str, frames: list[bytes], after_ms: int, timeout_ms: int) -> Generator[Act, None, None]:
        """Make a sound when the bot has spoken for so long; the bot is expected to go on."""
        gave_up = yield from self._until(lambda: self.ear.speaking_ms >= after_ms, timeout_ms)
        if gave_up:
            return
        yield DisturbanceBegan(what)
        for frame in frames:
            yield self._frame(frame)
        yield DisturbanceEnded()
        self.ear.quiet_ms = 0

    def _text(self, parts: tuple[str | int, ...]) -> str:
        return " ".join(self._sounds[part].text for part in parts if isinstance(part, str))

    def _frames_of(self, part: str | int) -> list[bytes]:
        if isinstance(part, int):
            return [SILENT_FRAME] * -(-part // FRAME_MS)
        return _frames(self._sounds[part].mulaw(self.fixtures))

    def _noise_frames(self, kind: str, from_ms: int, ms: int, gain_db: float) -> list[bytes]:
        begin, length = (at_ms // FRAME_MS * MULAW_FRAME_BYTES for at_ms in (from_ms, ms))
        sound = (self.fixtures / "noises" / f"{kind}.ulaw").read_bytes()[begin : begin + length]
        return [mix(SILENT_FRAME, frame, gain_db) for frame in _frames(sound)]

    def _frame(self, mulaw: bytes) -> SaidFrame:
        voiced = mulaw is not SILENT_FRAME and is_audible(mulaw)
        if self._noise:
            at = self._noise_at % (len(self._noise) - MULAW_FRAME_BYTES)
            self._noise_at += MULAW_FRAME_BYTES
            mulaw = mix(mulaw, self._noise[at : at + MULAW_FRAME_BYTES], self._noise_gain_db)
        self._frames += 1
        held = self._frames * FRAME_MS % max(self._network.hold_ms, FRAME_MS) >= FRAME_MS
        lost = self._luck.random() < self._network.loss
        return SaidFrame(None if lost else mulaw, voiced, held)


def _frames(sound: bytes) -> list[bytes]:
    return [
        sound[at : at + MULAW_FRAME_BYTES].ljust(MULAW_FRAME_BYTES, MULAW_SILENCE)
        for at in range(0, len(sound), MULAW_FRAME_BYTES)
    ]


def _names(steps: Sequence[Step], known: Mapping[str, Utterance]) -> set[str]:
    parts = [part for step in steps if isinstance(step, Say | Tell | BargeIn | Murmur) for part in step.parts]
    names = {part for part in parts if isinstance(part, str)}
    if missing := sorted(names - set(known)):
        raise ScriptError(f"no such utterance: {', '.join(missing)}")
    return names
