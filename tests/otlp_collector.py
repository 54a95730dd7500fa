"""A collector of OTLP over HTTP: takes spans as protobuf, and keeps them."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bot.lab.http import Connection, PeerGone, Request, converse
from bot.lab.loopback import Loopback


@dataclass(frozen=True, slots=True)
class Span:
    """One span as it came; times are ns, `events` in the order in which they were added."""

    name: str
    id: bytes
    trace: bytes
    parent: bytes
    start_ns: int
    end_ns: int
    attributes: dict[str, str | int]
    events: list[tuple[str, int]]

    @property
    def events_ms(self) -> dict[str, int]:
        """The events, in ms since it began."""
        return {name: round((at_ns - self.start_ns) / 1e6) for name, at_ns in self.events}


class Collector(Loopback):
    """Takes what is posted to /v1/traces."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[Span] = []
        self.paths: list[str] = []
        self.resource: dict[str, str | int] = {}
        self.raw = b""
        self._came = asyncio.Event()

    async def named(self, name: str, count: int = 1) -> list[Span]:
        """The spans of this name, once there are so many."""
        async with asyncio.timeout(20):
            while len(found := [span for span in self.spans if span.name == name]) < count:
                self._came.clear()
                await self._came.wait()
        return found

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(PeerGone):
            await converse(reader, writer, self._answer)

    async def _answer(self, connection: Connection, request: Request) -> None:
        self.paths.append(request.path)
        self.raw += request.body
        self._take(ExportTraceServiceRequest.FromString(request.body))
        await connection.answer_bytes(200, "application/x-protobuf", b"")

    def _take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            self.resource = _attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [
                    Span(
                        span.name,
                        span.span_id,
                        span.trace_id,
                        span.parent_span_id,
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        _attributes(span.attributes),
                        [(event.name, event.time_unix_nano) for event in span.events],
                    )
                    for span in scope.spans
                ]
        self._came.set()


def _attributes(pairs) -> dict[str, str | int]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
