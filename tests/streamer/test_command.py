"""`python -m bot stream` as a process, against a bot that is one."""

import asyncio
import json
import os
import pty
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest
import soundfile

from bot.lab.rtzr import RtzrLab
from bot.lab.stage import Bot, environ_of, start_bot
from tests.services.listening import LONG, TEXTS, spoken

KEY = "a-key-of-the-tests-that-is-long-enough-0123"
SPEECH = np.frombuffer(b"".join(spoken(name, 300, 900) for name in LONG), "<i2")
SECONDS = len(SPEECH) / 16000
WAIT_S = 90.0
NOBODY = "http://127.0.0.1:1"


@asynccontextmanager
async def serving(folder: Path, lab: RtzrLab, port: int = 0) -> AsyncIterator[Bot]:
    """A bot with a key for streaming jobs."""
    settings = {"DATABASE_URL": f"sqlite:///{folder / 'ilgi.db'}", "STREAM_KEYS": KEY, "PORT": str(port)}
    bot = await start_bot(environ_of(lab.url, None, NOBODY) | settings)
    following = asyncio.ensure_future(bot.follow(None))
    try:
        yield bot
        await bot.stop()
    finally:
        await bot.stop(signal.SIGKILL)
        await following


async def started(*arguments: str, key: str | None = KEY, **more: int) -> asyncio.subprocess.Process:
    environ = {name: value for name, value in os.environ.items() if name != "STREAM_KEY"}
    if key:
        environ["STREAM_KEY"] = key
    streams = {"stdout": PIPE, "stderr": PIPE} | more
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "stream", *arguments), env=environ, **streams
    )


