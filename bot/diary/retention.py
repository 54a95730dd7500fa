"""The daily job that removes what is older than RETENTION_DAYS: calls, their journals, recordings left at Twilio, and
what was streamed. Without RETENTION_DAYS it removes nothing but what is known of work that was done long ago.

A call goes with its day: on the tenth of May, with RETENTION_DAYS=7, all calls of days before the third. Day by day,
oldest first, so that a run that breaks off has done its part. It must not know what is said in a call.
"""

import logging
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, func, select

from bot.diary import outside
from bot.diary.arrivals import RECORD
from bot.diary.outbox import Job, Outbox
from bot.diary.outside import Recordings
from bot.diary.records import day_of
from bot.diary.schema import calls
from bot.diary.store import Store

log = logging.getLogger(__name__)

RETENTION = "retention"
AT = "04:30"
"""When the day before is over, by the clock of TIMEZONE."""
GRACE_S = 20 * 3600.0


class Retention:
    """The handler of the job. `days` None: everything is kept; `recordings` None: there is no telephone account."""

    def __init__(
        self,
        store: Store,
        *,
        days: int | None,
        timezone: ZoneInfo,
        journal_dir: Path | None = None,
        recordings: Recordings | None = None,
    ) -> None:
        self._store = store
        self._days = days
        self._timezone = timezone
        self._journal_dir = journal_dir
        self._recordings = recordings

    async def schedule(self) -> None:
        """Have it done every day; it is told once by every process that starts."""
        tz = self._timezone.key
        await self._store.outbox.schedule(RETENTION, RETENTION, {}, hhmm=AT, tz=tz, grace_s=GRACE_S)

    async def __call__(self, job: Job, outbox: Outbox) -> None:
        """Do it; CarrierError when a recording cannot be removed now: its day is kept until it can."""
        await self._store.remove_done_jobs()
        if self._days is not None:
            first_kept = day_of(self._store.clock(), self._timezone) - timedelta(days=self._days)
            removed, journals = await self._remove_before(first_kept)
            log.info("retention: %d calls and %d journals before %s were removed", removed, journals, first_kept)
        async with outbox.finish(job):
            pass

    async def _remove_before(self, first_kept: date) -> tuple[int, int]:
        midnight = datetime.combine(first_kept, time(), self._timezone)
        await self._store.stream_jobs.remove_before(midnight)
        removed = journals = 0
        while (day := await self._oldest_before(first_kept)) is not None:
            sids = await self._calls_of(day)
            await self._remove_recordings(day, sids)
            journals += await outside.remove_journals(self._journal_dir, sids)
            removed += len(await self._store.remove_before(day + timedelta(days=1)))
        await self._store.remove_before(first_kept)  # also callers who had no call
        return removed, journals + await outside.remove_old_journals(self._journal_dir, midnight)

    async def _oldest_before(self, first_kept: date) -> date | None:
        async with self._store.database.read() as connection:
            day: date | None = await connection.scalar(select(func.min(calls.c.day)).where(calls.c.day < first_kept))
        return day

    async def _calls_of(self, day: date, *which: ColumnElement[bool]) -> list[str]:
        async with self._store.database.read() as connection:
            return list((await connection.scalars(select(calls.c.call_sid).where(calls.c.day == day, *which))).all())

    async def _remove_recordings(self, day: date, call_sids: list[str]) -> None:
        """Those that the diary knows of, and those that Twilio made and could not tell us of."""
        if self._recordings is None:
            return
        recordings = await outside.kept_recordings(self._store.database, set(call_sids))
        for call_sid in await self._calls_of(day, calls.c.next_step == RECORD):
            recordings.update(await self._recordings.recordings_of(call_sid))
        for recording_sid in sorted(recordings):
            await self._recordings.delete_recording(recording_sid)
