"""bot/tracing.py: the spans as a collector gets them."""

import asyncio
import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.conversation.commands import HangUp, KeepSaid, KeepWaterfall
from bot.conversation.events import Final, SttReady
from bot.conversation.waterfall import Waterfall
from bot.errors import SettingError
from bot.metrics import Metrics
from bot.tracing import Tracing
from tests.otlp_collector import Collector

CALL_SID, SAID = "CA" + "7" * 32, "공원을 걸었어요"
ROOT = Path(__file__).parents[1]


async def test_a_call_is_a_span_and_each_turn_a_span_within_it_that_lasts_from_voice_to_voice():
    async with Collector() as collector:
        tracing = Tracing(collector.url)
        now_ms = 0
        began_ns = time.time_ns()
        call = Metrics(tracing).call("telephone", lambda: now_ms)
        call.begin(CALL_SID, 2)
        call.tell(SttReady())
        call.tell(Final((1, 1), SAID))
        now_ms = 5_600
        call.decided(KeepSaid(3, SAID, 4_000, 5_000))
        call.decided(KeepWaterfall(3, Waterfall(5_000, final_ms=370, token_ms=-40, heard_ms=640, ending=SAID)))
        call.over(HangUp("discarded"))
        ended_ns = time.time_ns()
        await tracing.close()
        (whole,), (turn,) = await collector.named("call"), await collector.named("turn")
    assert (whole.parent, turn.parent, turn.trace) == (b"", whole.id, whole.trace)
    assert whole.attributes == {"ilgi.call": CALL_SID, "ilgi.stream": 2}
    assert turn.attributes == {"ilgi.call": CALL_SID, "ilgi.stream": 2, "ilgi.turn": 3}
    assert began_ns <= whole.start_ns <= whole.end_ns <= ended_ns
    assert [name for name, _ in whole.events] == ["recogniser ready"]
    assert turn.end_ns - turn.start_ns == 640_000_000
    # The call clock was 600 ms behind the caller's last voiced frame.
    assert began_ns <= turn.start_ns + 600_000_000 <= ended_ns
    assert turn.events_ms == {"final": 370, "token": -40, "heard": 640}
    assert set(collector.paths) == {"/v1/traces"}
    assert collector.resource == {"service.name": "ilgi"}
    assert SAID.encode() not in collector.raw and b"discarded" not in collector.raw


async def test_what_opentelemetry_is_told_of_the_service_holds(monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "our-diary")
    async with Collector() as collector:
        tracing = Tracing(collector.url)
        tracing.call(CALL_SID, 1).end()
        await tracing.close()
        await collector.named("call")
        assert collector.resource == {"service.name": "our-diary"}


async def test_a_collector_that_is_away_holds_nobody_up_and_is_no_stack_trace(caplog, monkeypatch):
    monkeypatch.setattr("bot.tracing.LAST_S", 0.2)
    caplog.set_level(logging.INFO)
    tracing = Tracing("http://127.0.0.1:9")
    tracing.call(CALL_SID, 1).end()
    async with asyncio.timeout(20):
        await tracing.close()
    assert not [record for record in caplog.records if record.exc_info]
    assert CALL_SID not in caplog.text


def test_without_its_packages_the_setting_stops_the_start_and_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingError, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT: .* pip install opentelemetry-sdk "):
        Tracing("http://127.0.0.1:9")


def test_without_the_setting_opentelemetry_is_not_imported():
    look = "import sys, bot.app, bot.server; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    found = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, check=True)
    assert found.stdout.strip() == b"[]"
