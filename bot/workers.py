"""`python -m bot serve`: one process, or with `--workers N` or WEB_CONCURRENCY so many on one port, with a parent.

The parent only watches over them. It takes the port, starts one process after the other, so that the first brings the
tables and a setting that fails in use is told once, starts another for one that dies, and passes signals on. What ends
before it has served is not tried again unless others serve: then the parent ends with its status. It must not know what
is served, and imports nothing of it; a single process has no parent.
"""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

from bot.console import configure_logging, status_of
from bot.lean import keep_lean
from bot.port import SharedPort, Tally, bound, lend
from bot.settings import MOST_WORKERS, SHARED_FOLDER, Settings, load

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "bot", "serve", "--worker")
PAUSES_S = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Before another process is started for one that died, by how many did so one after the other."""
STOOD_S = 60.0
"""Who lived so long has not died as the one before."""
END_S = 28.0
"""Then what has not ended is killed; platforms wait for 30 s."""


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    """Serve until a signal; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bot serve", description="Answer the telephone, with the settings of the environment."
    )
    parser.add_argument("--workers", type=int, metavar="N", help="so many processes; by default WEB_CONCURRENCY, or 1")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.workers is not None and not 1 <= given.workers <= MOST_WORKERS:
        parser.error(f"--workers must be from 1 to {MOST_WORKERS}")
    if given.worker:
        return status_of(lambda: _served(environ, SharedPort(socket.socket(fileno=sys.stdin.fileno()))))
    # The system spares the first process of a container every signal that it has no handler for. The server's own comes
    # when it listens; until then there is nothing to bring to an end.
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    return status_of(lambda: _serve(load(environ), given.workers, environ))


def _serve(settings: Settings, workers: int | None, environ: Mapping[str, str]) -> int:
    count = workers or settings.workers
    if count == 1:
        return _served(environ)
    configure_logging(of_many=True)
    with tempfile.TemporaryDirectory() as folder, closing(bound(settings.host, settings.port)) as listener:
        shared = Path(folder) if settings.metrics_keys else None
        return asyncio.run(Workers(listener, environ, shared).run(count))


def _served(environ: Mapping[str, str], port: SharedPort | None = None) -> int:
    keep_lean()
    from bot.server import run  # noqa: PLC0415 (a parent has nothing of it in its memory)

    return run(environ, port)


class Workers:
    """The processes that share a port, and with `metrics_folder` what they have counted."""

    def __init__(self, listener: socket.socket, environ: Mapping[str, str], metrics_folder: Path | None) -> None:
        self._listener = listener
        self._environ = dict(environ)
        if metrics_folder:
            self._environ[SHARED_FOLDER] = str(metrics_folder)
        self._metrics_folder = metrics_folder
        self._tally = Tally()
        self._starting = asyncio.Lock()
        self._processes: dict[Process, socket.socket] = {}
        self._serving = 0
        self._ending = asyncio.Event()
        self._status = 0

    async def run(self, count: int) -> int:
        """Have so many serve until a signal; returns the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        async with asyncio.TaskGroup() as tasks:
            keeping = {tasks.create_task(self._keep(number)) for number in range(count)}
            await self._ending.wait()
            # Nobody is to wait at a port that nobody takes anybody from.
            self._listener.close()
            _, late = await asyncio.wait(keeping, timeout=END_S)
            if late:
                log.error("%d processes are killed after %.0f s", len(self._processes), END_S)
                self._send(signal.SIGKILL)
        return self._status

    def _signalled(self, number: signal.Signals) -> None:
        self._ending.set()
        self._send(number)

    def _send(self, number: signal.Signals) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep(self, number: int) -> None:
        """Have process `number` serve, and another when it dies, until the end."""
        deaths = 0
        while not self._ending.is_set():
            try:
                async with self._starting:
                    if self._ending.is_set():
                        return
                    process, has_served = await self._start(number)
                    if not (has_served or self._serving):
                        # Nobody serves, so why should the next one.
                        self._ended(await process.wait())
                        return
            except OSError as error:
                # The system has no room for one more now; those that serve are not to end for that.
                if not self._serving:
                    raise
                log.error("process %d of many cannot be started: %s", number, error.strerror)
                await self._pause(PAUSES_S[-1])
                continue
            since = time.monotonic()
            self._serving += has_served
            status = await process.wait()
            self._serving -= has_served
            self._gone(process, number)
            if self._ending.is_set():
                self._ended(status)
                return
            deaths = 1 if time.monotonic() - since >= STOOD_S else deaths + 1
            pause_s = PAUSES_S[min(deaths, len(PAUSES_S)) - 1]
            log.error("process %d ended with status %d, another starts in %.0f s", process.pid, status, pause_s)
            await self._pause(pause_s)

    async def _pause(self, pause_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._ending.wait()

    async def _start(self, number: int) -> tuple[Process, bool]:
        """Start a process, and wait until it serves, or has ended before that."""
        if self._metrics_folder:
            self._metrics_folder.mkdir(mode=0o700, exist_ok=True)  # whoever tidies up may have removed it
        cord, other = socket.socketpair()
        with other:
            try:
                lend(cord, self._listener, self._tally, number)
                # In a group of its own: of what is typed at a terminal it hears through the parent, once.
                process = await asyncio.create_subprocess_exec(
                    *COMMAND, stdin=other.fileno(), env=self._environ, process_group=0
                )
            except OSError:
                cord.close()
                raise
        self._processes[process] = cord
        if self._ending.is_set():
            process.terminate()
        cord.setblocking(False)
        try:
            return process, bool(await asyncio.get_running_loop().sock_recv(cord, 1))
        except ConnectionError:
            return process, False

    def _ended(self, status: int) -> None:
        """A process has ended, and so do all; one that was asked to before it could answer has done well."""
        if status != -signal.SIGTERM:
            self._status = self._status or (status if status >= 0 else 128 - status)
        self._ending.set()

    def _gone(self, process: Process, number: int) -> None:
        self._processes.pop(process).close()
        self._tally.note(number, None)
        if self._metrics_folder:
            mark_process_dead(process.pid, str(self._metrics_folder))  # type: ignore[no-untyped-call]
