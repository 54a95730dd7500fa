"""What every door has: its routes are known before the process serves, what it works with only while it does."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Door(Generic[T]):
    """A door that works with a `T`; `start` must be called before the first request."""

    _running: T | None = None

    def start(self, running: T) -> None:
        """Begin to serve."""
        self._running = running

    @property
    def running(self) -> T:
        """What `start` gave; RuntimeError before it."""
        if self._running is None:
            raise RuntimeError("the door is not open yet: the application was not started")
        return self._running
