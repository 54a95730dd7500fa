"""`python -m bot bench soak`: a long day of calls, and what of it the process keeps.

About ten people are on the line all the time; they come and go, some approve their entry, some hang up in the middle,
some lose their socket and come back, and one talks from begin to end. Outside, something fails every few seconds
(`soak_faults.py`). Every minute the bot is looked at from outside (`procfs.py`) and from within (`probed.py`).

First the calls come and go for a while, until everything has been used once; then all of them end, and what the process
holds at rest is what it may hold at rest in the end. `drift` compares the memory of the last minutes with that of the
first ones. What the bot logged is in var/soak.log. Exit status 1 when a limit is not kept.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from bot.diary.crypto import Keys, make_secret
from bot.diary.records import said_in
from bot.diary.store import Store
from bot.lab.chaos_callers import words
from bot.lab.probed import PROBED
from bot.lab.procfs import held
from bot.lab.report import CallReport
from bot.lab.rtzr import RtzrLab
from bot.lab.soak_callers import Day, day, long_day, told
from bot.lab.soak_faults import befall, over
from bot.lab.soak_report import HEAD, Made, Seen, Soak, more, row, verdict
from bot.lab.stage import Stage, staged

MINUTES, CALLS = 120.0, 10
WARM_SHARE, WARM_LEAST_S, WARM_MOST_S = 0.1, 30.0, 300.0
ROW_S = 60.0
APART_S = 2.0
"""Between the first calls; later one begins when another has ended."""
LONGEST_CALL_S = 300.0
WRITTEN_S = 300.0
"""An entry that met a failing model is tried again, later each time: the seventh wait is up to three minutes."""
REST_S = 20.0
PROBE_S = 20.0
LOG = Path("var") / "soak.log"
NUMBERS = 50
"""So many people call, again and again."""
GREW_MOST = 200
LISTED = 12


class Probe:
    """Looks at the bot."""

    def __init__(self) -> None:
        self.live = 0
        self._began_s = time.monotonic()
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self.errors: Counter[str] = Counter()

    def on_line(self, line: str) -> None:
        """Take a line of the bot's log."""
        if line.startswith(PROBED) and self._answer and not self._answer.done():
            self._answer.set_result(json.loads(line.removeprefix(PROBED)))
        elif "broke" in line or "Traceback" in line:
            self.errors[line] += 1

    async def look(self, stage: Stage, *, collect: bool = False) -> Seen:
        """Look from outside and from within."""
        self._answer = asyncio.get_running_loop().create_future()
        stage.bot.warp("collect" if collect else "count")
        async with asyncio.timeout(PROBE_S):
            inside = await self._answer
        ports = {stage.bot.port: "media", _port(stage.rtzr.url): "recogniser", _port(stage.rest.url): "carrier"}
        if stage.openai:
            ports[_port(stage.openai.url)] = "model"
        found = await asyncio.to_thread(held, stage.bot.process.pid, ports)
        types = Counter[str](inside.get("types", {}))
        at_s = time.monotonic() - self._began_s
        tasks, pooled, given = Counter[str](inside["tasks"]), inside["pooled"], inside["given"]
        return Seen(at_s, found, tasks, inside["objects"], types, self.live, pooled, given)


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


class Callers:
    """So many calls at once, each followed by another, until `stop`."""

    def __init__(self, stage: Stage, probe: Probe, soak: Soak, luck: Random) -> None:
        self._stage = stage
        self._probe = probe
        self._soak = soak
        self._luck = luck
        self._index = count()
        self._stopped = False

    def stop(self) -> None:
        """Begin no more calls."""
        self._stopped = True

    async def keep_calling(self, first_s: float) -> None:
        """One place: call after call."""
        await asyncio.sleep(first_s)
        while not self._stopped:
            index = next(self._index)
            planned = day(index, self._luck)
            self._soak.made.append(await self.call(index, planned))

    async def call(self, index: int, planned: Day, most_s: float = LONGEST_CALL_S) -> Made:
        """Phone the bot once."""
        began_s = time.monotonic()
        self._probe.live += 1
        reports = self._stage.twilio.reports
        try:
            async with asyncio.timeout(most_s):
                report = await self._stage.twilio.call(
                    planned.steps,
                    number=f"+8210{index % NUMBERS:08d}",
                    leaves=lambda: planned.leaves_s is not None and time.monotonic() - began_s >= planned.leaves_s,
                )
        except TimeoutError:
            return Made("", planned.how, (), most_s, 0, (), (f"a call did not end within {most_s:.0f} s",))
        finally:
            self._probe.live -= 1
        reports.remove(report)
        return made_of(report, planned.how, time.monotonic() - began_s)


