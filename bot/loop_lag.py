"""How late the event loop is: a task that is to wake at fixed moments, and sees when it does.

A stall makes every wake late that was due in it, so what is told is what any work of the process met with, and not only
the one wake that ended the stall. It must not know who is told, or what follows.
"""

import asyncio
from collections.abc import Callable

LONGEST_S = 5.0
"""Of a longer stall only its end is told: the process may have been frozen for hours."""


async def watch(every_ms: int, told: Callable[[float], object]) -> None:
    """Tell of every wake, in order, how many ms late it was; goes on until it is cancelled."""
    now = asyncio.get_running_loop().time
    due_s = now()
    while True:
        due_s = max(due_s, now() - LONGEST_S) + every_ms / 1000
        await asyncio.sleep(due_s - now())
        told(max(0.0, now() - due_s) * 1000)
