"""bot/diary/stream_jobs.py: one owner at a time, nothing lost that was heard, and an end for every job."""

import json
from collections.abc import Callable

import pytest
from sqlalchemy import insert, select

from bot.diary.schema import callers, segments, stream_jobs
from bot.diary.store import Store
from bot.diary.stream_jobs import (
    AWAITED_FOR,
    INTERRUPTED,
    LEASE,
    NEVER_STREAMED,
    NO_SUMMARY,
    RESUMABLE_FOR,
    SUMMARY,
    StreamJobs,
)
from bot.diary.stream_records import Claim, ClaimRefused, JobRecord, JobState, Segment
from bot.errors import LeaseLost
from tests.diary.conftest import Clock, OpenStore

SAID = "오늘은 회의가 길었어요"
WANTED, UNWANTED = '{"summary":true}', '{"summary":false}'


@pytest.fixture
def jobs(store: Store) -> StreamJobs:
    return StreamJobs(store.database, store.keys, store.clock)


async def caller(store: Store, number: str) -> int:
    async with store.database.write() as connection:
        values = {"number_hash": number.encode(), "number_sealed": b"", "first_call_at": store.clock()}
        done = await connection.execute(insert(callers).values(**values, last_call_at=store.clock()))
        (caller_id,) = done.inserted_primary_key
    return int(caller_id)


async def claimed(jobs: StreamJobs, config: str = WANTED) -> Claim:
    claim = await jobs.claim(await jobs.create(None, config, None))
    assert isinstance(claim, Claim)
    return claim


async def seen(jobs: StreamJobs, claim: Claim) -> JobRecord:
    job = await jobs.job(claim.job_id, None)
    assert job is not None
    return job


async def due(store: Store) -> list[dict[str, str]]:
    return [dict(work.args) for work in await store.outbox.claim([SUMMARY], 10)]


def segment(number: int = 0, start_ms: int = 0) -> Segment:
    return Segment(number, start_ms, start_ms + 900, SAID)


async def test_a_job_is_read_by_whose_it_is_and_by_nobody_else(store: Store, jobs: StreamJobs) -> None:
    one, other = await caller(store, "1"), await caller(store, "2")
    job_id = await jobs.create(one, WANTED, "회의")
    of_nobody = await jobs.create(None, WANTED, None)
    job = await jobs.job(job_id, one)
    assert job is not None
    assert (job.state, job.title, job.audio_ms, job.summary, job.error) == (JobState.CREATED, "회의", 0, None, None)
    assert job.made_at == store.clock()
    assert await jobs.job(job_id, other) is None
    assert await jobs.job(job_id, None) is None
    assert await jobs.job(of_nobody, one) is None
    assert await jobs.job(of_nobody, None) is not None
    assert await jobs.job("no such job", None) is None


async def test_nothing_said_and_no_title_is_in_the_database_as_it_is(
    jobs: StreamJobs, diary_url: str, run_sql: Callable[[str, str], list[tuple[str, ...]]]
) -> None:
    claim = await jobs.claim(await jobs.create(None, WANTED, "비밀 회의"))
    assert isinstance(claim, Claim)
    await jobs.add_segment(claim, segment())
    rows = run_sql(diary_url, "SELECT * FROM stream_jobs") + run_sql(diary_url, "SELECT * FROM segments")
    assert "비밀" not in str(rows) and "회의" not in str(rows)
    assert [one.text for one in await jobs.segments(claim.job_id)] == [SAID]


async def test_one_socket_streams_a_job_at_a_time(jobs: StreamJobs) -> None:
    claim = await claimed(jobs)
    assert (await seen(jobs, claim)).state is JobState.STREAMING
    assert await jobs.claim(claim.job_id) is ClaimRefused.BUSY
    assert await jobs.claim("no such job") is ClaimRefused.UNKNOWN


async def test_an_owner_that_renews_stays_the_owner(jobs: StreamJobs, clock: Clock) -> None:
    claim = await claimed(jobs)
    for _ in range(10):
        clock.forward(seconds=LEASE.total_seconds() * 0.9)
        await jobs.renew(claim)
        assert await jobs.claim(claim.job_id) is ClaimRefused.BUSY
        assert await jobs.close_lapsed() == 0


