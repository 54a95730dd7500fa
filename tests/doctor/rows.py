"""How the rows of the doctor are looked at."""

from collections.abc import Sequence

from bot.doctor.row import Row


def of(rows: Sequence[Row], what: str) -> Row:
    (row,) = [row for row in rows if row.what == what]
    return row


def states(rows: Sequence[Row]) -> dict[str, str]:
    return {row.what: row.state for row in rows}
