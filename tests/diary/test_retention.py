"""bot/diary/retention.py: what is older than RETENTION_DAYS goes, once a day, and nothing else does."""

import os
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.diary.outbox import enqueue
from bot.diary.recording_job import ERASE
from bot.diary.retention import RETENTION, Retention
from bot.errors import CarrierError
from bot.lab.twilio_rest import TwilioRest
from bot.services.carrier import Carrier
from bot.settings import TwilioSettings
from tests.diary.talks import ANOTHER, NUMBER, told

SEOUL = ZoneInfo("Asia/Seoul")
SIDS = [f"CA{number:032x}" for number in range(8)]
RECORDING, WRITTEN_DOWN = "RE" + "1a" * 16, "RE" + "3c" * 16


class Recordings:
    """The telephone company: what it was asked to remove."""

    def __init__(self, error=None):
        self.deleted = []
        self.error = error

    async def recordings_of(self, call_sid):
        return []

    async def delete_recording(self, recording_sid):
        if self.error:
            raise self.error
        self.deleted.append(recording_sid)


def retention(store, days, **changes):
    return Retention(store, **{"days": days, "timezone": SEOUL} | changes)


async def run_the_job(store, handler):
    """Do it as the worker does."""
    await store.outbox.run_due_schedules()
    (job,) = await store.outbox.claim([RETENTION], 9)
    await handler(job, store.outbox)


async def calls_on_days(store, clock, count):
    """One call a day at noon, the first on 21 November; returns at the time of the last."""
    for number in range(count):
        if number:
            clock.forward(days=1)
        await told(store, SIDS[number], "산책했어요", number=ANOTHER if number % 2 else NUMBER)


async def kept(store):
    return [record.call_sid for record in await store.entries()]


async def test_a_call_is_kept_for_so_many_days_after_its_own(store, clock):
    handler = retention(store, 3)
    await calls_on_days(store, clock, 5)
    await handler.schedule()
    clock.now = datetime(2026, 11, 25, 20, 0, tzinfo=UTC)  # 05:00 of the 26th in Seoul
    await run_the_job(store, handler)
    # 26 - 3: the 23rd stays, the 22nd goes
    assert await kept(store) == SIDS[2:5]


async def test_it_is_done_once_a_day_at_half_past_four(store, clock):
    handler = retention(store, 1)
    clock.now = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
    for _ in range(3):  # every process that starts
        await handler.schedule()
    done_at = []
    for _ in range(4 * 48):
        clock.forward(minutes=15)
        await store.outbox.run_due_schedules()
        for job in await store.outbox.claim([RETENTION], 9):
            done_at.append(clock.now.astimezone(SEOUL).strftime("%d %H:%M"))
            await handler(job, store.outbox)
    assert done_at == ["22 04:30", "23 04:30"]


async def test_everything_is_kept_without_the_setting(store, clock, run_sql, diary_url):
    await calls_on_days(store, clock, 2)
    await store.stream_jobs.create(None, "{}", None)
    handler = retention(store, None)
    await handler.schedule()
    clock.forward(days=1)
    await run_the_job(store, handler)
    clock.forward(days=1000)
    await run_the_job(store, handler)
    assert await kept(store) == SIDS[:2]
    assert run_sql(diary_url, "SELECT count(*) FROM stream_jobs") == [("1",)]
    # but not that it was done 1000 days ago
    assert run_sql(diary_url, "SELECT count(*) FROM jobs WHERE kind = 'retention'") == [("1",)]


async def test_what_was_streamed_goes_with_its_day_and_who_has_nothing_else_with_it(store, clock, run_sql, diary_url):
    token = await store.people.begin_session(NUMBER)
    caller_id = (await store.people.person(token)).caller_id
    clock.now = datetime(2026, 12, 30, 14, 59, tzinfo=UTC)  # 23:59 in Seoul
    old = await store.stream_jobs.create(caller_id, "{}", None)
    of_nobody = await store.stream_jobs.create(None, "{}", None)
    clock.forward(minutes=2)
    new = await store.stream_jobs.create(caller_id, "{}", None)
    handler = retention(store, 1)
    await handler.schedule()
    clock.forward(days=1, hours=6)
    await run_the_job(store, handler)
    assert await store.stream_jobs.job(old, caller_id) is None
    assert await store.stream_jobs.job(of_nobody, None) is None
    assert await store.stream_jobs.job(new, caller_id)
    clock.forward(days=1)
    await run_the_job(store, handler)
    for table in ("stream_jobs", "callers"):
        assert run_sql(diary_url, f"SELECT count(*) FROM {table}") == [("0",)]