async def test_of_two_processes_that_claim_a_job_at_once_one_gets_it(open_store: OpenStore) -> None:
    stores = [await open_store() for _ in range(3)]
    others = [StreamJobs(store.database, store.keys, store.clock) for store in stores]
    job_id = await others[0].create(None, WANTED, None)
    import asyncio

    claims = await asyncio.gather(*(jobs.claim(job_id) for jobs in others))
    assert sorted(str(claim) for claim in claims if isinstance(claim, ClaimRefused)) == ["busy", "busy"]
    assert len([claim for claim in claims if isinstance(claim, Claim)]) == 1


async def test_after_the_lease_another_socket_goes_on_and_the_older_one_writes_nothing(
    store: Store, jobs: StreamJobs, clock: Clock
) -> None:
    old = await claimed(jobs)
    await jobs.add_segment(old, segment(0, 1000))
    clock.forward(seconds=LEASE.total_seconds())
    new = await jobs.claim(old.job_id)
    assert isinstance(new, Claim)
    assert (new.owner, new.audio_ms, new.segments) == (old.owner + 1, 1900, 1)
    for late in (
        jobs.renew(old),
        jobs.add_segment(old, segment(1, 2000)),
        jobs.ended(old, 9000),
        jobs.failed(old, 9000, "x"),
        jobs.released(old, 9000),
    ):
        with pytest.raises(LeaseLost):
            await late
    await jobs.add_segment(new, segment(1, 3000))
    assert [one.start_ms for one in await jobs.segments(old.job_id)] == [1000, 3000]
    job = await seen(jobs, new)
    assert (job.state, job.audio_ms) == (JobState.STREAMING, 3900)
    assert await due(store) == []


async def test_a_segment_that_is_told_again_is_kept_once(jobs: StreamJobs) -> None:
    claim = await claimed(jobs)
    await jobs.add_segment(claim, segment())
    await jobs.add_segment(claim, segment())
    assert await jobs.segments(claim.job_id) == [segment()]


async def test_a_job_in_which_something_was_said_waits_for_its_summary(store: Store, jobs: StreamJobs) -> None:
    claim = await claimed(jobs)
    await jobs.add_segment(claim, segment())
    await jobs.ended(claim, 4000)
    job = await seen(jobs, claim)
    assert (job.state, job.audio_ms, job.ended_at) == (JobState.STREAMING, 4000, store.clock())
    assert await due(store) == [{"job_id": claim.job_id}]
    assert await jobs.claim(claim.job_id) is ClaimRefused.OVER
    with pytest.raises(LeaseLost):
        await jobs.add_segment(claim, segment(1))


@pytest.mark.parametrize(("config", "said"), [(UNWANTED, True), (WANTED, False), ("{}", False)])
async def test_a_job_without_anything_to_summarise_is_complete(
    store: Store, jobs: StreamJobs, config: str, said: bool
) -> None:
    claim = await claimed(jobs, config)
    if said:
        await jobs.add_segment(claim, segment())
    await jobs.ended(claim, 4000)
    job = await seen(jobs, claim)
    assert (job.state, job.summary, job.error) == (JobState.COMPLETED, None, None)
    assert await due(store) == []
    assert await jobs.claim(claim.job_id) is ClaimRefused.OVER


async def test_a_job_that_fails_keeps_what_was_heard(store: Store, jobs: StreamJobs) -> None:
    claim = await claimed(jobs)
    await jobs.add_segment(claim, segment())
    await jobs.failed(claim, 4000, "no recogniser")
    job = await seen(jobs, claim)
    assert (job.state, job.error, job.audio_ms) == (JobState.FAILED, "no recogniser", 4000)
    assert await jobs.segments(claim.job_id) == [segment()]
    assert await due(store) == []
    assert await jobs.claim(claim.job_id) is ClaimRefused.OVER


async def test_a_job_that_is_handed_over_may_be_claimed_at_once(jobs: StreamJobs) -> None:
    claim = await claimed(jobs)
    await jobs.add_segment(claim, segment())
    await jobs.released(claim, 2500)
    new = await jobs.claim(claim.job_id)
    assert isinstance(new, Claim)
    assert (new.audio_ms, new.segments) == (2500, 1)


# Whose process is gone


