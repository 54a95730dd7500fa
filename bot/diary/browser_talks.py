"""Talks of browsers among the calls: which of them a person may go on with, and the end of those nobody went on with.

A talk is a call whose sid is made of the id of its session, a UUID that only the server gives out. It must not know
sockets, or what is said.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import and_, or_, select

from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.owned import OwnedCall
from bot.diary.schema import calls
from bot.errors import LeaseLost

RESUMED_WITHIN = timedelta(seconds=30)
"""So long after its stream was given up a talk may be gone on with; when its process died, after the lease it had."""

GONE = "browser gone"
_PREFIX = "WB"


def new_session() -> str:
    """The id of a new talk's session."""
    return str(uuid4())


def sid_of(session_id: str) -> str:
    """The sid of the call that a session is."""
    return _PREFIX + UUID(session_id).hex


def is_talk(call_sid: str) -> bool:
    """Whether a call is a talk in a browser, of which no telephone company knows."""
    return call_sid.startswith(_PREFIX)


class BrowserTalks:
    """The talks of one diary; `store.browser_talks`."""

    def __init__(self, database: Database, keys: Keys, clock: Callable[[], datetime]) -> None:
        """Take the store's own; `clock` gives aware moments."""
        self._database = database
        self._keys = keys
        self._clock = clock

    async def may_resume(self, session_id: str, caller_id: int) -> bool:
        """Tell whether this talk is the person's, goes on, or was broken off only now."""
        since = self._clock() - RESUMED_WITHIN
        not_begun = and_(calls.c.lease_until.is_(None), calls.c.arrived_at >= since)
        query = select(calls.c.call_sid).where(
            calls.c.call_sid == sid_of(session_id),
            calls.c.caller_id == caller_id,
            calls.c.ended_at.is_(None),
            or_(calls.c.lease_until >= since, not_begun),
        )
        async with self._database.read() as connection:
            return await connection.scalar(query) is not None

    async def gone(self, call_sid: str, stream: int) -> None:
        """End a call whose browser did not come back after `stream`; nothing is done when it did."""
        try:
            await OwnedCall(self._database, self._keys, self._clock, call_sid, stream).ended(GONE)
        except LeaseLost:
            pass
