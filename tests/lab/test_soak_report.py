"""bot/lab/soak_report.py: what is concluded from what was seen. The bench itself is run by hand: it takes its time."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from bot.lab.procfs import Held
from bot.lab.soak_report import DB_FILE, WAL_FILE, Made, Seen, Soak, drift, more, verdict

FILES = {DB_FILE: 3, WAL_FILE: 2, "model": 2}


def seen(
    rss_mib: float = 100.0,
    *,
    threads: int = 9,
    files: Any = None,
    tasks: Any = None,
    pooled: int = 2,
    given: int = 0,
) -> Seen:
    held = Held(rss_mib, 1.0, threads, Counter(files or FILES))
    return Seen(0.0, held, Counter(tasks or {"serve": 1}), 1000, Counter(), 10, pooled, given)


def soaked(**changed: Any) -> Soak:
    made = Made("CA1", "stop", ("가", "나"), 60.0, 0, (600,), ())
    found = Soak(60.0, seen(), [seen() for _ in range(10)], seen(), [made], replace(made, call_sid="CA2"))
    found.days = found.entries = 2
    found.told_words = 4
    for name, value in changed.items():
        setattr(found, name, value)
    return found


def missed(found: Soak) -> list[str]:
    return [what for what, _, fine in verdict(found) if not fine]


def test_a_good_day_misses_nothing() -> None:
    assert missed(soaked()) == []


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"rows": [seen(100 + n) for n in range(10)]}, "memory, first to last rows"),
        ({"ended": seen(tasks={"serve": 1, "Call.run": 1})}, "leaked tasks"),
        ({"ended": seen(files={**FILES, "model": 3})}, "leaked sockets and files"),
        ({"ended": seen(files={**FILES, "other TCP": 1})}, "leaked sockets and files"),
        ({"ended": seen(files={**FILES, DB_FILE: 4})}, "leaked sockets and files"),
        ({"ended": seen(files={**FILES, WAL_FILE: 3})}, "leaked database connections"),
        ({"ended": seen(given=1)}, "leaked database connections"),
        ({"ended": seen(threads=10)}, "leaked threads"),
        ({"lost_words": 1}, "words lost"),
        ({"entries": 1}, "entries"),
        ({"long": Made("CA2", "leaves", (), 59.0, 0, (), ())}, "the long call"),
        ({"long": Made("CA2", "leaves", (), 60.0, 1, (), ())}, "waits in vain"),
        ({"long": Made("CA2", "leaves", (), 60.0, 0, (), ("cut off",))}, "breaches"),
        ({"errors": Counter({"a call broke: KeyError": 1})}, "errors in the log"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_limit_is_one(changed: dict[str, Any], what: str) -> None:
    assert missed(soaked(**changed)) == [what]


def test_a_socket_of_a_call_may_not_be_there_at_rest_even_if_it_was_before() -> None:
    files = {**FILES, "media": 1}
    assert missed(soaked(rested=seen(files=files), ended=seen(files=files))) == ["leaked sockets and files"]


def test_what_is_kept_alive_for_the_next_request_is_no_leak() -> None:
    files = {**FILES, DB_FILE: 4, "model": 4}
    rows = [seen(files=files, threads=11)] + [seen()] * 9
    assert missed(soaked(rows=rows, ended=seen(files=files, threads=11))) == []
    missing = ["leaked sockets and files", "leaked threads"]
    assert missed(soaked(rows=rows[::-1], ended=seen(files=files, threads=11))) == missing


def test_a_connection_that_lies_in_a_pool_is_no_leak() -> None:
    files = {**FILES, DB_FILE: 5, WAL_FILE: 4}
    assert missed(soaked(ended=seen(files=files, threads=11, pooled=4))) == []
    assert missed(soaked(ended=seen(files=files, threads=11, pooled=3))) == [
        "leaked sockets and files",
        "leaked threads",
        "leaked database connections",
    ]


def test_one_high_row_is_no_drift() -> None:
    rows = [seen() for _ in range(20)]
    rows[-1] = seen(150)
    assert drift(rows) == 0
    assert drift([seen(100), seen(103)]) == pytest.approx(0.03)


def test_more_is_what_there_is_more_of() -> None:
    assert more({"a": 1, "b": 2, "c": 3}, {"a": 2, "b": 1, "d": 4}) == {"a": 1, "d": 4}
