"""What the command `stream` prints: for people, with a bar if it is a terminal, or as lines of JSON.

It must not know sockets or files.
"""

import shutil
import time
from typing import TextIO

import msgspec

from bot.protocols.jobs import Failure, TranscriptSegment, encode
from bot.streamer.client import Outcome

REDRAW_S = 0.1
WIDEST, NARROWEST = 100, 40
_WIPE = "\r\x1b[K"


class People:
    """Lines of text as they come, and below them, on a terminal, a bar that says how far it is.

    `counts_sent`: what was sent was heard, as it is in real time; else the server is as far as its last segment.
    """

    def __init__(self, out: TextIO, duration_ms: int, *, counts_sent: bool) -> None:
        self._out = out
        self._duration_ms = max(1, duration_ms)
        self._counts_sent = counts_sent
        self._has_bar = out.isatty()
        self._began_s = time.monotonic()
        self._drawn_s = 0.0
        self._at_ms = 0
        self._waits = False

    def created(self, job_id: str) -> None:
        """The job is there."""
        self._line(f"job {job_id}, {clock(self._duration_ms)} of sound")

    def sent(self, ms: int) -> None:
        """So much of the sound was sent."""
        if self._counts_sent:
            self._at_ms = max(self._at_ms, ms)
        if self._has_bar and time.monotonic() - self._drawn_s >= REDRAW_S:
            self._draw()

    def segment(self, segment: TranscriptSegment) -> None:
        """Something was said."""
        self._at_ms = max(self._at_ms, round(segment.end_time * 1000))
        self._line(f"{clock(round(segment.start_time * 1000))}  {segment.text}")

    def failure(self, failure: Failure) -> None:
        """Something is wrong."""
        self._line(f"! {failure.message} ({failure.code})")

    def waiting(self) -> None:
        """All was sent."""
        self._waits = True
        if self._has_bar:
            self._draw()

    def ended(self, outcome: Outcome) -> None:
        """It is over."""
        self.wipe()
        took_s = time.monotonic() - self._began_s
        speed = f"{outcome.duration_s / took_s:.1f} x real time" if took_s > 0 else ""
        why = f": {printable(outcome.error)}" if outcome.error else ""
        self._out.write(f"\n{outcome.state}{why}; {clock(round(outcome.duration_s * 1000))} of sound, {speed}\n")
        if outcome.summary:
            self._out.write(f"\n{printable(outcome.summary)}\n")
        self._out.flush()

    def wipe(self) -> None:
        """Take the bar away."""
        if self._has_bar:
            self._out.write(_WIPE)
            self._out.flush()

    def _line(self, text: str) -> None:
        self._out.write(f"{_WIPE if self._has_bar else ''}{printable(text)}\n")
        self._out.flush()
        if self._has_bar:
            self._draw()

    def _draw(self) -> None:
        self._drawn_s = time.monotonic()
        columns = max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns))
        self._out.write(_WIPE + bar(self._at_ms, self._duration_ms, columns - 1, waits=self._waits))
        self._out.flush()


class Json:
    """One object a line, as the server sent it."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def created(self, job_id: str) -> None:
        """The job is there."""
        self._write(msgspec.json.encode({"type": "created", "job_id": job_id}).decode())

    def sent(self, ms: int) -> None:
        """So much of the sound was sent."""

    def segment(self, segment: TranscriptSegment) -> None:
        """Something was said."""
        self._write(encode(segment))

    def failure(self, failure: Failure) -> None:
        """Something is wrong."""
        self._write(encode(failure))

    def waiting(self) -> None:
        """All was sent."""

    def ended(self, outcome: Outcome) -> None:
        """It is over."""
        told = {name: getattr(outcome, name) for name in ("job_id", "state", "is_whole", "summary", "error")}
        self._write(msgspec.json.encode({"type": "ended", **told, "duration": outcome.duration_s}).decode())

    def wipe(self) -> None:
        """There is no bar."""

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


def clock(ms: int) -> str:
    """A time in the sound: 01:23.4, or 1:02:03.4."""
    tenths = ms // 100
    minutes, seconds = divmod(tenths // 10, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{f'{hours}:' if hours else ''}{minutes:02}:{seconds:02}.{tenths % 10}"


def bar(at_ms: int, duration_ms: int, columns: int, *, waits: bool) -> str:
    """A bar of exactly so many columns."""
    share = min(1.0, at_ms / duration_ms)
    told = f" {share:4.0%}  {clock(at_ms)}{' all sent' if waits else ''}"
    room = columns - len(told) - 2
    if room < 1:
        return told[:columns].ljust(columns)
    return f"[{'#' * int(share * room):{room}}]{told}"


def printable(text: str) -> str:
    """Text without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
