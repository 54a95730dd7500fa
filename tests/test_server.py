"""bot/server.py: the process from its start to its end, as a real process."""

import asyncio
import json
import re
import signal
import socket
import sys
import xml.etree.ElementTree as ET
from contextlib import suppress
from functools import partial

import httpx2
import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bot.lab.rtzr import RtzrLab
from bot.port import LONGEST_WAIT_S, SharedPort, Tally, bound, lend
from bot.server import Server, run
from tests.served import (
    ACCOUNT_SID,
    CALL_SID,
    SERVE,
    WAIT_S,
    account,
    environment,
    heard_to_its_end,
    serving,
    talking,
)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"PORT": "http"}, "PORT"),
        ({"RTZR_CLIENT_SECRET": ""}, "RTZR_CLIENT_SECRET"),
        ({"DIARY_KEY": "short"}, "DIARY_KEY"),
        ({"DATABASE_URL": "sqlite://user:pass@host/x.db"}, "DATABASE_URL"),
        ({"DATABASE_URL": "sqlite:///x%00y.db"}, "DATABASE_URL"),
        ({"DATABASE_URL": "sqlite:////"}, "DATABASE_URL"),
        ({"DATABASE_URL": "sqlite:////no/such/folder/x.db"}, "DATABASE_URL"),
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
        alone = bot.process.pid
        assert health == {"status": "ok", "calls": 0, "draining": False, "database": "ok", "process": alone}
        bot.process.send_signal(signal.SIGTERM)
        assert await bot.ended() == 0
    assert not any("Traceback" in line for line in bot.lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_while_it_starts_ends_it_also_where_the_system_would_not(tmp_path, number):
    # A status of its own, and no death by a signal: the first process of a container dies of none.
    assert await signalled_while_it_starts(tmp_path, number) == (128 + number, b"")


async def test_an_interrupt_while_the_first_of_several_starts_is_no_stack_trace(tmp_path):
    assert await signalled_while_it_starts(tmp_path, signal.SIGINT, "--workers", "2") == (128 + signal.SIGINT, b"")


async def signalled_while_it_starts(folder, number, *arguments):
    """The status of `serve`, sent a signal while it waits for its database, and what it told."""

    async def never_answers(reader, writer):
        asked.set()
        await reader.read()
        writer.close()

    asked = asyncio.Event()
    async with await asyncio.start_server(never_answers, "127.0.0.1", 0) as database:
        url = f"postgresql://u:p@127.0.0.1:{database.sockets[0].getsockname()[1]}/ilgi"
        environ = environment(folder, DATABASE_URL=url, DIARY_KEY="0123456789abcdef" * 4)
        serve, stderr = (sys.executable, "-m", "bot", "serve", *arguments), asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*serve, cwd=folder, env=environ, stderr=stderr)
        async with asyncio.timeout(WAIT_S):
            await asked.wait()
            process.send_signal(number)
            _, told = await process.communicate()
    return process.returncode, told


async def test_of_those_who_share_a_port_one_that_takes_no_calls_lets_the_others_go_first():
    def answering(number):
        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": str(number).encode()})

        return uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)

    async def taken_by():
        await asyncio.sleep(2 * LONGEST_WAIT_S)  # who waited for the one before takes whoever comes meanwhile
        async with httpx2.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{listener.getsockname()[1]}/")).text

    full, tally, parents, servers = set(), Tally(), [], []
    with bound("127.0.0.1", 0) as listener:
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(WAIT_S):
            for number in range(2):
                ours, cord = socket.socketpair()
                lend(ours, listener, tally, number)
                port, listening = SharedPort(cord), asyncio.Event()
                port.open(lambda: None)
                is_full = partial(full.__contains__, number)
                servers.append(Server(answering(number), tasks, listening.set, port, is_full))
                parents.append(ours)
                tasks.create_task(servers[-1].serve())
                await listening.wait()
            try:
                # As one that refuses has none, it would have every caller.
                _, held = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
                for refusing in range(2):
                    full.clear()
                    full.add(refusing)
                    await taken_by()  # who is full is told when somebody comes
                    assert {await taken_by() for _ in range(5)} == {str(1 - refusing)}
                held.close()
            finally:
                for server in servers:
                    server.should_exit = True
    for ours in parents:
        ours.close()


async def test_who_forgot_the_auth_token_reads_that_every_call_is_refused(tmp_path):
    refused = b"every call is refused: TWILIO_AUTH_TOKEN is not set"
    for unsigned in ("0", "1"):
        environ, stderr = environment(tmp_path, ALLOW_UNSIGNED=unsigned), asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*SERVE, cwd=tmp_path, env=environ, stderr=stderr)
        async with asyncio.timeout(WAIT_S):
            while b"listening on" not in await process.stderr.readline():
                pass
            process.terminate()
            _, told = await process.communicate()
        assert (refused in told) == (unsigned == "0"), told


async def test_what_is_there_when_it_listens_is_collected_never_again(tmp_path):
    told = "run(os.environ); sys.stderr.write(f'{gc.get_freeze_count()}\\n')"
    serve = [sys.executable, "-c", f"import gc, os, sys; from bot.server import run; {told}"]
    async with serving(tmp_path, command=serve) as bot:
        bot.process.send_signal(signal.SIGTERM)
        await bot.ended()
    assert int(bot.lines[-1]) > 10_000


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
