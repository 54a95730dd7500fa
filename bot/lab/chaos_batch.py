"""One batch of `make chaos`: a few calls at once on one pair of processes, one fault, and what came of each call.

The calls begin one after the other, so that the fault finds each at another moment. What was in the diary just before
the fault is read then, and looked for again at the end. Must not know what the faults are, or how a table is printed.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from sqlalchemy import select

from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.records import said_in
from bot.diary.schema import jobs
from bot.diary.store import Store
from bot.lab.chaos_callers import Plan, plan, spoken, words
from bot.lab.chaos_cases import Case, Scene
from bot.lab.fleet import fleet
from bot.lab.openai import OpenAiLab
from bot.lab.postgres import PostgresLab
from bot.lab.report import CallReport
from bot.lab.router import Router
from bot.lab.silences import NO_SILENCE, Silence, longest
from bot.lab.stage import AUTH_TOKEN, environ_of
from bot.lab.twilio import ACCOUNT_SID, TwilioLab, new_call_sid
from bot.lab.twilio_rest import TwilioRest

APART_S = 3.0
"""Between the beginnings of two calls."""
ENTRY_S = 180.0
"""How long an entry is waited for after the last call. When Twilio could tell nobody that a call is over, another
process ends it once its lease has lapsed for a while: after about 150 s."""
LOOK_S = 0.5
CALL_S = 300.0
"""A call that lasts longer than this has failed."""


@dataclass(slots=True)
class Outcome:
    """What came of one call. `committed`: words in the diary just before the fault; `lost`: those that are gone now."""

    case: str
    call_sid: str
    moment_s: float | None
    """How long the call had lasted when the fault came; None: it had not begun, or was over."""
    spoken: int = 0
    found: int = 0
    committed: int = 0
    lost: int = 0
    days: int = 0
    """1 when something was said that is in the diary, so that there must be an entry."""
    entries: int = 0
    entry_s: float | None = None
    """From the end of the call to when its entry was seen: looked for only when the last call of the batch is over."""
    silence: Silence = NO_SILENCE
    said_again: int = 0
    streams: int = 0
    ended_by: str = "failed"
    late_ms: int = 0
    breaches: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outside:
    """What a batch is given: a database of its own, the keys of the diary, a recogniser.

    `folder` takes what was logged. One pair of processes starts at a time (`starting`), or the lab gets late. The calls
    begin when `ready` returns, and `call_ended` is told of each.
    """

    database_url: str
    postgres: PostgresLab | None
    diary_key: str
    rtzr_port: int
    folder: Path
    starting: asyncio.Lock
    ready: Callable[[int], Awaitable[None]]
    call_ended: Callable[[], None]


@dataclass(slots=True)
class _Caller:
    """One of the batch's callers."""

    plan: Plan
    number: str
    call_sid: str = field(default_factory=new_call_sid)
    began_s: float | None = None
    ended_s: float | None = None
    leaves_s: float | None = None
    report: CallReport | None = None
    committed: Counter[str] = field(default_factory=Counter)

    def leaves(self) -> bool:
        """Whether it is time to hang up."""
        return self.leaves_s is not None and time.monotonic() >= self.leaves_s


async def run_batch(case: Case, outside: Outside, seed: int, calls: int) -> list[Outcome]:
    """Make the calls and the fault, wait for the entries, and tell what came of it."""
    luck = Random(seed)
    callers = [_Caller(plan(seed + index, luck), f"+8210{seed % 9000 + 1000:04d}{index:04d}") for index in range(calls)]
    fault_s = luck.uniform(case.from_s, case.to_s)
    async with _scene(case, callers, outside, luck) as scene:
        diary = await Store.open(outside.database_url, Keys.parse(outside.diary_key))
        database = Database(outside.database_url)
        try:
            await outside.ready(calls)
            began_s = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                for index, caller in enumerate(callers):
                    tasks.create_task(_phone(scene, caller, began_s + index * APART_S, outside.call_ended))
                await asyncio.sleep(began_s + fault_s - time.monotonic())
                await asyncio.gather(*(_sample(diary, caller) for caller in callers))
                hit_s = time.monotonic()
                await case.fault(scene, luck)
            kept_s = await _entries(diary, database, callers)
            outcomes = [await _outcome(case, diary, caller, hit_s, kept_s) for caller in callers]
            rows = Counter(entry.call_sid for entry in await diary.entries() if not entry.provisional)
            for outcome in outcomes:
                outcome.entries = rows[outcome.call_sid]
        finally:
            await database.close()
            await diary.close()
    told = [f"{case.what}: {hit_s - began_s:.1f} s after the first call", "", *scene.fleet.logs]
    _keep_log(outside.folder / f"{case.name}-{seed}.log", told, outcomes)
    return outcomes


