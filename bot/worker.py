"""What does the durable work of a process: claims jobs, runs their handlers, and tells the outbox how each try ended.

It outlives whatever fails: a handler, a chore, the database. What it holds is renewed at a quarter of the lease, and
given back at the end. It must not know what any job does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from bot.diary.outbox import Job, Later, Outbox
from bot.errors import IlgiError, LeaseLost, StoreError, where

log = logging.getLogger(__name__)

SLOTS = 4
POLL_S = 1.0
CHORES_S = 15.0
LONGEST_WAIT_S = 15.0
HAND_BACK_S = 2.0
LONGEST_TRY_S = 900.0
"""For a handler that never ends; those that wait for others have shorter times of their own."""

Chore = Callable[[], Awaitable[object]]

Handler = Callable[[Job, Outbox], Awaitable[None]]
"""Does a job of one kind, and ends it by `outbox.finish`. What it raises is a failed try, unless it is Later."""


class Worker:
    """The worker of one process; `run` goes on until `stop`."""

    def __init__(
        self,
        outbox: Outbox,
        handlers: Mapping[str, Handler],
        *,
        chores: Sequence[Chore] = (),
        slots: int = SLOTS,
        poll_s: float = POLL_S,
        chores_s: float = CHORES_S,
        measured: Callable[[Job], AbstractContextManager[None]] = lambda _: nullcontext(),
    ) -> None:
        """Jobs of other kinds than `handlers` has are left alone. `chores` are done every `chores_s`, one by one.

        `measured` is entered around each try of a job.
        """
        self._outbox = outbox
        self._handlers = dict(handlers)
        self._chores = chores
        self._slots = slots
        self._poll_s = poll_s
        self._chores_s = chores_s
        self._measured = measured
        self._running: dict[Job, asyncio.Task[None]] = {}
        self._polling: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()

    def wake(self) -> None:
        """There may be a job now: do not wait for the next poll."""
        self._woken.set()

    async def run(self) -> None:
        """Work until `stop` has given back what is left."""
        if self._stopping.is_set():
            return
        async with asyncio.TaskGroup() as tasks:
            behind = [tasks.create_task(self._renew_for_ever()), tasks.create_task(self._do_chores_for_ever())]
            self._polling = tasks.create_task(self._poll(tasks))
            await self._stopped.wait()
            for task in behind:
                task.cancel()

    async def stop(self, within_s: float = 5.0) -> None:
        """Claim nothing more; wait for what runs, cut off what does not end in time, and let others have it at once."""
        self._stopping.set()
        self._woken.set()
        if self._polling is not None:
            # While the poll ends it may still give back what it has just claimed.
            await asyncio.wait({self._polling, *self._running.values()}, timeout=within_s)
            rest = dict(self._running)
            self._polling.cancel()
            for task in rest.values():
                task.cancel()
            await asyncio.wait({self._polling, *rest.values()}, timeout=HAND_BACK_S)
            await self._hand_back(rest)
        self._stopped.set()

    # Claiming

    async def _poll(self, tasks: asyncio.TaskGroup) -> None:
        failures = 0
        while not self._stopping.is_set():
            # Before the look, so that what is asked for during it is not missed.
            self._woken.clear()
            try:
                await self._outbox.run_due_schedules()
                claimed = await self._claim()
            except Exception as error:
                failures += 1
                log.warning("durable work waits, failure %d: %s", failures, _said_of(error))
                await _set_within(self._stopping, self._pause_s(failures))
                continue
            failures = 0
            if self._stopping.is_set():
                await self._hand_back(claimed)
                return
            for job in claimed:
                self._running[job] = task = tasks.create_task(self._work(job))
                task.add_done_callback(partial(self._is_over, job))
            await _set_within(self._woken, self._poll_s)

    def _pause_s(self, failures: int) -> float:
        """How long to wait after so many failures, one after the other."""
        return min(LONGEST_WAIT_S, self._poll_s * 2.0 ** min(failures, 10))

    async def _claim(self) -> list[Job]:
        free = self._slots - len(self._running)
        if not self._handlers or free <= 0 or any(job.is_suspect for job in self._running):
            return []
        return await self._outbox.claim(self._handlers, free, idle=not self._running)

    async def _hand_back(self, held: Iterable[Job]) -> None:
        jobs = list(held)
        if not jobs:
            return
        try:
            async with asyncio.timeout(HAND_BACK_S):
                await self._outbox.hand_back(jobs)
        except (StoreError, TimeoutError) as error:
            log.warning("%d jobs wait for the end of their lease: %s", len(jobs), type(error).__name__)
        else:
            log.info("%d jobs were given back", len(jobs))

    # What runs

    async def _work(self, job: Job) -> None:
        await self._settle(job, await self._try(job))

    def _is_over(self, job: Job, _task: asyncio.Task[None]) -> None:
        del self._running[job]
        self._woken.set()

    async def _try(self, job: Job) -> Later | str | None:
        """Run the handler; gives how it is to be put off, why it failed, or None when there is nothing to tell."""
        try:
            with self._measured(job):
                async with asyncio.timeout(LONGEST_TRY_S):
                    await self._handlers[job.kind](job, self._outbox)
        except Later as later:
            return later
        except LeaseLost as error:
            log.warning("nothing was written: %s", error)
        except Exception as error:
            return _said_of(error)
        return None

    async def _settle(self, job: Job, outcome: Later | str | None) -> None:
        """Tell the outbox how a try ended, however long the database is away: the lease is renewed meanwhile."""
        failures = 0
        while outcome is not None:
            try:
                if isinstance(outcome, Later):
                    await self._outbox.later(job, outcome.seconds)
                else:
                    await self._outbox.failed(job, outcome)
                outcome = None
            except LeaseLost as error:
                log.warning("nothing was written: %s", error)
                outcome = None
            except Exception as error:
                failures += 1
                log.warning("job %d (%s) ended, which is not noted yet: %s", job.id, job.kind, _said_of(error))
                await asyncio.sleep(self._pause_s(failures))

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._outbox.lease_s / 4)
            for job, task in list(self._running.items()):
                if not task.done():
                    await self._renew(job, task)

    async def _renew(self, job: Job, task: asyncio.Task[None]) -> None:
        try:
            await self._outbox.renew(job)
        except LeaseLost as error:
            # It may have been finished, or put off, while this waited for its row.
            if not task.done():
                log.warning("given up: %s", error)
                task.cancel()
        except Exception as error:
            log.warning("job %d (%s) is not renewed yet: %s", job.id, job.kind, _said_of(error))

    # Chores

    async def _do_chores_for_ever(self) -> None:
        while True:
            for chore in self._chores:
                try:
                    await chore()
                except Exception as error:
                    log.error("a chore failed: %s", _said_of(error))
            self._woken.set()
            await asyncio.sleep(self._chores_s)


async def _set_within(event: asyncio.Event, within_s: float) -> None:
    """Wait until an event is set, and no longer than `within_s`."""
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        pass


def _said_of(error: Exception) -> str:
    """An error in one line without a word that was said: our own have none, of others only the place is told."""
    return f"{type(error).__name__}: {error}" if isinstance(error, IlgiError) else where(error)
