"""When to stop asking a service that keeps failing, so that a talk does not wait out its time limit at every turn.

It must not know the service.
"""

import time
from collections.abc import Callable

FAILURES = 2
REST_S = 30.0


class CoolDown:
    """After `FAILURES` failures in a row the service rests `REST_S`; then it gets one try at a time.

    `clock` counts seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._until = 0.0

    @property
    def is_resting(self) -> bool:
        """Whether the service is not to be asked now."""
        return self._failures >= FAILURES and self._clock() < self._until

    def worked(self) -> None:
        """The service did what it was asked."""
        self._failures = 0

    def failed(self) -> None:
        """The service failed once more."""
        self._failures += 1
        self._until = self._clock() + REST_S
