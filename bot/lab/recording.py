"""Makes the recorded calls of fixtures/calls; `python -m bot.lab.fixtures --calls` runs it.

Recorded callers phone a bot that keeps journals; what the journals hold is written as plain JSON lines, gzipped: all
messages of the media stream as they came in, marks and clears that went out, the recogniser's messages, and the events
of the other services. The bot's own sound is left out. Beside each recording stand the waterfalls of its turns, as a
replay gives them. The stand-ins' people are made up, so nothing needs encryption.
"""

import asyncio
import gzip
import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import msgspec

from bot.diary.crypto import Keys, make_secret
from bot.journal import Record, read
from bot.lab.replay import Replayed, replay
from bot.lab.stage import staged
from bot.lab.twilio import new_call_sid

CALLS = ("plain-day", "barge-in", "slow-speaker", "hang-up", "inner-pause", "backchannel", "yes-but")


async def record(folder: Path, names: Iterable[str]) -> None:
    """Phone with these scripts at once and write `NAME.jsonl.gz` into `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        secret, call_sids = make_secret(), {name: new_call_sid() for name in names}
        settings = {"DIARY_KEY": secret, "JOURNAL_DIR": str(Path(scratch) / "journals")}
        async with staged(Path(scratch), settings=settings) as stage, asyncio.TaskGroup() as calls:
            for index, (name, call_sid) in enumerate(call_sids.items()):
                calls.create_task(stage.twilio.call(name, call_sid=call_sid, number=f"+82101111000{index}"))
        for name, call_sid in call_sids.items():
            [journal] = (Path(scratch) / "journals").glob(f"{call_sid}-*")
            write(folder / f"{name}.jsonl.gz", read(journal, Keys.parse(secret)))
            write_waterfalls(folder, name)


def write(path: Path, records: Iterable[Record]) -> None:
    """Write a recording, the same bytes for the same records."""
    lines = [msgspec.json.encode(record) for record in records if not _is_own_sound(record)]
    path.write_bytes(gzip.compress(b"\n".join(lines) + b"\n", mtime=0))


def write_waterfalls(folder: Path, name: str) -> None:
    """Replay a recording and write its waterfalls beside it, a turn each line."""
    outcome = Replayed()
    for _ in replay(read(folder / f"{name}.jsonl.gz", None), outcome):
        pass
    rows = [json.dumps({"turn": turn} | asdict(waterfall)) for turn, waterfall in sorted(outcome.waterfalls.items())]
    (folder / f"{name}.waterfalls.json").write_text("[\n" + ",\n".join(rows) + "\n]\n", "utf-8")


def _is_own_sound(record: Record) -> bool:
    return record.wire == "twilio" and record.direction == "out" and '"media"' in record.message
