"""bot/doors/jobs.py and bot/streaming.py: streaming jobs through a real server, a real store and the stand-in."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import uvicorn
from quart import Quart, has_websocket_context, request, websocket
from sqlalchemy import insert
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bot.diary.crypto import Keys
from bot.diary.schema import callers
from bot.diary.store import Store
from bot.diary.stream_jobs import LEASE, RESUMABLE_FOR, SUMMARY, StreamJobs
from bot.diary.summary import Summariser
from bot.diary.summary_job import SummaryJob
from bot.doors.asgi import MediaSocket, media_sockets
from bot.doors.jobs import JobsDoor, Running
from bot.doors.live import LiveCalls
from bot.errors import ModelError, StoreError
from bot.lab.rtzr import RtzrLab
from bot.lab.rtzr_behaviour import Close, Profile
from bot.services import stt
from bot.services.stt import Recogniser
from bot.streaming import StreamedJob
from bot.worker import Worker
from tests.doors.test_media import QuietServer, until
from tests.services.listening import LONG, TEXTS, settings_of, spoken

WAIT_S = 20
KEY = {"Authorization": "Bearer the-key"}
ORIGIN = "http://diary.example.com"


class Visitors:
    """Knows people by a header, and one key; `full`: nobody may do any more."""

    def __init__(self) -> None:
        self.full = False

    @property
    def _headers(self) -> Any:
        return (websocket if has_websocket_context() else request).headers

    async def person(self) -> Any:
        who = self._headers.get("X-Person")
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

    def stream(self, job_id: str, headers: dict[str, str] = KEY) -> connect:
        url = f"ws{self.url.removeprefix('http')}/api/v1/stream/{job_id}"
        return connect(url, additional_headers=headers, compression=None, max_queue=None)


Open = Callable[[], Any]


@pytest.fixture
async def lab() -> AsyncIterator[RtzrLab]:
    async with RtzrLab(profile=Profile(open_ms=5, final_ms=15)) as running:
        yield running


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stt, "DELAYS_S", (0.0, 0.01, 0.02, 0.04))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_site(lab: RtzrLab, clock: Clock, tmp_path: Path) -> Open:
    """Open a process; several share one diary."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Site]:
        async with AsyncExitStack() as stack:
            keys = Keys.parse("first-secret-of-the-tests-0123456789")
            store = await Store.open(f"sqlite:///{tmp_path / 'diary.db'}", keys, clock=clock)
            stack.push_async_callback(store.close)
            recogniser = Recogniser(settings_of(lab))
            stack.push_async_callback(recogniser.close)
            jobs = StreamJobs(store.database, store.keys, store.clock)
            worker = Worker(
                store.outbox, {SUMMARY: SummaryJob(store.database, store.keys, Summariser(None))}, poll_s=0.1
            )
            door = JobsDoor(SimpleNamespace(public_url=ORIGIN))  # type: ignore[arg-type]
            app = Quart("door", static_folder=None)
            app.register_blueprint(door.blueprint())
            app.asgi_app = media_sockets(app.asgi_app)  # type: ignore[method-assign, assignment, arg-type]
            listener = await asyncio.to_thread(__import__("socket").create_server, ("127.0.0.1", 0))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            http = await stack.enter_async_context(httpx2.AsyncClient(base_url=url))
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            live = LiveCalls(tasks, lambda call: call.run())  # type: ignore[arg-type, return-value]
            site = Site(url, store, jobs, live, Visitors(), lab, http)

            def new_job(socket: Any, claim: Any, config: Any) -> StreamedJob:
                site.made.append(
                    StreamedJob(socket, claim, config, jobs=jobs, recogniser=recogniser, work_came=worker.wake)
                )
                return site.made[-1]

            door.start(Running(jobs, site.visitors, live, new_job))
            working = tasks.create_task(worker.run())
            config = uvicorn.Config(app, ws="websockets-sansio", ws_max_size=65536, log_config=None, lifespan="off")
            server = QuietServer(config)
            serving = tasks.create_task(server.serve([listener]))
            await until(lambda: server.started)
            try:
                yield site
            finally:
                live.cancel()
                server.should_exit = True
                await serving
                await worker.stop()
                await working

    return opened