async def streamed(*arguments: str, key: str | None = KEY) -> tuple[int | None, str, str]:
    process = await started(*arguments, key=key)
    async with asyncio.timeout(WAIT_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def shown(bot: Bot, job_id: str, *, over: bool = False) -> dict[str, object]:
    async with httpx2.AsyncClient() as http, asyncio.timeout(WAIT_S):
        while True:
            answer = await http.get(f"{bot.url}/api/v1/stream/{job_id}", headers={"Authorization": f"Bearer {KEY}"})
            job: dict[str, object] = answer.json()
            if not over or job["state"] in ("completed", "failed"):
                return job
            await asyncio.sleep(0.1)


def messages(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


async def test_files_are_streamed_to_a_bot_and_its_words_are_printed(tmp_path: Path) -> None:
    files = {ext: tmp_path / f"day.{ext}" for ext in ("wav", "mp3", "flac", "ogg")}
    for path in files.values():
        soundfile.write(path, SPEECH, 16000)
    texts = [TEXTS[name] for name in LONG]
    async with RtzrLab() as lab, serving(tmp_path, lab) as bot:
        for path in files.values():
            status, out, err = await streamed(str(path), "--url", bot.url, "--fast", "--json")
            assert (status, err) == (0, "")
            told = messages(out)
            assert [each["text"] for each in told if each["type"] == "transcript_segment"] == texts
            assert (told[-1]["state"], told[-1]["summary"]) == ("completed", " ".join(texts))
            kept = await shown(bot, str(told[0]["job_id"]))
            assert (kept["state"], kept["title"]) == ("completed", path.name)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        short = spoken(LONG[0], 300, 900)
        soundfile.write(tmp_path / "short.flac", np.frombuffer(short, "<i2"), 16000)
        status, out, _ = await streamed(str(tmp_path / "short.flac"), "--url", bot.url + "/", "--no-summary")
        assert status == 0 and loop.time() - began_s >= len(short) / 32000
        lines = out.splitlines()
        assert lines[1].partition("  ")[2] == texts[0]
        assert lines[-1].startswith("completed; ") and "\x1b" not in out
        for key, arguments in ((None, ()), ("wrong", ()), (KEY, ("--key", "wrong"))):
            status, out, err = await streamed(str(files["wav"]), "--url", bot.url, *arguments, key=key)
            assert (status, out) == (1, "")
            assert "(UNAUTHORIZED)" in err and "STREAM_KEYS" in err and "ALLOW_UNSIGNED" in err
        status, _, err = await streamed(str(files["wav"]), "--url", bot.url, "--language", "Klingon")
        assert status == 1 and "language" in err and "INVALID_REQUEST" in err
    assert not lab.breaches


async def test_interrupted_it_keeps_what_was_sent_and_says_where(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "day.wav", SPEECH, 16000)
    async with RtzrLab() as lab, serving(tmp_path, lab) as bot:
        process = await started(str(tmp_path / "day.wav"), "--url", bot.url, "--json")
        assert process.stdout
        async with asyncio.timeout(WAIT_S):
            job_id = str(json.loads(await process.stdout.readline())["job_id"])
            assert json.loads(await process.stdout.readline())["text"] == TEXTS[LONG[0]]
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
        assert process.returncode == 130
        assert err.decode() == (
            f"stream: stopped: what was sent is kept, and is read with GET {bot.url}/api/v1/stream/{job_id}\n"
        )
        job = await shown(bot, job_id, over=True)
    assert job["state"] == "completed" and str(job["summary"]).startswith(TEXTS[LONG[0]])
    assert isinstance(job["duration"], float) and 3 < job["duration"] < SECONDS - 1


async def test_a_bot_that_is_replaced_goes_on_with_the_same_job(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "day.ogg", SPEECH, 16000)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with RtzrLab() as lab:
        async with serving(tmp_path, lab, port) as old:
            process = await started(str(tmp_path / "day.ogg"), "--url", f"http://localhost:{port}", "--json")
            assert process.stdout
            async with asyncio.timeout(WAIT_S):
                lines = [await process.stdout.readline() for _ in range(2)]
            assert await old.stop() == 0
        async with serving(tmp_path, lab, port) as new:
            async with asyncio.timeout(WAIT_S):
                out, _ = await process.communicate()
            told = messages((b"".join(lines) + out).decode())
            assert process.returncode == 0
            assert [each["text"] for each in told if each["type"] == "transcript_segment"] == [
                TEXTS[name] for name in LONG
            ]
            assert "SHUTTING_DOWN" in [each.get("code") for each in told]
            kept = await shown(new, str(told[0]["job_id"]))
    assert (kept["state"], told[-1]["is_whole"]) == ("completed", True)
    assert isinstance(kept["duration"], float) and abs(kept["duration"] - SECONDS) < 0.1


async def test_a_terminal_sees_a_bar(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "day.wav", SPEECH, 16000)
    ours, theirs = pty.openpty()
    async with RtzrLab() as lab, serving(tmp_path, lab) as bot:
        process = await started(str(tmp_path / "day.wav"), "--url", bot.url, "--fast", stdout=theirs)
        os.close(theirs)
        printed = b""
        while True:
            try:
                printed += await asyncio.to_thread(os.read, ours, 65536)
            except OSError:  # the other end is closed
                break
        os.close(ours)
        assert await process.wait() == 0
    text = printed.decode()
    assert "[####" in text and " all sent" in text and "\x1b[K" in text
    assert all(TEXTS[name] in text for name in LONG)


async def test_nobody_there_is_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "day.wav", SPEECH, 16000)
    status, out, err = await streamed(str(tmp_path / "day.wav"), "--url", NOBODY)
    assert (status, out) == (1, "") and f"{NOBODY} cannot be reached" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.wav"], "No such file"),
        ([__file__], "no WAV, MP3, FLAC or OGG"),
        ([], "FILE"),
        (["day.wav", "--url", "bot.example.com"], "an address looks like"),
        (["day.wav", "--url", "http://bot:99999"], "an address looks like"),
    ],
)
async def test_bad_usage_is_told(arguments: list[str], said: str) -> None:
    status, _, err = await streamed(*arguments)
    assert status == 2 and said in err
