"""When Python looks for objects that only hold each other, which is how a call and its sockets end.

By itself it looks at the old ones when a quarter as many new ones have grown old. With ten callers that is every ten
minutes, and until then what a hundred calls have left lies about. It must not know what a call is.
"""

import gc

FEWEST = 8
"""So many calls have to end before what they left is worth a look at all others."""


def keep_what_there_is() -> None:
    """Look at nothing any more that exists by now, so that every later look is short."""
    gc.collect()
    gc.freeze()
    gc.collect()  # tells Python how little is left to grow from


class Leavings:
    """Collects what calls leave once as many have ended as are live, so that an end costs a look at one live call."""

    def __init__(self) -> None:
        self._ended = 0

    def ended(self, live: int) -> None:
        """Note that a call has ended, and how many are live."""
        self._ended += 1
        if self._ended >= max(FEWEST, live):
            self._ended = 0
            gc.collect()
