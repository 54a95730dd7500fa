"""The command `entries`: print what the diary keeps, or remove one entry with what was said.

Needs the diary's own settings alone. It must not send what it reads anywhere but to standard output.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bot.diary.database import sqlite_file
from bot.diary.records import EntryRecord, TurnRecord, typed_number
from bot.diary.store import open_store
from bot.errors import IlgiError
from bot.journal import forget
from bot.settings import StoreSettings, load_store

Turns = list[TurnRecord] | None
Listed = tuple[EntryRecord, Turns]


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `entries` with the arguments behind its name; returns the exit status: 1 after a failure, 2 for bad usage."""
    arguments = _parser().parse_args(argv)
    if arguments.caller is not None:
        arguments.caller = typed_number(arguments.caller)
        if arguments.caller is None:
            sys.stderr.write("entries: --caller takes a number such as +821012345678\n")
            return 2
    try:
        return asyncio.run(_run(arguments, load_store(environ)))
    except IlgiError as error:
        sys.stderr.write(f"entries: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bot entries", description="Print the entries that were kept.")
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    parser.add_argument("--turns", action="store_true", help="print when what happened in each turn, not what was said")
    parser.add_argument("--caller", metavar="NUMBER", help="only the entries of this number, in E.164 form")
    parser.add_argument("--delete", metavar="CALL_SID", help="remove the entry of a call and what was said in it")
    return parser


async def _run(arguments: argparse.Namespace, settings: StoreSettings) -> int:
    file = sqlite_file(settings.database_url)
    if file is not None and not file.exists():
        # Looking must not make a diary where there is none.
        return _deleted(arguments.delete, False) if arguments.delete else _print([], as_json=arguments.json)
    store = await open_store(settings.database_url, settings.diary_keys, settings.timezone)
    try:
        if arguments.delete:
            journals = forget(settings.journal_dir, arguments.delete) if settings.journal_dir else 0
            return _deleted(arguments.delete, await store.delete(arguments.delete) or journals > 0)
        records = await store.entries(arguments.caller)
        listed = [(record, await store.turns(record.call_sid) if arguments.turns else None) for record in records]
        return _print(listed, as_json=arguments.json)
    finally:
        await store.close()


def _deleted(call_sid: str, found: bool) -> int:
    if not found:
        sys.stderr.write(f"entries: there is nothing kept of call {call_sid}\n")
        return 1
    sys.stdout.write(f"removed the entry of call {call_sid} and what was said in it\n")
    return 0


def _print(listed: Sequence[Listed], *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json.dumps([_fields(*one) for one in listed], ensure_ascii=False, indent=2) + "\n")
    elif listed:
        sys.stdout.write("\n".join(_page(*one) for one in listed))
    else:
        sys.stdout.write("no entries\n")
    return 0


def _fields(record: EntryRecord, turns: Turns) -> dict[str, Any]:
    fields = {
        "call_sid": record.call_sid,
        "caller": record.caller,
        "date": record.day.isoformat(),
        "title": record.title,
        "body": record.body,
        "mood": record.mood,
        "status": record.status,
    }
    return fields if turns is None else fields | {"turns": [_measured(turn) for turn in turns if _was_said(turn)]}


def _measured(turn: TurnRecord) -> dict[str, Any]:
    waterfall = asdict(turn.waterfall) if turn.waterfall else None
    times = {"from_ms": turn.from_ms, "to_ms": turn.to_ms, "waterfall": waterfall}
    return {"turn": turn.turn, "stream": turn.stream, **times}


def _was_said(turn: TurnRecord) -> bool:
    """Whether it is a turn of the caller's that is still kept."""
    return turn.said is not None


def _page(record: EntryRecord, turns: Turns) -> str:
    head = [record.day.isoformat(), record.mood, record.status, record.caller or "anonymous", record.call_sid]
    lines = [" · ".join(part for part in head if part)]
    lines += [f"  {line}" for text in (record.title, record.body) if text for line in text.splitlines()]
    lines += [f"  {_line(turn)}" for turn in turns or () if _was_said(turn)]
    return "\n".join(lines) + "\n"


def _line(turn: TurnRecord) -> str:
    stream = f" on stream {turn.stream}" if turn.stream > 1 else ""
    when = "recorded" if turn.from_ms is None else f"{turn.from_ms}-{turn.to_ms} ms"
    line = f"turn {turn.turn}{stream}, {when}"
    if turn.waterfall is None:
        return line
    times = asdict(turn.waterfall).items()
    return f"{line}: " + ", ".join(f"{name} {value}" for name, value in times if value not in (None, ""))