async def test_a_call_of_the_night_belongs_to_the_day_before(store, clock):
    clock.now = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)  # 03:00 of the 22nd
    await told(store, SIDS[0], "늦었어요")
    clock.now = datetime(2026, 11, 21, 19, 30, tzinfo=UTC)  # 04:30 of the 22nd
    await told(store, SIDS[1], "일찍 일어났어요")
    handler = retention(store, 1)
    await handler.schedule()
    clock.now = datetime(2026, 11, 22, 19, 30, tzinfo=UTC)
    await run_the_job(store, handler)
    assert await kept(store) == [SIDS[1]]


async def test_a_caller_goes_with_the_last_of_their_calls(store, clock, run_sql, diary_url):
    await calls_on_days(store, clock, 2)
    handler = retention(store, 1)
    await handler.schedule()
    clock.forward(days=20)
    await run_the_job(store, handler)
    for table in ("callers", "calls", "turns", "entries"):
        assert run_sql(diary_url, f"SELECT count(*) FROM {table}") == [("0",)]


async def test_the_journals_of_removed_calls_go_and_old_ones_of_calls_that_nobody_knows(store, clock, tmp_path):
    await calls_on_days(store, clock, 3)
    folder = tmp_path / "journals"
    folder.mkdir()
    names = [f"{sid}-MZ1.journal" for sid in SIDS[:3]] + ["CAold-MZ1.journal", "CAnew-MZ1.journal", "notes.txt"]
    noon = datetime(2026, 11, 23, 12, tzinfo=SEOUL)
    for name in names:
        (folder / name).write_bytes(b"x")
        old = name in ("CAold-MZ1.journal", "notes.txt")
        moment = (noon - timedelta(days=2 if old else 0)).timestamp()
        os.utime(folder / name, (moment, moment))
    handler = retention(store, 1, journal_dir=folder)
    await handler.schedule()
    clock.now = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)  # 05:00 of the 24th
    await run_the_job(store, handler)
    assert await kept(store) == [SIDS[2]]
    assert sorted(path.name for path in folder.iterdir()) == sorted([names[2], "CAnew-MZ1.journal", "notes.txt"])


async def test_a_recording_that_nobody_fetched_is_removed_at_twilio(store, clock):
    await told(store, SIDS[0], "산책했어요")
    await store.recording_made(SIDS[0], RECORDING)
    clock.forward(days=3)
    await told(store, SIDS[1], "책을 읽었어요")
    await store.recording_made(SIDS[1], "RE" + "2b" * 16)
    async with store.database.write() as connection:  # written down, and not removed yet
        args = {"call_sid": SIDS[0], "recording_sid": WRITTEN_DOWN}
        await enqueue(store.database, connection, ERASE, f"erase:{WRITTEN_DOWN}", args, now=clock())
    twilio = Recordings()
    handler = retention(store, 2, recordings=twilio)
    await handler.schedule()
    clock.forward(days=1)
    await run_the_job(store, handler)
    assert sorted(twilio.deleted) == [RECORDING, WRITTEN_DOWN]
    assert await kept(store) == [SIDS[1]]


async def test_a_recording_that_twilio_has_and_could_not_tell_of_is_removed_there(store, clock):
    account, token = "AC" + "0f" * 16, "token"
    async with (
        TwilioRest(account, token) as rest,
        Carrier(TwilioSettings(account_sid=account, auth_tokens=(token,), api_url=rest.url)) as carrier,
    ):
        for number, sid in enumerate(SIDS[:3]):
            call = await told(store, sid, "산책했어요")
            if number != 1:  # of the others a rest was to be recorded
                await call.record_next()
                rest.recordings.keep(sid, b"\xff" * 8000)
            clock.forward(days=1)
        handler = retention(store, 2, recordings=carrier)
        await handler.schedule()
        clock.now = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)  # 05:00 of the 25th
        await run_the_job(store, handler)
        assert [recorded.call_sid for recorded in rest.recordings.kept.values()] == [SIDS[2]]
        assert sum("/Calls/" in request for request in rest.report.requests) == 1
    assert await kept(store) == [SIDS[2]]


async def test_a_day_whose_recording_cannot_be_removed_is_kept_until_it_can(store, clock):
    await told(store, SIDS[0], "산책했어요")
    clock.forward(days=1)
    await told(store, SIDS[1], "산책했어요")
    await store.recording_made(SIDS[1], RECORDING)
    handler = retention(store, 1, recordings=Recordings(CarrierError("HTTP 503", status=503)))
    await handler.schedule()
    clock.forward(days=9)
    with pytest.raises(CarrierError):
        await run_the_job(store, handler)
    assert await kept(store) == [SIDS[1]]
    clock.forward(minutes=2)
    (job,) = await store.outbox.claim([RETENTION], 9)
    await retention(store, 1, recordings=Recordings())(job, store.outbox)
    assert await kept(store) == []
