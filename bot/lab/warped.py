"""The same bot, in a process whose event loop can be frozen and whose wall clock can be moved from outside.

`python -m bot.lab.warped serve` is `python -m bot serve`, and obeys lines on its standard input:

    freeze 2000      the main thread, and with it the event loop, stands still for so many ms
    jump -3600       the wall clock is moved by so many seconds; `time.monotonic` and the loop's clock go on

It ends when its standard input does: whoever started it is gone. Nothing in the bot knows of it. Needs time-machine
(tests/requirements.txt).
"""

import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from types import FrameType

import time_machine

from bot.__main__ import main

FREEZE = signal.SIGUSR2


class Warp:
    """What was asked for on standard input, carried out in the main thread: signal handlers run nowhere else."""

    def __init__(self) -> None:
        self._freeze_s = 0.0
        self._travel: time_machine.travel | None = None

    def start(self) -> None:
        """Begin to obey."""
        signal.signal(FREEZE, self._frozen)
        threading.Thread(target=self._obey, daemon=True).start()

    def _obey(self) -> None:
        for line in sys.stdin:
            match line.split():
                case ["freeze", ms]:
                    self._freeze_s = float(ms) / 1000
                    os.kill(os.getpid(), FREEZE)
                case ["jump", seconds]:
                    self._jump(float(seconds))
                case _:
                    sys.stderr.write(f"warped: unknown order: {line}")
        os._exit(1)

    def _frozen(self, number: int, frame: FrameType | None) -> None:
        time.sleep(self._freeze_s)

    def _jump(self, seconds: float) -> None:
        destination = datetime.now(UTC) + timedelta(seconds=seconds)
        if self._travel is not None:
            self._travel.stop()
        self._travel = time_machine.travel(destination, tick=True)
        self._travel.start()


if __name__ == "__main__":
    Warp().start()
    sys.exit(main())