@pytest.fixture
async def site(open_site: Open) -> AsyncIterator[Site]:
    async with open_site() as opened:
        yield opened


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


# A job from its beginning to its end


@pytest.mark.parametrize("chunk_bytes", [960, 641, 65536])
async def test_a_recording_becomes_segments_in_order_and_a_summary(site: Site, chunk_bytes: int) -> None:
    job_id = await site.create({"title": "하루", "language": "ko"})
    pcm = day()
    async with site.stream(job_id) as socket:
        assert await received(socket) == {
            "type": "connection_success",
            "job_id": job_id,
            "audio_ms": 0,
            "segments": 0,
            "sample_rate": 16000,
            "chunk_bytes": 960,
        }
        await send(socket, pcm, chunk_bytes)
        await socket.send(END)
        messages = await all_received(socket)
    assert socket.close_code == 1000
    assert [message["type"] for message in messages] == ["transcript_segment"] * 3 + ["final_summary"]
    assert texts_of(messages) == [TEXTS[name] for name in LONG]
    begins_s = 0.0
    for index, (message, name) in enumerate(zip(messages, LONG, strict=False)):
        length_s = len(spoken(name, 300, 900)) / 32000
        assert message["index"] == index and message["is_final"] is True
        assert begins_s <= message["start_time"] < message["end_time"] <= begins_s + length_s
        assert message["start_time"] == pytest.approx(begins_s + 0.3, abs=0.3)
        begins_s += length_s
    summary = messages[-1]
    assert (summary["job_id"], summary["segments"]) == (job_id, 3)
    assert summary["duration"] == pytest.approx(len(pcm) / 32000, abs=0.02)
    assert summary["summary"] == " ".join(TEXTS[name] for name in LONG)
    shown = await site.shown(job_id)
    assert (shown["state"], shown["title"], shown["error"]) == ("completed", "하루", None)
    assert (shown["summary"], shown["duration"]) == (summary["summary"], summary["duration"])
    told = [{key: message[key] for key in shown["segments"][0]} for message in messages[:3]]
    assert shown["segments"] == told
    assert not site.lab.breaches


async def test_a_client_that_leaves_finds_everything_later(site: Site) -> None:
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await send(socket, day())
    shown = await site.over(job_id)
    assert [segment["text"] for segment in shown["segments"]] == [TEXTS[name] for name in LONG]
    assert (shown["state"], bool(shown["summary"])) == ("completed", True)


