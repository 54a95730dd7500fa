"""bot/doors/jobs.py and bot/streaming.py: what breaks under a streaming job, and what is left of it."""

import asyncio
import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bot.diary.stream_jobs import LEASE, RESUMABLE_FOR
from bot.diary.stream_records import Claim
from bot.diary.summary import Summariser
from bot.doors.asgi import StraightSocket
from bot.doors.live import LiveCalls
from bot.errors import ModelError, StoreError
from bot.lab.rtzr_behaviour import Close
from tests.doors.jobs.by_hand import (
    END,
    KEY,
    Clock,
    Open,
    Site,
    all_received,
    day,
    received,
    refusal,
    send,
    texts_of,
)
from tests.doors.test_media import until
from tests.services.listening import LONG, TEXTS


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


@pytest.mark.parametrize("says_end", [False, True])
async def test_a_recogniser_that_is_full_is_told_and_the_job_may_go_on_at_once(site: Site, says_end: bool) -> None:
    site.lab.faults.channels = 0
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await send(socket, day("jia-rain"))
        if says_end:
            await socket.send(END)
        messages = await all_received(socket)
    assert messages[-1]["code"] == "RECOGNISER_UNAVAILABLE"
    assert socket.close_code == 1013
    site.lab.faults.channels = None
    async with site.stream(job_id) as again:
        assert (await received(again))["audio_ms"] == 0
        await send(again, day("jia-rain"))
        await again.send(END)
        assert texts_of(await all_received(again)) == [TEXTS["jia-rain"]]


async def test_while_all_channels_are_taken_no_job_is_begun_and_one_that_broke_off_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.jobs._channels, "_most", 1)
    first, second = await site.create(), await site.create()
    async with site.stream(first) as socket:
        await received(socket)
        with pytest.raises(InvalidStatus) as refused:
            await site.stream(second)
        response = refused.value.response
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        assert json.loads(response.body or b"")["code"] == "RECOGNISER_BUSY"
        assert site.live.strangers == 0, "a job is nobody who has not said yet what it wants"
        site.made[0].signed_out()
        await all_received(socket)
    assert await refusal(site, second, KEY) == 503
    monkeypatch.setattr(LiveCalls, "is_full", True)
    async with site.stream(first) as again:
        await received(again)
        await again.send(END)
        await all_received(again)
    assert await refusal(site, second, KEY) == 503
    monkeypatch.setattr(LiveCalls, "is_full", False)
    async with site.stream(second) as socket:
        assert (await received(socket))["type"] == "connection_success"


@pytest.mark.parametrize("says_end", [False, True])
async def test_a_recogniser_that_refuses_is_told_and_the_job_has_failed(site: Site, says_end: bool) -> None:
    site.lab.faults.handshakes, site.lab.faults.handshake_status = 100, 403
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await send(socket, day("jia-rain"))
        if says_end:
            await socket.send(END)
        messages = await all_received(socket)
    assert messages[-1]["code"] == "RECOGNISER_REFUSED"
    assert socket.close_code == 1011
    shown = await site.shown(job_id)
    assert (shown["state"], bool(shown["error"])) == ("failed", True)


async def test_an_outage_of_the_recogniser_costs_a_connection_and_no_word(site: Site) -> None:
    job_id = await site.create()
    pcm = day("jia-rain", "minho-cat")
    cut = len(day("jia-rain"))
    async with site.stream(job_id) as socket:
        await received(socket)
        await send(socket, pcm[:cut])
        assert (await received(socket))["text"] == TEXTS["jia-rain"]
        site.lab.faults.handshakes = 100
        site.lab.faults.freeze_now()
        await send(socket, pcm[cut:])
        messages = await all_received(socket)
    assert [message.get("code") for message in messages] == ["RECOGNISER_UNAVAILABLE"]
    assert (await site.shown(job_id))["state"] == "streaming"
    site.lab.faults.handshakes = 0
    async with site.stream(job_id) as again:
        welcome = await received(again)
        assert welcome["segments"] == 1 and 0 < welcome["audio_ms"] <= cut // 32
        await send(again, pcm[welcome["audio_ms"] * 32 :])
        await again.send(END)
        messages = await all_received(again)
    assert texts_of(messages) == [TEXTS["minho-cat"]]
    assert messages[-1]["duration"] == pytest.approx(len(pcm) / 32000, abs=0.02)


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


async def test_the_next_process_goes_on_at_the_very_sample(open_site: Open) -> None:
    async with open_site() as old, open_site() as new:
        job_id = await old.create()
        frames = len(day("jia-rain")) // 640
        async with old.stream(job_id) as socket:
            await received(socket)
            await send(socket, day("jia-rain")[: frames * 640] + bytes(330), chunk_bytes=32_000)
            await until(lambda: old.made[0]._heard_ms == frames * 20)
            old.live.drain()
            await all_received(socket)
        async with new.stream(job_id) as again:
            assert (await received(again))["audio_ms"] == frames * 20


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
        assert refused.value.response.headers["Retry-After"] == "5"
    async with asyncio.timeout(10):
        while True:
            try:
                async with site.stream(third) as socket:
                    assert json.loads(await socket.recv())["type"] == "connection_success"
                    return
            except InvalidStatus:
                await asyncio.sleep(0.05)


