"""The recogniser for files, against the stand-in on real sockets."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bot.errors import RecogniserError, RecogniserFull, TranscriptionGone
from bot.lab.rtzr import RtzrLab
from bot.lab.rtzr_behaviour import Profile
from bot.lab.wav import wav_file
from bot.services.stt_file import CONFIG, Transcriber
from bot.services.stt_token import RecogniserRefused, Tokens
from bot.settings import RtzrSettings
from tests.services.listening import LONG, PATIENCE_S, TEXTS, settings_of, spoken


def wav(*names: str) -> bytes:
    return wav_file(b"".join(spoken(name, 300, 1500) for name in names) or bytes(64_000), 16_000)


@pytest.fixture
async def lab() -> AsyncIterator[RtzrLab]:
    async with RtzrLab(profile=Profile(file_ms=30, file_speed=1000, poll_s=0.0)) as running:
        yield running


@pytest.fixture
async def transcriber(lab: RtzrLab) -> AsyncIterator[Transcriber]:
    tokens = Tokens(settings_of(lab))
    running = Transcriber(settings_of(lab), tokens)
    yield running
    await running.close()
    await tokens.close()


async def written_down(transcriber: Transcriber, file: bytes) -> list[str]:
    name = await transcriber.submit(file)
    async with asyncio.timeout(PATIENCE_S):
        while (said := await transcriber.result(name)) is None:
            await asyncio.sleep(0.01)
    return said


async def test_what_was_recorded_is_written_down_in_order(lab: RtzrLab, transcriber: Transcriber) -> None:
    assert await written_down(transcriber, wav(*LONG)) == [TEXTS[name] for name in LONG]
    assert await written_down(transcriber, wav()) == []
    assert [file.config for file in lab.report.files] == [CONFIG, CONFIG]
    assert lab.report.files[0].polls >= 2
    assert lab.report.authentications == 1
    assert not lab.breaches


async def test_a_token_that_is_not_taken_is_replaced_once(lab: RtzrLab, transcriber: Transcriber) -> None:
    name = await transcriber.submit(wav(LONG[0]))
    lab.expire_tokens()
    await asyncio.sleep(0.1)
    assert await transcriber.result(name) == [TEXTS[LONG[0]]]
    assert lab.report.authentications == 2
    lab.faults.stale_tokens = 2
    lab.expire_tokens()
    with pytest.raises(RecogniserRefused):
        await transcriber.submit(wav(LONG[0]))
    assert lab.report.authentications == 3


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, RecogniserRefused), (413, RecogniserRefused), (429, RecogniserFull), (500, RecogniserError)],
)
async def test_a_refused_file_has_a_name(
    lab: RtzrLab, transcriber: Transcriber, status: int, error: type[RecogniserError]
) -> None:
    lab.faults.file_posts, lab.faults.file_status = 1, status
    with pytest.raises(error) as failure:
        await transcriber.submit(wav(LONG[0]))
    assert type(failure.value) is error
    assert await written_down(transcriber, wav(LONG[0])) == [TEXTS[LONG[0]]]


async def test_what_is_no_recording_is_refused(transcriber: Transcriber) -> None:
    with pytest.raises(RecogniserRefused):
        await transcriber.submit(b"RIFF and nothing more")


async def test_too_many_files_at_once_and_asking_too_often_are_full(lab: RtzrLab, transcriber: Transcriber) -> None:
    lab.profile.file_ms, lab.faults.file_channels, lab.profile.poll_s = 200, 1, 60.0
    name = await transcriber.submit(wav(LONG[0]))
    with pytest.raises(RecogniserFull):
        await transcriber.submit(wav(LONG[0]))
    assert await transcriber.result(name) is None
    with pytest.raises(RecogniserFull):
        await transcriber.result(name)


async def test_a_transcription_that_failed_or_is_kept_no_longer_is_gone(lab: RtzrLab, transcriber: Transcriber) -> None:
    lab.faults.failed_files = 1
    with pytest.raises(TranscriptionGone):
        await written_down(transcriber, wav(LONG[0]))
    name = await transcriber.submit(wav(LONG[0]))
    lab.files.expire()
    for gone in (name, "never-given", "../authenticate"):
        with pytest.raises(TranscriptionGone):
            await transcriber.result(gone)


async def test_nobody_there_is_a_recogniser_error() -> None:
    async with RtzrLab() as lab:
        tokens = Tokens(settings_of(lab))
        await tokens.get()
        transcriber = Transcriber(settings_of(lab), tokens)
    with pytest.raises(RecogniserError, match="no answer"):
        await transcriber.submit(wav())
    await transcriber.close()
    await tokens.close()


@pytest.mark.parametrize("body", [b"nonsense", b'{"name": 1}', b'{"status": "resting"}', b'{"status": "completed"}'])
async def test_an_answer_that_is_none_is_an_error_and_not_a_result(body: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with RtzrLab() as lab, await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        tokens = Tokens(settings_of(lab))
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        transcriber = Transcriber(RtzrSettings(client_id="", client_secret="", api_url=url), tokens)
        with pytest.raises(RecogniserError):
            await transcriber.result("a-name")
        await transcriber.close()
        await tokens.close()
