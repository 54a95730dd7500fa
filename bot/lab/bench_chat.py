"""`python -m bot bench chat`: how fast the text chat hands on what the model gives, with many sockets open.

One process serves the chat over an SQLite diary. Its people are signed in, each has a year of entries; most sockets are
idle, the others ask again and again. The model is a stopwatch: it takes the standard profile's time, and each of its
tokens is the moment it was sent at, by the clock that all processes of this machine share. A figure that misses its aim
is MISSED, and the exit status is 1.
"""

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin

from bot.diary.store import open_store
from bot.doors.chat import MOST_SOCKETS
from bot.lab.chat_stage import ENTRIES, TOKENS, WHERE, WHO, StopwatchModel, served, sign_in
from bot.lab.openai_behaviour import Profile

HOP_P95_MS = 10.0
PAUSE_S = (2.0, 4.0)


@dataclass(slots=True)
class Figures:
    """All times in ms. `first_hop`: from the model to the client; `first`: from the question, the model's time off."""

    first_hop: list[float] = field(default_factory=list)
    hops: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    failed: int = 0


class _Chatter:
    """One active socket, of one person."""

    def __init__(self, stopwatch_ms: float, figures: Figures) -> None:
        self._stopwatch_ms = stopwatch_ms
        self._figures = figures

    async def ask(self, socket: ClientConnection) -> None:
        """Ask once, and take the times."""
        content = f"{random.choice(WHO)}랑 {random.choice(WHERE)}에서 뭐 샀지?"
        asked = time.monotonic_ns()
        await socket.send(json.dumps({"type": "message", "message_id": str(uuid4()), "content": content}))
        while (event := json.loads(await socket.recv()))["type"] not in ("stream_end", "stream_error"):
            if event["type"] == "stream_token":
                self._note(event, asked)
        self._figures.failed += event["type"] == "stream_error" or event["total_tokens"] != TOKENS

    def _note(self, event: dict[str, Any], asked: int) -> None:
        now = time.monotonic_ns()
        token = event["token"].strip()
        if not token.isdigit():
            self._figures.failed += 1
            return
        hop_ms = (now - int(token)) / 1e6
        self._figures.hops.append(hop_ms)
        if event["index"] == 0:
            self._figures.first_hop.append(hop_ms)
            self._figures.first.append((now - asked) / 1e6 - self._stopwatch_ms)

    async def go_on(self, socket: ClientConnection, until: float) -> None:
        """Ask again and again, once at least, with the pauses of somebody who reads."""
        await asyncio.sleep(random.uniform(0, PAUSE_S[0]))
        await self.ask(socket)
        while time.monotonic() < until:
            await asyncio.sleep(random.uniform(*PAUSE_S))
            await self.ask(socket)


@dataclass(slots=True)
class Load:
    """How many sockets, and for how long."""

    idle: int
    active: int
    seconds: float


async def bench(load: Load) -> int:
    """Run and print; returns the exit status."""
    profile = Profile()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = f"sqlite:///{folder / 'diary.db'}"
        store = await open_store(url, None, ZoneInfo("Asia/Seoul"))
        tokens = await sign_in(store, load.active)
        await store.close()
        model = await stack.enter_async_context(StopwatchModel(profile))
        process, address = await stack.enter_async_context(served(url, model.url))
        quiet, figures = Figures(), Figures()
        sockets = [await _socket(stack, address, tokens[number % load.active]) for number in range(load.active)]
        for _ in range(2):  # each diary is read once, and then asked about with nobody else there
            quiet = Figures()
            for one in sockets:
                await _Chatter(profile.first_token_ms, quiet).ask(one)
        for number in range(load.idle):
            await _socket(stack, address, tokens[number % load.active])
        cpu_s = _cpu_s(process.pid)
        until = time.monotonic() + load.seconds
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for one in sockets:
                tasks.create_task(_Chatter(profile.first_token_ms, figures).go_on(one, until))
        took_s = time.monotonic() - began
        cpu = (_cpu_s(process.pid) - cpu_s) / took_s
        return _print(load, quiet, figures, cpu=cpu, mib=_resident_mib(process.pid))


def _print(load: Load, quiet: Figures, busy: Figures, *, cpu: float, mib: float) -> int:
    missed = 0
    print(f"text chat: {load.idle} idle sockets, {load.active} active ones, {ENTRIES} entries a person, one process")
    for what, figures in (("alone", quiet), ("all at once", busy)):
        for name, values, most in (
            ("first token, from the model to the client", figures.first_hop, HOP_P95_MS),
            ("every token, from the model to the client", figures.hops, None),
            ("first token, from the question, the model's time off", figures.first, None),
        ):
            p50, p95 = (float(value) for value in np.percentile(values, [50, 95]))
            late = most is not None and p95 > most
            missed += late
            aim = f"p95 ≤ {most:.0f} ms" if most is not None else ""
            row = f"{what:<12} {name:<54} p50 {p50:6.1f}  p95 {p95:6.1f} ms ({len(values)})"
            print(f"{row:<108} {aim}{'   MISSED' if late else ''}".rstrip())
        missed += figures.failed > 0
        print(f"{what:<12} {'answers that were not whole':<54} {figures.failed}{'   MISSED' if figures.failed else ''}")
    print(f"the process: {cpu:.0%} of a core, {mib:.0f} MiB")
    return 1 if missed else 0


async def _socket(stack: AsyncExitStack, address: str, token: str) -> ClientConnection:
    socket = connect(
        f"ws://{address}/chat-ws",
        origin=Origin(f"http://{address}"),
        additional_headers={"Cookie": f"ilgi={token}"},
        compression=None,
        ping_interval=None,
    )
    return await stack.enter_async_context(socket)


def _cpu_s(pid: int) -> float:
    """The processor time that a process has taken. Source: proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(arguments: list[str]) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bot bench chat", description="The text chat under load.")
    parser.add_argument("--idle", type=int, default=500, metavar="N", help="sockets on which nothing is said")
    parser.add_argument("--active", type=int, default=50, metavar="N", help="sockets that ask again and again")
    parser.add_argument("--seconds", type=float, default=20, metavar="S")
    given = parser.parse_args(arguments)
    if not 0 < given.active <= given.idle + given.active <= given.active * MOST_SOCKETS:
        parser.error(f"a person may have {MOST_SOCKETS} sockets, and each active one is a person")
    return asyncio.run(bench(Load(given.idle, given.active, given.seconds)))
