"""bot/diary/schedules.py: an hour of every day, once each, whatever the clocks and the processes do."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from bot.diary.schedules import moments
from bot.diary.schema import schedules
from bot.diary.store import Store
from tests.diary.conftest import Clock, OpenStore

SEOUL = "Asia/Seoul"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def evening(store: Store, hhmm: str = "21:00", *, tz: str = SEOUL, grace_s: float = 600) -> None:
    await store.outbox.schedule("evening", "ring", {"person": "7"}, hhmm=hhmm, tz=tz, grace_s=grace_s)


async def rung(store: Store) -> list[str]:
    """The jobs that are new by now."""
    await store.outbox.run_due_schedules()
    keys = []
    for job in await store.outbox.claim(["ring"], 99):
        assert job.args == {"person": "7"}
        async with store.outbox.finish(job):
            keys.append(job.key)
    return keys


@pytest.mark.parametrize(
    ("tz", "hhmm", "since", "expected"),
    [
        (SEOUL, "21:00", "2026-11-21 12:00", [("2026-11-21", "2026-11-21 12:00"), ("2026-11-22", "2026-11-22 12:00")]),
        # The hour that is left out in spring is the one after it.
        (
            "Europe/Berlin",
            "02:30",
            "2026-03-28 12:00",
            [("2026-03-29", "2026-03-29 01:30"), ("2026-03-30", "2026-03-30 00:30")],
        ),
        # The hour that is there twice in autumn is the first.
        (
            "Europe/Berlin",
            "02:30",
            "2026-10-24 12:00",
            [("2026-10-25", "2026-10-25 00:30"), ("2026-10-26", "2026-10-26 01:30")],
        ),
        (
            "America/New_York",
            "21:00",
            "2026-11-01 00:00",
            [("2026-10-31", "2026-11-01 01:00"), ("2026-11-01", "2026-11-02 02:00")],
        ),
        # Samoa had no 30 December 2011.
        (
            "Pacific/Apia",
            "09:00",
            "2011-12-30 00:00",
            [("2011-12-30", "2011-12-30 19:00"), ("2012-01-01", "2011-12-31 19:00")],
        ),
    ],
)
def test_the_moments_of_an_hour(tz: str, hhmm: str, since: str, expected: list[tuple[str, str]]) -> None:
    found = islice(moments(hhmm, tz, since=at(since)), 2)
    assert list(found) == [(date.fromisoformat(day), at(moment)) for day, moment in expected]


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
    st.sampled_from([SEOUL, "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"]),
    st.times(),
)
def test_every_day_has_the_hour_once(since: datetime, tz: str, hour: object) -> None:
    hhmm = f"{hour:%H:%M}"
    found = list(islice(moments(hhmm, tz, since=since), 400))
    assert found[0][1] >= since
    assert [day for day, _ in found] == [found[0][0] + timedelta(days=n) for n in range(400)]
    assert all(first < second for (_, first), (_, second) in pairwise(found))
    shown = [moment.astimezone(ZoneInfo(tz)).strftime("%H:%M") for _, moment in found]
    assert sum(text != hhmm for text in shown) <= 3


@pytest.mark.parametrize("hhmm", ["24:00", "9:00", "21:60", "21", "", "21:00 "])
def test_what_is_no_hour(hhmm: str) -> None:
    with pytest.raises(ValueError):
        next(moments(hhmm, SEOUL, since=at("2026-11-21")))


async def test_a_schedule_makes_one_job_a_day(store: Store, clock: Clock) -> None:
    clock.now = at("2026-11-21 11:59")
    await evening(store)
    assert await rung(store) == []
    clock.forward(minutes=1)
    assert await rung(store) == ["evening:2026-11-21"]
    assert await rung(store) == []
    clock.forward(hours=24)
    assert await rung(store) == ["evening:2026-11-22"]


async def test_of_many_processes_one_makes_the_job(open_store: OpenStore, clock: Clock) -> None:
    stores = [await open_store() for _ in range(3)]
    for store in stores:
        await evening(store)
    clock.forward(days=1)
    assert sum(await asyncio.gather(*(store.outbox.run_due_schedules() for store in stores))) == 1


async def test_what_nobody_was_there_for_is_made_up_within_its_grace(store: Store, clock: Clock) -> None:
    clock.now = at("2026-11-21 11:00")
    await evening(store, grace_s=600)
    clock.now = at("2026-11-21 12:10")
    assert await rung(store) == ["evening:2026-11-21"]
    clock.now = at("2026-11-22 12:11")
    assert await rung(store) == []
    # Days later the last one may still be in time.
    clock.now = at("2026-11-26 12:05")
    assert await rung(store) == ["evening:2026-11-26"]


async def test_told_again_it_keeps_what_is_due(store: Store, clock: Clock) -> None:
    clock.now = at("2026-11-21 11:00")
    await evening(store)
    clock.now = at("2026-11-21 12:05")
    await evening(store, grace_s=700)
    assert await rung(store) == ["evening:2026-11-21"]


async def test_another_hour_counts_from_now(store: Store, clock: Clock) -> None:
    clock.now = at("2026-11-21 11:00")
    await evening(store)
    await evening(store, "20:30", tz=SEOUL)
    assert await rung(store) == []
    clock.now = at("2026-11-22 11:30")
    assert await rung(store) == ["evening:2026-11-22"]


async def test_a_schedule_that_cannot_be_read_here_stops_no_other(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await store.outbox.schedule("broken", "ring", {}, hhmm="20:00", tz=SEOUL, grace_s=600)
    await evening(store)
    async with store.database.write() as connection:
        change = update(schedules).where(schedules.c.name == "broken").values(tz="Moon/Crater")
        await connection.execute(change)
    clock.forward(days=1)
    assert await rung(store) == ["evening:2026-11-22"]
    assert "broken" in caplog.text


async def test_a_schedule_that_cannot_be_read_here_waits_for_a_process_that_can(
    open_store: OpenStore, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(name: str) -> ZoneInfo:
        raise ZoneInfoNotFoundError(name)

    old, new = await open_store(), await open_store()
    await evening(new)
    clock.now = at("2026-11-22 12:05")  # 5 min late, of 10 that are allowed
    with monkeypatch.context() as without_zones:
        without_zones.setattr("bot.diary.schedules.ZoneInfo", unknown)
        for _ in range(3):
            assert await rung(old) == []
    assert caplog.text.count("cannot be read here") == 1, "once an hour is enough"
    assert await rung(new) == ["evening:2026-11-22"]
    clock.now = at("2026-11-23 12:05")
    assert await rung(old) == ["evening:2026-11-23"], "it is looked at again"
