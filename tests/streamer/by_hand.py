"""The server's end of a streaming job, played by hand; and a view that remembers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from bot.protocols.jobs import ConnectionSuccess, Failure, FinalSummary, Outbound, TranscriptSegment, encode
from bot.streamer.client import StreamedFile

JOB = "11111111-2222-3333-4444-555555555555"
SHOWN = {"job_id": JOB, "title": None, "created_at": "2026-11-21T12:00:00+00:00", "ended_at": None}
Part = Callable[["Hand"], Awaitable[None]]


@dataclass
class Memory:
    """A view that remembers what it was told."""

    segments: list[TranscriptSegment] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    sent_ms: int = 0

    def created(self, job_id: str) -> None:
        assert job_id == JOB

    def sent(self, ms: int) -> None:
        self.sent_ms = ms

    def segment(self, segment: TranscriptSegment) -> None:
        self.segments.append(segment)

    def failure(self, failure: Failure) -> None:
        self.failures.append(failure.code)

    def waiting(self) -> None:
        pass


@dataclass
class Pcm:
    """Sound that is PCM already, in pieces of a length that fits nothing."""

    pcm: bytes

    def pieces(self, from_ms: int = 0) -> Iterator[bytes]:
        for at in range(from_ms * 32, len(self.pcm), 7001):
            yield self.pcm[at : at + 7001]


class Hand:
    """One connection at the server's end."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.chunks: list[bytes] = []
        self.ended = False

    async def say(self, *messages: Outbound) -> None:
        for message in messages:
            await self.socket.send(encode(message))

    async def welcome(self, audio_ms: int = 0, segments: int = 0) -> None:
        await self.say(ConnectionSuccess(JOB, audio_ms, segments))

    async def hear(self, least_bytes: int | None = None) -> bytes:
        """So much, or all up to the end."""
        async for message in self.socket:
            if isinstance(message, str):
                assert message == '{"type":"end"}'
                self.ended = True
                break
            self.chunks.append(message)
            if least_bytes is not None and sum(map(len, self.chunks)) >= least_bytes:
                break
        return b"".join(self.chunks)

    async def finish(self, duration_s: float, segments: int = 0) -> None:
        await self.say(FinalSummary(JOB, "요약", segments, duration_s))
        await self.socket.close(1000)

    def vanish(self) -> None:
        self.socket.transport.abort()


@dataclass
class House:
    """A server whose connections play one part after the other; `shown` is what GET tells of the job.

    The first requests and handshakes are refused, as `refusals` and `handshakes` say.
    """

    url: str = ""
    shown: dict[str, object] = field(default_factory=dict)
    refusals: list[tuple[int, bytes]] = field(default_factory=list)
    handshakes: list[int] = field(default_factory=list)
    hands: list[Hand] = field(default_factory=list)
    requests: list[httpx2.Request] = field(default_factory=list)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if self.refusals:
            status, body = self.refusals.pop(0)
            return httpx2.Response(status, content=body)
        if request.method == "POST":
            return httpx2.Response(201, json={"job_id": JOB, "websocket_url": "ws://elsewhere.example.com/"})
        return httpx2.Response(200, content=msgspec.json.encode({**SHOWN, **self.shown}))

    def file(self, pcm: bytes, view: Memory, key: str | None = "the-key") -> StreamedFile:
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer))
        return StreamedFile(http, self.url, key, Pcm(pcm), view)


@asynccontextmanager
async def house(*parts: Part) -> AsyncIterator[House]:
    """A house on the loopback in which every part must be played once."""
    left, home = list(parts), House()

    async def play(socket: ServerConnection) -> None:
        assert socket.request
        assert socket.request.path == f"/api/v1/stream/{JOB}"
        assert socket.request.headers["Authorization"] == "Bearer the-key"
        home.hands.append(Hand(socket))
        await left.pop(0)(home.hands[-1])

    def admit(socket: ServerConnection, _: Request) -> Response | None:
        return socket.respond(home.handshakes.pop(0), "later") if home.handshakes else None

    server: Server
    async with serve(play, "127.0.0.1", 0, compression=None, process_request=admit) as server:
        home.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield home
    assert left == []
