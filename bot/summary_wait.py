"""How a client waits for the summary of its job, which is made by durable work, maybe in another process.

It must not know how a summary is made, or what is sent to the client.
"""

import asyncio
from collections.abc import Callable, Coroutine
from enum import Enum, auto
from typing import Any

from bot.diary.stream_jobs import StreamJobs
from bot.diary.stream_records import Claim, JobRecord, JobState
from bot.errors import StoreError

SUMMARY_S = 120.0
POLL_S = 0.2


class NotOver(Enum):
    """Why a job is waited for no longer."""

    LATER = auto()
    """It takes longer than `SUMMARY_S`, or nobody is to wait any more."""
    REMOVED = auto()


async def waited_for(
    jobs: StreamJobs, claim: Claim, gone: Callable[[], Coroutine[Any, Any, None]], leaving: asyncio.Event
) -> JobRecord | NotOver:
    """A job that was ended, once it is over. Nobody is to wait when `gone` has returned, or `leaving` was set."""
    async with asyncio.TaskGroup() as tasks:
        over = tasks.create_task(_over(jobs, claim))
        others = {tasks.create_task(gone()), tasks.create_task(leaving.wait())}
        await asyncio.wait({over, *others}, return_when=asyncio.FIRST_COMPLETED)
        for task in (over, *others):
            task.cancel()
    return NotOver.LATER if over.cancelled() else over.result()


async def _over(jobs: StreamJobs, claim: Claim) -> JobRecord | NotOver:
    try:
        async with asyncio.timeout(SUMMARY_S):
            while True:
                try:
                    job = await jobs.claimed(claim)
                    if job is None:
                        return NotOver.REMOVED
                    if job.state is not JobState.STREAMING:
                        return job
                except StoreError:
                    pass
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return NotOver.LATER
