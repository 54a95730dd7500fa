"""What the store gives out, and the two rules about its input: which numbers are callers, and which day a call is of.

Pure values; it must not know tables, keys or the clock.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from bot.conversation.commands import Mood, Status
from bot.conversation.waterfall import Waterfall

DAY_BEGINS = timedelta(hours=4)

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
# Carriers spell a withheld number on the keypad: ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN, UNAVAILABLE.
_WITHHELD = {"+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"}


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call that came in: whether its caller never talked before, the number of its media stream, from 1, its day.

    The stream is the one that was let in last; before the first is, the one that is awaited.
    """

    first_time: bool
    stream: int
    day: date


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One turn of a talk: -1 is the greeting; times are on the call clock of its media stream.

    A turn that is off the record keeps its number, and nothing else. A stream that was overtaken may have a turn of the
    same number as the one after it.
    """

    turn: int
    said: str | None
    heard: str | None
    from_ms: int | None
    to_ms: int | None
    waterfall: Waterfall | None = None
    stream: int = 1


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """One entry; without caller for an anonymous call, without title, body and mood once it is discarded.

    `provisional`: better words for it are still awaited, or more was said since it was written.
    """

    call_sid: str
    caller: str | None
    day: date
    title: str | None
    body: str | None
    mood: Mood | None
    status: Status
    provisional: bool = False


def said_in(turns: Iterable[TurnRecord]) -> list[str]:
    """What the caller said, turn by turn."""
    return [turn.said for turn in turns if turn.said is not None]


def phone_number(number: str | None) -> str | None:
    """The E.164 number of a caller, or None for everything that tells no one apart (`anonymous`, `sip:…`, withheld)."""
    if number is None or not _E164.fullmatch(number) or number in _WITHHELD:
        return None
    return number


def typed_number(text: str) -> str | None:
    """The same of what a person typed: blanks, hyphens and brackets may be in it."""
    return phone_number(re.sub(r"[\s()-]", "", text))


def day_of(moment: datetime, zone: tzinfo) -> date:
    """The day that a talk at an aware `moment` is about: before 04:00 on the clock of `zone`, the day before."""
    return (moment.astimezone(zone) - DAY_BEGINS).date()
