"""What is kept of calls outside the diary: their journals, and recordings that are still at Twilio.

It goes before the diary forgets a call: once the diary has, nobody knows any more what belonged to it. It must not know
why a call is to go.
"""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec
from sqlalchemy import select

from bot import journal
from bot.diary.after_call import RECORDING
from bot.diary.database import Database
from bot.diary.recording_job import ERASE, Erases, Finds
from bot.diary.schema import jobs


class Recordings(Erases, Finds, Protocol):
    """The telephone company's recordings; failures are CarrierError."""


async def kept_recordings(database: Database, call_sids: Collection[str]) -> set[str]:
    """The sids of the recordings that were made of these calls and not removed yet."""
    query = select(jobs.c.args).where(jobs.c.kind.in_([RECORDING, ERASE]), jobs.c.state != "done")
    async with database.read() as connection:
        every = (await connection.scalars(query)).all()
    found = set()
    for text in every:
        with suppress(msgspec.MsgspecError):  # the job is dead of it
            args = msgspec.json.decode(text, type=dict[str, str])
            if args.get("call_sid") in call_sids and (recording_sid := args.get("recording_sid")):
                found.add(recording_sid)
    return found


async def remove_journals(folder: Path | None, call_sids: Collection[str]) -> int:
    """Remove the journals of calls; returns how many there were."""
    if folder is None:
        return 0
    return await asyncio.to_thread(lambda: sum(journal.forget(folder, sid) for sid in call_sids))


async def remove_old_journals(folder: Path | None, before: datetime) -> int:
    """Remove every journal last written before a moment, also of calls that the diary does not know."""
    return 0 if folder is None else await asyncio.to_thread(_remove_old, folder, before.timestamp())


def _remove_old(folder: Path, before_s: float) -> int:
    removed = 0
    for path in folder.glob("*.journal"):
        try:
            if path.stat().st_mtime < before_s:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            pass  # another process was here
    return removed
