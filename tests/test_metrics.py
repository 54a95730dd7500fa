"""bot/metrics.py: what is told becomes figures, and nothing of it says who called or what was said."""

import asyncio
import os
import subprocess
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.multiprocess import mark_process_dead

from bot.conversation.commands import (
    HandOver,
    HangUp,
    KeepHeard,
    KeepSaid,
    KeepWaterfall,
    RecordRest,
    WriteEntry,
)
from bot.conversation.events import EntryWritten, SttLoss, SttLost, SttReady
from bot.conversation.waterfall import Waterfall
from bot.diary.outbox import Job, Later
from bot.errors import LeaseLost
from bot.lab.scraped import Scraped
from bot.metrics import LAG, SHARED_FOLDER, STAGES, Metrics

CALL_SID, SAID = "CA" + "7" * 32, "공원을 걸었어요"
ROOT = Path(__file__).parents[1]


def told(metrics: Metrics) -> Scraped:
    return Scraped.parse(metrics.exposition().decode())


def begun(metrics: Metrics, door: str = "telephone", stream: int = 1):
    meter = metrics.call(door, lambda: 0)
    meter.begin(CALL_SID, stream)
    return meter


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_a_call_is_live_from_the_moment_it_was_let_in_until_all_of_it_is_kept(metrics):
    first, taken_up = begun(metrics), begun(metrics, stream=2)
    begun(metrics, "browser")
    found = told(metrics)
    assert found.total("ilgi_calls_begun_total", door="telephone", how="new") == 1
    assert found.total("ilgi_calls_begun_total", door="telephone", how="taken up") == 1
    assert found.total("ilgi_calls_live", door="telephone") == 2
    first.over(HandOver())
    taken_up.over(HangUp("approved"))
    found = told(metrics)
    assert (found.total("ilgi_calls_live", door="telephone"), found.total("ilgi_calls_live", door="browser")) == (0, 1)
    assert found.total("ilgi_calls_ended_total", how="handed over") == 1
    assert found.total("ilgi_calls_ended_total", how="approved") == 1


def test_a_stream_that_nobody_let_in_was_no_call_and_no_call_ends_twice(metrics):
    metrics.call("telephone", lambda: 0).over(None)
    call = begun(metrics)
    call.over(None)
    call.over(None)
    found = told(metrics)
    assert (found.total("ilgi_calls_live"), found.total("ilgi_calls_ended_total")) == (0, 1)


def test_a_call_that_ends_in_a_recording_is_a_fallback(metrics):
    begun(metrics).over(RecordRest("recogniser full"))
    found = told(metrics)
    assert found.total("ilgi_fallbacks_total", what="record") == 1
    assert found.total("ilgi_calls_ended_total", how="recogniser full") == 1


def test_a_turn_that_goes_on_is_one(metrics):
    call = begun(metrics)
    for turn in (0, 0, 1):
        call.decided(KeepSaid(turn, SAID, 0, 900))
    call.decided(KeepHeard(1, SAID))
    assert told(metrics).total("ilgi_turns_total", door="telephone") == 2


def test_every_stage_of_a_turn_that_was_reached_is_noted_and_what_was_prepared_took_no_time(metrics):
    waterfall = Waterfall(5_000, stop_ms=280, final_ms=370, over_ms=520, token_ms=-40, audio_ms=None, heard_ms=640)
    begun(metrics).decided(KeepWaterfall(0, waterfall))
    found = told(metrics)
    name = "ilgi_turn_stage_seconds"
    sums = {stage: round(found.total(f"{name}_sum", stage=stage), 3) for stage in STAGES}
    assert sums == {"stop": 0.28, "final": 0.37, "over": 0.52, "token": 0, "clause": 0, "audio": 0, "heard": 0.64}
    counts = {stage: found.total(f"{name}_count", stage=stage, door="telephone") for stage in STAGES}
    assert counts == {"stop": 1, "final": 1, "over": 1, "token": 1, "clause": 0, "audio": 0, "heard": 1}
    assert found.total(f"{name}_count", door="browser") == 0


def test_only_the_second_socket_of_a_call_is_a_reconnection(metrics):
    call = begun(metrics)
    for event in (SttReady(), SttReady(), SttLost(SttLoss.FULL)):
        call.tell(event)
    begun(metrics).tell(SttReady())
    found = told(metrics)
    assert found.total("ilgi_recogniser_reconnects_total") == 1
    assert found.total("ilgi_recogniser_lost_total", why="full") == 1


