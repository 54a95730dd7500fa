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

FORGETS = 0.1
"""What stays late is how the line is from then on: so much of each frame's time is forgotten."""


class Watchdog:
    """Watches one stream of a call that may last `most_s`."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._heard_at = time.monotonic()
        self._began_ms: float | None = None
        self._sound_ms = 0.0

    def heard(self, at_ms: int | None = None) -> int:
        """There was a sign of life; returns how late the sound of `at_ms` by the peer's clock comes, 0 as a rule."""
        now_s = time.monotonic()
        self._heard_at = now_s
        if at_ms is None:
            return 0
        now_ms = now_s * 1000
        if self._began_ms is None:
            self._began_ms = now_ms - at_ms
        # Of what comes in one go no time passes in between.
        passed_ms, self._sound_ms = min(now_ms - self._sound_ms, FRAME_MS), now_ms
        self._began_ms = min(now_ms - at_ms, self._began_ms + FORGETS * passed_ms)
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
