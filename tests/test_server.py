"""bot/server.py: the process from its start to its end, as a real process."""

import asyncio
import base64
import json
import logging
import os
import re
import signal
import socket
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bot.lab.rtzr import RtzrLab
from bot.server import in_one_line, run

ROOT = Path(__file__).resolve().parents[1]
CALL_SID, STREAM_SID, ACCOUNT_SID = "CA" + "b2" * 16, "MZ" + "c3" * 16, "AC" + "a1" * 16
SERVE = [sys.executable, "-c", "import os, sys; from bot.server import run; sys.exit(run(os.environ))"]
WAIT_S = 30


def environment(folder, **changes):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PORT": "0",
        "RTZR_CLIENT_ID": "id",
        "RTZR_CLIENT_SECRET": "secret",
        "RTZR_API_URL": "http://127.0.0.1:9",
        "DATABASE_URL": f"sqlite:///{folder}/diary.db",
        "ALLOW_UNSIGNED": "1",
        **changes,
    }


@dataclass
class Serving:
    """A process that serves on `port`; `lines` is its log."""

    process: asyncio.subprocess.Process
    port: int
    lines: list

    async def get(self, path, fields=None):
        def ask():
            body = urllib.parse.urlencode(fields).encode() if fields else None
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", body, timeout=WAIT_S) as answer:
                return answer.read().decode()

        return await asyncio.to_thread(ask)

    async def draining(self):
        async with asyncio.timeout(WAIT_S):
            while not json.loads(await self.get("/health"))["draining"]:
                await asyncio.sleep(0.01)

    async def ended(self):
        async with asyncio.timeout(WAIT_S):
            return await self.process.wait()


