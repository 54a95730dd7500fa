"""GET /health: how this process is. It must not know what a call does.

The answer is 200 also while draining and while the database is down: a platform that sees another status restarts the
process, and the calls with it.
"""

import asyncio
from typing import Any

from bot.doors.phone import PhoneDoor

_DATABASE_TIMEOUT_S = 2.0


class HealthDoor:
    """Tells how the phone door's process is."""

    def __init__(self, phone: PhoneDoor) -> None:
        self._phone = phone

    async def health(self) -> dict[str, Any]:
        """`status` is `ok`, or `degraded` when the database is down; `calls` counts those that still save, too."""
        running = self._phone.running
        try:
            is_up = await asyncio.wait_for(running.store.is_up(), _DATABASE_TIMEOUT_S)
        except TimeoutError:
            is_up = False
        return {
            "status": "ok" if is_up else "degraded",
            "calls": len(running.live),
            "draining": running.live.draining,
            "database": "ok" if is_up else "down",
        }
