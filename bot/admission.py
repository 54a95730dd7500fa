"""How a call begins: a media socket waits until it is known to be the stream of a call that rang, and of which.

It must not know what is said on the stream; what comes in too early is handed over in order.
"""

import asyncio
import logging
from collections import deque

from bot.conversation.events import CallStarted
from bot.diary.records import Arrival
from bot.diary.store import Store
from bot.errors import StoreError
from bot.protocols.twilio import Inbound, Started

log = logging.getLogger(__name__)

START_S = 10.0
"""How long a socket may be open without `start`."""

EARLY_MESSAGES = 500
"""So many messages wait while the token is checked."""


class Admission:
    """One socket before its call begins."""

    def __init__(self) -> None:
        self.is_over = False
        self._start: Started | None = None
        self._begun = asyncio.Event()
        self._early: deque[tuple[Inbound, str | bytes]] = deque(maxlen=EARLY_MESSAGES)

    def wait(self, inbound: Inbound, message: str | bytes) -> None:
        """Have a message wait until the token was checked."""
        if isinstance(inbound, Started):
            self._start = inbound
            self._begun.set()
        self._early.append((inbound, message))

    def give_up(self) -> None:
        """The socket is over: nobody waits any longer."""
        self._begun.set()

    def open(self) -> list[tuple[Inbound, str | bytes]]:
        """From now on nothing waits; what came before, oldest first."""
        self.is_over = True
        early = list(self._early)
        self._early.clear()
        return early

    async def ask(self, store: Store) -> Started | None:
        """The start of this stream when it is one of a call that rang, for the first time; else None."""
        try:
            async with asyncio.timeout(START_S):
                await self._begun.wait()
        except TimeoutError:
            log.warning("media socket: no start within %d s", START_S)
            return None
        if (start := self._start) is None:
            return None
        try:
            if await store.claim_media_token(start.call_sid, start.parameters.get("token", "")):
                return start
        except StoreError as error:
            log.error("call %s: %s", start.call_sid, error)
            return None
        log.warning("call %s: media stream refused: its token is unknown, used, or of another call", start.call_sid)
        return None


async def take_up(store: Store, call_sid: str, arrival: Arrival) -> CallStarted:
    """What the talk begins with: the caller's habit, and what was said on the streams of this call before.

    StoreError when the diary cannot be read.
    """
    habit = await store.habit(call_sid)
    if arrival.stream == 1:
        return CallStarted(arrival.first_time, habit=habit)
    await store.reopen(call_sid)
    before = await store.turns(call_sid)
    said = {turn.turn: turn.said for turn in before if turn.said is not None}
    following = before[-1].turn + 1 if before else 0
    return CallStarted(arrival.first_time, tuple(said.values()), following, tuple(said), habit)
