"""A process that does durable work, for tests that kill, freeze and restart it: run by `Workplace`, or by itself.

    python durable_process.py DATABASE_URL '{"name": "A", "lease_s": 2}'

It tells every step on its standard output. Jobs of kind `work` last `s` seconds and leave a row in the table `results`;
those of kind `poison` end the process; those of kind `entry` are the bot's own, with a model that takes `model_s`.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sqlalchemy import text

from bot.diary.crypto import Keys
from bot.diary.entries import Scribe
from bot.diary.outbox import Job, Outbox
from bot.diary.store import Store
from bot.jobs import handlers
from bot.worker import Worker

SECRET = "secret-of-the-durable-tests-0123456789"
RESULTS = "CREATE TABLE results (key TEXT NOT NULL, name TEXT NOT NULL, attempt INTEGER NOT NULL)"


def say(*words: object) -> None:
    print(*words, flush=True)


class SlowModel:
    """Answers after a while, with an entry of what was said."""

    def __init__(self, model_s: float) -> None:
        self._model_s = model_s

    async def complete(self, messages: Sequence[dict[str, str]], *, json: bool, timeout_s: float) -> str:
        say("asked")
        await asyncio.sleep(self._model_s)
        return '{"title": "공원을 걸은 날", "body": "공원을 걸었다.", "mood": "평온"}'


async def work(url: str, options: dict[str, Any]) -> None:
    name = options["name"]
    store = await Store.open(url, Keys.parse(SECRET))
    lease_s, tries = options.get("lease_s", 60.0), options.get("tries", 8)
    outbox = Outbox(store.database, clock=lambda: datetime.now(UTC), lease_s=lease_s, tries=tries)

    async def do_work(job: Job, outbox: Outbox) -> None:
        say("begins", job.key, job.attempt)
        await asyncio.sleep(float(job.args["s"]))
        async with outbox.finish(job) as connection:
            row = {"key": job.key, "name": name, "attempt": job.attempt}
            await connection.execute(text("INSERT INTO results VALUES (:key, :name, :attempt)"), row)
        say("done", job.key)

    async def do_poison(job: Job, outbox: Outbox) -> None:
        say("begins", job.key, job.attempt)
        os.kill(os.getpid(), signal.SIGKILL)

    scribe = Scribe(SlowModel(options.get("model_s", 0.0)))
    services: Any = SimpleNamespace(
        store=store, scribe=scribe, web_model=None, carrier=None, transcriber=None, retention=None
    )
    known = {**handlers(services), "work": do_work, "poison": do_poison}
    worker = Worker(outbox, known, poll_s=options.get("poll_s", 0.1))
    asked_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked_to_end.set)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.run())
        say("ready")
        await asked_to_end.wait()
        await worker.stop(within_s=options.get("within_s", 5.0))
    say("given back")
    await store.close()


class Process:
    """One such process, and what it has told so far; `told_at` is on the clock of `time.monotonic`."""

    def __init__(self, url: str, root: Path, **options: Any) -> None:
        """`root` is the folder of the code that it runs."""
        self._lines = ""
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, __file__, url, json.dumps(options)]
        self.process = subprocess.Popen(command, stdout=write, env=environment, cwd=root)
        os.close(write)

    def told(self) -> list[str]:
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._read, 65536):
                self._lines += part.decode()
        return self._lines.splitlines()

    def wait_for(self, line: str, within_s: float = 60.0) -> float:
        """Wait until it tells a line that begins so; gives the moment, as `time.monotonic`."""
        until = time.monotonic() + within_s
        while not any(told.startswith(line) for told in self.told()):
            if time.monotonic() > until or self.process.poll() is not None:
                raise AssertionError(f"{line!r} was not told: {self.told()}")
            time.sleep(0.01)
        return time.monotonic()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        with contextlib.suppress(OSError):
            os.close(self._read)


class Workplace(contextlib.ExitStack):
    """Processes at one diary, which end with the block."""

    def __init__(self, url: str, root: Path) -> None:
        super().__init__()
        self._url = url
        self._root = root

    def begin(self, *, root: Path | None = None, **options: Any) -> Process:
        """Start a process with these options; `wait_for("ready")` tells that it has begun."""
        process = Process(self._url, root or self._root, **options)
        self.callback(process.close)
        return process


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    asyncio.run(work(sys.argv[1], json.loads(sys.argv[2])))
