"""One span for each stream of a call and one for each turn, sent to a collector by OTLP over HTTP.

A span holds ids and times, and nothing of what was said or of who said it. OpenTelemetry is imported when a collector
is configured, and only then; its own OTEL_ settings (headers, sampler, resource attributes) hold. It must not know what
a turn waits for.
"""

import asyncio
import logging
from collections.abc import Mapping
from importlib import import_module
from threading import Thread
from typing import Any

from bot.errors import SettingError

SETTING = "OTEL_EXPORTER_OTLP_ENDPOINT"
PACKAGES = "opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
EXPORT_S = 5.0
LAST_S = 2.0
"""So long the end of the process waits for a collector."""


class Tracing:
    """The spans of a process, on their way to a collector; a full queue drops them, and nobody waits."""

    def __init__(self, endpoint: str) -> None:
        """Spans go to `endpoint`/v1/traces. SettingError when the packages are not installed."""
        exporter = _exporter(endpoint)
        self._trace = _imported("opentelemetry.trace")
        sdk, resources = _imported("opentelemetry.sdk.trace"), _imported("opentelemetry.sdk.resources")
        named = resources.Resource({"service.name": "ilgi"}).merge(resources.OTELResourceDetector().detect())
        self._provider = sdk.TracerProvider(resource=named, shutdown_on_exit=False)
        batches = _imported("opentelemetry.sdk.trace.export").BatchSpanProcessor
        self._provider.add_span_processor(batches(exporter))
        # A collector that is away is told once for each batch, and not for each try.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        self._tracer = self._provider.get_tracer("ilgi")

    def call(self, call_sid: str, stream: int) -> "Spans":
        """Begin the span of stream number `stream` of a call."""
        return Spans(self._trace, self._tracer, call_sid, stream)

    async def close(self) -> None:
        """Send what is left, for `LAST_S` at most."""
        # A thread that nobody waits for: no executor ends before its threads do.
        closing = Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, LAST_S)


class Spans:
    """The spans of one stream of a call."""

    def __init__(self, trace: Any, tracer: Any, call_sid: str, stream: int) -> None:
        self._tracer = tracer
        self._ids = {"ilgi.call": call_sid, "ilgi.stream": stream}
        self._call = tracer.start_span("call", attributes=self._ids)
        self._within = trace.set_span_in_context(self._call)

    def note(self, what: str) -> None:
        """Something happened now, besides turns."""
        self._call.add_event(what)

    def turn(self, turn: int, ended_ns: int, times_ms: Mapping[str, int]) -> None:
        """A turn that ended at `ended_ns`, and when each stage of its answer was reached; the last is its end."""
        ids = self._ids | {"ilgi.turn": turn}
        span = self._tracer.start_span("turn", context=self._within, start_time=ended_ns, attributes=ids)
        for name, at_ms in times_ms.items():
            span.add_event(name, timestamp=ended_ns + at_ms * 1_000_000)
        span.end(end_time=ended_ns + max(times_ms.values(), default=0) * 1_000_000)

    def end(self) -> None:
        """The stream is over."""
        self._call.end()


def is_taken(endpoint: str) -> bool:
    """Whether the collector takes what is sent, asked with no span at all; SettingError as `Tracing`, may take long."""
    return bool(_exporter(endpoint).export([]).name == "SUCCESS")


def _exporter(endpoint: str) -> Any:
    otlp = _imported("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    return otlp.OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=EXPORT_S)


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise SettingError(SETTING, f"needs packages that are not installed: pip install {PACKAGES}") from error
