"""Ends a process whose event loop no longer turns: it answers nobody, keeps callers waiting, and nobody notices.

What ends is started again by the parent of several processes, or by the platform, and its calls go on elsewhere. Before
that it tells where every thread stood: files and lines, no values. The time runs in a thread of `faulthandler` that
needs nothing of the interpreter, so that neither Python code nor a C function without end can hold it up. Nor can a log
that takes nothing more: it is opened once more, as one that is not waited for; where that cannot be, as with a socket,
the system's alarm ends the process, unless it is the first of a container. A process that was frozen as long from
outside may end when it goes on. It must not know what the loop does.
"""

import asyncio
import faulthandler
import os
import signal
from contextlib import suppress

HUNG_S = 15.0
"""Nothing here holds up the loop for a second, and no caller waits so long for a word."""
TELL_S = 2.0
TURN_S = 5.0

_STDIN, _STDERR = 0, 2


async def end_when_hung() -> None:
    """Go on until cancelled; a loop that does not come back here for HUNG_S ends the process with status 1."""
    if os.isatty(_STDIN):
        return  # who stops a process at a terminal, with Ctrl-Z or a debugger, wants it to go on
    log = _opened_again(_STDERR)
    try:
        while True:
            with suppress(RuntimeError):  # there is no thread to be had now
                faulthandler.dump_traceback_later(HUNG_S, exit=True, file=_STDERR if log is None else log)
            if log is None:
                signal.setitimer(signal.ITIMER_REAL, HUNG_S + TELL_S)
            await asyncio.sleep(TURN_S)
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        if log is not None:
            os.close(log)


def _opened_again(descriptor: int) -> int | None:
    """Another that writes to the same, and does not wait; None where the system has no such way."""
    try:
        way = f"/proc/self/fd/{descriptor}"
        return os.open(way, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None
