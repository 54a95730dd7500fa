"""Whole calls, each in a trouble of its own, beside each other."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

Trouble = TypeVar("Trouble")
Outcome = TypeVar("Outcome")


async def outcomes_of(
    troubles: Mapping[str, Trouble],
    one: Callable[[Path, Trouble, asyncio.Lock], Coroutine[Any, Any, Outcome]],
    folder: Path,
) -> dict[str, Outcome]:
    """What comes of each trouble: `one` has a folder of its own, and a lock to begin one after the other."""
    starting = asyncio.Lock()
    async with asyncio.TaskGroup() as tasks:
        running = {}
        for index, (name, trouble) in enumerate(troubles.items()):
            (folder / str(index)).mkdir()
            running[name] = tasks.create_task(one(folder / str(index), trouble, starting))
    return {name: task.result() for name, task in running.items()}
