"""An event loop whose clock jumps to the next thing that is due: an hour passes in the time that its work takes."""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar
from unittest.mock import patch

Result = TypeVar("Result")


class _Jumping(selectors.DefaultSelector):
    """Never waits: what the loop would have slept is added to its clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1_000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None and not super().select(0):
            raise RuntimeError("nothing will ever happen again")
        self.now_s += max(0.0, timeout or 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time, beginning at 1,000 s."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` in virtual time; `time.monotonic` is virtual too."""
    loop = VirtualLoop()
    try:
        with patch.object(time, "monotonic", loop.time):
            return loop.run_until_complete(work)
    finally:
        loop.close()


def in_virtual_time(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    """Have pytest run a test without fixtures in virtual time."""

    @wraps(test)
    def in_its_loop() -> None:
        run(test())

    del in_its_loop.__wrapped__  # type: ignore[attr-defined]
    return in_its_loop
