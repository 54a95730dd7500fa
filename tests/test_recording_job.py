"""What was recorded when there was no recogniser: fetched, written down, added to its call, and then removed.

On both databases, with the stand-ins of Twilio and the recogniser on real sockets.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from bot.diary.after_call import RECORDED_FOR, SEARCH
from bot.diary.crypto import Keys
from bot.diary.outbox import Later, Outbox
from bot.diary.recording_job import (
    ERASE,
    FULL_S,
    LONGEST_WAIT_S,
    NOT_READY_S,
    POLL_S,
    TRANSCRIPTION,
    EraseJob,
    RecordingJob,
    SearchJob,
)
from bot.diary.schema import jobs
from bot.diary.store import Store
from bot.errors import CarrierError, CarrierNotReady, LeaseLost, RecogniserError, RecogniserFull, TranscriptionGone
from bot.lab.matching import FIXTURES
from bot.lab.rtzr import RtzrLab
from bot.lab.rtzr_behaviour import Profile
from bot.lab.twilio_rest import TwilioRest
from bot.services.carrier import Carrier
from bot.services.stt_file import Transcriber
from bot.services.stt_token import Tokens
from bot.settings import RtzrSettings, TwilioSettings
from bot.worker import Handler, Worker
from tests.diary.conftest import Clock
from tests.diary.talks import NUMBER, let_in
from tests.services.listening import TEXTS

CALL, NEW, TALKING = ("CA" + each * 32 for each in "123")
ACCOUNT, TOKEN = "AC" + "a" * 32, "a-token-of-the-tests"
NAMES = ("jia-rain", "minho-cat")
QUIET = b"\xff" * 12_000  # 1.5 s of µ-law silence


@dataclass
class Office:
    """A diary with one call, the stand-ins, and the two handlers."""

    store: Store
    clock: Clock
    rest: TwilioRest
    rtzr: RtzrLab
    recording: RecordingJob
    erase: EraseJob
    search: SearchJob

    async def recorded(self, *names: str) -> str:
        """The caller was recorded saying these, and Twilio has told so; returns the recording's sid."""
        sid = self.kept(CALL, *names)
        await self.store.recording_made(CALL, sid)
        return sid

    def kept(self, call_sid: str, *names: str) -> str:
        """The caller was recorded saying these, and nobody was told; returns the recording's sid."""
        ulaw = QUIET + b"".join((FIXTURES / "utterances" / f"{name}.ulaw").read_bytes() + QUIET for name in names)
        return self.rest.recordings.keep(call_sid, ulaw if names else b"").sid

    async def work(self, kind: str = "recording") -> Exception | None:
        """One try of the one job of a kind that is due; gives what it raised, as the worker is told."""
        (job,) = await self.store.outbox.claim([kind], 4)
        try:
            handler: Handler = {"recording": self.recording, ERASE: self.erase, SEARCH: self.search}[kind]
            await handler(job, self.store.outbox)
        except Later as later:
            await self.store.outbox.later(job, later.seconds)
            self.clock.forward(seconds=later.seconds)
            return later
        except (CarrierError, RecogniserError) as error:
            await self.store.outbox.failed(job, type(error).__name__)
            self.clock.forward(hours=1)
            return error
        return None

    async def through(self) -> list[float]:
        """Tries until the recording is written down; gives how long each put it off."""
        waits = []
        while (outcome := await self.work()) is not None:
            assert isinstance(outcome, Later)
            waits.append(outcome.seconds)
            await asyncio.sleep(0.02)
        return waits

    async def job(self, key: str) -> Any:
        async with self.store.database.read() as connection:
            return (await connection.execute(select(jobs).where(jobs.c.key == key))).one_or_none()


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    clock = Clock()
    store = await Store.open(database_url, Keys.parse("first-secret-of-the-tests-0123456789"), clock=clock)
    call = await let_in(store, CALL)
    await call.add_said(0, "오늘은", 0, 500)
    async with opened(store, clock) as office:
        yield office
    await store.close()


