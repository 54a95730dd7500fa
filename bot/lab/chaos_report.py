"""The outcome of `make chaos`: a row for each case, printed and as JSON, and whether every limit was kept.

Must not know how calls are made.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bot.lab.chaos_batch import Outcome
from bot.lab.chaos_cases import CASES, Case
from bot.lab.silences import DEFINITION

LATE_MS = 250
"""A lab that was later than this measures silences that are its own."""
_HEAD = "case           times  spoken   kept     lost/of  days  entries   silence  limit    late  verdict"


@dataclass(frozen=True, slots=True)
class Row:
    """One case. `spoken`, `found`, `committed` and `lost` are words; `days`: calls of which there must be an entry.

    `failed`: calls that Twilio gave up.
    """

    case: str
    what: str
    times: int
    spoken: int
    found: int
    committed: int
    lost: int
    days: int
    entries: int
    entry_s: float
    silence_ms: int
    limit_ms: int
    failed: int
    said_again: int
    late_ms: int

    @property
    def broken(self) -> list[str]:
        """Which limits were not kept."""
        found = []
        if self.lost:
            found.append(f"{self.lost} committed words lost")
        if self.entries != self.days:
            found.append(f"{self.entries} entries of {self.days} days")
        if self.silence_ms > self.limit_ms:
            found.append("silence")
        if self.failed:
            found.append(f"{self.failed} calls failed")
        return found

    @property
    def is_void(self) -> bool:
        """Whether it was too silent only by as much as the lab itself was late, which then measured nothing."""
        return self.broken == ["silence"] and self.silence_ms - self.late_ms <= self.limit_ms

    def line(self) -> str:
        """The row as it is printed."""
        verdict = "ok" if not self.broken else "BROKEN: " + ", ".join(self.broken)
        lost = f"{self.lost}/{self.committed}"
        words = f"{self.spoken:>8}{self.found:>7}{lost:>12}{self.days:>6}{self.entries:>9}"
        quiet = f"{self.silence_ms / 1000:>8.1f} s{self.limit_ms / 1000:>5.0f} s{self.late_ms:>5} ms"
        return f"{self.case:<14}{self.times:>6}{words}{quiet}  {verdict}"


def row_of(case: Case, outcomes: Sequence[Outcome]) -> Row:
    """Add up the calls of a case."""
    return Row(
        case.name,
        case.what,
        times=len(outcomes),
        spoken=sum(outcome.spoken for outcome in outcomes),
        found=sum(outcome.found for outcome in outcomes),
        committed=sum(outcome.committed for outcome in outcomes),
        lost=sum(outcome.lost for outcome in outcomes),
        days=sum(outcome.days for outcome in outcomes),
        entries=sum(outcome.entries for outcome in outcomes),
        entry_s=max((outcome.entry_s or 0.0 for outcome in outcomes), default=0.0),
        silence_ms=max((outcome.silence.ms for outcome in outcomes), default=0),
        limit_ms=case.limit_ms,
        failed=sum(outcome.ended_by == "failed" for outcome in outcomes),
        said_again=sum(outcome.said_again for outcome in outcomes),
        late_ms=max((outcome.late_ms for outcome in outcomes), default=0),
    )


def rows_of(outcomes: Iterable[Outcome]) -> list[Row]:
    """A row for each case that was run, in the order of the cases."""
    by_case: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_case.setdefault(outcome.case, []).append(outcome)
    return [row_of(case, by_case[case.name]) for case in CASES if case.name in by_case]


def print_table(rows: Sequence[Row]) -> None:
    """Print what was found, and what its words mean."""
    print(f"\n{_HEAD}")
    for row in rows:
        print(row.line())
    times, again = sum(row.times for row in rows), sum(row.said_again for row in rows)
    print(f"\n{times} calls; {again} times something was told again, since the line broke under it or nobody answered")
    print("spoken: words that the callers said to the end of a sentence, said again counted once; kept: those of them")
    print("that are in the diary; lost/of: words in the diary just before the fault that are gone at the end, of all")
    print("that were (0/0 proves nothing); days: calls with words in the diary, each needs an entry; late: by")
    print("how much the lab was, at worst.")
    late_ms = max((row.late_ms for row in rows), default=0)
    if late_ms > LATE_MS:
        print(f"The lab was {late_ms} ms late: this machine was too busy, and the silences are partly the lab's own.")
    print()
    print(DEFINITION)


def write_json(file: Path, rows: Sequence[Row], outcomes: Sequence[Outcome], seed: int) -> None:
    """Write everything to a file, without a word that was said."""
    calls = [{name: value for name, value in asdict(outcome).items() if name != "log"} for outcome in outcomes]
    found = [asdict(row) | {"broken": row.broken} for row in rows]
    whole = {"seed": seed, "silence": DEFINITION, "cases": found, "calls": calls}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(whole, ensure_ascii=False, indent=2) + "\n", "utf-8")
