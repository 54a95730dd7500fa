"""What is noted of a call as it is played: turns and their answers, disturbances, asides, and the pieces of replies.

Must not know sockets or what the app sends: it sees what the caller does and what the caller hears, 20 ms at a time.
Times are ms on the timeline of the call's report.
"""

from bot.audio.frames import FRAME_MS
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
from bot.lab.caller import Ear
from bot.lab.level import is_audible
from bot.lab.playback import ASIDE, Tick
from bot.lab.report import Aside, CallReport, Disturbance, Piece, Turn


class Witness:
    """Notes one stream in the report; the caller's ear hears through it."""

    def __init__(self, report: CallReport, ear: Ear) -> None:
        self._report = report
        self._ear = ear
        self._heard_ms = report.recording.length_ms
        self._last_voiced_ms = 0
        self._voiced = False
        self._turn: Turn | None = None
        self._talking = False
        self._pauses_begun = 0
        self._piece = bytearray()
        self._piece_ms = 0
        self._in_aside = False

    def hear(self, tick: Tick, *, idle: bool) -> None:
        """The next 20 ms at the caller's ear; `idle`: nothing is left to play."""
        self.passed(tick.echoed)
        is_reply = tick.was_sent and not tick.is_aside
        if is_reply:
            self._piece_ms = self._piece_ms if self._piece else self._heard_ms
            self._piece += tick.frame
        self._note_aside(tick)
        audible = is_reply and is_audible(tick.frame)
        self._ear.listen(audible, idle)
        if tick.was_sent and is_audible(tick.frame):
            self._report.sounds.bot(self._report.clock_ms(), FRAME_MS)
        if audible and self._report.greeting_ms is None:
            self._report.greeting_ms = self._heard_ms
            self._report.note("greeting", f"{self._heard_ms} ms")
        if self._turn:
            self._hear_in(self._turn, audible)

    def say(self, frame: SaidFrame, tick: Tick) -> None:
        """The caller's 20 ms beside those that were heard."""
        self._voiced = frame.voiced
        self._heard_ms += FRAME_MS
        if frame.voiced:
            self._last_voiced_ms = self._heard_ms
            self._report.sounds.caller(self._report.clock_ms(), FRAME_MS)
        replying = tick.was_sent and not tick.is_aside
        self._report.recording.add(frame.mulaw or SILENT_FRAME, tick.frame, replying=replying)

    def act(self, act: Act) -> None:
        """What the caller does between two frames."""
        match act:
            case TurnBegan(text, parts):
                silenced_ms = 0 if self._ear.speaking_ms else None
                self._turn = Turn(text, self._heard_ms, silenced_ms=silenced_ms, parts=parts)
                self._talking, self._pauses_begun = True, 0
                self._report.turns.append(self._turn)
                self._report.note("said", text)
            case PauseBegan():
                self._pauses_begun += 1
            case TurnEnded():
                self._talking = False
                self._report.sounds.turn_ended()
                if self._turn is not None:
                    self._turn.said_end_ms = self._last_voiced_ms
            case DisturbanceBegan(what):
                over_bot = self._ear.speaking_ms > 0
                self._report.disturbances.append(Disturbance(what, self._heard_ms, self._heard_ms, over_bot))
                self._report.note("disturbed", what)
            case DisturbanceEnded():
                self._report.disturbances[-1].end_ms = self._last_voiced_ms
            case SaidAgain():
                self._report.said_again += 1
                self._report.note("said again")
            case GaveUpWaiting():
                self._report.unanswered_waits += 1
                self._report.note("waited in vain")
            case _:
                pass

    def passed(self, marks: tuple[str, ...]) -> None:
        """All sound before these marks was heard."""
        for mark in marks:
            if not mark.startswith(ASIDE):
                self._report.pieces.append(Piece(mark, self._piece_ms, bytes(self._piece)))
                self._piece.clear()

    def cleared(self, dropped_ms: int, marks: tuple[str, ...]) -> None:
        """The app had `dropped_ms` of sound dropped, and these marks with it."""
        self._piece.clear()
        self._report.cleared_ms.append(self._heard_ms)
        self._report.note("clear", f"{dropped_ms} ms and {len(marks)} marks dropped")

    def _note_aside(self, tick: Tick) -> None:
        if tick.is_aside and tick.was_sent:
            if not self._in_aside:
                self._report.asides.append(Aside(self._heard_ms, 0, self._talking, self._voiced))
                self._report.note("aside")
            self._report.asides[-1].length_ms += FRAME_MS
        self._in_aside = tick.is_aside and (self._in_aside or tick.was_sent)

    def _hear_in(self, turn: Turn, audible: bool) -> None:
        if turn.silenced_ms is not None and not self._ear.heard and audible:
            turn.silenced_ms = self._heard_ms + FRAME_MS - turn.said_start_ms
        if not self._talking:
            if self._ear.heard and turn.heard_start_ms is None:
                turn.heard_start_ms = self._heard_ms
                self._report.note("answered", f"{turn.voice_to_voice_ms} ms")
        elif audible and turn.silenced_ms is None:
            turn.talked_over = True
            if self._pauses_begun:
                turn.cut_off_at.add(self._pauses_begun - 1)