@asynccontextmanager
async def opened(store: Store, clock: Clock) -> AsyncIterator[Office]:
    async with TwilioRest(ACCOUNT, TOKEN) as rest, RtzrLab(profile=Profile(file_ms=5, poll_s=0.0)) as rtzr:
        rtzr_settings = RtzrSettings(client_id=rtzr.client_id, client_secret=rtzr.client_secret, api_url=rtzr.url)
        tokens = Tokens(rtzr_settings)
        carrier = Carrier(TwilioSettings(account_sid=ACCOUNT, auth_tokens=(TOKEN,), api_url=rest.url))
        transcriber = Transcriber(rtzr_settings, tokens)
        recording = RecordingJob(store.database, store.keys, carrier, transcriber, store.clock)
        search = SearchJob(store.database, carrier, store.clock)
        yield Office(store, clock, rest, rtzr, recording, EraseJob(carrier, store.clock), search)
        await transcriber.close()
        await carrier.close()
        await tokens.close()


async def test_the_words_are_the_calls_last_turn_and_the_recording_is_removed(office: Office) -> None:
    sid = await office.recorded(*NAMES)
    assert set(await office.through()) == {POLL_S}
    said = [turn.said for turn in await office.store.turns(CALL)]
    assert said == ["오늘은", " ".join(TEXTS[name] for name in NAMES)]
    assert office.rest.recordings.kept.keys() == {sid}
    assert await office.work(ERASE) is None
    assert not office.rest.recordings.kept
    assert len(office.rtzr.report.files) == 1
    assert not office.rtzr.breaches
    assert (await office.job(f"entry:{CALL}")).state == "ready"
    assert await office.store.outbox.claim(["recording", ERASE], 4) == []


async def test_a_recording_that_is_told_twice_is_written_down_once(office: Office) -> None:
    sid = await office.recorded(NAMES[0])
    await office.store.recording_made(CALL, sid)
    await office.through()
    await office.store.recording_made(CALL, sid)
    assert await office.store.outbox.claim(["recording"], 4) == []
    assert len(await office.store.turns(CALL)) == 2


async def test_the_recording_of_a_call_that_was_removed_while_it_was_made_is_removed(office: Office) -> None:
    assert await office.store.forget_number(NUMBER) == [CALL]
    await office.recorded(NAMES[0])
    assert await office.through() == []
    assert await office.work(ERASE) is None
    assert not office.rest.recordings.kept
    assert not office.rtzr.report.files, "nobody hears it"
    assert await office.store.turns(CALL) == []


@pytest.mark.parametrize("names", [(), ("",)], ids=["nothing", "silence"])
async def test_a_recording_without_a_word_is_done_without_a_turn(office: Office, names: tuple[str, ...]) -> None:
    if names:
        sid = office.rest.recordings.keep(CALL, 4 * QUIET).sid
        await office.store.recording_made(CALL, sid)
    else:
        await office.recorded()
    await office.through()
    assert [turn.said for turn in await office.store.turns(CALL)] == ["오늘은"]
    assert await office.work(ERASE) is None
    assert len(office.rtzr.report.files) == len(names)


async def test_a_recording_that_is_not_there_yet_is_waited_for_and_not_for_ever(office: Office) -> None:
    office.rest.recordings.ready_after_s = 1.5
    await office.recorded(NAMES[0])
    assert (await office.through())[0] == NOT_READY_S
    office.rest.recordings.ready_after_s = 1e9
    await office.recorded(NAMES[1])
    assert isinstance(await office.work(), Later)
    office.clock.forward(hours=3)
    assert isinstance(await office.work(), CarrierNotReady)


async def test_a_recogniser_that_is_full_is_asked_later_which_is_no_failed_try(office: Office) -> None:
    office.rtzr.faults.file_channels = 0
    sid = await office.recorded(NAMES[0])
    outcome = await office.work()
    assert isinstance(outcome, Later)
    assert outcome.seconds == FULL_S
    assert (await office.job(f"recording:{sid}")).attempt == 0
    office.rtzr.faults.file_channels = None
    await office.through()


async def test_a_recogniser_that_stays_full_is_asked_more_and_more_seldom_and_for_a_day(office: Office) -> None:
    office.rtzr.faults.file_channels = 0
    sid = await office.recorded(NAMES[0])
    began, waits = office.clock.now, []
    while len(waits) < 120 and isinstance(outcome := await office.work(), Later):
        waits.append(outcome.seconds)
    assert len(waits) < 120, "each time up to 19 MB are fetched"
    assert office.clock.now - began >= timedelta(days=1)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (FULL_S, LONGEST_WAIT_S)
    assert type(outcome) is RecogniserFull
    assert sid in office.rest.recordings.kept


