"""Where the time of each turn went, drawn: one line a turn, with the figures and a bar on one scale for all.

The waterfalls are the bot's own, as its diary keeps them; nothing that was said is read out of it.
"""

import asyncio
from collections.abc import Mapping, Sequence

from bot.conversation.waterfall import Waterfall
from bot.diary.database import sqlite_file
from bot.diary.records import TurnRecord
from bot.diary.store import Store, open_store
from bot.errors import IlgiError
from bot.settings import load_store

STEPS = {"stop": "S", "final": "F", "over": "O", "token": "T", "clause": "C", "audio": "A", "heard": "H"}
"""What a turn waits for, in the usual order (fields of `Waterfall`), and its letter in the bar."""

LEGEND = (
    "ms after the caller's last voiced frame: | that frame, S VAD stop, F final, O turn over, T first token,",
    "C first clause, A first audio, H heard; a + behind the ending: the answer was prepared before the turn was over",
)
BAR_COLUMNS = 48
COLUMN_MS = (5, 10, 20, 25, 50, 100)
SHOWN_MS = (-1_500, 3_200)
"""What is earlier or later stands at the edge of a bar, as < or >."""

SETTLING_LOOKS = 50
"""How many tenths of a second the bot may take after a call to commit the last of it."""


def drawing(turns: Sequence[TurnRecord]) -> list[str]:
    """The turns that have a waterfall, under a head, in lines of at most 120 columns; empty when none has one."""
    measured = [(turn.turn, turn.waterfall) for turn in turns if turn.waterfall]
    if not measured:
        return []
    shown = [at_ms for _, waterfall in measured for at_ms in _times(waterfall) if at_ms is not None]
    from_ms = min(0, max(min(shown, default=0), SHOWN_MS[0]))
    to_ms = max(0, min(max(shown, default=0), SHOWN_MS[1]))
    column_ms = next(ms for ms in COLUMN_MS if (to_ms - from_ms) // ms < BAR_COLUMNS)
    head = f"turn {'ending':<12}" + "".join(f"{name:>7}" for name in STEPS)
    lines = [*LEGEND, f"{head}  1 column: {column_ms} ms"]
    for number, waterfall in measured:
        figures = "".join(f"{'-' if at_ms is None else at_ms:>7}" for at_ms in _times(waterfall))
        ending = waterfall.ending[:10] + (" +" if waterfall.prepared else "")
        lines.append(f"{number:>4} {ending:<12}{figures}  {_bar(waterfall, from_ms, to_ms, column_ms)}")
    return lines


def _times(waterfall: Waterfall) -> list[int | None]:
    """The times of `STEPS`, in ms after the caller's last voiced frame."""
    return [getattr(waterfall, f"{name}_ms") for name in STEPS]


def _bar(waterfall: Waterfall, from_ms: int, to_ms: int, column_ms: int) -> str:
    marks = {-from_ms // column_ms: "|"}
    for letter, at_ms in zip(STEPS.values(), _times(waterfall), strict=True):
        if at_ms is not None:
            edge = "<" if at_ms < from_ms else ">" if at_ms > to_ms else letter
            marks[(min(max(at_ms, from_ms), to_ms) - from_ms) // column_ms] = edge
    bar = "".join(marks.get(column, ".") for column in range(max(marks) + 1))
    return " " * min(marks) + bar[min(marks) :]


async def waterfalls_of(store: Store, call_sid: str) -> list[str]:
    """The drawing of a call that is over, or one line that says why there is none. StoreError."""
    if not await store.turns(call_sid):
        return [f"no waterfalls: nothing is kept of call {call_sid} in this diary (DATABASE_URL)"]
    for _ in range(SETTLING_LOOKS):
        if await store.is_ended(call_sid):
            break
        await asyncio.sleep(0.1)
    return drawing(await store.turns(call_sid)) or ["no waterfalls: no answer of this call was measured"]


async def kept_waterfalls(environ: Mapping[str, str], call_sid: str) -> list[str]:
    """As `waterfalls_of`, from the diary of the settings in `environ`, which need not be there or be readable."""
    try:
        settings = load_store(environ)
        file = sqlite_file(settings.database_url)
        if file is not None and not file.exists():
            return [f"no waterfalls: there is no diary {file} here (DATABASE_URL)"]
        if settings.diary_keys is None and file is not None and not file.with_name(file.name + ".key").exists():
            return [f"no waterfalls: DIARY_KEY is not set, and there is no key beside {file}"]
        store = await open_store(settings.database_url, settings.diary_keys, settings.timezone)
        try:
            return await waterfalls_of(store, call_sid)
        finally:
            await store.close()
    except IlgiError as error:
        return [f"no waterfalls: {error}"]
