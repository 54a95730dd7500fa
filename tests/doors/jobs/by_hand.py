"""One process that serves streaming jobs, and a client of it that is played by hand."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from quart import has_websocket_context, request, websocket
from sqlalchemy import insert
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bot.diary.schema import callers
from bot.diary.store import Store
from bot.diary.stream_jobs import StreamJobs
from bot.doors.live import LiveCalls
from bot.errors import StoreError
from bot.lab.rtzr import RtzrLab
from bot.streaming import StreamedJob
from tests.services.listening import LONG, spoken

WAIT_S = 20
KEY = {"Authorization": "Bearer the-key"}
ORIGIN = "http://diary.example.com"


class Visitors:
    """Knows people by a header, and one key.

    `full`: nobody may do any more. `signed_out`: there are no people now. `broken`: nobody can tell.
    """

    def __init__(self) -> None:
        self.full = self.signed_out = self.broken = False
        self.looks = 0

    @property
    def _headers(self) -> Any:
        return (websocket if has_websocket_context() else request).headers

    async def person(self) -> Any:
        self.looks += 1
        if self.broken:
            raise StoreError("away")
        who = None if self.signed_out else self._headers.get("X-Person")
        return SimpleNamespace(caller_id=int(who)) if who else None

    def has_api_key(self) -> bool:
        return bool(self._headers.get("Authorization") == KEY["Authorization"])

    def is_ours(self) -> bool:
        origins = self._headers.getlist("Origin")
        return origins == [ORIGIN] or (not origins and self.has_api_key())

    async def allow(self, what: str, subject: str, most: int, within_s: float) -> bool:
        return not self.full


@dataclass
class Clock:
    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Site:
    """One process that serves streaming jobs."""

    url: str
    store: Store
    jobs: StreamJobs
    live: LiveCalls
    visitors: Visitors
    lab: RtzrLab
    http: httpx2.AsyncClient
    made: list[StreamedJob] = field(default_factory=list)

    async def create(self, body: object = None, headers: dict[str, str] = KEY) -> str:
        answer = await self.post(body, headers)
        assert answer.status_code == 201
        created = answer.json()
        assert created["websocket_url"] == f"ws://diary.example.com/api/v1/stream/{created['job_id']}"
        return str(created["job_id"])

    async def post(self, body: object = None, headers: dict[str, str] = KEY) -> Any:
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.post("/api/v1/stream/create", content=content, headers=headers)

    async def shown(self, job_id: str, headers: dict[str, str] = KEY) -> dict[str, Any]:
        answer = await self.http.get(f"/api/v1/stream/{job_id}", headers=headers)
        assert answer.status_code == 200
        shown: dict[str, Any] = answer.json()
        return shown

    async def over(self, job_id: str) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            while (shown := await self.shown(job_id))["state"] not in ("completed", "failed"):
                await asyncio.sleep(0.05)
        return shown

    async def remove(self, job_id: str, headers: dict[str, str] = KEY) -> int:
        return int((await self.http.delete(f"/api/v1/stream/{job_id}", headers=headers)).status_code)

    def stream(self, job_id: str, headers: dict[str, str] = KEY) -> connect:
        url = f"ws{self.url.removeprefix('http')}/api/v1/stream/{job_id}"
        return connect(url, additional_headers=headers, compression=None, max_queue=None)


Open = Callable[[], Any]


async def received(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_S):
        message: dict[str, Any] = json.loads(await socket.recv())
    return message


async def all_received(socket: ClientConnection) -> list[dict[str, Any]]:
    """Everything until the other end closes."""
    messages = []
    async with asyncio.timeout(WAIT_S):
        try:
            while True:
                messages.append(json.loads(await socket.recv()))
        except ConnectionClosed:
            return messages


async def send(socket: ClientConnection, pcm: bytes, chunk_bytes: int = 960) -> None:
    for at in range(0, len(pcm), chunk_bytes):
        await socket.send(pcm[at : at + chunk_bytes])


END = json.dumps({"type": "end"})


def day(*names: str, trail_ms: int = 900) -> bytes:
    return b"".join(spoken(name, 300, trail_ms) for name in names or LONG)


def texts_of(messages: list[dict[str, Any]]) -> list[str]:
    return [message["text"] for message in messages if message["type"] == "transcript_segment"]


async def persons(site: Site) -> tuple[dict[str, str], dict[str, str]]:
    made = []
    for number in ("1", "2"):
        now = site.store.clock()
        values = {"number_hash": number.encode(), "number_sealed": b"", "first_call_at": now, "last_call_at": now}
        async with site.store.database.write() as connection:
            done = await connection.execute(insert(callers).values(values))
            (caller_id,) = done.inserted_primary_key
        made.append({"X-Person": str(caller_id), "Origin": ORIGIN})
    return made[0], made[1]


async def refusal(site: Site, job_id: str, headers: dict[str, str]) -> int:
    with pytest.raises(InvalidStatus) as refused:
        await site.stream(job_id, headers)
    return int(refused.value.response.status_code)
