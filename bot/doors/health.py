"""GET /health: how this process is. It must not know what a call does.

The answer is 200 also while draining and while the database is down: a platform that sees another status restarts the
process, and the calls with it.
"""

import os
from typing import Any

from bot.doors.phone import PhoneDoor


class HealthDoor:
    """Tells how the phone door's process is."""

    def __init__(self, phone: PhoneDoor) -> None:
        self._phone = phone

    async def health(self) -> dict[str, Any]:
        """`status` is `ok`, or `degraded` when the database is down; `calls` counts those that still save, too.

        Several processes may share the port: `process` tells which of them it is.
        """
        running = self._phone.running
        is_up = await running.store.is_up()
        return {
            "status": "ok" if is_up else "degraded",
            "calls": len(running.live),
            "draining": running.live.draining,
            "database": "ok" if is_up else "down",
            "process": os.getpid(),
        }
