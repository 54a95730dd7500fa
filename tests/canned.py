"""An HTTP server on the loopback that gives one answer to each request, and notes the requests."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h11

from bot.lab.http import Connection, PeerGone, Request


@dataclass(frozen=True)
class Answer:
    """`body`: bytes, or what is sent as JSON."""

    status: int
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Canned:
    """What it answers, by method and path; to everything else, 404."""

    url: str
    answers: dict[tuple[str, str], Answer]
    requests: list[Request] = field(default_factory=list)


@asynccontextmanager
async def canned(answers: dict[tuple[str, str], Answer]) -> AsyncIterator[Canned]:
    """Serve until the end of the block."""
    state = Canned("", answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        try:
            while (request := await connection.request()) is not None:
                state.requests.append(request)
                answer = state.answers.get((request.method, request.path), Answer(404, {}))
                body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                await connection.begin(answer.status, "application/json", answer.headers)
                await connection.send(body)
                await connection.end()
                if connection.is_over:
                    break
        except (PeerGone, ConnectionError, h11.ProtocolError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        server.close()
