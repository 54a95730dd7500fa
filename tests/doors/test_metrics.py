"""bot/doors/metrics.py: who is told what is measured, and who is not."""

from contextlib import asynccontextmanager

import pytest
from quart import Quart

from bot.doors.metrics import MetricsDoor
from bot.metrics import Metrics
from bot.settings import load

KEY, OLD_KEY = "k" * 32, "the-old-key-" + "x" * 32
LEAST = {"RTZR_CLIENT_ID": "id", "RTZR_CLIENT_SECRET": "secret"}


@asynccontextmanager
async def open_door(**environ):
    door, app = MetricsDoor(load(LEAST | environ)), Quart("metrics")
    app.get("/metrics")(door.metrics)
    door.start(Metrics())
    yield app.test_client()


@pytest.mark.parametrize("key", [KEY, OLD_KEY], ids=["the key", "the one before it"])
async def test_who_brings_the_key_is_told_what_is_measured(key):
    async with open_door(METRICS_KEY=f"{KEY},{OLD_KEY}") as client:
        answer = await client.get("/metrics", headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"\nilgi_calls_live{" in await answer.get_data()


WRONG = {
    "no key": {},
    "another key": {"Authorization": f"Bearer {OLD_KEY}"},
    "a part of it": {"Authorization": f"Bearer {KEY[:-1]}"},
    "nothing": {"Authorization": "Bearer "},
    "another scheme": {"Authorization": f"Basic {KEY}"},
    "no ASCII": {"Authorization": "Bearer 열쇠"},
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
async def test_who_brings_no_key_or_a_wrong_one_is_told_nothing(headers):
    async with open_door(METRICS_KEY=KEY) as client:
        answer = await client.get("/metrics", headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert await answer.get_data() == b""


async def test_without_the_setting_there_is_no_such_page_and_no_other_key_opens_it():
    async with open_door(STREAM_KEYS=KEY) as client:
        answer = await client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"})
    assert (answer.status_code, await answer.get_data()) == (404, b"")
