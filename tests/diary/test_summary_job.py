"""bot/diary/summary_job.py and summary.py: every job gets its summary, whatever fails."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.diary.outbox import TRIES
from bot.diary.parts import split
from bot.diary.store import Store
from bot.diary.stream_jobs import SUMMARY, StreamJobs
from bot.diary.stream_records import Claim, JobRecord, JobState, Segment
from bot.diary.summary import EXTRACT_LETTERS, LONGEST_LETTERS, PART_LETTERS, Summariser, extract
from bot.diary.summary_job import SummaryJob
from bot.errors import ModelError
from tests.diary.conftest import Clock

SAID = ("오늘은 회의가 길었어요.", "음", "다음 주 화요일에 다시 만나기로 했어요.")
WRITTEN = "회의가 길었고, 다음 주 화요일에 다시 만나기로 했다."


class Model:
    """Answers with `answer`; fails as long as it is `away`."""

    def __init__(self, answer: str = WRITTEN, *, away: bool = False) -> None:
        self.answer = answer
        self.away = away
        self.asked: list[dict[str, object]] = []
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def complete(self, messages: Sequence[dict[str, str]], *, json: bool, timeout_s: float) -> str:
        self.asked.append(_material(messages))
        if self.meanwhile:
            await self.meanwhile()
        if self.away:
            raise ModelError("away")
        return self.answer


def _material(messages: Sequence[dict[str, str]]) -> dict[str, object]:
    material: dict[str, object] = json.loads(messages[1]["content"])
    return material


async def ended(store: Store, texts: Sequence[str] = SAID, title: str | None = None) -> tuple[StreamJobs, Claim]:
    jobs = StreamJobs(store.database, store.keys, store.clock)
    claim = await jobs.claim(await jobs.create(None, "{}", title))
    assert isinstance(claim, Claim)
    for number, text in enumerate(texts):
        await jobs.add_segment(claim, Segment(number, number * 1000, number * 1000 + 900, text))
    await jobs.ended(claim, 5000)
    return jobs, claim


async def done(store: Store, model: Model | None) -> str:
    (work,) = await store.outbox.claim([SUMMARY], 1)
    try:
        await SummaryJob(store.database, store.keys, Summariser(model))(work, store.outbox)
    except ModelError as error:
        await store.outbox.failed(work, str(error))
        return "failed"
    return "done"


async def the_job(jobs: StreamJobs, claim: Claim) -> JobRecord:
    job = await jobs.job(claim.job_id, None)
    assert job is not None
    return job


async def test_the_summary_completes_the_job(store: Store) -> None:
    model = Model()
    jobs, claim = await ended(store, title="주간 회의")
    assert await done(store, model) == "done"
    job = await the_job(jobs, claim)
    assert (job.state, job.summary, job.error) == (JobState.COMPLETED, WRITTEN, None)
    assert model.asked == [{"title": "주간 회의", "transcript": list(SAID)}]
    assert await store.outbox.claim([SUMMARY], 1) == []
    assert await jobs.close_lapsed() == 0


async def test_without_a_model_it_is_what_was_said(store: Store) -> None:
    jobs, claim = await ended(store)
    assert await done(store, None) == "done"
    assert (await the_job(jobs, claim)).summary == f"{SAID[0]} {SAID[2]}"


async def test_while_the_model_is_away_it_is_tried_again_and_at_last_done_without(store: Store, clock: Clock) -> None:
    model = Model(away=True)
    jobs, claim = await ended(store)
    for _ in range(TRIES - 1):
        assert await done(store, model) == "failed"
        assert (await the_job(jobs, claim)).state is JobState.STREAMING
        clock.forward(minutes=30)
        assert await jobs.close_lapsed() == 0
    assert await done(store, model) == "done"
    job = await the_job(jobs, claim)
    assert (job.state, job.summary) == (JobState.COMPLETED, f"{SAID[0]} {SAID[2]}")


async def test_a_model_that_is_back_makes_it(store: Store, clock: Clock) -> None:
    model = Model(away=True)
    jobs, claim = await ended(store)
    assert await done(store, model) == "failed"
    model.away = False
    clock.forward(minutes=1)
    assert await done(store, model) == "done"
    assert (await the_job(jobs, claim)).summary == WRITTEN


async def test_an_empty_answer_is_a_failure(store: Store) -> None:
    await ended(store)
    assert await done(store, Model(" \n ")) == "failed"


async def test_of_a_job_that_is_removed_meanwhile_nothing_is_left(store: Store, clock: Clock) -> None:
    model = Model()
    jobs, claim = await ended(store)
    clock.forward(seconds=1)
    model.meanwhile = lambda: jobs.remove_before(clock())
    assert await done(store, model) == "done"
    assert await jobs.job(claim.job_id, None) is None
    assert await store.outbox.claim([SUMMARY], 1) == []


async def test_a_job_that_was_removed_before_asks_no_model(store: Store, clock: Clock) -> None:
    model = Model()
    jobs, _ = await ended(store)
    clock.forward(seconds=1)
    await jobs.remove_before(clock())
    assert await done(store, model) == "done"
    assert model.asked == []


async def test_a_long_recording_is_summarised_in_parts(store: Store) -> None:
    model = Model()
    texts = [f"{number}번째 이야기를 하고 있어요." for number in range(1, 1500)]
    jobs, claim = await ended(store, texts[:10])
    summary = await Summariser(model).compose(texts, None)
    parts = [asked["transcript"] for asked in model.asked[:-1]]
    assert summary == WRITTEN
    assert len(parts) == len("".join(texts)) // PART_LETTERS + 1
    assert [text for part in parts for text in part] == texts  # type: ignore[attr-defined]
    assert model.asked[-1] == {"parts": [WRITTEN] * len(parts)}
    assert (await the_job(jobs, claim)).state is JobState.STREAMING


@pytest.mark.parametrize("letters", [5, 2_000, 4_000])
async def test_a_model_that_says_too_much_is_cut_and_asked_no_more_than_needed(letters: int) -> None:
    model = Model("가나다. " * (letters // 5))
    summary = await Summariser(model).compose(["그랬어요. " * 500] * 60, None)
    assert 0 < len(summary) <= LONGEST_LETTERS
    assert len(model.asked) <= 60 * 3_000 // PART_LETTERS * 2 + 20


@given(st.lists(st.text(max_size=30), max_size=20))
def test_parts_hold_all_of_it_in_order_and_are_not_too_long(texts: list[str]) -> None:
    parts = split(texts, 10)
    assert "".join("".join("".join(part) for part in parts).split()) == "".join("".join(texts).split())
    assert all(part and sum(map(len, part)) <= 10 for part in parts)


def test_a_text_that_is_too_long_is_cut_between_words() -> None:
    assert split(["점심에는 김치찌개를 먹었어요", "그랬어요"], 11) == [
        ["점심에는 김치찌개를"],
        ["먹었어요", "그랬어요"],
    ]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(alphabet="가나 .?음네", max_size=60), max_size=20))
def test_an_extract_is_never_long_and_never_fails(texts: list[str]) -> None:
    assert len(extract(texts)) <= EXTRACT_LETTERS * 6


def test_an_extract_is_of_the_beginning_the_middle_and_the_end() -> None:
    texts = [f"{number}번째로 들린 이야기는 이런 것이었어요." for number in range(1000)]
    kept = extract(texts)
    assert "0번째로" in kept and "400번째로" in kept and "800번째로" in kept
    assert len(kept) <= EXTRACT_LETTERS


async def test_a_summary_that_takes_too_long_is_a_failed_try(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model()
    model.meanwhile = lambda: asyncio.sleep(60)
    monkeypatch.setattr("bot.diary.summary_job.MODEL_S", 0.05)
    jobs, claim = await ended(store)
    assert await done(store, model) == "failed"
    assert (await the_job(jobs, claim)).state is JobState.STREAMING