async def test_what_was_submitted_is_not_submitted_again_by_another_process(office: Office) -> None:
    office.rtzr.profile.file_ms = 200
    await office.recorded(NAMES[0])
    assert isinstance(await office.work(), Later)
    async with opened(office.store, office.clock) as another:
        another.recording = RecordingJob(
            office.store.database, office.store.keys, office.recording.recordings, office.recording.transcriber,
            office.clock,
        )  # fmt: skip
        await another.through()
    assert len(office.rtzr.report.files) == 1
    assert len(await office.store.turns(CALL)) == 2


@pytest.mark.parametrize("had_stream", [True, False])
async def test_a_recording_that_nobody_was_told_of_is_found_and_written_down(office: Office, had_stream: bool) -> None:
    call_sid = CALL if had_stream else NEW
    sid = office.kept(call_sid, *NAMES)
    if had_stream:
        await office.store.owned(CALL, 1).record_next()
    else:
        await office.store.call_arrived(NEW, NUMBER)
        await office.store.record_instead(NEW)
    office.clock.forward(seconds=RECORDED_FOR.total_seconds() - 1)
    assert await office.store.outbox.claim([SEARCH], 4) == [], "it may still be recorded"
    office.clock.forward(seconds=1)
    assert await office.work(SEARCH) is None
    assert await office.store.is_ended(call_sid)
    await office.through()
    said = [turn.said for turn in await office.store.turns(call_sid)]
    assert said == ["오늘은"] * had_stream + [" ".join(TEXTS[name] for name in NAMES)]
    assert (await office.job(f"entry:{call_sid}")).state == "ready"
    assert await office.work(ERASE) is None
    assert sid not in office.rest.recordings.kept


@pytest.mark.parametrize("written", [True, False])
async def test_what_is_found_and_was_told_is_written_down_once(office: Office, written: bool) -> None:
    await office.store.owned(CALL, 1).record_next()
    await office.recorded(NAMES[0])
    if written:
        await office.through()
    office.clock.forward(seconds=RECORDED_FOR.total_seconds())
    assert await office.work(SEARCH) is None
    if not written:
        await office.through()
    assert await office.store.outbox.claim(["recording"], 4) == []
    assert [turn.said for turn in await office.store.turns(CALL)] == ["오늘은", TEXTS[NAMES[0]]]
    assert len(office.rtzr.report.files) == 1


async def test_a_search_that_fails_is_made_again(office: Office) -> None:
    sid = office.kept(CALL, NAMES[0])
    await office.store.owned(CALL, 1).record_next()
    office.clock.forward(seconds=RECORDED_FOR.total_seconds())
    office.rest.faults.errors = 1
    assert isinstance(await office.work(SEARCH), Later)
    assert await office.work(SEARCH) is None
    assert (await office.job(f"recording:{sid}")).state == "ready"


async def test_a_call_of_which_nothing_was_recorded_is_over_unless_somebody_talks_in_it(office: Office) -> None:
    for call_sid in (NEW, TALKING):
        await office.store.call_arrived(call_sid, NUMBER)
        await office.store.record_instead(call_sid)
    office.clock.forward(seconds=RECORDED_FOR.total_seconds())
    # Twilio had not had our answer, asked again, and there was a place.
    await office.store.claim_media_token(TALKING, await office.store.media_token(TALKING))
    for job in await office.store.outbox.claim([SEARCH], 4):
        await office.search(job, office.store.outbox)
    assert await office.store.is_ended(NEW)
    assert not await office.store.is_ended(TALKING)


async def test_what_is_found_of_a_call_that_is_forgotten_is_removed(office: Office) -> None:
    office.kept(CALL, NAMES[0])
    await office.store.owned(CALL, 1).record_next()
    await office.store.delete(CALL)
    office.clock.forward(seconds=RECORDED_FOR.total_seconds())
    assert await office.work(SEARCH) is None
    await office.through()
    assert await office.work(ERASE) is None
    assert (office.rest.recordings.kept, office.rtzr.report.files) == ({}, [])