@pytest.mark.parametrize("released", [False, True])
async def test_a_job_whose_process_died_is_summarised_with_what_was_heard(
    store: Store, jobs: StreamJobs, clock: Clock, released: bool
) -> None:
    claim = await claimed(jobs)
    await jobs.add_segment(claim, segment())
    if released:
        await jobs.released(claim, 900)
    else:
        clock.forward(seconds=LEASE.total_seconds())
    clock.forward(seconds=RESUMABLE_FOR.total_seconds())
    assert await jobs.close_lapsed() == 0
    clock.forward(seconds=1)
    assert await jobs.close_lapsed() == 1
    assert await jobs.close_lapsed() == 0
    job = await seen(jobs, claim)
    assert (job.state, job.error, job.ended_at) == (JobState.STREAMING, INTERRUPTED, clock())
    assert await due(store) == [{"job_id": claim.job_id}]
    with pytest.raises(LeaseLost):
        await jobs.add_segment(claim, segment(1))


async def test_a_job_whose_process_died_before_anything_was_said_has_failed(jobs: StreamJobs, clock: Clock) -> None:
    claim = await claimed(jobs)
    clock.forward(seconds=(LEASE + RESUMABLE_FOR).total_seconds() + 1)
    assert await jobs.close_lapsed() == 1
    job = await seen(jobs, claim)
    assert (job.state, job.error) == (JobState.FAILED, INTERRUPTED)


async def test_a_job_that_nobody_streams_fails_after_a_day(jobs: StreamJobs, clock: Clock) -> None:
    job_id = await jobs.create(None, WANTED, None)
    clock.forward(seconds=AWAITED_FOR.total_seconds())
    assert await jobs.close_lapsed() == 0
    clock.forward(seconds=1)
    assert await jobs.close_lapsed() == 1
    job = await jobs.job(job_id, None)
    assert job is not None and (job.state, job.error) == (JobState.FAILED, NEVER_STREAMED)


async def test_a_job_whose_summary_nobody_makes_any_more_has_failed(
    store: Store, jobs: StreamJobs, clock: Clock
) -> None:
    claim = await claimed(jobs)
    await jobs.add_segment(claim, segment())
    await jobs.ended(claim, 900)
    clock.forward(days=2)
    assert await jobs.close_lapsed() == 0
    (work,) = await store.outbox.claim([SUMMARY], 1)
    async with store.outbox.finish(work):
        pass
    assert await jobs.close_lapsed() == 1
    job = await seen(jobs, claim)
    assert (job.state, job.error) == (JobState.FAILED, NO_SUMMARY)


# Removal


async def test_with_a_person_go_all_jobs_and_what_was_said_in_them(store: Store, jobs: StreamJobs) -> None:
    job_id = await jobs.create(await caller(store, "1"), WANTED, None)
    claim = await jobs.claim(job_id)
    assert isinstance(claim, Claim)
    await jobs.add_segment(claim, segment())
    async with store.database.write() as connection:
        await connection.execute(callers.delete())
    async with store.database.read() as connection:
        assert (await connection.scalars(select(segments.c.id))).all() == []
        assert (await connection.scalars(select(stream_jobs.c.job_id))).all() == []
    with pytest.raises(LeaseLost):
        await jobs.add_segment(claim, segment(1))


async def test_one_job_is_removed_with_what_was_said_and_no_other(store: Store, jobs: StreamJobs) -> None:
    claim, other = await claimed(jobs), await claimed(jobs)
    for each in (claim, other):
        await jobs.add_segment(each, segment())
    await jobs.ended(other, 900)
    await jobs.remove(claim.job_id)
    await jobs.remove(claim.job_id)
    assert await jobs.claimed(claim) is None
    assert (await jobs.segments(claim.job_id), await jobs.segments(other.job_id)) == ([], [segment()])
    with pytest.raises(LeaseLost):
        await jobs.renew(claim)
    assert await due(store) == [{"job_id": other.job_id}]


async def test_old_jobs_are_removed_with_what_was_said(store: Store, jobs: StreamJobs, clock: Clock) -> None:
    old = await claimed(jobs)
    await jobs.add_segment(old, segment())
    clock.forward(days=1)
    new = await claimed(jobs)
    assert await jobs.remove_before(clock()) == 1
    assert await jobs.job(old.job_id, None) is None
    assert await jobs.segments(old.job_id) == []
    assert (await seen(jobs, new)).state is JobState.STREAMING


async def test_the_config_is_kept_as_it_was_asked_for(jobs: StreamJobs) -> None:
    claim = await claimed(jobs, '{"language":"ko","summary":false}')
    assert (
        json.loads((await seen(jobs, claim)).config) == json.loads(claim.config) == {"language": "ko", "summary": False}
    )
