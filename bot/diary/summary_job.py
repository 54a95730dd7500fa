"""The work that summarises a streaming job after its last word, and so completes it.

It may be run any number of times, and by several processes: a job that is complete, has failed or is gone is left
alone. While the model fails it is tried again; with the last try the summary is made of the recording's own sentences.
It must not know sockets or recognisers.
"""

import asyncio
import logging
from dataclasses import dataclass

from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.outbox import Job, Outbox
from bot.diary.stream_jobs import complete, locked, opened, segment_rows
from bot.diary.stream_records import JobState
from bot.diary.summary import Summariser, extract
from bot.errors import ModelError

log = logging.getLogger(__name__)

MODEL_S = 600.0
"""For all parts of a long recording together: less than the worker gives one try."""


@dataclass(frozen=True, slots=True)
class SummaryJob:
    """The handler of `summary` work, whose argument is `job_id`."""

    database: Database
    keys: Keys
    summariser: Summariser

    async def __call__(self, job: Job, outbox: Outbox) -> None:
        """Summarise the job if that is still wanted; ModelError when another try is worth it."""
        job_id = job.args["job_id"]
        async with outbox.fenced(job) as connection:
            row = await locked(connection, job_id)
            rows = await segment_rows(connection, job_id)
        if row is None or row.state != JobState.STREAMING:
            async with outbox.finish(job):
                pass
            return
        texts = [segment.text for segment in await asyncio.to_thread(opened, self.keys, rows)]
        title = None if row.title_sealed is None else self.keys.decrypt(row.title_sealed)
        try:
            # No transaction is open here: the model takes its time.
            async with asyncio.timeout(MODEL_S):
                summary = await self.summariser.compose(texts, title)
        except (ModelError, TimeoutError) as error:
            if not job.is_last_try:
                failure = ModelError("the summary took too long") if isinstance(error, TimeoutError) else error
                raise failure from None
            log.warning("job %s: its summary is made of its own sentences", job_id)
            summary = extract(texts)
        async with outbox.finish(job) as connection:
            row = await locked(connection, job_id)
            if row is not None and row.state == JobState.STREAMING:
                await complete(connection, self.keys, job_id, summary)
