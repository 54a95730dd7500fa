"""Notices by the wall clock that a stream is dead, though its socket is open, or how late its sound is.

It must not know what a stream is for.
"""

import asyncio
import time

from bot.audio.frames import FRAME_MS

QUIET_S = 5.0
"""How long an open stream may bring no media: Twilio sends 50 frames a second, of silence too."""

OVERTIME_S = 120.0
"""So much longer than a call may last, a stream is over whatever its own clock says."""

TAKE_S = 0.05
"""Where the process itself stood still, so long it takes in what was sent meanwhile before anything is judged."""


LATE_MS = 150
"""Later than this is no jitter of a line: the process, or the line, stood still."""

DRIFT = 0.005
"""By so much at most the peer's clock goes slower than ours; sound comes in frames."""


class Watchdog:
    """Watches one stream of a call that may last `most_s`."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._heard_at = time.monotonic()
        self._began_ms: float | None = None

    def heard(self) -> None:
        """There was a sign of life."""
        self._heard_at = time.monotonic()

    def late_ms(self, at_ms: int) -> int:
        """How late the sound of `at_ms` by the peer's clock comes; 0 as a rule."""
        now_ms = time.monotonic() * 1000
        if self._began_ms is None:
            self._began_ms = now_ms - at_ms
        self._began_ms = min(now_ms - at_ms, self._began_ms + DRIFT * FRAME_MS)
        late_ms = now_ms - at_ms - self._began_ms
        return round(late_ms) if late_ms > LATE_MS else 0

    async def bark(self) -> str:
        """Wait until the stream is dead; tell why."""
        self.heard()
        ends_at = self._heard_at + self._most_s + OVERTIME_S
        while (left_s := min(self._heard_at + QUIET_S, ends_at) - time.monotonic()) > 0:
            await asyncio.sleep(left_s)
            await asyncio.sleep(TAKE_S)
        if time.monotonic() >= ends_at:
            return f"open for {OVERTIME_S:.0f} s longer than any call"
        return f"no media for {QUIET_S:.0f} s"
