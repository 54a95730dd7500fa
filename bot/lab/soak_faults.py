"""What goes wrong outside of the bot during `bench soak`: a fault every few seconds, each for a short while, in turn.

Must not know callers, or what is measured.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from itertools import cycle
from pathlib import Path

from bot.lab.openai_behaviour import Faults, Profile
from bot.lab.rtzr_behaviour import Close
from bot.lab.stage import Stage

EVERY_S = 20.0
TROUBLE_S = 6.0
AWAY_S = 1.0

Fault = Callable[[Stage], Awaitable[None]]


async def befall(stage: Stage, database: Path) -> None:
    """Let one fault after the other happen, until it is cancelled."""

    async def lock(stage: Stage) -> None:
        await _locked(database)

    for fault in cycle((*FAULTS, lock)):
        await asyncio.sleep(EVERY_S)
        await fault(stage)


def over(stage: Stage) -> None:
    """Everything outside works again."""
    assert stage.openai
    stage.openai.faults, stage.openai.profile = Faults(), Profile()
    stage.rtzr.faults.closes.clear()
    stage.rtzr.faults.handshakes = stage.rtzr.faults.lost_finals = stage.rtzr.faults.slow_finals = 0


def _openai(faults: Faults | None = None, profile: Profile | None = None) -> Fault:
    async def trouble(stage: Stage) -> None:
        assert stage.openai
        stage.openai.faults, stage.openai.profile = faults or Faults(), profile or Profile()
        await asyncio.sleep(TROUBLE_S)
        stage.openai.faults, stage.openai.profile = Faults(), Profile()

    return trouble


async def _recogniser_closes(stage: Stage) -> None:
    """The next connections end by themselves, each in its own way."""
    stage.rtzr.faults.closes = [Close(after_ms=12_000, code=code) for code in (1000, 1011, None)]


async def _recogniser_half_open(stage: Stage) -> None:
    """All of its sockets stay open, and nothing comes."""
    stage.rtzr.faults.freeze_now()


async def _recogniser_refuses(stage: Stage) -> None:
    stage.rtzr.faults.handshakes = 2


async def _recogniser_fails_at_finals(stage: Stage) -> None:
    stage.rtzr.faults.lost_finals, stage.rtzr.faults.slow_finals = 1, 3


async def _locked(database: Path) -> None:
    """Another process holds the database's lock."""

    def hold() -> sqlite3.Connection:
        connection = sqlite3.connect(database, isolation_level=None, timeout=5, check_same_thread=False)
        connection.execute("BEGIN IMMEDIATE")
        return connection

    with closing(await asyncio.to_thread(hold)):
        await asyncio.sleep(AWAY_S)


FAULTS: tuple[Fault, ...] = (
    _recogniser_closes,
    _openai(Faults(chat_status=500)),
    _recogniser_refuses,
    _openai(Faults(never_first_token=True)),
    _recogniser_half_open,
    _openai(Faults(cut_after_tokens=3)),
    _recogniser_fails_at_finals,
    _openai(Faults(speech_status=500)),
    _recogniser_closes,
    _openai(profile=Profile(first_token_ms=1_500.0)),
    _openai(Faults(cut_speech_after_bytes=4_000)),
)