def test_an_entry_takes_from_the_wish_to_the_writing_of_its_last_draft(metrics):
    call = begun(metrics)
    call.decided(WriteEntry(1, (SAID,)))
    call.decided(WriteEntry(2, (SAID,)))
    call.tell(EntryWritten(1, "제목", SAID, "기쁨"))
    assert told(metrics).total("ilgi_entry_seconds_count") == 0
    call.tell(EntryWritten(2, "제목", SAID, "기쁨"))
    assert told(metrics).total("ilgi_entry_seconds_count") == 1


def test_what_no_socket_was_sent_is_counted_in_seconds_of_sound(metrics):
    metrics.recogniser_dropped(48_000)
    assert told(metrics).total("ilgi_recogniser_dropped_seconds_total") == 1.5


def test_how_late_the_loop_was_is_in_seconds(metrics):
    metrics.woke(30.0)
    assert told(metrics).total(f"{LAG}_sum") == pytest.approx(0.03)


ENDS = [
    (None, False, "done"),
    (Later(3), False, "later"),
    (LeaseLost("taken"), False, "overtaken"),
    (asyncio.CancelledError(), True, "given back"),
    (ValueError(SAID), False, "failed"),
    (ValueError(SAID), True, "dead"),
]


@pytest.mark.parametrize(("raised", "is_last", "how"), ENDS, ids=[how.replace(" ", "-") for _, _, how in ENDS])
def test_a_try_of_a_job_is_noted_by_how_it_ended_and_its_error_is_passed_on(metrics, raised, is_last, how):
    job = Job(1, "entry", CALL_SID, {}, 1, 1, datetime(2026, 11, 21, tzinfo=UTC), is_last, False)
    with pytest.raises(type(raised)) if raised else nullcontext(), metrics.job(job):
        if raised:
            raise raised
    assert told(metrics).total("ilgi_job_seconds_count", kind="entry", how=how) == 1
    assert told(metrics).total("ilgi_job_seconds_count") == 1


def test_nothing_that_was_said_and_no_id_is_told(metrics):
    call = begun(metrics)
    for command in (KeepSaid(0, SAID, 0, 9), WriteEntry(1, (SAID,)), KeepWaterfall(0, Waterfall(9, ending=SAID))):
        call.decided(command)
    call.tell(EntryWritten(1, SAID, SAID, SAID))
    call.broke_down()
    call.over(HangUp("approved"))
    exposed = metrics.exposition().decode()
    assert SAID not in exposed and CALL_SID not in exposed
    assert "ilgi_call_breakdowns_total 1.0" in exposed


def test_the_process_itself_is_measured(metrics):
    found = told(metrics)
    assert found.total("process_resident_memory_bytes") > 10_000_000
    assert found.total("process_cpu_seconds_total") > 0


PROCESS = """
import sys
from bot.conversation.commands import KeepSaid
from bot.metrics import Metrics
call = Metrics().call("telephone", lambda: 0)
call.begin("CA1", 1)
call.decided(KeepSaid(0, "", 0, 0))
print("measured", flush=True)
sys.stdin.read()
"""


def test_processes_that_share_a_folder_are_told_as_one(tmp_path):
    """Asked by a third: any process answers for all."""
    environ = {**os.environ, SHARED_FOLDER: str(tmp_path), "PYTHONPATH": str(ROOT)}
    two = [
        subprocess.Popen([sys.executable, "-c", PROCESS], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]

    def asked() -> Scraped:
        ask = "import sys; from bot.metrics import Metrics; sys.stdout.buffer.write(Metrics().exposition())"
        answer = subprocess.run([sys.executable, "-c", ask], env=environ, capture_output=True, check=True)
        return Scraped.parse(answer.stdout.decode())

    try:
        for process in two:
            assert process.stdout.readline() == b"measured\n"
        found = asked()
        assert (found.total("ilgi_calls_live"), found.total("ilgi_turns_total")) == (2, 2)
        for process in two:
            assert found.total("process_resident_memory_bytes", pid=str(process.pid)) > 10_000_000
    finally:
        for process in two:
            process.communicate()
    for process in two:
        mark_process_dead(process.pid, str(tmp_path))
    found = asked()
    assert (found.total("ilgi_calls_live"), found.total("ilgi_turns_total")) == (0, 2)
    assert not [has for of, has in found.samples if of.startswith("process_") and ("pid", str(two[0].pid)) in has]