@asynccontextmanager
async def serving(folder, **changes):
    process = await asyncio.create_subprocess_exec(
        *SERVE, cwd=folder, env=environment(folder, **changes), stderr=asyncio.subprocess.PIPE
    )
    lines = []
    listening = asyncio.get_running_loop().create_future()

    async def read():
        async for line in process.stderr:
            lines.append(line.decode().rstrip())
            if (found := re.search(r"listening on 127\.0\.0\.1 port (\d+) as http://localhost:\d+$", lines[-1])) and (
                not listening.done()
            ):
                listening.set_result(int(found[1]))

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        try:
            async with asyncio.timeout(WAIT_S):
                yield Serving(process, await listening, lines)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            await reading


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"PORT": "http"}, "PORT"),
        ({"RTZR_CLIENT_SECRET": ""}, "RTZR_CLIENT_SECRET"),
        ({"DIARY_KEY": "short"}, "DIARY_KEY"),
        ({"DATABASE_URL": "sqlite://user:pass@host/x.db"}, "DATABASE_URL"),
        ({"DATABASE_URL": "sqlite:///x%00y.db"}, "DATABASE_URL"),
        ({"DATABASE_URL": "sqlite:////"}, "DATABASE_URL"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it_and_nothing_is_started(tmp_path, capsys, changes, name):
    assert run(environment(tmp_path, **changes)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ilgi: {name}: ")
    assert list(tmp_path.iterdir()) == []


NO_TEXT = b"\x81\x82\x00\x00\x00\x00\xff\xff"
NO_UPGRADE = b"GET /twilio/media HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


async def test_what_a_peer_does_wrong_is_no_stack_trace(tmp_path):
    async with serving(tmp_path) as bot:
        for sent in (NO_TEXT, NO_TEXT * 2, b"\x81\x02\xff\xff"):
            async with connect(f"ws://127.0.0.1:{bot.port}/twilio/media", compression=None) as peer:
                peer.transport.write(sent)
                with suppress(ConnectionClosed):
                    await peer.recv()
        reader, writer = await asyncio.open_connection("127.0.0.1", bot.port)
        writer.write(NO_UPGRADE)
        assert b" 4" in await reader.readline()
        writer.close()
        async with asyncio.timeout(WAIT_S):
            while json.loads(await bot.get("/health"))["calls"]:
                await asyncio.sleep(0.01)
        bot.process.send_signal(signal.SIGTERM)
        assert await bot.ended() == 0
    assert sum("the media socket was closed" in line for line in bot.lines) >= 2
    assert all(re.match(r"\d{4}-\d\d-\d\d ", line) for line in bot.lines), bot.lines


def test_an_error_of_the_server_is_one_line_without_its_text():
    try:
        raise ValueError("오늘 산책했어요")
    except ValueError as error:
        told = (type(error), error, error.__traceback__)
    record = logging.LogRecord("asyncio", logging.ERROR, __file__, 1, "broke at 100%\n<future 산책>", (), told)
    assert in_one_line(record)
    line = logging.Formatter().format(record)
    assert re.fullmatch(r"broke at 100%: ValueError at test_server\.py:\d+", line)


def test_a_port_that_is_taken_is_one_line(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run(environment(tmp_path, PORT=str(taken.getsockname()[1]))) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ilgi: PORT: cannot listen on 127.0.0.1:")


def test_a_diary_that_cannot_be_opened_is_one_line(tmp_path, capsys):
    nowhere = f"sqlite:///{tmp_path}/no/such/folder.db"
    assert run(environment(tmp_path, DATABASE_URL=nowhere, DIARY_KEY="0123456789abcdef" * 4)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ilgi: ") and "folder.db" in line


def test_missing_documents_are_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bot.doors.twiml.FOLDER", tmp_path / "twiml")
    assert run(environment(tmp_path)) == 1
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("ilgi: twiml/")]


async def test_with_no_call_a_signal_ends_it(tmp_path):
    async with serving(tmp_path) as bot:
        health = json.loads(await bot.get("/health"))
        assert health == {"status": "ok", "calls": 0, "draining": False, "database": "ok"}
        bot.process.send_signal(signal.SIGTERM)
        assert await bot.ended() == 0
    assert not any("Traceback" in line for line in bot.lines)


@asynccontextmanager
async def talking(bot):
    """A call whose caller is silent; gives the client's end of its media socket."""
    ringing = {"CallSid": CALL_SID, "AccountSid": ACCOUNT_SID, "CallStatus": "ringing", "From": "+821012345678"}
    stream = ET.fromstring(await bot.get("/twilio/voice", ringing)).find("Connect/Stream")
    token = stream.find("Parameter").get("value")
    start = {
        "accountSid": ACCOUNT_SID,
        "streamSid": STREAM_SID,
        "callSid": CALL_SID,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": token},
    }
    silence = base64.b64encode(b"\xff" * 160).decode()

    async def pump(caller):
        await caller.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        sent = {"event": "start", "sequenceNumber": "1", "start": start, "streamSid": STREAM_SID}
        await caller.send(json.dumps(sent))
        number = 1
        with suppress(ConnectionClosed):
            while True:
                media = {"track": "inbound", "chunk": str(number), "timestamp": str(number * 20), "payload": silence}
                frame = {"event": "media", "sequenceNumber": str(number + 1), "media": media, "streamSid": STREAM_SID}
                await caller.send(json.dumps(frame))
                number += 1
                await asyncio.sleep(0.02)

    async with connect(stream.get("url"), compression=None) as caller, asyncio.TaskGroup() as tasks:
        pumping = tasks.create_task(pump(caller))
        yield caller
        pumping.cancel()


async def heard_to_its_end(caller):
    """Play the caller's side of the marks until the bot closes; how much audio came, in bytes."""
    audio_bytes = 0
    with suppress(ConnectionClosed):
        async for text in caller:
            message = json.loads(text)
            if message["event"] == "media":
                audio_bytes += len(base64.b64decode(message["media"]["payload"]))
            elif message["event"] == "mark":
                await caller.send(json.dumps({**message, "sequenceNumber": "1"}))
    return audio_bytes


def account(lab):
    """The settings of the recogniser."""
    return {"RTZR_API_URL": lab.url, "RTZR_CLIENT_ID": lab.client_id, "RTZR_CLIENT_SECRET": lab.client_secret}


async def test_a_drain_lets_the_sentence_come_to_its_end_and_sends_on_whoever_asks_meanwhile(tmp_path):
    async with RtzrLab() as lab, serving(tmp_path, **account(lab)) as bot:
        async with talking(bot) as caller:
            assert json.loads(await caller.recv())["event"] == "media"
            bot.process.send_signal(signal.SIGTERM)
            bot.process.send_signal(signal.SIGTERM)
            await bot.draining()
            other = {"CallSid": "CA" + "d4" * 16, "AccountSid": ACCOUNT_SID, "CallStatus": "ringing"}
            sent_on = ET.fromstring(await bot.get("/twilio/voice", other))
            assert [verb.tag for verb in sent_on] == ["Pause", "Redirect"]
            assert await heard_to_its_end(caller) > 8000
            assert caller.close_code == 1000
        assert await bot.ended() == 0
    assert any("draining: 1 calls are live" in line for line in bot.lines)
    assert not any("Traceback" in line or "cut off" in line for line in bot.lines)


async def test_who_asks_right_after_the_last_stream_was_handed_over_is_still_answered(tmp_path):
    async with RtzrLab() as lab, serving(tmp_path, **account(lab)) as bot:
        async with talking(bot) as caller:
            assert json.loads(await caller.recv())["event"] == "media"
            bot.process.send_signal(signal.SIGTERM)
            await heard_to_its_end(caller)
            over = {"CallSid": CALL_SID, "AccountSid": ACCOUNT_SID, "CallStatus": "in-progress"}
            sent_on = ET.fromstring(await bot.get("/twilio/after", over))
            assert [verb.tag for verb in sent_on] == ["Pause", "Redirect"]
        assert await bot.ended() == 0


async def test_a_second_interrupt_ends_it_at_once(tmp_path):
    async with RtzrLab() as lab, serving(tmp_path, **account(lab)) as bot, talking(bot) as caller:
        assert json.loads(await caller.recv())["event"] == "media"
        bot.process.send_signal(signal.SIGINT)
        await bot.draining()
        bot.process.send_signal(signal.SIGINT)
        assert await bot.ended() == 0
        assert any("ending at once" in line for line in bot.lines)
