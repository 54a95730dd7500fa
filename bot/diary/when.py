"""Which days a question means: 어제, 지난주 토요일, 작년 여름, 3월에, 5월 5일.

Days are those of the diary, and none is after today: a month without its year is the last one of that name that has
begun. How the words are written is data (texts/search.toml). It knows no entries and no clock.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from bot.conversation.texts import table

_WHEN: dict[str, Any] = table("search")["when"]
_YEARS: dict[str, int] = _WHEN["years"]
_PARTS: dict[str, list[int]] = _WHEN["parts"]
_SEASONS: dict[str, int] = _WHEN["seasons"]
_WEEKDAYS: list[str] = _WHEN["weekdays"]
_DAYS: dict[str, list[int]] = _WHEN["days"]
_ONES: list[str] = _WHEN["numbers"]
_TEN = _ONES[9]
_NUMBERS: dict[str, int] = {
    **{one: value for value, one in enumerate(_ONES, start=1)},
    **{_TEN + one: 10 + value for value, one in enumerate(_ONES[:9], start=1)},
    **{_ONES[tens - 1] + _TEN: tens * 10 for tens in (2, 3)},
    **{_ONES[1] + _TEN + one: 20 + value for value, one in enumerate(_ONES[:9], start=1)},
    _ONES[2] + _TEN + _ONES[0]: 31,
    **_WHEN["months"],
    **_WHEN["native"],
    **_WHEN["counted"],
}
_LONGEST_EXACT = 7
_LONGEST_DAY = 2

Span = tuple[date, date]
"""The first and the last day."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The days that a question means, and what else it says.

    `exact`: the asker knows the day or the week; else it is a month, a season or a year, which people mix up.
    """

    spans: tuple[Span, ...]
    rest: str

    @property
    def days(self) -> int:
        """How many days they are."""
        return sum((last - first).days + 1 for first, last in self.spans)

    @property
    def exact(self) -> bool:
        """Whether they are no more than a week."""
        return self.days <= _LONGEST_EXACT

    @property
    def is_day(self) -> bool:
        """Whether they are one day, or a day more or less."""
        return self.days <= _LONGEST_DAY

    def holds(self, day: date) -> bool:
        """Whether it is one of the days."""
        return any(first <= day <= last for first, last in self.spans)


def days_asked(question: str, today: date) -> Asked | None:
    """The days that the first date of a question means; None when there is no date in it, or none that can be."""
    for means, pattern in _PATTERNS:
        match = pattern.search(question)
        if match is None:
            continue
        try:
            spans = means(match.groupdict(), today)
        except (ValueError, OverflowError):  # the 31st of February, the year 0, a thousand years ago
            continue
        behind = _PARTICLE.sub("", question[match.end() :])
        return Asked(tuple(spans), f"{question[: match.start()]} {behind}")
    return None


def _any_of(words: Mapping[str, Any] | list[str]) -> str:
    return "(?:" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + ")"


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else _NUMBERS[text]


def _year(text: str, today: date) -> int:
    if (ago := _YEARS.get(text)) is not None:
        return today.year + ago
    return int(text[:4])


def _month_span(year: int, month: int) -> Span:
    return date(year, month, 1), date(year, month, monthrange(year, month)[1])


def _part(span: Span, found: Mapping[str, str | None]) -> Span:
    """The part of a month that was named, if one was."""
    if not (named := found.get("part")):
        return span
    first, last = _PARTS[named]
    return span[0].replace(day=first), span[0].replace(day=min(last, span[1].day))


def _months_before(today: date, months: int) -> Span:
    year, month = divmod(today.year * 12 + today.month - 1 - months, 12)
    return _month_span(year, month + 1)


def _date(found: Mapping[str, str | None], today: date) -> list[Span]:
    month, day = _number(found["month"] or ""), _number(found["day"] or "")
    if found["year"]:
        return [(one := date(_year(found["year"], today), month, day), one)]
    # The last one that there was; the 29th of February may be eight years ago.
    for year in range(today.year, today.year - 9, -1):
        if day <= monthrange(year, month)[1] and (one := date(year, month, day)) <= today:
            return [(one, one)]
    raise ValueError


def _dates(found: Mapping[str, str | None], today: date) -> list[Span]:
    [(first, _)] = _date(found, today)
    month = _number(found["last_month"]) if found["last_month"] else first.month
    last = date(first.year + (month < first.month), month, _number(found["last_day"] or ""))
    if last < first:
        raise ValueError
    return [(first, last)]


def _day_of_month(found: Mapping[str, str | None], today: date) -> list[Span]:
    day, named = _number(found["day"] or ""), "before" in found
    ago = 0 if not named else 2 if found["before"] else 1 if found["last"] else 0
    first, last = _months_before(today, ago)
    if not named and day > today.day:
        # The last one that there was.
        first, last = next(span for months in (1, 2) if (span := _months_before(today, months))[1].day >= day)
    return [(one := first.replace(day=day), one)] if day <= last.day else []


def _month(found: Mapping[str, str | None], today: date) -> list[Span]:
    month = _number(found["month"] or "")
    if found["year"]:
        return [_part(_month_span(_year(found["year"], today), month), found)]
    return [_part(_month_span(today.year - (month > today.month), month), found)]


def _season(found: Mapping[str, str | None], today: date) -> list[Span]:
    first_month = _SEASONS[found["season"] or ""]
    named = found.get("year")
    year = _year(named, today) if named else today.year
    if not named:
        while (span := _season_span(year, first_month))[1 if found.get("last") else 0] > today:
            year -= 1
        goes_on = span[1] >= today and not found.get("this")
        return [span, _season_span(year - 1, first_month)] if goes_on else [span]
    winter_goes_on = [(date(year, 1, 1), _month_span(year, 2)[1])] if first_month == 12 else []
    return [_season_span(year, first_month), *winter_goes_on]


def _season_span(year: int, first_month: int) -> Span:
    first = date(year, first_month, 1)
    return first, _months_before(first, -2)[1]


def _whole_year(found: Mapping[str, str | None], today: date) -> list[Span]:
    year = _year(found["year"] or "", today)
    return [(date(year, 1, 1), date(year, 12, 31))]


def _days_ago(found: Mapping[str, str | None], today: date) -> list[Span]:
    one = today - timedelta(_number(found["days"] or found["native"] or ""))
    return [(one, one)]


def _weeks_ago(found: Mapping[str, str | None], today: date) -> list[Span]:
    around = today - timedelta(weeks=_number(found["weeks"] or ""))
    return [(around - timedelta(3), around + timedelta(3))]


def _months_ago(found: Mapping[str, str | None], today: date) -> list[Span]:
    if named := found.get("months") or found.get("counted"):
        return [_months_before(today, _number(named))]
    return [_part(_months_before(today, 2 if found.get("before") else 1 if found.get("last") else 0), found)]


def _years_ago(found: Mapping[str, str | None], today: date) -> list[Span]:
    year = today.year - _number(found["years"] or "")
    return [(date(year, 1, 1), date(year, 12, 31))]


def _week(found: Mapping[str, str | None], today: date) -> list[Span]:
    weeks = 2 if found.get("before") else 1 if found.get("last") else 0
    monday = today - timedelta(today.weekday() + 7 * weeks)
    if found["weekday"]:
        return [(one := monday + timedelta(_WEEKDAYS.index(found["weekday"])), one)]
    return [(monday, monday + timedelta(6))]


def _weekend(found: Mapping[str, str | None], today: date) -> list[Span]:
    saturday = today - timedelta(today.weekday()) + timedelta(5)
    saturday -= timedelta(7 if found["last"] else 0)
    return [(saturday, saturday + timedelta(1))]


def _weekday(found: Mapping[str, str | None], today: date) -> list[Span]:
    back = (today.weekday() - _WEEKDAYS.index(found["weekday"] or "")) % 7 or 7
    return [(one := today - timedelta(back), one)]


def _day(found: Mapping[str, str | None], today: date) -> list[Span]:
    least, most = _DAYS[found["word"] or ""]
    return [(today - timedelta(most), today - timedelta(least))]


_MEANS: dict[str, Callable[[Mapping[str, str | None], date], list[Span]]] = {
    "dates": _dates,
    "date": _date,
    "day_of_month": _day_of_month,
    "month": _month,
    "season": _season,
    "year": _whole_year,
    "days_ago": _days_ago,
    "weeks_ago": _weeks_ago,
    "months_ago": _months_ago,
    "years_ago": _years_ago,
    "week": _week,
    "weekend": _weekend,
    "weekday": _weekday,
    "day": _day,
}
_WRITTEN = {
    "<N>": rf"(?:\d{{1,2}}|{_any_of({w: 0 for w in _NUMBERS if w[0] in _ONES})})",
    "<NATIVE>": _any_of(_WHEN["native"]),
    "<COUNTED>": _any_of(_WHEN["counted"]),
    "<YEAR>": rf"(?:\d{{4}}\s*년|{_any_of(_YEARS)})",
    "<PART>": _any_of(_PARTS),
    "<SEASON>": _any_of(_SEASONS),
    "<WEEKDAY>": _any_of(_WEEKDAYS),
    "<DAY>": _any_of(_DAYS),
}
_PARTICLE = re.compile(rf"^{_any_of(_WHEN['particles'])}(?![가-힣])")


def _compiled(pattern: str) -> re.Pattern[str]:
    for name, written in _WRITTEN.items():
        pattern = pattern.replace(name, written)
    return re.compile(rf"(?<![가-힣\d])(?:{pattern})")


_PATTERNS = [(_MEANS[means], _compiled(pattern)) for means, pattern in _WHEN["patterns"]]
