"""The diary of a made-up call (`random_calls.py`), in memory."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

from bot.conversation.habit import PauseHabit
from bot.diary.records import Arrival, TurnRecord

CALL = "CA" + "1" * 32


class MadeUpStore:
    """One call's diary: what was committed of each stream, and where the talk was."""

    def __init__(self) -> None:
        self.streams = 0
        self.turns_kept: dict[tuple[int, int], TurnRecord] = {}
        self.forgotten: set[int] = set()
        self.kept_stage: str | None = None
        self.left: str | None = None

    async def claim_media_token(self, call_sid: str, token: str) -> int:
        self.streams += 1
        return self.streams

    async def call_arrived(self, call_sid: str, number: str | None) -> Arrival:
        return Arrival(first_time=True, day=date(2026, 11, 21), stream=self.streams)

    async def habit(self, call_sid: str) -> PauseHabit:
        return PauseHabit()

    async def turns(self, call_sid: str) -> list[TurnRecord]:
        return [turn for _, turn in sorted(self.turns_kept.items())]

    async def stage(self, call_sid: str) -> str | None:
        return self.kept_stage

    def owned(self, call_sid: str, stream: int) -> "MadeUpCall":
        return MadeUpCall(self, stream)

    def said(self) -> list[str]:
        return [turn.said for _, turn in sorted(self.turns_kept.items()) if turn.said]

    def heard(self) -> list[str]:
        return [turn.heard for _, turn in sorted(self.turns_kept.items()) if turn.heard]

    def keep(self, stream: int, turn: int, **values: Any) -> None:
        if turn not in self.forgotten:
            kept = self.turns_kept.get((stream, turn)) or TurnRecord(turn, None, None, None, None, stream=stream)
            self.turns_kept[stream, turn] = replace(kept, **values)

    def forget(self, keys: list[tuple[int, int]]) -> None:
        self.kept_stage = None
        for stream, turn in keys:
            self.forgotten.add(turn)
            self.turns_kept[stream, turn] = TurnRecord(turn, None, None, None, None, stream=stream)


class MadeUpCall:
    """One stream's writes; whatever is of no interest here is taken and kept nowhere."""

    call_sid = CALL

    def __init__(self, store: MadeUpStore, stream: int) -> None:
        self._store = store
        self.stream = stream

    async def add_said(self, turn: int, text: str, from_ms: int, to_ms: int) -> None:
        self._store.keep(self.stream, turn, said=text)

    async def add_heard(self, turn: int, text: str) -> None:
        self._store.keep(self.stream, turn, heard=text)

    async def keep_stage(self, snapshot: str) -> None:
        self._store.kept_stage = snapshot

    async def forget_turn(self, turn: int) -> None:
        self._store.forget([key for key in self._store.turns_kept if key[1] == turn])

    async def forget_so_far(self, *, whole_day: bool = False) -> list[str]:
        self._store.forget(list(self._store.turns_kept))
        return []

    forget_day = forget_so_far

    async def handed_over(self) -> None:
        self._store.left = "handed over"

    async def record_next(self) -> None:
        self._store.left = "to be recorded"

    async def ended(self, why: str) -> None:
        self._store.left = "ended"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def nothing(*_: Any, **__: Any) -> None:
            pass

        return nothing
