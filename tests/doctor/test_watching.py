"""bot/doctor/watching.py: the collector of spans, with a stand-in, with none, and with something else in its place."""

import sys

from bot.doctor.command import checks
from bot.doctor.watching import spans
from bot.lab.openai import OpenAiLab
from tests.otlp_collector import Collector


async def test_a_collector_that_takes_spans_is_sent_none():
    async with Collector() as collector:
        (row,) = await spans(collector.url)
        assert (row.what, row.state, row.found) == ("spans", "ok", f"{collector.url} takes them")
        assert (collector.paths, collector.spans) == (["/v1/traces"], [])


async def test_a_collector_that_cannot_be_reached(monkeypatch):
    monkeypatch.setattr("bot.tracing.EXPORT_S", 0.2)
    (row,) = await spans("http://127.0.0.1:9")
    assert (row.state, row.found) == ("fail", "http://127.0.0.1:9 does not take them")


async def test_an_address_where_no_collector_is():
    async with OpenAiLab() as lab:
        (row,) = await spans(lab.url)
    assert row.state == "fail"
    assert "port 4318" in row.mend


async def test_what_has_to_be_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    (row,) = await spans("http://127.0.0.1:9")
    assert row.state == "fail"
    assert row.mend.startswith("pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http; ")


def test_there_is_no_row_for_spans_that_nobody_asked_for():
    assert "spans" not in [check.what for check in checks({})]
    assert "spans" in [check.what for check in checks({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})]
