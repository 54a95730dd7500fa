"""bot/app.py: the application with all that it needs, on any ASGI server."""

import asyncio
import gc
import json
import logging
import weakref
from dataclasses import replace
from functools import partial

import pytest

from bot.app import create_app, end, guarded
from bot.doors import patience
from bot.doors.live import LiveCalls
from bot.doors.patience import Patience
from bot.errors import StoreError
from bot.garbage import FEWEST
from bot.lab.scraped import Scraped
from bot.metrics import LAG
from bot.settings import load


@pytest.fixture
def settings(tmp_path):
    return load(
        {
            "RTZR_CLIENT_ID": "id",
            "RTZR_CLIENT_SECRET": "secret",
            "RTZR_API_URL": "http://127.0.0.1:9",
            "DATABASE_URL": f"sqlite:///{tmp_path}/diary.db",
            "ALLOW_UNSIGNED": "1",
        }
    )


async def test_it_opens_and_closes_what_it_needs_by_itself(settings):
    app = create_app(settings)
    async with app.test_app() as running:
        health = await running.test_client().get("/health")
        assert json.loads(await health.get_data())["status"] == "ok"
        form = {"CallSid": "CA" + "b2" * 16, "From": "+821012345678"}
        documents = [await (await running.test_client().post("/twilio/voice", form=form)).get_data() for _ in range(2)]
        assert b'<Parameter name="token" value="' in documents[0]
        assert documents[0] == documents[1]
        form["CallStatus"] = "completed"
        assert (await running.test_client().post("/twilio/status", form=form)).status_code == 204
        after = await running.test_client().post("/twilio/after", form={"CallSid": form["CallSid"]})
        assert b"<Hangup/>" in await after.get_data()


async def test_what_the_process_does_is_measured(settings):
    key = "k" * 32
    app = create_app(replace(settings, metrics_keys=(key,)))
    async with app.test_app() as running, asyncio.timeout(20):
        found = Scraped({})
        while found.total(f"{LAG}_count") < 3:
            await asyncio.sleep(0.05)
            answer = await running.test_client().get("/metrics", headers={"Authorization": f"Bearer {key}"})
            found = Scraped.parse((await answer.get_data()).decode())
    assert found.total("process_resident_memory_bytes") > 0
    assert found.quantile(LAG, 0.5) >= 0


async def test_every_route_is_there(settings):
    rules = {(rule.rule, method) for rule in create_app(settings).url_map.iter_rules() for method in rule.methods}
    assert {
        ("/twilio/voice", "POST"),
        ("/twilio/after", "POST"),
        ("/twilio/status", "POST"),
        ("/twilio/stream-status", "POST"),
        ("/twilio/recorded", "POST"),
        ("/twilio/recording-status", "POST"),
        ("/twilio/media", "GET"),
        ("/health", "GET"),
        ("/metrics", "GET"),
    } <= rules


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/metrics", 404),
        ("GET", "/sign-in", 200),
        ("GET", "/static/base.css", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/sign-out", 405),
        ("POST", "/twilio/voice", 403),
        ("POST", "/twilio/code", 403),
        ("POST", "/chat/stream", 403),
        ("POST", "/api/v1/stream/create", 401),
    ],
    ids=lambda value: str(value).replace("/", "."),
)
async def test_no_answer_is_taken_for_another_type_or_kept(settings, method, path, status):
    app = create_app(settings)
    async with app.test_app() as running:
        answer = await running.test_client().open(path, method=method)
        assert answer.status_code == status
        assert answer.headers.getlist("X-Content-Type-Options") == ["nosniff"]
        (kept,) = answer.headers.getlist("Cache-Control")
        assert kept == "no-cache" if path.startswith("/static") else kept.startswith("no-store")


async def test_what_breaks_in_a_call_stays_in_it_and_its_text_is_not_logged(caplog):
    async def fails():
        raise ValueError("오늘 산책했어요")

    async def broken():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fails())

    await guarded("a call", broken())
    assert "a call broke: ValueError at test_app.py:" in caplog.text
    assert "산책" not in caplog.text


async def test_a_cancelled_call_is_not_swallowed():
    task = asyncio.create_task(guarded("a call", asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_calls_left_behind_is_collected(settings):
    class Short:
        """A call that is over at once, and holds itself."""

        call_sid = "CA1"

        def __init__(self):
            self.me = self

        async def run(self):
            pass

    app = create_app(settings)
    async with app.test_app():
        live = app.phone.running.live
        gc.disable()
        try:
            first = weakref.ref(await over(live, Short()))
            await asyncio.gather(*(over(live, Short()) for _ in range(FEWEST * 2)))
            assert first() is None
        finally:
            gc.enable()


async def over(live, call):
    await live.start(call)
    return call


async def test_at_the_end_a_call_that_does_not_end_is_cut_off(monkeypatch, caplog):
    class Endless:
        call_sid = "CA1"
        drained = cancelled = False

        def drain(self):
            self.drained = True

        async def run(self):
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled = True

    monkeypatch.setattr("bot.app.LAST_SAVING_S", 0.01)
    call = Endless()
    with caplog.at_level(logging.WARNING):
        async with asyncio.TaskGroup() as tasks:
            live = LiveCalls(tasks, lambda call: call.run())
            live.start(call)
            await asyncio.sleep(0)
            await end(live, Patience(tasks, lambda note: note))
    assert call.drained and call.cancelled
    assert "1 calls were cut off" in caplog.text


async def test_a_note_that_breaks_ends_nothing_else(monkeypatch, caplog):
    async def breaks():
        raise ValueError("오늘 산책했어요")

    monkeypatch.setattr(patience, "PAUSES_S", (0.0,))
    async with asyncio.TaskGroup() as tasks:
        notes = Patience(tasks, partial(guarded, "a note"))
        notes.keep_trying("call CA1", breaks)
        await notes.finished(5)
    assert "a note broke: ValueError" in caplog.text
    assert "산책" not in caplog.text


async def test_at_the_end_a_note_that_waits_for_the_store_has_time_to_be_written(monkeypatch):
    written = []

    async def write():
        if len(written) < 2:
            written.append("tried")
            raise StoreError("no database")
        written.append("noted")

    monkeypatch.setattr(patience, "PAUSES_S", (0.01,))
    async with asyncio.TaskGroup() as tasks:
        notes = Patience(tasks, lambda note: note)
        notes.keep_trying("call CA1", write)
        await end(LiveCalls(tasks, lambda call: call.run()), notes)
    assert written == ["tried", "tried", "noted"]


async def test_at_the_end_calls_and_durable_work_are_waited_for_side_by_side(settings, monkeypatch):
    """One after the other they would take longer than a platform waits before it kills."""
    running, most = 0, 0

    async def slow(*_):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1

    monkeypatch.setattr("bot.app.end", slow)
    monkeypatch.setattr("bot.app.Worker.stop", slow)
    monkeypatch.setattr("bot.app.Worker.run", slow)
    async with create_app(settings).test_app():
        await asyncio.sleep(0.1)
    assert most == 2
