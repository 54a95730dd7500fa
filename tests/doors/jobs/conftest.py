"""Processes that serve streaming jobs: a real server, a real store, and the stand-in for the recogniser."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import uvicorn
from quart import Quart

from bot.diary.crypto import Keys
from bot.diary.store import Store
from bot.diary.stream_jobs import SUMMARY, StreamJobs
from bot.diary.summary import Summariser
from bot.diary.summary_job import SummaryJob
from bot.doors.asgi import straight_sockets
from bot.doors.jobs import JobsDoor, Running
from bot.doors.live import LiveCalls
from bot.lab.rtzr import RtzrLab
from bot.lab.rtzr_behaviour import Profile
from bot.services import stt
from bot.services.stt import Recogniser
from bot.streaming import StreamedJob
from bot.worker import Worker
from tests.doors.jobs.by_hand import ORIGIN, Clock, Open, Site, Visitors
from tests.doors.test_media import QuietServer, until
from tests.services.listening import settings_of


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
            app.asgi_app = straight_sockets(app.asgi_app)  # type: ignore[method-assign, assignment, arg-type]
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
