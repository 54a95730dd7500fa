"""When to stop asking a service that keeps failing, so that a talk does not wait out its time limit at every turn.

A circuit breaker of `redress`, shared by all calls of a process, one for each service. It must not know the service.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from redress.circuit import CircuitBreaker, CircuitState
from redress.errors import ErrorClass

from bot.errors import ServiceError

log = logging.getLogger(__name__)

FAILURES = 2
"""So many failures in a row, and the service rests."""

REST_S = 30.0
"""So long; then it gets one trial at a time, until one succeeds."""


class Declined(Exception):
    """Mixed into the error of a request that was refused for what it holds: one caller's words stop no other's talk."""


class Breaker:
    """After `FAILURES` failures in a row the service rests `REST_S`, then one request at a time may try it.

    `service` is its name in the log, which tells each change once. `clock` counts seconds.
    """

    def __init__(self, service: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        # The library counts failures in a window of time and not in a row, so they are counted here.
        self._circuit = CircuitBreaker(failure_threshold=1, recovery_timeout_s=REST_S, clock=clock)
        self._in_a_row = 0

    def request(self) -> AbstractContextManager[None] | None:
        """Give leave to ask the service once; None: it rests, or is being tried.

        The leave is a `with` block around all of the request, also where what it gives is waited for or handed on. The
        service worked when the block ends, failed when it ends with a `ServiceError`; a request that is `Declined`, or
        given up in the middle (cancelled, closed), says nothing, and as a trial it leaves the trial to the next.
        """
        decision = self._circuit.allow()
        return self._asking(decision.state) if decision.allowed else None

    @contextmanager
    def _asking(self, began: CircuitState) -> Iterator[None]:
        worked: bool | None = None
        try:
            yield
            worked = True
        except ServiceError as error:
            worked = None if isinstance(error, Declined) else False
            raise
        finally:
            self._over(began, worked)

    def _over(self, began: CircuitState, worked: bool | None) -> None:
        """A request that began in this state is over; None: nothing is known of the service by it."""
        if self._circuit.state is not began:
            return  # it tells of a time before the trial that is under way
        if worked is None:
            self._circuit.record_cancel()
        elif worked:
            self._in_a_row = 0
            if self._circuit.record_success():
                log.warning("the %s works again", self._service)
        else:
            self._in_a_row += 1
            is_trial = began is CircuitState.HALF_OPEN
            if (is_trial or self._in_a_row >= FAILURES) and self._circuit.record_failure(ErrorClass.TRANSIENT):
                self._in_a_row = 0
                if not is_trial:
                    log.warning("the %s rests: %d failures in a row", self._service, FAILURES)
