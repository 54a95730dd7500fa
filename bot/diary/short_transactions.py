"""SQLite for short transactions that come from a busy event loop.

aiosqlite gives every statement to a thread, which costs it two turns of the event loop and a wait for the interpreter's
lock. When a core is busy with a hundred calls that is 20 ms for each of the eight steps of a transaction: commits come
faster than they are made, and a webhook behind them waits until Twilio has given up.

So here a transaction runs in the event loop, in some 0.5 ms, from BEGIN IMMEDIATE to COMMIT (`ShortTransactions`), and
goes to the thread only to wait for the writer of another process. Such a COMMIT does not wait for the disk (PRAGMA
synchronous = NORMAL: what is in the file is whole, but the last commits may be missing after a power cut). Who made it
waits for the write-ahead log to be on the disk before it says so, together with all who committed meanwhile
(`LogOnDisk`): one wait serves many, and the event loop goes on. Others see a commit a little before that.

What reads much or changes many rows would hold up the loop, and is right with aiosqlite as it is. So is the first
COMMIT after a checkpoint: it begins the log anew, and waits for the disk to have its head.
Source: https://sqlite.org/wal.html, https://sqlite.org/pragma.html#pragma_synchronous
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiosqlite

BEGIN = "BEGIN IMMEDIATE"

to_disk: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # not every system has the first


class ShortTransactions(aiosqlite.Connection):
    """A connection for `create_async_engine(async_creator=…)`, whose transactions begin with `BEGIN`."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], patience_ms: int) -> None:
        """`connect` opens the file, for any thread. `patience_ms` is its `busy_timeout`: how long BEGIN waits."""
        super().__init__(connect, iter_chunk_size=64)
        self._thread.daemon = True
        self._patience_ms = patience_ms
        self._is_thread_left_at_it = False

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What aiosqlite gives to its thread. The thread keeps what it has when who asked for it is cancelled."""
        driver, is_begin = self._conn, args[:1] == (BEGIN,)
        is_free = not self._is_thread_left_at_it and fn != driver.close
        if is_free and not (is_begin and _is_locked(driver, self._patience_ms)):
            return None if is_begin else fn(*args, **kwargs)
        try:
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            self._is_thread_left_at_it = True
            raise


def _is_locked(driver: sqlite3.Connection, patience_ms: int) -> bool:
    """Begin without waiting; True when another process is writing. What comes then waits for up to `patience_ms`."""
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        driver.execute(BEGIN)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return True
    finally:
        driver.execute(f"PRAGMA busy_timeout = {patience_ms}")
    return False


class LogOnDisk:
    """Waits until what was committed to a database's write-ahead log is on the disk.

    When that fails once, nobody knows what of the log is there, and a later wait that succeeds would say nothing of it:
    the system forgets the error. So every wait fails from then on, until `healed`.
    """

    def __init__(self, file: Path) -> None:
        """Take the file of the database, itself and no link to it: the log lies beside it."""
        self.error: OSError | None = None
        self._log = f"{file}-wal"
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="log")
        self._next: asyncio.Future[None] | None = None
        self._waiting: asyncio.Task[None] | None = None

    async def synced(self) -> None:
        """Return when all that was committed before is on the disk. OSError."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.create_task(self._sync())
        await asyncio.shield(self._next)

    def healed(self) -> None:
        """Begin anew: all that the log held is in the database, and on the disk."""
        self.error = None

    async def close(self) -> None:
        """Wait for what is under way, and end the thread."""
        if self._waiting:
            await asyncio.wait([self._waiting])
        self._thread.shutdown(wait=False)

    async def _sync(self) -> None:
        """One wait after the other, for as long as somebody asks: a wait that has begun may not hold what comes now."""
        loop, group = asyncio.get_running_loop(), self._next
        try:
            while self._next is not None:
                group, self._next = self._next, None
                try:
                    if self.error is None:
                        await loop.run_in_executor(self._thread, _flush, self._log)
                except (OSError, RuntimeError) as error:  # RuntimeError: the thread was shut down
                    self.error = error if isinstance(error, OSError) else OSError(str(error))
                self._tell(group)
        finally:
            self._waiting = None
            for left in (group, self._next):
                if left is not None and not left.done():
                    self.error = self.error or OSError("the wait for the disk was broken off")
                    self._tell(left)
            self._next = None

    def _tell(self, group: asyncio.Future[None]) -> None:
        if self.error is None:
            group.set_result(None)
        else:
            group.set_exception(self.error)
            group.exception()  # whoever asked may be gone


def _flush(log: str) -> None:
    with open(log, "rb+", buffering=0) as opened:
        to_disk(opened.fileno())
