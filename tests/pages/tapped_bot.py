"""The bot, telling once a second how the clock of each browser's sound stands to its own.

`python -m tests.pages.tapped_bot serve` is `python -m bot serve`; between the lines of its log are lines `tap {…}`:
`line` (counted), `sound_ms` (what came, since its first frame), `wall_ms` (since then), `unplayed_ms` (the most that
was sent and that the page had not told to have played), `tasks`. Nothing in the bot knows of it.
"""

import asyncio
import json
import sys
import time

from bot.__main__ import main
from bot.line import BrowserLine

EVERY_S = 1.0


class Tap:
    """What is noted of one line."""

    lines = 0

    def __init__(self, line):
        self.stream = line.stream
        self.began_s = self.told_s = time.monotonic()
        self.most_ms = 0
        self.number = Tap.lines
        Tap.lines += 1

    def note(self):
        """A message came."""
        self.most_ms = max(self.most_ms, self.stream.unplayed_ms or 0)
        now_s = time.monotonic()
        if now_s - self.told_s < EVERY_S:
            return
        told = {
            "line": self.number,
            "sound_ms": self.stream.at_ms,
            "wall_ms": round((now_s - self.began_s) * 1000),
            "unplayed_ms": self.most_ms,
            "tasks": len(asyncio.all_tasks()),
        }
        print("tap", json.dumps(told), file=sys.stderr, flush=True)
        self.told_s, self.most_ms = now_s, 0


receive = BrowserLine.receive


def tapped(line, message):
    """`BrowserLine.receive`."""
    inbounds = receive(line, message)
    if line.stream.at_ms:
        if not hasattr(line, "tap"):
            line.tap = Tap(line)
        line.tap.note()
    return inbounds


if __name__ == "__main__":
    BrowserLine.receive = tapped
    sys.exit(main())
