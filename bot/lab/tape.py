"""`<Record>` of the Twilio stand-in: a beep, and then what the caller says, until it is over.

Must not know webhooks. The caller's script goes on; nobody answers it (`Ear.on_tape`). Source: Twilio's page on
<Record>: `timeout` seconds of silence, a key of `finishOnKey`, `maxLength`, or hanging up end a recording.
"""

import asyncio
from collections.abc import Generator
from dataclasses import dataclass

from bot.audio.frames import FRAME_MS, MULAW_FRAME_BYTES, MULAW_HZ
from bot.lab.acts import SILENT_FRAME, Act, SaidFrame
from bot.lab.caller import Caller
from bot.lab.level import is_audible
from bot.lab.playback import NOTHING, Tick
from bot.lab.report import CallReport
from bot.lab.script import HangUp, Press
from bot.lab.twiml import Verb
from bot.lab.witness import Witness

TIMEOUT_S, MAX_LENGTH_S = 5, 3600
FINISH_KEYS = "1234567890*#"
BEEP_MS = 1000
BEEP = Tick(bytes([0x10, 0x90] * (MULAW_FRAME_BYTES // 2)), True, ())
HUNG_UP = "hangup"


@dataclass(frozen=True, slots=True)
class Taped:
    """What was recorded, and the `Digits` that Twilio tells: the key that ended it, "hangup", or nothing."""

    mulaw: bytes
    digits: str = ""


class Tape:
    """One `<Record>`."""

    def __init__(self, verb: Verb, caller: Caller, acts: Generator[Act, None, None], report: CallReport) -> None:
        given = verb.attributes
        self._timeout_ms = int(given.get("timeout", TIMEOUT_S)) * 1000
        self._longest_bytes = int(given.get("maxLength", MAX_LENGTH_S)) * MULAW_HZ
        self._keys = given.get("finishOnKey", FINISH_KEYS)
        self._beeps = given.get("playBeep", "true") == "true"
        self._trims = given.get("trim", "trim-silence") == "trim-silence"
        self._caller = caller
        self._acts = acts
        self._report = report
        self._witness = Witness(report, caller.ear)
        self._frame = 0
        self._began_s = 0.0

    async def run(self) -> Taped:
        """Record until it is over, in real time."""
        self._began_s = asyncio.get_running_loop().time()
        began_ms = self._report.clock_ms()
        try:
            if self._beeps:
                self._report.note("beep")
                for _ in range(0, BEEP_MS, FRAME_MS):
                    await self._hear(BEEP)
            self._caller.ear.on_tape = self._caller.ear.heard = True
            return await self._record()
        finally:
            self._caller.ear.on_tape = False
            # Nothing is missed while it records: for the count of silences, something was heard all the time.
            self._report.sounds.bot(began_ms, self._report.clock_ms() - began_ms)

    async def _record(self) -> Taped:
        sound = bytearray()
        quiet_ms = 0
        while quiet_ms < self._timeout_ms and len(sound) < self._longest_bytes:
            await self._hear(NOTHING)
            said = self._next()
            if isinstance(said, str):
                return Taped(self._cut(sound), said)
            self._witness.say(said, NOTHING)
            mulaw = said.mulaw or SILENT_FRAME
            sound += mulaw
            quiet_ms = 0 if is_audible(mulaw) else quiet_ms + FRAME_MS
        return Taped(self._cut(sound))

    async def _hear(self, tick: Tick) -> None:
        """The next 20 ms: the beep, or nothing."""
        self._witness.hear(tick, idle=tick is NOTHING)
        self._frame += 1
        due_s = self._began_s + self._frame * FRAME_MS / 1000
        await asyncio.sleep(max(due_s - asyncio.get_running_loop().time(), 0))

    def _next(self) -> SaidFrame | str:
        """The caller's next 20 ms; or how the recording ends."""
        for act in self._acts:
            self._witness.act(act)
            match act:
                case SaidFrame():
                    return act
                case Press(digit):
                    self._report.note("pressed", digit)
                    if digit in self._keys:
                        return digit
                case HangUp():
                    self._report.note("caller hung up")
                    return HUNG_UP
        return HUNG_UP

    def _cut(self, sound: bytearray) -> bytes:
        """The recording, without the silence at both ends if that was asked for."""
        if not self._trims:
            return bytes(sound)
        frames = [bytes(sound[at : at + MULAW_FRAME_BYTES]) for at in range(0, len(sound), MULAW_FRAME_BYTES)]
        loud = [index for index, frame in enumerate(frames) if is_audible(frame)]
        return b"".join(frames[loud[0] : loud[-1] + 1]) if loud else b""
