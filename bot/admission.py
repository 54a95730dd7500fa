"""How a call begins: a media socket waits until it is known to be the stream of a call that rang, and of which.

It must not know what is said on the stream; what comes in too early is handed over in order.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from functools import partial

from bot.conversation.events import Before, CallStarted, TurnBefore
from bot.conversation.snapshot import decode
from bot.conversation.talk import Inbound
from bot.diary.records import Arrival
from bot.diary.store import Store
from bot.errors import StoreError
from bot.protocols.twilio import Started

log = logging.getLogger(__name__)

START_S = 10.0
"""How long a socket may be open without `start`."""

CLAIM_PAUSES_S = (0.3, 0.7, 1.5)
"""Between the tries to ask a store that fails."""

EARLY_MESSAGES = 500
"""So many messages wait while the token is checked."""


@dataclass(frozen=True, slots=True)
class LetIn:
    """A stream that owns its call from now on; `stream` counts the streams of the call, from 1."""

    start: Started
    stream: int


class Admission:
    """One socket before its call begins."""

    def __init__(self) -> None:
        self.is_over = False
        self._start: Started | None = None
        self._begun = asyncio.Event()
        self._early: deque[tuple[Inbound, str | bytes]] = deque(maxlen=EARLY_MESSAGES)

    def hold(self, inbound: Inbound, message: str | bytes) -> None:
        """Keep a message until the token was checked."""
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

    async def ask(self, store: Store) -> LetIn | None:
        """This stream when it is one of a call that rang, for the first time; else None."""
        try:
            async with asyncio.timeout(START_S):
                await self._begun.wait()
        except TimeoutError:
            log.warning("media socket: no start within %d s", START_S)
            return None
        if (start := self._start) is None:
            return None
        try:
            if stream := await _claimed(store, start):
                return LetIn(start, stream)
        except StoreError as error:
            log.error("call %s: %s", start.call_sid, error)
            return None
        log.warning("call %s: media stream refused: its token is unknown, used, or of another call", start.call_sid)
        return None


async def _claimed(store: Store, start: Started) -> int:
    """The number of the stream that the token lets in; 0: none. StoreError when the store fails again and again."""
    claim = partial(store.claim_media_token, start.call_sid, start.parameters.get("token", ""))
    for pause_s in CLAIM_PAUSES_S:
        try:
            return await claim()
        except StoreError:
            await asyncio.sleep(pause_s)
    return await claim()


async def take_up(store: Store, call_sid: str, arrival: Arrival) -> CallStarted:
    """What the talk begins with: the caller's habit, and the talk on the streams of this call before.

    StoreError when the diary cannot be read.
    """
    habit = await store.habit(call_sid)
    turns = await store.turns(call_sid)
    stage = await store.stage(call_sid)
    if not turns and stage is None:
        return CallStarted(arrival.first_time, habit)
    before = Before(
        turns=tuple(TurnBefore(turn.turn, turn.said, turn.heard) for turn in turns),
        next_turn=max((turn.turn for turn in turns), default=-1) + 1,
        snapshot=decode(stage) if stage is not None else None,
    )
    return CallStarted(arrival.first_time, habit, before)