@asynccontextmanager
async def _scene(case: Case, callers: Sequence[_Caller], outside: Outside, luck: Random) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        recogniser = await stack.enter_async_context(Router())
        recogniser.backends["rtzr"] = outside.rtzr_port
        openai = await stack.enter_async_context(OpenAiLab())
        rest = await stack.enter_async_context(TwilioRest(ACCOUNT_SID, AUTH_TOKEN))
        router = await stack.enter_async_context(Router())
        environ = environ_of(recogniser.url, openai.url, rest.url)
        environ |= {"DATABASE_URL": outside.database_url, "DIARY_KEY": outside.diary_key}
        async with outside.starting:
            crew = await stack.enter_async_context(fleet(environ, router))
        if case.on_one:
            router.preferred = {crew.running[0]}
        lab = TwilioLab(router.url, auth_token=AUTH_TOKEN, recordings=rest.recordings)
        twilio = await stack.enter_async_context(lab)

        def leave(within_s: float) -> None:
            for caller in callers:
                caller.leaves_s = time.monotonic() + luck.uniform(0, within_s)

        yield Scene(crew, router, twilio, recogniser, openai, outside.postgres, leave)


async def _phone(scene: Scene, caller: _Caller, at_s: float, ended: Callable[[], None]) -> None:
    try:
        await asyncio.sleep(max(at_s - time.monotonic(), 0))
        if caller.leaves():
            return
        caller.began_s = time.monotonic()
        async with asyncio.timeout(CALL_S):
            caller.report = await scene.twilio.call(
                caller.plan.steps, call_sid=caller.call_sid, number=caller.number, leaves=caller.leaves
            )
    except TimeoutError:
        pass
    finally:
        caller.ended_s = time.monotonic()
        ended()


async def _sample(diary: Store, caller: _Caller) -> None:
    if caller.began_s is not None:
        caller.committed = words(said_in(await diary.turns(caller.call_sid)))


async def _entries(diary: Store, database: Database, callers: Sequence[_Caller]) -> dict[str, float]:
    """When each entry was there and settled, by call.

    Waits for the entries of all calls with words in the diary, and for all that is still to be done for a call.
    """
    kept_s: dict[str, float] = {}
    until_s = time.monotonic() + ENTRY_S
    while True:
        found, awaited, busy = await diary.entries(), set(), False
        for caller in callers:
            busy = busy or await _has_work(database, caller.call_sid)
            if await diary.said(caller.call_sid):
                awaited.add(caller.call_sid)
        now_s = time.monotonic()
        for entry in found:
            if not entry.provisional:
                kept_s.setdefault(entry.call_sid, now_s)
        if (awaited <= kept_s.keys() and not busy) or now_s >= until_s:
            return kept_s
        await asyncio.sleep(LOOK_S)


async def _has_work(database: Database, call_sid: str) -> bool:
    """Whether a job for this call is not done."""
    open_jobs = select(jobs.c.id).where(jobs.c.state.in_(("ready", "run")), jobs.c.args.contains(call_sid))
    async with database.read() as connection:
        return (await connection.execute(open_jobs.limit(1))).first() is not None


async def _outcome(case: Case, diary: Store, caller: _Caller, hit_s: float, kept_s: dict[str, float]) -> Outcome:
    live = caller.began_s is not None and caller.began_s <= hit_s and (caller.ended_s or hit_s) >= hit_s
    outcome = Outcome(case.name, caller.call_sid, round(hit_s - (caller.began_s or 0), 1) if live else None)
    report = caller.report
    if report is None:
        return outcome
    kept = words(said_in(await diary.turns(caller.call_sid)))
    said = words(spoken(report, caller.plan.texts))
    outcome.spoken, outcome.found = said.total(), (said & kept).total()
    outcome.committed, outcome.lost = caller.committed.total(), (caller.committed - kept).total()
    outcome.days = int(kept.total() > 0)
    if caller.call_sid in kept_s:
        outcome.entry_s = round(max(kept_s[caller.call_sid] - (caller.ended_s or 0), 0.0), 1)
    outcome.silence = longest(report.sounds)
    outcome.said_again, outcome.streams = report.said_again, len(report.stream_sids)
    outcome.ended_by, outcome.late_ms, outcome.breaches = report.ended_by, report.late_ms, report.breaches
    outcome.log = [f"{line.at_ms / 1000:8.2f} {line.what:16} {line.detail}" for line in report.log]
    return outcome


def _keep_log(file: Path, lines: list[str], outcomes: Sequence[Outcome]) -> None:
    """Write what the processes logged and what each call was, for whoever looks for the cause of a bad row."""
    for outcome in outcomes:
        quiet = outcome.silence
        lines += ["", f"{outcome.call_sid}: silent for {quiet.ms} ms from {quiet.start_ms} ms, after {quiet.after}"]
        lines.append(f"at {outcome.moment_s} s; {outcome.found} of {outcome.spoken} words, {outcome.lost} lost")
        lines += [*outcome.log, *(f"breach: {breach}" for breach in outcome.breaches)]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", "utf-8")
