"""The RTZR stand-in on the wire: what the service does, what can be made to go wrong, and what it reports."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bot.audio import mulaw
from bot.audio.resample import Resampler
from bot.lab.matching import FIXTURES
from bot.lab.rtzr import RtzrLab
from bot.lab.rtzr_behaviour import Close, Freeze, FreezeAt, Profile
from bot.lab.wav import wav_file

NAME = "jia-clinic"
TEXT = "병원에 갔더니 감기라고 하더라고요"
LEAST = {"sample_rate": "16000", "encoding": "LINEAR16", "epd_time": "0.8"}
FINALIZE = '{"type": "Finalize"}'
PATIENCE_S = 10.0


@pytest.fixture
async def lab() -> AsyncIterator[RtzrLab]:
    async with RtzrLab(profile=Profile(open_ms=1, final_ms=5)) as running:
        yield running


def spoken(name: str = NAME, lead_ms: int = 300, trail_ms: int = 300) -> bytes:
    resampler = Resampler(8000, 16000)
    pcm = resampler.push(mulaw.decode((FIXTURES / "utterances" / f"{name}.ulaw").read_bytes())) + resampler.flush()
    return bytes(lead_ms * 32) + pcm + bytes(trail_ms * 32)


async def authenticate(lab: RtzrLab, **form: str) -> httpx2.Response:
    async with httpx2.AsyncClient() as client:
        return await client.post(
            f"{lab.url}/v1/authenticate", data=form or {"client_id": lab.client_id, "client_secret": lab.client_secret}
        )


def address(lab: RtzrLab, **parameters: str) -> str:
    return f"{lab.url.replace('http', 'ws')}/v1/transcribe:streaming?{urlencode(parameters or LEAST)}"


async def dial(lab: RtzrLab, **parameters: str) -> ClientConnection:
    token = (await authenticate(lab)).json()["access_token"]
    return await connect(address(lab, **parameters), additional_headers={"Authorization": f"bearer {token}"})


async def refusal(lab: RtzrLab, token: str | None = None, **parameters: str) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with pytest.raises(InvalidStatus) as refused:
        await connect(address(lab, **parameters), additional_headers=headers)
    return refused.value.response.status_code, json.loads(refused.value.response.body)


async def transcript(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        message = json.loads(await socket.recv())
    assert isinstance(message, dict)
    return message


async def to_final(socket: ClientConnection) -> list[dict[str, Any]]:
    messages = [await transcript(socket)]
    while not messages[-1]["final"]:
        messages.append(await transcript(socket))
    return messages


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


async def closed(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(PATIENCE_S):
        try:
            async for _ in socket:
                pass
        except ConnectionClosed:
            pass
    return socket.close_code


# ── authentication and handshake ───────────────────────────────────────────────────────────────────────────────────


async def test_an_account_gets_a_token_for_six_hours(lab: RtzrLab) -> None:
    answer = (await authenticate(lab)).json()
    assert answer["access_token"] in lab.tokens
    assert 6 * 3600 - 5 <= answer["expire_at"] - time.time() <= 6 * 3600
    assert lab.report.authentications == 1


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [({"client_id": "lab-id"}, 400, "H0001"), ({"client_id": "lab-id", "client_secret": "no"}, 401, "H0002")],
)
async def test_no_account_gets_no_token(lab: RtzrLab, form: dict[str, str], status: int, code: str) -> None:
    response = await authenticate(lab, **form)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert len(lab.breaches) == 1


async def test_a_handshake_needs_a_token(lab: RtzrLab) -> None:
    assert await refusal(lab) == (401, {"code": "H0002", "msg": "authentication failed"})
    assert (await refusal(lab, token="made up"))[0] == 401
    assert lab.report.refused == [401, 401]
    assert len(lab.breaches) == 2


async def test_an_expired_token_is_refused_and_no_breach(lab: RtzrLab) -> None:
    lab.faults.stale_tokens = 1
    token = (await authenticate(lab)).json()["access_token"]
    assert (await refusal(lab, token))[0] == 401
    await (await dial(lab)).close()
    assert lab.breaches == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"encoding": "LINEAR16"},
        {"sample_rate": "16000"},
        LEAST | {"sample_rate": "4000"},
        LEAST | {"sample_rate": "fast"},
        LEAST | {"encoding": "WAV"},
        LEAST | {"domain": "GENERAL"},
        LEAST | {"use_itn": "True"},
        LEAST | {"epd_time": "soon"},
    ],
)
async def test_wrong_parameters_are_refused_and_reported(lab: RtzrLab, parameters: dict[str, str]) -> None:
    token = (await authenticate(lab)).json()["access_token"]
    assert (await refusal(lab, token, **parameters)) == (400, {"code": "H0001", "msg": "invalid parameter"})
    assert lab.breaches


async def test_an_unknown_parameter_is_reported(lab: RtzrLab) -> None:
    socket = await dial(lab, **LEAST, vad="on")
    await socket.close()
    assert lab.breaches == ["connection 1: unknown parameter vad"]


@pytest.mark.parametrize(("status", "code"), [(400, "H0001"), (401, "H0002"), (429, "A0001"), (500, "E500")])
async def test_handshakes_can_be_made_to_fail(lab: RtzrLab, status: int, code: str) -> None:
    lab.faults.handshake_status, lab.faults.handshakes = status, 1
    token = (await authenticate(lab)).json()["access_token"]
    answer = await refusal(lab, token)
    assert (answer[0], answer[1]["code"]) == (status, code)
    await (await dial(lab)).close()
    assert (lab.report.refused, lab.report.sockets) == ([status], 1)


async def test_channels_are_counted(lab: RtzrLab) -> None:
    lab.faults.channels = 1
    token = (await authenticate(lab)).json()["access_token"]
    socket = await dial(lab)
    assert (await refusal(lab, token))[0] == 429
    await socket.close()
    await until(lambda: not lab.report.channels_open)
    await (await dial(lab)).close()


async def test_other_pages_do_not_exist(lab: RtzrLab) -> None:
    async with httpx2.AsyncClient() as client:
        assert (await client.post(f"{lab.url}/v1/transcribes")).status_code == 404
        assert (await client.get(f"{lab.url}/")).status_code in (400, 404, 426)


# ── a stream ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_finalize_brings_the_final_and_the_socket_stays(lab: RtzrLab) -> None:
    socket = await dial(lab)
    for seq in (0, 1):
        await socket.send(spoken())
        await socket.send(FINALIZE)
        *_, partial, final = await to_final(socket)
        assert (final["seq"], final["final"], final["alternatives"][0]["text"]) == (seq, True, TEXT)
        assert (partial["seq"], partial["final"], partial["duration"]) == (seq, False, 0)
        assert partial["alternatives"][0]["text"] == TEXT
        assert [word["text"] for word in final["alternatives"][0]["words"]] == TEXT.split()
    assert final["start_at"] > 3000
    await socket.send("EOS")
    assert await closed(socket) == 1000
    report = lab.report.connections[0]
    assert (report.finalizes, report.eos, report.finals, report.utterances) == (2, 1, 2, [TEXT, TEXT])
    assert report.audio_s == pytest.approx(2 * len(spoken()) / 32000)
    assert lab.breaches == []


async def test_eos_brings_what_is_pending_and_then_the_close(lab: RtzrLab) -> None:
    socket = await dial(lab)
    await socket.send(spoken(trail_ms=0))
    await socket.send("EOS")
    assert (await to_final(socket))[-1]["alternatives"][0]["text"] == TEXT
    assert await closed(socket) == 1000
    with pytest.raises(ConnectionClosed):
        await socket.send(spoken())


async def test_finalize_with_nothing_pending_is_not_answered(lab: RtzrLab) -> None:
    socket = await dial(lab)
    await socket.send(bytes(32000))
    await socket.send(FINALIZE)
    await socket.send(FINALIZE)
    await socket.send("EOS")
    assert [message async for message in socket] == []
    assert lab.report.finalizes == 2


async def test_silence_of_epd_time_ends_an_utterance_by_itself(lab: RtzrLab) -> None:
    socket = await dial(lab)
    await socket.send(spoken(trail_ms=1000))
    assert (await to_final(socket))[-1]["alternatives"][0]["text"] == TEXT
    await socket.send(FINALIZE)
    await socket.send("EOS")
    assert [message async for message in socket] == []


async def test_seq_begins_again_with_each_connection(lab: RtzrLab) -> None:
    for _ in range(2):
        socket = await dial(lab)
        await socket.send(spoken())
        await socket.send(FINALIZE)
        final = (await to_final(socket))[-1]
        assert (final["seq"], final["start_at"] < 1000) == (0, True)
        await socket.close()


async def test_the_profile_is_kept(lab: RtzrLab) -> None:
    lab.profile.open_ms, lab.profile.final_ms = 80, 170
    token = (await authenticate(lab)).json()["access_token"]
    began = time.monotonic()
    socket = await connect(address(lab), additional_headers={"Authorization": f"Bearer {token}"})
    assert time.monotonic() - began >= 0.08
    await socket.send(spoken())
    began = time.monotonic()
    await socket.send(FINALIZE)
    await to_final(socket)
    assert time.monotonic() - began >= 0.17
    await socket.close()


@pytest.mark.parametrize(
    ("messages", "breach"),
    [
        (['{"type":"ping"}'], 'an unknown text frame: \'{"type":"ping"}\''),
        (["eos"], "an unknown text frame: 'eos'"),
        ([b"\0\0\0"], "an odd number of audio bytes: 3"),
        ([b""], "an empty audio frame"),
        (["EOS", b"\0\0"], "audio after EOS"),
        (["EOS", "EOS"], "EOS twice"),
        (["EOS", FINALIZE], f"text after EOS: {FINALIZE!r}"),
    ],
)
async def test_breaches_are_reported(lab: RtzrLab, messages: list[str | bytes], breach: str) -> None:
    lab.faults.slow_finals, lab.faults.slow_final_ms = 1, 200
    socket = await dial(lab)
    await socket.send(spoken())
    for message in messages:
        await socket.send(message)
    await until(lambda: lab.breaches)
    assert lab.breaches == [f"connection 1: {breach}"]
    await socket.close()


# ── what goes wrong on purpose ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("code", "seen"), [(1000, 1000), (1011, 1011), (None, 1006)])
async def test_a_connection_can_be_closed_at_a_moment(lab: RtzrLab, code: int | None, seen: int) -> None:
    lab.faults.closes.append(Close(after_ms=500, code=code))
    socket = await dial(lab)
    await socket.send(bytes(32 * 400))
    await socket.send(bytes(32 * 200))
    assert await closed(socket) == seen
    await (await dial(lab)).close()


async def test_a_final_can_be_lost_with_its_connection(lab: RtzrLab) -> None:
    lab.faults.lost_finals = 1
    socket = await dial(lab)
    await socket.send(spoken())
    await socket.send(FINALIZE)
    assert await closed(socket) == 1011
    assert lab.report.utterances == []


async def test_a_final_can_be_empty(lab: RtzrLab) -> None:
    lab.faults.empty_finals = 1
    socket = await dial(lab)
    await socket.send(spoken())
    await socket.send(FINALIZE)
    assert (await to_final(socket))[-1]["alternatives"] == []
    await socket.close()


async def test_what_is_not_known_is_an_empty_final(lab: RtzrLab) -> None:
    socket = await dial(lab)
    await socket.send(spoken()[::-1])
    await socket.send(FINALIZE)
    assert [message["alternatives"] for message in await to_final(socket)] == [[]]
    await socket.close()


async def test_the_servers_own_end_can_race_finalize(lab: RtzrLab) -> None:
    lab.profile.final_ms = 60_000
    lab.faults.epd_races = 1
    socket = await dial(lab)
    await socket.send(spoken())
    await socket.send(FINALIZE)
    assert (await to_final(socket))[-1]["alternatives"][0]["text"] == TEXT
    await socket.close()


async def test_a_final_can_be_slow_and_keeps_its_place(lab: RtzrLab) -> None:
    lab.faults.slow_finals, lab.faults.slow_final_ms = 1, 150
    socket = await dial(lab)
    began = time.monotonic()
    for _ in range(2):
        await socket.send(spoken())
        await socket.send(FINALIZE)
    assert (await to_final(socket))[-1]["seq"] == 0
    assert time.monotonic() - began >= 0.15
    assert {message["seq"] for message in await to_final(socket)} == {1}
    await socket.close()


async def test_a_connection_without_audio_is_closed(lab: RtzrLab) -> None:
    lab.profile.idle_close_s = 0.1
    socket = await dial(lab)
    assert await closed(socket) == 1000


@pytest.mark.parametrize("how", [Freeze.SILENT, Freeze.BLOCKED])
async def test_a_connection_can_stay_open_and_do_nothing(lab: RtzrLab, how: Freeze) -> None:
    lab.faults.freezes.append(FreezeAt(after_ms=500, how=how))
    socket = await dial(lab)
    await socket.send(bytes(32 * 400))
    await (await socket.ping())
    await socket.send(spoken())
    await socket.send(FINALIZE)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await (await socket.ping())
    assert lab.report.connections[0].frozen is how
    assert lab.report.connections[0].open
    socket.transport.abort()
    await (await dial(lab)).close()


async def test_a_connection_can_be_deaf(lab: RtzrLab) -> None:
    lab.faults.freezes.append(FreezeAt(after_finalizes=1, how=Freeze.DEAF))
    socket = await dial(lab)
    await socket.send(spoken())
    await socket.send(FINALIZE)
    await socket.send(spoken())
    await socket.send(FINALIZE)
    await (await socket.ping())
    messages = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            messages += [message async for message in socket]
    assert not any(json.loads(message)["final"] for message in messages)
    assert lab.report.utterances[1:] == []
    await socket.close()


async def test_all_open_connections_can_be_frozen_and_those_to_come_are_sound(lab: RtzrLab) -> None:
    frozen = [await dial(lab) for _ in range(3)]
    lab.faults.freeze_now()
    sound = await dial(lab)
    for socket in (*frozen, sound):
        await socket.send(spoken())
        await socket.send(FINALIZE)
    assert (await to_final(sound))[-1]["alternatives"][0]["text"] == TEXT
    assert lab.report.utterances == [TEXT]
    assert [connection.frozen for connection in lab.report.connections] == [Freeze.SILENT] * 3 + [None]
    for socket in frozen:
        socket.transport.abort()
    await sound.close()


async def test_it_can_answer_nobody(lab: RtzrLab) -> None:
    lab.faults.unanswered = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await authenticate(lab)
    lab.faults.unanswered = False
    await (await dial(lab)).close()


@pytest.mark.parametrize(
    ("close", "finals"), [(Close(0, 1011, after_finalizes=1), 0), (Close(0, 1011, after_finals=1), 1)], ids=str
)
async def test_a_connection_can_be_closed_in_place_of_a_final_or_behind_it(
    lab: RtzrLab, close: Close, finals: int
) -> None:
    lab.faults.closes.append(close)
    socket = await dial(lab)
    await socket.send(spoken())
    await socket.send(FINALIZE)
    messages = []
    with pytest.raises(ConnectionClosed):
        while True:
            messages.append(await transcript(socket))
    assert sum(message["final"] for message in messages) == finals
    assert socket.close_code == 1011


async def test_a_channel_may_count_longer_than_its_connection(lab: RtzrLab) -> None:
    lab.faults.channels, lab.faults.channel_lingers_s = 1, 0.3
    token = (await authenticate(lab)).json()["access_token"]
    began = time.monotonic()
    await (await dial(lab)).close()
    assert (await refusal(lab, token))[0] == 429
    await until(lambda: not lab.report.channels_open)
    assert time.monotonic() - began >= 0.3
    await (await dial(lab)).close()


# ── files ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def wav(pcm: bytes, *, channels: int = 1) -> bytes:
    return wav_file(pcm, 16_000, channels=channels)


async def upload(lab: RtzrLab, file: bytes | None, config: str = '{"domain": "CALL"}', token: str | None = None) -> Any:
    token = token or (await authenticate(lab)).json()["access_token"]
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        files = {"file": ("a.wav", file)} if file is not None else {"other": b""}
        return await client.post(f"{lab.url}/v1/transcribe", data={"config": config}, files=files)


async def result(lab: RtzrLab, name: str) -> Any:
    token = (await authenticate(lab)).json()["access_token"]
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        return await client.get(f"{lab.url}/v1/transcribe/{name}")


async def test_a_file_is_transcribed_from_its_audio(lab: RtzrLab) -> None:
    lab.profile.file_ms, lab.profile.poll_s = 400, 0.5
    name = (await upload(lab, wav(spoken(trail_ms=1500) + spoken("jia-rain")))).json()["id"]
    assert (await result(lab, name)).json() == {"id": name, "status": "transcribing"}
    too_soon = await result(lab, name)
    assert (too_soon.status_code, too_soon.json()["code"]) == (429, "A0003")
    await asyncio.sleep(0.8)
    answer = (await result(lab, name)).json()
    assert answer["status"] == "completed"
    first, second = answer["results"]["utterances"]
    assert (first["msg"], first["spk"], second["msg"]) == (TEXT, 0, "비가 와서 우산을 샀는데 버스에 두고 내렸어요")
    assert 200 <= first["start_at"] <= 500
    assert second["start_at"] > first["start_at"] + first["duration"]
    assert (await result(lab, "made-up")).status_code == 404
    assert not lab.breaches


@pytest.mark.parametrize(
    ("file", "config", "code"),
    [
        (b"no wave", "{}", "H0010"),
        (wav(bytes(6400), channels=2), "{}", "H0010"),
        (None, "{}", "H0001"),
        (wav(bytes(6400)), "no json", "H0001"),
        (wav(bytes(6400)), '{"model_name": "sommers_ko"}', "H0001"),
        (wav(bytes(6400)), '{"sample_rate": 16000}', "H0001"),
    ],
)
async def test_a_wrong_upload_is_refused(lab: RtzrLab, file: bytes | None, config: str, code: str) -> None:
    answer = await upload(lab, file, config)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert bool(lab.breaches) is (code == "H0001")  # a file may be damaged, a form may not


async def test_files_need_a_token_and_a_place(lab: RtzrLab) -> None:
    assert (await upload(lab, wav(bytes(6400)), token="made up")).status_code == 401
    lab.faults.file_channels, lab.profile.file_ms = 1, 60_000
    assert (await upload(lab, wav(bytes(6400)))).status_code == 200
    answer = await upload(lab, wav(bytes(6400)))
    assert (answer.status_code, answer.json()["code"]) == (429, "A0002")


async def test_what_is_no_websocket_hurts_nobody(lab: RtzrLab) -> None:
    port = int(lab.url.rpartition(":")[2])
    for nonsense in (b"\0\1\2", b"GET / HTTP/1.1\r\n\r\n", b"x" * 100_000):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(nonsense)
        writer.close()
    await (await dial(lab)).close()
    assert lab.report.sockets == 1


async def test_it_runs_alone() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.lab.rtzr", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        async with asyncio.timeout(PATIENCE_S):
            line = (await process.stdout.readline()).decode()
        settings = dict(part.split("=", 1) for part in line.split())
        async with httpx2.AsyncClient() as client:
            form = {"client_id": settings["RTZR_CLIENT_ID"], "client_secret": settings["RTZR_CLIENT_SECRET"]}
            answer = await client.post(f"{settings['RTZR_API_URL']}/v1/authenticate", data=form)
        assert answer.json()["access_token"]
    finally:
        process.terminate()
        await process.wait()
