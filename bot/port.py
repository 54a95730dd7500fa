"""The port: taken before anything else is opened, by one process alone or for several that share it.

Whoever shares it lets a process with fewer connections go first, by waiting a moment for each that it has more: left to
themselves the processes share a hundred calls out as 36 and 64. How many each has stands in memory that all of them
see; who can take no caller tells of more than it has. A process that hangs, until it is ended, or a figure that is old,
costs everybody who comes that wait, and no more. It must not know what is served.
"""

import asyncio
import mmap
import os
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress

from bot.errors import IlgiError
from bot.settings import MOST_WORKERS

BACKLOG = 2048
WAIT_S, LONGEST_WAIT_S = 0.005, 0.05
"""How long another process is let go first, for each connection that it has fewer."""
NO_FILES_S = 1.0
"""After the system has refused a connection, mostly since too many files are open."""
_NOBODY = 0xFFFF_FFFF
_BYTES = 4


def bound(host: str, port: int) -> socket.socket:
    """Take the port; it is not listened on yet."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise IlgiError(f"PORT: cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


class Tally:
    """How many connections each process has, in a file without a name that all of them have open."""

    def __init__(self, fd: int | None = None) -> None:
        """Make one, or open that of `fd`, which is closed."""
        if fd is None:
            file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process)
            file.write(b"\xff" * MOST_WORKERS * _BYTES)
            file.flush()
            self._file, fd = file, file.fileno()
            self._counts = memoryview(mmap.mmap(fd, MOST_WORKERS * _BYTES)).cast("I")
        else:
            self._counts = memoryview(mmap.mmap(fd, MOST_WORKERS * _BYTES)).cast("I")
            os.close(fd)

    def fileno(self) -> int:
        """The file, for another process."""
        return self._file.fileno()

    def note(self, number: int, count: int | None) -> None:
        """Process `number` has so many, or None: it is not there."""
        self._counts[number] = _NOBODY if count is None else count

    def ahead(self, number: int) -> int:
        """How many more process `number` has than the one with fewest."""
        return self._counts[number] - min(self._counts)


class SharedPort:
    """The port in a process that shares it, and its cord: a socket to the parent, which breaks when either is gone."""

    def __init__(self, cord: socket.socket) -> None:
        """Take what `lend` has sent."""
        numbered, fds, _, _ = socket.recv_fds(cord, 2, 2)
        self.listener = socket.socket(fileno=fds[0])
        self._tally = Tally(fds[1])
        self._number = int.from_bytes(numbered)
        self._cord = cord
        self._come = asyncio.Event()
        self._is_leaving = self._is_closed = False

    def open(self, orphaned: Callable[[], None]) -> None:
        """Let connections come, and tell the parent; `orphaned` is called once when that is gone."""

        def broken() -> None:
            loop.remove_reader(self._cord)
            orphaned()

        loop = asyncio.get_running_loop()
        self.listener.setblocking(False)
        self.listener.listen(BACKLOG)
        with suppress(BrokenPipeError):
            self._cord.send(b".")
        loop.add_reader(self._cord, broken)

    async def take(self, protocol: Callable[[], asyncio.Protocol], count: Callable[[], int]) -> None:
        """Take connections until `close`, each with a new protocol; `count` tells how many are open, or weighs more."""
        loop = asyncio.get_running_loop()
        self._note(count())
        while await self._somebody_comes(loop):
            self._note(count())
            if ahead := self._tally.ahead(self._number):
                await asyncio.sleep(min(ahead * WAIT_S, LONGEST_WAIT_S))
            if self._is_closed:
                return
            try:
                connection, _ = self.listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                continue  # another process has taken it, or it has gone
            except OSError:
                await asyncio.sleep(NO_FILES_S)
                continue
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(protocol, connection)
            self._note(count())

    def leave(self) -> None:
        """From now on every other process goes first, and waits for this one no more."""
        self._is_leaving = True
        self._tally.note(self._number, None)

    def _note(self, count: int) -> None:
        if not self._is_leaving:
            self._tally.note(self._number, count)

    def close(self) -> None:
        """Take nobody any more; who waits at the port is the other processes'."""
        if not self._is_closed:
            self.leave()
            self._is_closed = True
            asyncio.get_running_loop().remove_reader(self.listener)
            self.listener.close()
            self._come.set()

    async def _somebody_comes(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Wait until a connection can be taken, maybe; False: the port is closed."""
        if self._is_closed:
            return False
        self._come.clear()
        loop.add_reader(self.listener, self._come.set)
        await self._come.wait()
        if not self._is_closed:
            loop.remove_reader(self.listener)
        return not self._is_closed


def lend(cord: socket.socket, listener: socket.socket, tally: Tally, number: int) -> None:
    """Send the port through a cord to process `number`."""
    socket.send_fds(cord, [number.to_bytes(2)], [listener.fileno(), tally.fileno()])