async def test_a_connection_that_breaks_is_as_good_as_one_that_ends(site: Site) -> None:
    job_id = await site.create()
    socket = await site.stream(job_id)
    await send(socket, day("jia-rain"))
    await until(lambda: site.made and site.made[0]._heard_ms >= len(day("jia-rain")) // 32 - 20)
    socket.transport.abort()
    shown = await site.over(job_id)
    assert [segment["text"] for segment in shown["segments"]] == [TEXTS["jia-rain"]]


async def test_a_segment_comes_while_the_client_goes_on(site: Site) -> None:
    job_id = await site.create({"max_silence_frames": 10})
    async with site.stream(job_id) as socket:
        await received(socket)
        await send(socket, day("jia-rain"))
        assert (await received(socket))["text"] == TEXTS["jia-rain"]
        assert [segment["text"] for segment in (await site.shown(job_id))["segments"]] == [TEXTS["jia-rain"]]
        assert (await site.shown(job_id))["state"] == "streaming"
        await socket.send(END)
        await all_received(socket)


@pytest.mark.parametrize(("body", "summary"), [({}, ""), ({"summary": False}, None)])
async def test_a_job_in_which_nothing_is_said_is_complete(site: Site, body: object, summary: str | None) -> None:
    job_id = await site.create(body)
    async with site.stream(job_id) as socket:
        await received(socket)
        await socket.send(bytes(32000))
        await socket.send(END)
        (last,) = await all_received(socket)
    assert (last["summary"], last["segments"], last["duration"]) == (summary, 0, 1.0)
    assert (await site.shown(job_id))["state"] == "completed"


async def test_a_job_without_any_audio_needs_no_recogniser(site: Site) -> None:
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await socket.send(END)
        messages = await all_received(socket)
    assert messages[-1]["type"] == "final_summary"
    assert site.lab.report.sockets == 0


async def test_no_summary_is_made_where_none_is_wanted(site: Site) -> None:
    job_id = await site.create({"summary": False})
    async with site.stream(job_id) as socket:
        await send(socket, day("jia-rain"))
        await socket.send(END)
        messages = await all_received(socket)
    assert (messages[-1]["type"], messages[-1]["summary"]) == ("final_summary", None)
    assert texts_of(messages) == [TEXTS["jia-rain"]]


async def test_two_jobs_are_streamed_at_once(site: Site) -> None:
    async def one(name: str) -> list[str]:
        async with site.stream(await site.create()) as socket:
            await send(socket, day(name))
            await socket.send(END)
            return texts_of(await all_received(socket))

    names = ["jia-rain", "minho-cat"]
    assert await asyncio.gather(*map(one, names)) == [[TEXTS[name]] for name in names]


@pytest.mark.parametrize(
    ("asked", "model", "language"),
    [("auto", "sommers_ko", None), ("ko", "sommers_ko", None), ("ja", "sommers_ja", None), ("en", "whisper", "en")],
)
async def test_the_language_chooses_the_model(site: Site, asked: str, model: str, language: str | None) -> None:
    async with site.stream(await site.create({"language": asked})) as socket:
        await socket.send(bytes(32000))
        await socket.send(END)
        await all_received(socket)
    parameters = site.lab.report.connections[0].parameters
    assert (parameters["model_name"], parameters.get("language")) == (model, language)
    assert not site.lab.breaches


@pytest.mark.parametrize(("frames", "count"), [(20, 2), (100, 1)])
async def test_what_is_one_segment_is_for_the_client_to_say(site: Site, frames: int, count: int) -> None:
    pcm = spoken("jia-rain", 300, 900) + spoken("minho-hello", 300, 900)
    async with site.stream(await site.create({"max_silence_frames": frames})) as socket:
        await send(socket, pcm)
        await socket.send(END)
        messages = await all_received(socket)
    assert len(texts_of(messages)) == count
    assert " ".join(texts_of(messages)) == f"{TEXTS['jia-rain']} {TEXTS['minho-hello']}"
    assert messages[-1]["duration"] == pytest.approx(len(pcm) / 32000, abs=0.02)


# What the client does wrong


async def test_text_that_is_none_is_answered_and_the_job_goes_on(site: Site) -> None:
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await received(socket)
        for garbage in ("garbage", '{"type":"start"}', "[]"):
            await socket.send(garbage)
            error = await received(socket)
            assert (error["type"], error["code"]) == ("error", "INVALID_MESSAGE")
        await send(socket, day("jia-rain"))
        await socket.send(END)
        assert texts_of(await all_received(socket)) == [TEXTS["jia-rain"]]


async def test_a_second_connection_is_sent_away_and_the_first_goes_on(site: Site) -> None:
    job_id = await site.create()
    async with site.stream(job_id) as first:
        await received(first)
        async with site.stream(job_id) as second:
            assert [message["code"] for message in await all_received(second)] == ["JOB_BUSY"]
        assert second.close_code == 4409
        await send(first, day("jia-rain"))
        await first.send(END)
        assert texts_of(await all_received(first)) == [TEXTS["jia-rain"]]


async def test_a_job_that_is_over_takes_no_connection(site: Site) -> None:
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await socket.send(END)
        await all_received(socket)
    async with site.stream(job_id) as again:
        assert [message["code"] for message in await all_received(again)] == ["JOB_OVER"]
    assert again.close_code == 1008


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"max_silence_frames": 0}, "max_silence_frames"),
        ({"max_silence_frames": "20"}, "max_silence_frames"),
        ({"sample_rate": 8000}, "sample_rate"),
        ({"colour": "red"}, "colour"),
        (b"garbage", "JSON"),
        ([1], "object"),
    ],
)
async def test_a_request_that_cannot_be_used_is_told_why(site: Site, body: object, named: str) -> None:
    answer = await site.post(body)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_REQUEST")
    assert named in answer.json()["message"]


async def test_who_asks_too_often_is_told_to_wait(site: Site) -> None:
    site.visitors.full = True
    assert (await site.post()).status_code == 429


