"""How well a person's diary is searched: `python -m bot bench search`.

Asks the questions of fixtures/year and prints how often a right entry is the first or among the first three found, how
often something is found where the diary has no answer, and what it costs in time and memory. Only the figures of the
held-out questions judge: the exit status is 1 when one of their limits is missed. `--each` names every question missed.
"""

import argparse
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np

from bot.diary.search import Document, Index
from bot.lab.year import Figures, Question, documents, figures, questions

LEAST_RECALL = 0.9
"""At three, on the questions held out."""
MOST_FALSE = 0.2
A_YEAR = 365


def main(argv: Sequence[str]) -> int:
    """Run and print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bot bench search", description=__doc__)
    parser.add_argument("--each", action="store_true", help="print each question that was missed or found falsely")
    arguments = parser.parse_args(argv)
    year, (today, asked) = documents(), questions()
    print(f"{len(year)} documents of a made-up year, and {len(asked)} questions by the same author")
    index = Index(year)
    judged = True
    for held_out in (False, True):
        some = [one for one in asked if one.held_out is held_out]
        found = figures(some, lambda question: index.search(question, today=today))
        missed = held_out and not _is_good(found)
        judged &= not missed
        _print_figures("held out" if held_out else "tuned on", found, missed)
        kinds = sorted({one.kind for one in some if one.right})
        print("   at 3 by kind: " + "   ".join(_by_kind(kind, some, index, today) for kind in kinds))
        if arguments.each:
            _print_missed(some, index, today)
    _print_costs(year, asked, today)
    return 0 if judged else 1


def _is_good(found: Figures) -> bool:
    return found.recall_at_3 >= LEAST_RECALL and found.false <= MOST_FALSE * found.unanswerable


def _print_figures(name: str, found: Figures, missed: bool) -> None:
    print(
        f"{name}: {found.asked} questions   recall@1 {found.first / found.asked:.3f}   recall@3 {found.recall_at_3:.3f}"
        f"   MRR {found.reciprocal_rank:.3f}   false answers {found.false} of {found.unanswerable}"
        + ("   MISSED" if missed else "")
    )


def _by_kind(kind: str, asked: Sequence[Question], index: Index, today: date) -> str:
    of_kind = [one for one in asked if one.kind == kind and one.right]
    found = figures(of_kind, lambda question: index.search(question, today=today))
    return f"{kind} {found.among_three}/{found.asked}"


def _print_missed(asked: Sequence[Question], index: Index, today: date) -> None:
    for one in asked:
        found = index.search(one.question, today=today)
        first = [hit.document.call_sid for hit in found[:3]]
        if bool(one.right) is not bool(set(one.right) & set(first)) or (found and not one.right):
            print(f"   {one.question}   right {', '.join(one.right) or '-'}   found {', '.join(first) or '-'}")


def _print_costs(year: list[Document], asked: Sequence[Question], today: date) -> None:
    begun = time.perf_counter()
    index = Index(year)
    read_ms = (time.perf_counter() - begun) * 1000 / len(year) * A_YEAR
    took_ms = []
    for one in asked:
        begun = time.perf_counter()
        index.search(one.question, today=today)
        took_ms.append((time.perf_counter() - begun) * 1000)
    many = Index([replace(one, call_sid=f"{copy} {one.call_sid}") for copy in range(10) for one in year])
    begun = time.perf_counter()
    many.search(asked[0].question, today=today)
    many_ms = (time.perf_counter() - begun) * 1000
    tracemalloc.start()
    index = Index(year)
    held_mib = tracemalloc.get_traced_memory()[0] / 2**20 / len(index) * A_YEAR
    tracemalloc.stop()
    middle, late = np.percentile(took_ms, [50, 95])
    print(f"an index of {A_YEAR} entries: {read_ms:.0f} ms, {held_mib:.1f} MiB (from {len(year)})")
    print(f"a question: p50 {middle:.1f} ms, p95 {late:.1f} ms; over {10 * len(year)} entries {many_ms:.0f} ms")
