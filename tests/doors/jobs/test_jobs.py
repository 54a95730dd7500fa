"""bot/doors/jobs.py and bot/streaming.py: streaming jobs through a real server, a real store and the stand-in."""

import asyncio
from uuid import uuid4

import pytest

from bot.services import stt
from tests.doors.jobs.by_hand import (
    END,
    KEY,
    ORIGIN,
    Site,
    all_received,
    day,
    persons,
    received,
    refusal,
    send,
    texts_of,
)
from tests.doors.test_media import until
from tests.services.listening import LONG, TEXTS, spoken

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
    answer = await site.post()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")


# Who may


async def test_nobody_may_do_anything_without_being_known(site: Site) -> None:
    job_id = await site.create()
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Origin": ORIGIN}):
        assert (await site.post(headers=headers)).status_code == 401
        assert (await site.http.get(f"/api/v1/stream/{job_id}", headers=headers)).status_code == 401
        assert await site.remove(job_id, headers) == 401
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
        assert await site.remove(job_id, headers) == 404
        assert await refusal(site, job_id, headers) == 404
    async with site.stream(of_one, one) as socket:
        assert (await received(socket))["type"] == "connection_success"


async def test_another_page_may_not_use_somebodys_cookie(site: Site) -> None:
    one, _ = await persons(site)
    job_id = await site.create(headers=one)
    for headers in ({**one, "Origin": "http://evil.example.com"}, {"X-Person": one["X-Person"]}):
        assert (await site.post(headers=headers)).status_code == 403
        assert await site.remove(job_id, headers) == 403
        assert await refusal(site, job_id, headers) == 403
    assert (await site.shown(job_id, one))["state"] == "created"


async def test_whose_a_job_is_may_remove_it_with_all_that_was_heard(site: Site) -> None:
    one, _ = await persons(site)
    for headers in (one, KEY):
        job_id = await site.create(headers=headers)
        async with site.stream(job_id, headers) as socket:
            await send(socket, day("jia-rain"))
            await socket.send(END)
            await all_received(socket)
        assert await site.remove(job_id, headers) == 204
        assert (await site.http.get(f"/api/v1/stream/{job_id}", headers=headers)).status_code == 404
        assert await site.jobs.segments(job_id) == []
        assert await site.remove(job_id, headers) == 404


async def test_who_signs_out_streams_no_more_and_may_go_on_later(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.doors.jobs.LOOK_EVERY_S", 0.05)
    one, _ = await persons(site)
    job_id = await site.create(headers=one)
    pcm = day("jia-rain")
    async with site.stream(job_id, one) as socket:
        await send(socket, pcm)
        assert [(await received(socket))["type"] for _ in range(2)] == ["connection_success", "transcript_segment"]
        site.visitors.signed_out = True
        assert [message["code"] for message in await all_received(socket)] == ["SIGNED_OUT"]
        assert socket.close_code == 1008
    site.visitors.signed_out = False
    async with site.stream(job_id, one) as again:
        welcome = await received(again)
        assert (welcome["audio_ms"], welcome["segments"]) == (len(pcm) // 640 * 20, 1)


async def test_who_came_with_a_key_streams_on_though_nobody_is_signed_in(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.doors.jobs.LOOK_EVERY_S", 0.02)
    async with site.stream(await site.create()) as socket:
        await received(socket)
        site.visitors.signed_out = True
        await asyncio.sleep(0.2)
        await socket.send(END)
        assert [message["type"] for message in await all_received(socket)] == ["final_summary"]


async def test_a_store_that_cannot_tell_who_is_signed_in_ends_no_job(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.doors.jobs.LOOK_EVERY_S", 0.02)
    one, _ = await persons(site)
    async with site.stream(await site.create(headers=one), one) as socket:
        await received(socket)
        site.visitors.broken, site.visitors.looks = True, 0
        await until(lambda: site.visitors.looks >= 3)
        await socket.send(END)
        assert [message["type"] for message in await all_received(socket)] == ["final_summary"]


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