# Who may


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


async def test_nobody_may_do_anything_without_being_known(site: Site) -> None:
    job_id = await site.create()
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Origin": ORIGIN}):
        assert (await site.post(headers=headers)).status_code == 401
        assert (await site.http.get(f"/api/v1/stream/{job_id}", headers=headers)).status_code == 401
        assert await refusal(site, job_id, headers) == 401


async def test_a_job_is_its_makers_and_to_everybody_else_it_does_not_exist(site: Site) -> None:
    one, other = await persons(site)
    of_one, of_key = await site.create(headers=one), await site.create()
    strange = str(uuid4())
    assert (await site.shown(of_one, one))["state"] == "created"
    for job_id, headers in [
        (of_one, other),
        (of_one, KEY),
        (of_key, one),
        (strange, one),
        (strange, KEY),
        ("nonsense", KEY),
    ]:
        assert (await site.http.get(f"/api/v1/stream/{job_id}", headers=headers)).status_code == 404
        assert await refusal(site, job_id, headers) == 404
    async with site.stream(of_one, one) as socket:
        assert (await received(socket))["type"] == "connection_success"


async def test_another_page_may_not_use_somebodys_cookie(site: Site) -> None:
    one, _ = await persons(site)
    job_id = await site.create(headers=one)
    for headers in ({**one, "Origin": "http://evil.example.com"}, {"X-Person": one["X-Person"]}):
        assert (await site.post(headers=headers)).status_code == 403
        assert await refusal(site, job_id, headers) == 403
    assert (await site.shown(job_id, one))["state"] == "created"


# What breaks


async def test_a_recogniser_that_breaks_loses_no_word(site: Site) -> None:
    site.lab.faults.closes += [Close(after_ms=2000, code=1011), Close(after_ms=1500, code=None)]
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await send(socket, day())
        await socket.send(END)
        messages = await all_received(socket)
    assert texts_of(messages) == [TEXTS[name] for name in LONG]
    assert messages[-1]["type"] == "final_summary"
    times = [time for message in messages[1:-1] for time in (message["start_time"], message["end_time"])]
    assert times == sorted(times)


async def test_a_recogniser_that_is_full_is_told_and_the_job_has_failed(site: Site) -> None:
    site.lab.faults.channels = 0
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await send(socket, day("jia-rain"))
        messages = await all_received(socket)
    assert messages[-1]["code"] == "RECOGNISER_UNAVAILABLE"
    assert socket.close_code == 1011
    shown = await site.shown(job_id)
    assert (shown["state"], bool(shown["error"])) == ("failed", True)


async def test_a_recogniser_that_is_lost_in_the_middle_leaves_what_it_heard(site: Site) -> None:
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await received(socket)
        await send(socket, day("jia-rain"))
        assert (await received(socket))["text"] == TEXTS["jia-rain"]
        site.lab.faults.handshakes = 100
        site.lab.faults.freeze_now()
        await send(socket, day("minho-cat"))
        messages = await all_received(socket)
    assert [message.get("code") for message in messages] == ["RECOGNISER_UNAVAILABLE"]
    shown = await site.shown(job_id)
    assert (shown["state"], [segment["text"] for segment in shown["segments"]]) == ("failed", [TEXTS["jia-rain"]])


async def test_a_recogniser_that_is_lost_in_silence_is_not_missed(site: Site) -> None:
    pcm = day("jia-rain")
    site.lab.faults.closes.append(Close(after_ms=len(pcm) / 32 + 500, code=1011))
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await received(socket)
        await send(socket, pcm)
        await received(socket)
        site.lab.faults.handshakes = 100
        await send(socket, bytes(64000))
        await until(lambda: site.made[0]._is_deaf)
        await send(socket, bytes(64000))
        await socket.send(END)
        messages = await all_received(socket)
    assert [message["type"] for message in messages] == ["final_summary"]
    assert (await site.shown(job_id))["state"] == "completed"


async def test_a_store_that_fails_for_a_while_loses_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []
    add_segment = site.jobs.add_segment

    async def fails_twice(claim: Any, segment: Any) -> None:
        tries.append(segment.number)
        if len(tries) <= 2:
            raise StoreError("away")
        await add_segment(claim, segment)

    monkeypatch.setattr(site.jobs, "add_segment", fails_twice)
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await send(socket, day())
        await socket.send(END)
        messages = await all_received(socket)
    assert texts_of(messages) == [TEXTS[name] for name in LONG]
    assert tries == [0, 0, 0, 1, 2]


