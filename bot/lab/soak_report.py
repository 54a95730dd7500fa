"""What was seen in `bench soak`: its rows, and what is concluded from them. It must not know how it was seen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from bot.lab.procfs import Held

DRIFT_MOST = 0.02
ENDS = 0.2
"""Drift is between the medians of the first and the last rows, this share of them each."""
DB_FILE = "ilgi.db"
WAL_FILE = f"{DB_FILE}-wal"
"""Every connection has it open. The database itself too, but SQLite keeps that handle open for the next connection."""
CALLS_OWN = ("media", "recogniser")
"""Sockets of these kinds belong to calls: none may be left at rest."""
KEPT = ("model", "carrier", DB_FILE)
"""These stay open for the next request: at rest as many as there were at the most in the first half of the time."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the bot, `at_s` after the calls began."""

    at_s: float
    held: Held
    tasks: Counter[str]
    objects: int
    types: Counter[str]
    live: int
    pooled: int
    given: int
    """Connections that the database's pools hold, and those of them that are in use. Each has a thread."""

    @property
    def threads(self) -> int:
        """Those that are no connection's."""
        return self.held.threads - self.pooled


@dataclass(frozen=True, slots=True)
class Made:
    """What a call came to, once it is over."""

    call_sid: str
    how: str
    told: tuple[str, ...]
    lasted_s: float
    unanswered: int
    voice_to_voice_ms: tuple[int, ...]
    breaches: tuple[str, ...]


@dataclass(slots=True)
class Soak:
    """What was seen and made so far."""

    seconds: float
    rested: Seen | None = None
    """Before the calls that are measured."""
    rows: list[Seen] = field(default_factory=list)
    ended: Seen | None = None
    made: list[Made] = field(default_factory=list)
    long: Made | None = None
    lost_words: int = 0
    told_words: int = 0
    days: int = 0
    entries: int = 0
    notes: list[str] = field(default_factory=list)
    """For whoever looks for the cause."""
    errors: Counter[str] = field(default_factory=Counter)


HEAD = (
    "    min  live   over   MiB  threads  files  media  recogniser  model  database  tasks  objects"
    "   v2v p50    p95  unanswered"
)


def row(found: Soak) -> str:
    """A line of the table."""
    seen = found.rows[-1]
    files = seen.held.files
    v2v = [ms for made in found.made[-100:] for ms in made.voice_to_voice_ms] or [0]
    p50, p95 = np.percentile(v2v, [50, 95])
    return (
        f"{seen.at_s / 60:>7.1f}{seen.live:>6}{len(found.made):>7}{seen.held.rss_mib:>6.0f}{seen.held.threads:>9}"
        f"{seen.held.open_files:>7}{files['media']:>7}{files['recogniser']:>12}{files['model']:>7}{files[DB_FILE]:>10}"
        f"{seen.tasks.total():>7}{seen.objects:>9}{p50:>10.0f}{p95:>7.0f}"
        f"{sum(made.unanswered for made in found.made):>12}"
    )


def drift(rows: Sequence[Seen]) -> float:
    """By how much the memory has grown from the first rows to the last, as a share."""
    some = max(1, int(len(rows) * ENDS))
    before, after = (median(seen.held.rss_mib for seen in part) for part in (rows[:some], rows[-some:]))
    return after / before - 1


def more(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What there is more of."""
    return {name: many - before.get(name, 0) for name, many in after.items() if many > before.get(name, 0)}


def verdict(found: Soak) -> list[tuple[str, str, bool]]:
    """What was found, and whether it is as it should be."""
    assert found.rested and found.ended and found.long
    before, after = found.rested.held, found.ended.held
    first = [found.rested, *found.rows[: len(found.rows) // 2]]
    tasks = more(found.rested.tasks, found.ended.tasks)
    kept = {name: max(each.held.files[name] for each in first) for name in KEPT}
    of_pools = {name: before.files[name] - found.rested.pooled + found.ended.pooled for name in (DB_FILE, WAL_FILE)}
    of_pools[DB_FILE] = max(of_pools[DB_FILE], kept[DB_FILE])
    files = more({**before.files, **dict.fromkeys(CALLS_OWN, 0), **kept, **of_pools}, after.files)
    connections = max(files.pop(WAL_FILE, 0), found.ended.given)
    threads = max(0, found.ended.threads - max(each.threads for each in first))
    made = [*found.made, found.long]
    breaches = Counter(breach for each in made for breach in each.breaches)
    unanswered = sum(each.unanswered for each in made)
    grown = drift(found.rows)
    return [
        ("memory, first to last rows", f"{grown:+.1%}", grown <= DRIFT_MOST),
        ("memory at rest", f"{before.rss_mib:.1f} -> {after.rss_mib:.1f} MiB", True),
        ("objects at rest", f"{found.rested.objects} -> {found.ended.objects}", True),
        ("leaked tasks", f"{sum(tasks.values())} {tasks or ''}", not tasks),
        ("leaked sockets and files", f"{sum(files.values())} {files or ''}", not files),
        ("leaked threads", f"{threads}", not threads),
        ("leaked database connections", f"{connections}", not connections),
        ("words lost", f"{found.lost_words} of {found.told_words}", not found.lost_words),
        ("waits in vain", f"{unanswered} in {len(made)} calls", not unanswered),
        ("entries", f"{found.entries} of {found.days} days", found.entries == found.days),
        ("the long call", f"{found.long.lasted_s / 60:.1f} min", found.long.lasted_s >= found.seconds),
        ("breaches", f"{breaches.total()} {dict(breaches) or ''}", not breaches),
        ("errors in the log", f"{found.errors.total()} {dict(found.errors) or ''}", not found.errors),
    ]
