"""What a call writes into its journal, if it has one: none was asked for, none could be opened, or it was forgotten.

It must not know what the messages mean.
"""

import logging
from collections.abc import Callable

from bot.conversation.events import Event
from bot.journal import Direction, Journal, Wire, encode_event

log = logging.getLogger(__name__)


class Recorder:
    """The recorder of one media stream; `now_ms` is the call clock."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._journal: Journal | None = None

    def open(self, journal: Callable[[str, str], Journal], call_sid: str, stream_sid: str) -> None:
        """Begin the journal of a stream; where that cannot be, nothing is recorded."""
        try:
            self._journal = journal(call_sid, stream_sid)
        except OSError as error:
            log.error("call %s: no journal: %s", call_sid, error.strerror)

    def note(self, wire: Wire, direction: Direction, message: str | bytes) -> None:
        """Keep a message; only text is."""
        if self._journal and isinstance(message, str):
            self._journal.keep(self._now_ms(), wire, direction, message)

    def tell(self, event: Event) -> None:
        """Keep an event that came from a service or from the playout."""
        if self._journal:
            self.note("event", "in", encode_event(event))

    def forget(self) -> None:
        """Remove every journal of this call; nothing is recorded any more."""
        if self._journal:
            self._journal.forget()
            self._journal = None

    def close(self) -> None:
        """Write what is left."""
        if self._journal:
            self._journal.close()
            self._journal = None