async def test_a_process_that_goes_away_hands_the_job_to_the_next(open_site: Open) -> None:
    async with open_site() as old, open_site() as new:
        job_id = await old.create()
        pcm = day()
        cut = len(day("jia-rain"))
        async with old.stream(job_id) as socket:
            await received(socket)
            await send(socket, pcm[:cut])
            await received(socket)
            old.live.drain()
            messages = await all_received(socket)
        assert [message["code"] for message in messages] == ["SHUTTING_DOWN"]
        assert socket.close_code == 1012
        assert await refusal(old, job_id, KEY) == 503
        async with new.stream(job_id) as again:
            welcome = await received(again)
            assert (welcome["audio_ms"], welcome["segments"]) == (cut // 32, 1)
            await send(again, pcm[welcome["audio_ms"] * 32 :])
            await again.send(END)
            messages = await all_received(again)
        assert texts_of(messages) == [TEXTS[name] for name in LONG[1:]]
        assert [message["index"] for message in messages[:2]] == [1, 2]
        assert messages[0]["start_time"] >= cut / 32000
        assert messages[-1]["duration"] == pytest.approx(len(pcm) / 32000, abs=0.05)
        assert len((await new.shown(job_id))["segments"]) == 3


async def test_a_process_that_dies_leaves_a_job_that_is_summarised(site: Site, clock: Clock) -> None:
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await received(socket)
        await send(socket, day("jia-rain"))
        await received(socket)
        site.live.cancel()
        await all_received(socket)
    clock.ahead = LEASE + RESUMABLE_FOR + timedelta(seconds=1)
    assert await site.jobs.close_lapsed() == 1
    shown = await site.over(job_id)
    assert (shown["state"], shown["error"], shown["summary"]) == ("completed", "interrupted", TEXTS["jia-rain"])


async def test_a_client_that_sends_nothing_is_not_waited_for_for_ever(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.streaming.IDLE_S", 0.2)
    async with site.stream(await site.create()) as socket:
        messages = await all_received(socket)
    assert [message.get("code", message["type"]) for message in messages] == [
        "connection_success",
        "IDLE",
        "final_summary",
    ]


async def test_a_client_that_sends_anything_but_audio_is_not_waited_for_either(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.streaming.IDLE_S", 0.3)
    async with asyncio.timeout(10), site.stream(await site.create()) as socket, asyncio.TaskGroup() as tasks:

        async def chatter() -> None:
            while True:
                await socket.send("x")
                await socket.send(b"")
                await asyncio.sleep(0.05)

        talking = tasks.create_task(chatter())
        codes = [json.loads(await socket.recv()).get("code")]
        while codes[-1] != "IDLE":
            codes.append(json.loads(await socket.recv()).get("code"))
        talking.cancel()


async def test_nobody_streams_many_jobs_at_once(site: Site) -> None:
    first, second, third = [await site.create() for _ in range(3)]
    async with site.stream(first), site.stream(second):
        with pytest.raises(InvalidStatus) as refused:
            async with site.stream(third):
                pass
        assert refused.value.response.status_code == 429
    async with asyncio.timeout(10):
        while True:
            try:
                async with site.stream(third) as socket:
                    assert json.loads(await socket.recv())["type"] == "connection_success"
                    return
            except InvalidStatus:
                await asyncio.sleep(0.05)


async def test_a_recording_that_is_too_long_is_cut_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    pcm = day("jia-rain")
    monkeypatch.setattr("bot.streaming.LONGEST_AUDIO_MS", len(pcm) // 32 - 100)
    async with site.stream(await site.create()) as socket:
        await send(socket, pcm)
        messages = await all_received(socket)
    assert "TOO_LONG" in [message.get("code") for message in messages]
    assert texts_of(messages) == [TEXTS["jia-rain"]]
    assert messages[-1]["duration"] == pytest.approx(len(pcm) / 32000 - 0.1, abs=0.12)


async def test_a_socket_whose_job_was_taken_over_writes_nothing_more(site: Site, clock: Clock) -> None:
    job_id = await site.create()
    async with site.stream(job_id) as frozen:
        await received(frozen)
        await send(frozen, day("jia-rain"))
        await received(frozen)
        clock.ahead = LEASE + timedelta(seconds=1)
        async with site.stream(job_id) as next_one:
            welcome = await received(next_one)
            assert welcome["segments"] == 1
            await send(frozen, day("minho-cat"))
            assert [message["code"] for message in await all_received(frozen)] == ["JOB_BUSY"]
            assert frozen.close_code == 4409
            await send(next_one, day("sunja-walk"))
            await next_one.send(END)
            assert texts_of(await all_received(next_one)) == [TEXTS["sunja-walk"]]
    shown = await site.shown(job_id)
    assert [segment["text"] for segment in shown["segments"]] == [TEXTS["jia-rain"], TEXTS["sunja-walk"]]


async def test_a_job_that_is_removed_while_it_is_streamed_keeps_nothing(site: Site, clock: Clock) -> None:
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await received(socket)
        await site.jobs.remove_before(clock() + timedelta(seconds=1))
        await send(socket, day("jia-rain"))
        assert [message["code"] for message in await all_received(socket)] == ["JOB_BUSY"]
    assert (await site.http.get(f"/api/v1/stream/{job_id}", headers=KEY)).status_code == 404
    assert await site.jobs.segments(job_id) == []


async def test_a_client_that_reads_nothing_is_heard_all_the_same(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.streaming.SEND_S", 0.05)
    monkeypatch.setattr(MediaSocket, "send", lambda *_: asyncio.Event().wait())
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await send(socket, day())
    shown = await site.over(job_id)
    assert [segment["text"] for segment in shown["segments"]] == [TEXTS[name] for name in LONG]


@pytest.mark.parametrize("drains", [False, True])
async def test_a_summary_that_takes_long_is_left_for_later(
    site: Site, monkeypatch: pytest.MonkeyPatch, drains: bool
) -> None:
    monkeypatch.setattr("bot.summary_wait.SUMMARY_S", 60.0 if drains else 0.3)

    async def fails(*_: object) -> None:
        raise ModelError("away")

    monkeypatch.setattr(Summariser, "compose", fails)
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await received(socket)
        await send(socket, day("jia-rain"))
        await socket.send(END)
        await received(socket)
        if drains:
            await asyncio.sleep(0.3)
            site.live.drain()
        messages = await all_received(socket)
    assert [message["code"] for message in messages] == ["SUMMARY_LATER"]
    assert socket.close_code == 1000
    shown = await site.shown(job_id)
    assert (shown["state"], len(shown["segments"])) == ("streaming", 1)
    monkeypatch.undo()
    assert (await site.over(job_id))["summary"] == TEXTS["jia-rain"]


async def test_what_comes_after_the_end_is_refused_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await send(socket, day("jia-rain"))
        await socket.send(END)
        await socket.send(bytes(960))
        await socket.send(bytes(960))
        messages = await all_received(socket)
    assert [message["code"] for message in messages if message["type"] == "error"] == ["AFTER_END"]
    assert messages[-1]["duration"] == pytest.approx(len(day("jia-rain")) / 32000, abs=0.02)


# Faster than it is spoken


async def test_a_fast_client_is_slowed_down_and_nothing_is_lost(site: Site) -> None:
    names = LONG * 8
    job_id = await site.create()
    pcm = day(*names)
    async with site.stream(job_id) as socket:
        began_s = asyncio.get_running_loop().time()
        sending = asyncio.create_task(send(socket, pcm))
        most_waiting = 0
        while not sending.done():
            await asyncio.sleep(0.01)
            if site.made:
                most_waiting = max(most_waiting, site.made[0]._stt._feed.outbox.unsent_bytes)
        await sending
        await socket.send(END)
        messages = await all_received(socket)
    took_s = asyncio.get_running_loop().time() - began_s
    assert texts_of(messages) == [TEXTS[name] for name in names]
    assert took_s >= len(pcm) / 32000 / stt.FASTEST * 0.9
    assert most_waiting <= 2_200 * 32
    assert not site.lab.breaches
