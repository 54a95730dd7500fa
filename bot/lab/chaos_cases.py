"""What `make chaos` does to a running bot: one function for each fault, and how long a caller may then hear nothing.

A fault befalls all calls that are live; it returns once it is over. Must not know callers, or how anything is counted.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from bot.lab.fleet import Fleet
from bot.lab.openai import OpenAiLab
from bot.lab.openai_behaviour import Faults
from bot.lab.postgres import PostgresLab
from bot.lab.router import Router, answer
from bot.lab.rtzr_behaviour import error_body
from bot.lab.twilio import TwilioLab

LIMIT_MS = 3_000
PROCESS_LIMIT_MS = 6_000
"""Across a change of process."""
CARRIER_LIMIT_MS = 8_000
"""When the carrier falls silent: five seconds of nothing are the bot's only sign of it."""
TROUBLE_S = 20.0
HANG_UP_WITHIN_S = 1.0
SILENT_S = 60.0
HOUR_S = 3600
MEDIA, TRANSCRIBE = "/twilio/media", "/v1/transcribe:streaming"


@dataclass(slots=True)
class Scene:
    """What there is to break. `recogniser` stands in front of RTZR; `leave(s)` has all callers hang up within s."""

    fleet: Fleet
    router: Router
    twilio: TwilioLab
    recogniser: Router
    openai: OpenAiLab
    postgres: PostgresLab | None
    leave: Callable[[float], None]


Fault = Callable[[Scene, Random], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Case:
    """A fault; `limit_ms`: the longest silence that is allowed at a caller's ear."""

    name: str
    what: str
    fault: Fault
    limit_ms: int = LIMIT_MS
    from_s: float = 8.0
    to_s: float = 40.0
    """When it comes, in s since the first of the calls began: from, to."""
    on_one: bool = False
    """Whether all calls are on the process that it befalls, and the other one has none."""
    stops_postgres: bool = False


async def _kill(scene: Scene, luck: Random) -> None:
    name = scene.fleet.busiest(luck)
    scene.fleet.kill(name)
    await scene.fleet.restart(name)


async def _kill_at_hang_up(scene: Scene, luck: Random) -> None:
    """Every caller hangs up within a second, and at its end the process that has most of them is killed."""
    name = scene.fleet.busiest(luck)
    scene.leave(HANG_UP_WITHIN_S)
    await asyncio.sleep(HANG_UP_WITHIN_S)
    scene.fleet.kill(name)
    await scene.fleet.restart(name)


async def _terminate(scene: Scene, luck: Random) -> None:
    """The router does not know, and goes on asking the one that is going away too."""
    name = scene.fleet.busiest(luck)
    scene.router.preferred.clear()
    scene.fleet.terminate(name)
    await scene.fleet.restart(name)


async def _deploy(scene: Scene, luck: Random) -> None:
    for name in scene.fleet.running:
        await scene.fleet.replace(name)


async def _recogniser_closes(scene: Scene, luck: Random) -> None:
    scene.recogniser.reset(TRANSCRIBE)


async def _recogniser_half_open(scene: Scene, luck: Random) -> None:
    scene.recogniser.hold(TRANSCRIBE)


async def _recogniser_full(scene: Scene, luck: Random) -> None:
    """Every socket breaks, and for a while there is no channel for a new one."""
    scene.recogniser.answers[TRANSCRIBE] = answer("429 Too Many Requests", json.dumps(error_body(429)).encode())
    scene.recogniser.reset(TRANSCRIBE)
    await asyncio.sleep(TROUBLE_S)
    scene.recogniser.answers.clear()


def _openai(faults: Faults) -> Fault:
    """The model or the voice has these faults for a while."""

    async def trouble(scene: Scene, luck: Random) -> None:
        before, scene.openai.faults = scene.openai.faults, faults
        await asyncio.sleep(TROUBLE_S)
        scene.openai.faults = before

    return trouble


async def _database_is_away(scene: Scene, luck: Random) -> None:
    assert scene.postgres
    await asyncio.to_thread(scene.postgres.stop)
    await asyncio.sleep(TROUBLE_S)
    await asyncio.to_thread(scene.postgres.start)


async def _socket_is_reset(scene: Scene, luck: Random) -> None:
    scene.router.reset(MEDIA)


async def _carrier_is_silent(scene: Scene, luck: Random) -> None:
    scene.twilio.go_silent(SILENT_S)


async def _frozen_200_ms(scene: Scene, luck: Random) -> None:
    scene.fleet.warp("freeze 200")


async def _frozen_2_s(scene: Scene, luck: Random) -> None:
    scene.fleet.warp("freeze 2000")


async def _clock_jumps(scene: Scene, luck: Random) -> None:
    scene.fleet.warp(f"jump {luck.choice((HOUR_S, -HOUR_S))}")


CASES = (
    Case("kill", "kill -9, a second process is up", _kill, PROCESS_LIMIT_MS, on_one=True),
    Case(
        "kill-hang-up", "kill -9 within a second of the hang-up", _kill_at_hang_up, PROCESS_LIMIT_MS, 22.0, on_one=True
    ),
    Case("sigterm", "SIGTERM, a second process is up", _terminate, PROCESS_LIMIT_MS, on_one=True),
    Case("deploy", "both processes replaced, one after the other", _deploy, PROCESS_LIMIT_MS),
    Case("stt-close", "the recogniser's sockets break", _recogniser_closes),
    Case("stt-half-open", "the recogniser's sockets stay open, nothing comes", _recogniser_half_open),
    Case("stt-429", "the recogniser has no channel for 20 s", _recogniser_full),
    Case("model-500", "the model answers 500 for 20 s", _openai(Faults(chat_status=500))),
    Case("model-hang", "the model answers nothing for 20 s", _openai(Faults(never_first_token=True))),
    Case("model-cut", "the model breaks off after 3 words, for 20 s", _openai(Faults(cut_after_tokens=3))),
    Case("voice-500", "the voice answers 500 for 20 s", _openai(Faults(speech_status=500))),
    Case("database", "PostgreSQL is stopped for 20 s", _database_is_away, stops_postgres=True),
    Case("reset", "TCP reset of the media sockets", _socket_is_reset),
    Case("silent", "the carrier is silent on an open socket", _carrier_is_silent, CARRIER_LIMIT_MS),
    Case("freeze-200", "the event loops stand still for 200 ms", _frozen_200_ms),
    Case("freeze-2000", "the event loops stand still for 2 s", _frozen_2_s),
    Case("clock", "the wall clock jumps by an hour", _clock_jumps),
)
QUICK = ("kill", "reset", "stt-close", "model-500")
"""The cases of `--quick`, a few calls each."""