@pytest.mark.parametrize("fault", ["failed", "expired", "never ends"])
async def test_a_transcription_that_comes_to_nothing_is_begun_again(office: Office, fault: str) -> None:
    sid = await office.recorded(NAMES[0])
    office.rtzr.faults.failed_files = fault == "failed"
    if fault == "never ends":
        office.rtzr.profile.file_ms = 1e9
    assert isinstance(await office.work(), Later)
    if fault == "expired":
        office.rtzr.files.expire()
    await asyncio.sleep(0.2)
    if fault == "never ends":
        assert isinstance(await office.work(), Later)
        office.clock.forward(minutes=31)
        office.rtzr.profile.file_ms = 5
    assert isinstance(await office.work(), TranscriptionGone)
    assert TRANSCRIPTION not in (await office.job(f"recording:{sid}")).args
    await office.through()
    assert len(office.rtzr.report.files) == 2
    assert [turn.said for turn in await office.store.turns(CALL)][1:] == [TEXTS[NAMES[0]]]


async def test_a_service_that_is_away_costs_no_try_for_a_day_and_the_recording_stays(office: Office) -> None:
    sid = await office.recorded(NAMES[0])
    office.rest.faults.errors = 1
    assert isinstance(await office.work(), Later)
    office.rtzr.faults.file_posts = 1
    assert isinstance(await office.work(), Later)
    assert isinstance(await office.work(), Later)
    assert TRANSCRIPTION in (await office.job(f"recording:{sid}")).args
    await asyncio.sleep(0.3)  # longer than the transcription takes
    office.rtzr.faults.file_gets = 1
    assert isinstance(await office.work(), Later)
    assert sid in office.rest.recordings.kept
    await office.through()
    office.rest.faults.errors = 1
    assert isinstance(await office.work(ERASE), Later)
    assert (await office.job(f"{ERASE}:{sid}")).attempt == 0
    assert await office.work(ERASE) is None
    assert not office.rest.recordings.kept


async def test_a_service_that_is_away_for_longer_costs_tries(office: Office) -> None:
    sid = await office.recorded(NAMES[0])
    office.clock.forward(days=1)
    office.rest.faults.errors = 1
    assert type(await office.work()) is CarrierError
    assert sid in office.rest.recordings.kept
    await office.through()
    office.clock.forward(days=1)
    office.rest.faults.errors = 1
    assert type(await office.work(ERASE)) is CarrierError
    assert await office.work(ERASE) is None
    assert not office.rest.recordings.kept


async def test_of_a_call_that_is_forgotten_nothing_is_written_down(office: Office) -> None:
    await office.recorded(NAMES[0])
    await office.store.delete(CALL)
    await office.through()
    assert office.rtzr.report.files == []
    assert [turn.said for turn in await office.store.turns(CALL) if turn.said] == []
    assert await office.work(ERASE) is None
    assert not office.rest.recordings.kept


async def test_one_that_lost_its_lease_submits_nothing(office: Office) -> None:
    await office.recorded(NAMES[0])
    (job,) = await office.store.outbox.claim(["recording"], 4)
    office.clock.forward(minutes=2)
    (again,) = await office.store.outbox.claim(["recording"], 4)
    with pytest.raises(LeaseLost):
        await office.recording(job, office.store.outbox)
    assert office.rtzr.report.files == []
    with pytest.raises(Later):
        await office.recording(again, office.store.outbox)


async def test_a_worker_does_it_all_and_logs_nothing_that_was_said(
    office: Office, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.diary.recording_job.POLL_S", 0.05)
    caplog.set_level(logging.DEBUG, "bot")
    await office.recorded(*NAMES)
    outbox = Outbox(office.store.database, clock=office.clock)
    worker = Worker(outbox, {"recording": office.recording, ERASE: office.erase}, poll_s=0.05)
    began = time.monotonic()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.run())
        while office.rest.recordings.kept:
            office.clock.forward(seconds=time.monotonic() - began)
            await asyncio.sleep(0.05)
        await worker.stop()
    assert (await office.store.turns(CALL))[-1].said == " ".join(TEXTS[name] for name in NAMES)
    for word in " ".join(TEXTS[name] for name in NAMES).split():
        assert word not in caplog.text