def made_of(report: CallReport, how: str, lasted_s: float) -> Made:
    """What is kept of a call's report."""
    answered = tuple(ms for turn in report.turns if (ms := turn.voice_to_voice_ms) is not None)
    said, waits = tuple(told(report.turns)), report.unanswered_waits
    return Made(report.call_sid, how, said, lasted_s, waits, answered, tuple(report.breaches))


async def soak(minutes: float, calls: int) -> Soak:
    """Run it all."""
    seconds = minutes * 60
    found, probe, secret = Soak(seconds), Probe(), make_secret()
    warm = Soak(min(WARM_MOST_S, max(seconds * WARM_SHARE, WARM_LEAST_S)))
    settings = {"DIARY_KEY": secret, "MAX_CALL_MINUTES": str(min(240, int(minutes) + 10))}
    with tempfile.TemporaryDirectory() as folder:
        async with staged(
            Path(folder),
            settings=settings,
            rtzr=RtzrLab(by_heart=True),
            on_line=probe.on_line,
            module="bot.lab.probed",
        ) as stage:
            diary = await Store.open(stage.bot.environ["DATABASE_URL"], Keys.parse(secret))
            try:
                await _phase(stage, probe, warm, calls, measured=False)
                await _counted(diary, warm)
                found.rested = await _rested(stage, probe)
                print(HEAD, flush=True)
                await _phase(stage, probe, found, calls, measured=True)
                await _counted(diary, found)
                found.ended = await _rested(stage, probe)
            finally:
                await diary.close()
                LOG.parent.mkdir(exist_ok=True)
                LOG.write_text("\n".join([*stage.bot.log, *warm.notes, *found.notes]) + "\n", "utf-8")
            found.errors = probe.errors
    return found


async def _phase(stage: Stage, probe: Probe, found: Soak, calls: int, *, measured: bool) -> None:
    """Calls come and go for so long, and then the last of them ends."""
    callers = Callers(stage, probe, found, Random(measured))
    began_s = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        failing = tasks.create_task(befall(stage, Path(stage.bot.environ["DATABASE_URL"].removeprefix("sqlite:///"))))
        for place in range(calls):
            tasks.create_task(callers.keep_calling(place * APART_S))
        if measured:
            tasks.create_task(_talk_all_day(callers, found))
        while (left_s := began_s + found.seconds - time.monotonic()) > 0:
            await asyncio.sleep(min(ROW_S, left_s))
            if measured:
                found.rows.append(await probe.look(stage))
                print(row(found), flush=True)
        callers.stop()
        failing.cancel()
        over(stage)


async def _talk_all_day(callers: Callers, found: Soak) -> None:
    found.long = await callers.call(NUMBERS - 1, long_day(found.seconds), found.seconds + LONGEST_CALL_S)


async def _counted(diary: Store, found: Soak) -> None:
    """Wait for the entries, and see what became of the words."""
    made = [*found.made, *([found.long] if found.long else [])]
    said = {each.call_sid: await diary.said(each.call_sid) for each in made}
    days = {call_sid for call_sid, texts in said.items() if texts}
    until_s = time.monotonic() + WRITTEN_S
    while True:
        entries = Counter(entry.call_sid for entry in await diary.entries() if not entry.provisional)
        if days <= entries.keys() or time.monotonic() >= until_s:
            break
        await asyncio.sleep(1.0)
    found.days, found.entries = len(days), sum(entries[each.call_sid] for each in made)
    for each in made:
        spoken = words(each.told)
        lost = spoken - words(said_in(await diary.turns(each.call_sid)))
        found.told_words += spoken.total()
        found.lost_words += lost.total()
        if lost:
            found.notes.append(f"LOST {' '.join(lost.elements())}: call {each.call_sid} ({each.how}) told {each.told}")
        if each.unanswered:
            found.notes.append(f"IN VAIN {each.unanswered} times: call {each.call_sid} ({each.how})")


async def _rested(stage: Stage, probe: Probe) -> Seen:
    """A look at the process with no call."""
    await asyncio.sleep(REST_S)
    return await probe.look(stage, collect=True)


def main(argv: list[str]) -> int:
    """Run the bench; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bot bench soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--calls", type=int, default=CALLS, help="at once, beside the one that lasts")
    given = parser.parse_args(argv)
    if not 0 < given.minutes <= 230 or given.calls < 1:
        parser.error("up to 230 minutes, and at least one call")
    found = asyncio.run(soak(given.minutes, given.calls))
    assert found.rested and found.ended
    rows = verdict(found)
    print()
    for what, told_of, fine in rows:
        print(f"{what:<30}{told_of}{'' if fine else '   MISSED'}")
    grew = {name: many for name, many in more(found.rested.types, found.ended.types).items() if many >= GREW_MOST}
    if grew:
        print("more objects at rest:", dict(Counter(grew).most_common(LISTED)))
    return 0 if all(fine for _, _, fine in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
