"""The same bot, in a process that tells what lives in it: `python -m bot.lab.probed serve`.

It obeys lines on its standard input, and answers each with one line on stderr, PROBED and JSON:

    count            the tasks of its event loop by name, how many objects there are, how many connections the pools
                     of the database hold (`pooled`), and how many of these are in use (`given`)
    collect          the same after a collection of garbage, and the objects by type

It ends when its standard input does: whoever started it is gone. Nothing in the bot knows of it.
"""

import asyncio
import gc
import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from bot.__main__ import main

PROBED = "probed "
ASKED, ASKED_ALL = signal.SIGUSR1, signal.SIGUSR2
TYPES = 400
_connections = {"pooled": 0, "given": 0}


def start() -> None:
    """Begin to obey. Signal handlers run in the main thread, where the event loop can be asked for its tasks."""
    for happens, name, more in (
        ("connect", "pooled", 1),
        ("close", "pooled", -1),
        ("checkout", "given", 1),
        ("checkin", "given", -1),
    ):
        event.listen(Pool, happens, _counting(name, more))
    signal.signal(ASKED, _count)
    signal.signal(ASKED_ALL, _collect)
    threading.Thread(target=_obey, name="probe", daemon=True).start()


def _counting(name: str, more: int) -> Callable[..., None]:
    def happened(*_: object) -> None:
        _connections[name] += more

    return happened


def _obey() -> None:
    for line in sys.stdin:
        os.kill(os.getpid(), ASKED_ALL if line.strip() == "collect" else ASKED)
    os._exit(1)


def _count(number: int, frame: FrameType | None) -> None:
    _tell(objects=len(gc.get_objects()))


def _collect(number: int, frame: FrameType | None) -> None:
    gc.collect()
    alive = gc.get_objects()
    types = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in alive)
    _tell(objects=len(alive), types=dict(types.most_common(TYPES)))


def _tell(**found: Any) -> None:
    tasks = Counter(_name(task) for task in asyncio.all_tasks())
    sys.stderr.write(f"{PROBED}{json.dumps({'tasks': tasks, **_connections, **found})}\n")
    sys.stderr.flush()


def _name(task: asyncio.Task[Any]) -> str:
    work = task.get_coro()
    return getattr(work, "__qualname__", type(work).__name__)


if __name__ == "__main__":
    start()
    sys.exit(main())
