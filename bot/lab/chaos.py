"""`make chaos`: calls on real processes, real sockets and a real PostgreSQL, and something breaks in each of them.

Two bots behind a router are phoned by recorded callers; in the middle of the calls a process is killed, replaced or
frozen, or something outside fails. For each case it prints what was said and kept, and the longest silence at a
caller's ear. Exit status 1 when a limit was broken: a committed word lost, not exactly one entry of a call, a silence
longer than allowed. What the processes logged is in var/chaos/, the figures are in var/chaos.json.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bot.diary.crypto import make_secret
from bot.lab import chaos_report
from bot.lab.chaos_batch import Outcome, Outside, run_batch
from bot.lab.chaos_cases import CASES, QUICK, Case
from bot.lab.postgres import PostgresLab
from bot.lab.stage import BotDied, environ_of

FOLDER = Path("var")
RUNS, AT_ONCE = 200, 8
CALLS, QUICK_CALLS = 4, 2
"""So many calls are hit by one fault."""
PAIRS = 4
"""So many pairs of processes stand at a time: one is started while the calls of the others last."""


class Slots:
    """How many calls there may be at once; a batch begins when there is room for all of its calls."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._changed = asyncio.Event()

    async def take(self, count: int) -> None:
        """Wait until so many are free, and take them."""
        while self._free < count:
            self._changed.clear()
            await self._changed.wait()
        self._free -= count

    def give_back(self, count: int = 1) -> None:
        """So many calls are over."""
        self._free += count
        self._changed.set()


@dataclass(frozen=True, slots=True)
class Ground:
    """What all batches stand on: a server with a database to copy (None: SQLite), the recogniser, one key."""

    folder: Path
    postgres: PostgresLab | None
    template: str
    diary_key: str
    rtzr_port: int
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def outside(self, case: Case, slots: Slots) -> AsyncIterator[Outside]:
        """What one batch is given; a server of its own when it is going to be stopped."""
        url, server = f"sqlite:///{tempfile.mkdtemp(dir=self.folder)}/ilgi.db", None
        async with AsyncExitStack() as stack:
            if self.postgres is not None:
                server, template = self.postgres, self.template
                if case.stops_postgres:
                    server = await stack.enter_async_context(PostgresLab())
                    template = await _migrated(server, self.diary_key)
                url = await asyncio.to_thread(server.new_database, template=template)
            yield Outside(
                database_url=url,
                postgres=server,
                diary_key=self.diary_key,
                rtzr_port=self.rtzr_port,
                folder=FOLDER / "chaos",
                starting=self.starting,
                ready=slots.take,
                call_ended=slots.give_back,
            )


@asynccontextmanager
async def ground(*, sqlite: bool) -> AsyncIterator[Ground]:
    """Set it up, and away."""
    secret = make_secret()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rtzr_port = await stack.enter_async_context(_recogniser())
        if sqlite:
            yield Ground(folder, None, "", secret, rtzr_port)
            return
        postgres = await stack.enter_async_context(PostgresLab())
        yield Ground(folder, postgres, await _migrated(postgres, secret), secret, rtzr_port)


@asynccontextmanager
async def _recogniser() -> AsyncIterator[int]:
    """RTZR's stand-in in a process of its own: it needs more of a core than all the callers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.lab.rtzr", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        first = (await process.stdout.readline()).decode()
        found = re.search(r":(\d+) ", first)
        if found is None:
            raise SystemExit("the stand-in for RTZR did not start")
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(_drain(process.stdout))
            yield int(found[1])
            reading.cancel()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _drain(pipe: asyncio.StreamReader) -> None:
    while await pipe.read(65_536):
        pass


async def _migrated(postgres: PostgresLab, diary_key: str) -> str:
    """A database with this release's tables; its address."""
    url = await asyncio.to_thread(postgres.new_database)
    environ = environ_of("http://127.0.0.1:1", None, "http://127.0.0.1:1")
    environ |= {"DATABASE_URL": url, "DIARY_KEY": diary_key}
    migrating = await asyncio.create_subprocess_exec(sys.executable, "-m", "bot.diary.migrate", env=environ)
    if await migrating.wait() != 0:
        raise SystemExit("the database could not be migrated")
    return url


async def chaos(cases: Sequence[Case], runs: int, calls: int, *, at_once: int, seed: int, sqlite: bool) -> int:
    """Run and print, `calls` for each fault and `runs` in all; returns the exit status."""
    outcomes: list[Outcome] = []
    slots, luck, began_s = Slots(at_once), Random(seed), time.monotonic()
    cases = [case for case in cases if not (sqlite and case.stops_postgres)]
    batches = batches_of(cases, runs, min(calls, at_once))
    print(f"seed {seed}: {runs} calls in {len(batches)} batches, at most {at_once} at once\n", flush=True)

    not_run: list[str] = []
    standing = asyncio.Semaphore(PAIRS)

    async def run(number: int, case: Case, count: int, batch_seed: int) -> None:
        def tell(line: str) -> None:
            print(f"{time.monotonic() - began_s:6.0f} s  {number:3}/{len(batches)}  {line}", flush=True)

        try:
            for last_try in (False, True):
                async with base.outside(case, slots) as outside:
                    found = await run_batch(case, outside, batch_seed, count)
                row = chaos_report.row_of(case, found)
                if last_try or not row.is_void:
                    outcomes.extend(found)
                    tell(row.line())
                    return
                tell(f"{row.line()}, by the lab's own lateness: measured again")
        except* BotDied as died:
            not_run.append(f"{case.name}: {died.exceptions[0]}")
            tell(f"{case.name}: the bot did not start")
        finally:
            standing.release()

    async with ground(sqlite=sqlite) as base, asyncio.TaskGroup() as tasks:
        for number, (case, count) in enumerate(batches, 1):
            await standing.acquire()
            tasks.create_task(run(number, case, count, luck.randrange(1 << 30)))
    rows = chaos_report.rows_of(outcomes)
    chaos_report.print_table(rows)
    chaos_report.write_json(FOLDER / "chaos.json", rows, outcomes, seed)
    print(f"\n{time.monotonic() - began_s:.0f} s in all")
    print(*not_run, sep="\n")
    return 1 if not_run or any(row.broken for row in rows) else 0


def batches_of(cases: Sequence[Case], runs: int, calls: int) -> list[tuple[Case, int]]:
    """Which case is run with how many calls, so that every case comes as often as any other."""
    found: list[tuple[Case, int]] = []
    while runs > 0:
        found.append((cases[len(found) % len(cases)], min(runs, calls)))
        runs -= calls
    return found


def main(argv: Sequence[str]) -> int:
    """Run `make chaos` from the command line."""
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="python -m bot.lab.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, help=f"how many calls; {RUNS} by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", choices=names, action="append", help="only this one; may be given more than once")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="calls at a time")
    parser.add_argument("--quick", action="store_true", help="a few calls of a few cases: about three minutes")
    parser.add_argument("--sqlite", action="store_true", help="on SQLite; the database is not stopped then")
    given = parser.parse_args(argv)
    chosen = given.case or (QUICK if given.quick else names)
    cases = [case for case in CASES if case.name in chosen]
    calls = QUICK_CALLS if given.quick else CALLS
    runs = given.runs or (len(cases) * calls if given.quick else RUNS)
    return asyncio.run(chaos(cases, runs, calls, at_once=given.at_once, seed=given.seed, sqlite=given.sqlite))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
