from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from bot.diary.records import day_of, phone_number

SEOUL = ZoneInfo("Asia/Seoul")
NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("moment", "zone", "day"),
    [
        (datetime(2026, 11, 21, 3, 59, 59, tzinfo=SEOUL), SEOUL, date(2026, 11, 20)),
        (datetime(2026, 11, 21, 4, 0, tzinfo=SEOUL), SEOUL, date(2026, 11, 21)),
        (datetime(2026, 11, 20, 18, 59, tzinfo=UTC), SEOUL, date(2026, 11, 20)),
        (datetime(2026, 11, 20, 19, 0, tzinfo=UTC), SEOUL, date(2026, 11, 21)),
        (datetime(2027, 1, 1, 0, 30, tzinfo=SEOUL), SEOUL, date(2026, 12, 31)),
        # The night in which the clocks go forward: 04:00 on the wall, three hours after midnight.
        (datetime(2026, 3, 8, 4, 0, tzinfo=NEW_YORK), NEW_YORK, date(2026, 3, 8)),
        (datetime(2026, 3, 8, 3, 59, tzinfo=NEW_YORK), NEW_YORK, date(2026, 3, 7)),
    ],
)
def test_a_day_begins_at_four(moment: datetime, zone: ZoneInfo, day: date) -> None:
    assert day_of(moment, zone) == day


@pytest.mark.parametrize("number", ["+821012345678", "+12025550123", "+3512345"])
def test_e164_numbers_are_callers(number: str) -> None:
    assert phone_number(number) == number


@pytest.mark.parametrize(
    "number",
    [
        None, "", "anonymous", "unknown", "client:someone", "sip:someone@example.com", "01012345678", "821012345678",
        "+0821012345", "+82", "+8210123456789012", "+82 1012345678", "+821012345678\n", "+8210１２345678",
        "+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253",
    ],
)  # fmt: skip
def test_everything_else_is_nobody(number: str | None) -> None:
    assert phone_number(number) is None
