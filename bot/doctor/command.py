"""The command `doctor`: every setting, and everything that the settings name, all at once, each for so long at most."""

import argparse
import asyncio
import json
import logging
import shutil
import sys
import textwrap
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from bot import settings
from bot.doctor import diary, services, telephone, watching
from bot.doctor.advice import advice
from bot.doctor.row import Row, fail, ok
from bot.environ import Environ
from bot.errors import SettingError

LIMIT_S = 30.0
"""So long for each check; all of them run at once."""
NARROWEST, WIDEST = 60, 120

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Check:
    """`what` is named when it is not over in time."""

    what: str
    run: Callable[[], Awaitable[list[Row]]]


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `doctor` with the arguments behind its name; returns the exit status: 0 only when nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m bot doctor", description="Check settings, accounts and database.")
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    arguments = parser.parse_args(argv)
    logging.disable(logging.CRITICAL)  # what the parts log besides is in the rows
    try:
        rows = asyncio.run(examined(environ))
    finally:
        logging.disable(logging.NOTSET)
    sys.stdout.write(as_json(rows) if arguments.json else as_table(rows))
    return 1 if any(row.state == "fail" for row in rows) else 0


async def examined(environ: Environ, limit_s: float = LIMIT_S) -> list[Row]:
    """Every row, in the order of the checks."""
    found = [fail(error.name, error.why, advice(error)) for error in settings.problems(environ)]
    rows = found or [ok("settings", "all are well-formed")]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_within(check, limit_s)) for check in checks(environ)]
    for task in running:
        rows += task.result()
    return rows


def checks(environ: Environ) -> list[Check]:
    """What can be checked with the settings that can be used; of the others their own rows tell."""
    public_url = _unless_malformed(partial(settings.load_public_url, environ))
    account = _unless_malformed(partial(settings.load_twilio, environ))
    database = partial(diary.database, clock=_now, is_hosted="DYNO" in environ or "RENDER" in environ)
    wanted: list[Callable[[], Check]] = [
        lambda: Check("Twilio account", partial(telephone.twilio, settings.load_twilio(environ), public_url)),
        lambda: Check("PUBLIC_URL", partial(telephone.way_to_us, account, settings.load_public_url(environ))),
        lambda: Check("recogniser", partial(services.recogniser, settings.load_rtzr(environ))),
        lambda: Check("model", partial(services.model, settings.load_openai(environ))),
        lambda: Check("voice", partial(services.voice, settings.load_openai(environ), settings.load_tts(environ))),
        lambda: Check("second opinion", services.opinion),
        lambda: Check(
            "database", partial(database, settings.load_database_url(environ), settings.load_diary_keys(environ))
        ),
        lambda: Check("journals", partial(diary.journals, settings.load_journal_dir(environ))),
    ]
    if collector := _unless_malformed(partial(settings.load_otlp_endpoint, environ)):
        wanted.append(lambda: Check("spans", partial(watching.spans, collector)))
    return [check for one in wanted if (check := _unless_malformed(one)) is not None]


def _now() -> datetime:
    return datetime.now(UTC)


def _unless_malformed(load: Callable[[], _T]) -> _T | None:
    try:
        return load()
    except SettingError:
        return None


async def _within(check: Check, limit_s: float) -> list[Row]:
    try:
        async with asyncio.timeout(limit_s):
            return await check.run()
    except TimeoutError:
        return [fail(check.what, f"no answer within {limit_s:.0f} s", "see that it is up and reached from here")]


def as_json(rows: Sequence[Row]) -> str:
    """The rows as a JSON array."""
    return json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=2) + "\n"


def as_table(rows: Sequence[Row]) -> str:
    """The rows as a table for people, and what it comes to."""
    width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns))
    names = max(len(row.what) for row in rows)
    lines = []
    for row in rows:
        head = f"{row.state:4}  {row.what:{names}}  "
        lines += textwrap.wrap(row.found, width, initial_indent=head, subsequent_indent=" " * len(head))
        arrow = " " * len(head) + "-> "
        lines += textwrap.wrap(row.mend, width, initial_indent=arrow, subsequent_indent=" " * len(arrow))
    count = {state: sum(row.state == state for row in rows) for state in ("ok", "warn", "fail", "off")}
    return "\n".join([*lines, "", ", ".join(f"{number} {state}" for state, number in count.items())]) + "\n"