async def test_a_job_has_its_place_until_all_that_was_sent_is_heard(site: Site) -> None:
    site.lab.profile.final_ms = 3_600_000
    first, second, third = [await site.create() for _ in range(3)]
    for job_id in (first, second):
        async with site.stream(job_id) as socket:
            await received(socket)
            await send(socket, day("jia-rain"))
            await until(lambda: site.made[-1]._heard_ms >= 1000)
    await until(lambda: not site.live._streaming)
    assert len(site.live) == 2, "their sockets are over, and what they hold of the recogniser is not"
    assert await refusal(site, third, KEY) == 429
    site.live.cancel()
    await until(lambda: not len(site.live))
    async with site.stream(third) as socket:
        assert (await received(socket))["type"] == "connection_success"


async def test_a_recording_that_is_too_long_is_cut_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    pcm = day("jia-rain")
    monkeypatch.setattr("bot.streaming.LONGEST_AUDIO_MS", len(pcm) // 32 - 100)
    async with site.stream(await site.create()) as socket:
        await send(socket, pcm)
        messages = await all_received(socket)
    assert "TOO_LONG" in [message.get("code") for message in messages]
    assert texts_of(messages) == [TEXTS["jia-rain"]]
    assert messages[-1]["duration"] == pytest.approx(len(pcm) / 32000 - 0.1, abs=0.12)


async def test_how_long_a_recording_may_be_counts_what_earlier_connections_sent(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    pcm = day("jia-rain")
    monkeypatch.setattr("bot.streaming.LONGEST_AUDIO_MS", 5_000 + len(pcm) // 32 - 100)
    job_id = await site.create()
    claim = await site.jobs.claim(job_id)
    assert isinstance(claim, Claim)
    await site.jobs.released(claim, 5_000)
    async with site.stream(job_id) as socket:
        await send(socket, pcm)
        await socket.send(END)
        messages = await all_received(socket)
    assert "TOO_LONG" in [message.get("code") for message in messages]


async def test_a_message_that_is_too_big_ends_the_connection_and_not_the_job(site: Site) -> None:
    job_id = await site.create()
    pcm = day()
    cut = len(day("jia-rain"))
    async with site.stream(job_id) as socket:
        await received(socket)
        await send(socket, pcm[:cut])
        await received(socket)
        with suppress(ConnectionClosed):
            await socket.send(bytes(65537))
        assert await all_received(socket) == []
    await until(lambda: not len(site.live))
    assert (await site.shown(job_id))["state"] == "streaming"
    async with site.stream(job_id) as again:
        welcome = await received(again)
        assert (welcome["audio_ms"], welcome["segments"]) == (cut // 640 * 20, 1)
        await send(again, pcm[welcome["audio_ms"] * 32 :])
        await again.send(END)
        assert texts_of(await all_received(again)) == [TEXTS[name] for name in LONG[1:]]


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


async def test_a_job_that_is_removed_while_it_is_streamed_keeps_nothing(site: Site) -> None:
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await received(socket)
        assert await site.remove(job_id) == 204
        await send(socket, day("jia-rain"))
        assert [message["code"] for message in await all_received(socket)] == ["JOB_BUSY"]
    assert (await site.http.get(f"/api/v1/stream/{job_id}", headers=KEY)).status_code == 404
    assert await site.jobs.segments(job_id) == []


async def test_who_streams_a_removed_job_and_says_nothing_is_told_too(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.streaming.RENEW_S", 0.05)
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await received(socket)
        assert await site.remove(job_id) == 204
        assert [message["code"] for message in await all_received(socket)] == ["JOB_BUSY"]
    assert socket.close_code == 4409


async def test_nobody_waits_for_the_summary_of_a_removed_job(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> str:
        return await asyncio.Event().wait() and ""

    monkeypatch.setattr(Summariser, "compose", never)
    job_id = await site.create()
    async with site.stream(job_id) as socket:
        await received(socket)
        await send(socket, day("jia-rain"))
        await socket.send(END)
        await received(socket)
        assert await site.remove(job_id) == 204
        assert [message["code"] for message in await all_received(socket)] == ["JOB_BUSY"]
    assert socket.close_code == 4409


async def test_a_client_that_reads_nothing_is_heard_all_the_same(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.streaming.SEND_S", 0.05)
    monkeypatch.setattr(StraightSocket, "send", lambda *_: asyncio.Event().wait())
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
