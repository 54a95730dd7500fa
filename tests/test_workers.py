"""bot/workers.py: several processes on one port, and their parent, for real."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
import urllib.parse
import xml.etree.ElementTree as ET
from contextlib import AsyncExitStack, asynccontextmanager
from http.client import HTTPConnection

import pytest

from bot import workers
from bot.diary.crypto import make_secret
from bot.lab.rtzr import RtzrLab
from bot.port import bound
from bot.workers import Workers, main
from tests.served import (
    ACCOUNT_SID,
    CALL_SID,
    WAIT_S,
    account,
    environment,
    heard_to_its_end,
    serving,
    streaming,
    talking,
)

TWO = [sys.executable, "-m", "bot", "serve", "--workers", "2"]
OTHER_SID = "CA" + "d4" * 16
IN_PROGRESS = {"CallSid": CALL_SID, "AccountSid": ACCOUNT_SID, "CallStatus": "in-progress"}
RINGING = {"CallSid": CALL_SID, "AccountSid": ACCOUNT_SID, "CallStatus": "ringing"}


async def processes(bot, other_than=()):
    """The two that answer now, by their pids; nobody may be refused meanwhile."""
    found = {}
    async with asyncio.timeout(WAIT_S):
        while len(found) < 2:
            health = json.loads(await bot.get("/health"))
            if health["process"] not in other_than:
                found[health["process"]] = health
    return found


@asynccontextmanager
async def two(tmp_path, database_url, lab=None, **changes):
    """Two processes on one port."""
    changes = {"DATABASE_URL": database_url, "DIARY_KEY": make_secret(), **(account(lab) if lab else {}), **changes}
    async with serving(tmp_path, command=TWO, **changes) as bot:
        await processes(bot)
        yield bot


async def ended(bot, number=signal.SIGTERM):
    bot.process.send_signal(number)
    return await bot.ended()


class Way:
    """A connection to one of the processes: requests, and then maybe a media socket."""

    def __init__(self, bot):
        self._http = HTTPConnection("127.0.0.1", bot.port, timeout=WAIT_S)

    async def ask(self, path, fields=None):
        def asked():
            body = urllib.parse.urlencode(fields) if fields else None
            kind = {"Content-Type": "application/x-www-form-urlencoded"} if fields else {}
            self._http.request("POST" if fields else "GET", path, body, kind)
            return self._http.getresponse().read().decode()

        return await asyncio.to_thread(asked)

    async def documented(self, path, fields):
        return ET.fromstring(await self.ask(path, fields))

    @property
    def sock(self):
        self._http.sock.setblocking(False)
        return self._http.sock


async def way_to(bot, pid):
    """A connection that this process has taken."""
    others = []
    async with asyncio.timeout(WAIT_S):
        while json.loads(await (way := Way(bot)).ask("/health"))["process"] != pid:
            others.append(way)
    return way


async def test_two_processes_answer_one_port_and_end_with_it(tmp_path, database_url):
    async with two(tmp_path, database_url) as bot:
        assert bot.process.pid not in await processes(bot)
        assert await ended(bot) == 0
    assert sum("draining: 0 calls are live" in line for line in bot.lines) == 2
    assert not any("Traceback" in line or "ERROR" in line for line in bot.lines), bot.lines


async def test_a_process_that_is_killed_is_replaced_while_the_other_answers(tmp_path, database_url):
    async with two(tmp_path, database_url) as bot:
        killed, stays = await processes(bot)
        os.kill(killed, signal.SIGKILL)
        now = await processes(bot, other_than=[killed])
        assert stays in now
        assert await ended(bot) == 0
    assert sum(f"process {killed} ended with status -9" in line for line in bot.lines) == 1


async def test_a_signal_drains_the_calls_of_both_and_the_next_two_take_them_up(tmp_path, database_url):
    key = make_secret()
    async with RtzrLab() as lab:
        async with two(tmp_path, database_url, lab, DIARY_KEY=key) as bot:
            first, second = await processes(bot)
            async with AsyncExitStack() as talks:
                callers = []
                for pid, sid in ((first, CALL_SID), (second, OTHER_SID)):
                    way = await way_to(bot, pid)
                    stream = (await way.documented("/twilio/voice", {**RINGING, "CallSid": sid})).find("Connect/Stream")
                    callers.append(await talks.enter_async_context(streaming(stream, sid, way.sock)))
                    assert json.loads(await callers[-1].recv())["event"] == "media"
                bot.process.send_signal(signal.SIGTERM)
                heard = await asyncio.gather(*map(heard_to_its_end, callers))
                assert min(heard) > 8000
                assert [caller.close_code for caller in callers] == [1000, 1000]
                sent_on = ET.fromstring(await bot.get("/twilio/after", IN_PROGRESS))
                assert [verb.tag for verb in sent_on] == ["Pause", "Redirect"]
            assert await bot.ended() == 0
        assert not any("Traceback" in line or "cut off" in line for line in bot.lines), bot.lines
        async with two(tmp_path, database_url, lab, DIARY_KEY=key) as bot:
            for sid in (CALL_SID, OTHER_SID):
                taken_up = ET.fromstring(await bot.get("/twilio/after", {**IN_PROGRESS, "CallSid": sid}))
                async with streaming(taken_up.find("Connect/Stream"), sid) as caller:
                    assert json.loads(await caller.recv())["event"] == "media"
            assert await ended(bot) == 0


async def test_a_call_goes_on_whichever_process_its_webhooks_and_streams_come_to(tmp_path, database_url, run_sql):
    async with RtzrLab() as lab, two(tmp_path, database_url, lab) as bot:
        first, second = await processes(bot)
        connect = (await (await way_to(bot, first)).documented("/twilio/voice", RINGING)).find("Connect/Stream")
        async with streaming(connect, sock=(await way_to(bot, second)).sock) as caller:
            assert json.loads(await caller.recv())["event"] == "media"
            caller.transport.abort()
            way = await way_to(bot, first)
            again = (await way.documented("/twilio/after", IN_PROGRESS)).find("Connect/Stream")
        async with streaming(again, sock=way.sock) as caller:
            assert json.loads(await caller.recv())["event"] == "media"
            assert run_sql(database_url, "SELECT owner FROM calls") == [("2",)]
            # The call is over, and told of to the process that does not have it.
            way = await way_to(bot, second)
            await way.ask("/twilio/status", {**IN_PROGRESS, "CallStatus": "completed"})
            over = await way.documented("/twilio/after", IN_PROGRESS)
            assert [verb.tag for verb in over] == ["Hangup"]
        assert await ended(bot) == 0
    assert not any("Traceback" in line or "broke" in line for line in bot.lines), bot.lines


@pytest.mark.sqlite
async def test_a_second_interrupt_ends_all_at_once(tmp_path, database_url):
    async with RtzrLab() as lab, two(tmp_path, database_url, lab) as bot, talking(bot) as caller:
        assert json.loads(await caller.recv())["event"] == "media"
        bot.process.send_signal(signal.SIGINT)
        await bot.draining()
        assert await ended(bot, signal.SIGINT) == 0
        assert sum("ending at once" in line for line in bot.lines) >= 1


@pytest.mark.sqlite
async def test_without_their_parent_the_processes_end_too(tmp_path, database_url):
    async with two(tmp_path, database_url) as bot:
        bot.process.kill()
    # Its log is at its end only when nobody writes to it any more.
    assert sum("draining" in line for line in bot.lines) == 2


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        ({"PORT": "http"}, 2, "PORT"),
        ({"WEB_CONCURRENCY": "0"}, 2, "WEB_CONCURRENCY"),
        ({"DIARY_KEY": "short"}, 2, "DIARY_KEY"),
        ({"DATABASE_URL": "sqlite:////no/such/folder.db", "DIARY_KEY": "0123456789abcdef" * 4}, 1, "the diary"),
    ],
    ids=["told by the parent", "its own", "told by the first process", "that fails only in use"],
)
async def test_what_is_wrong_is_told_once_and_gives_the_exit_status(tmp_path, changes, status, told):
    process = await asyncio.create_subprocess_exec(
        *TWO, cwd=tmp_path, env=environment(tmp_path, **changes), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(WAIT_S):
        _, lines = await process.communicate()
    assert process.returncode == status
    (line,) = [line for line in lines.decode().splitlines() if not re.match(r"\d{4}-\d\d-\d\d ", line)]
    assert line.startswith(f"ilgi: {told}")


def test_a_port_that_is_taken_is_one_line(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["--workers", "2"], environment(tmp_path, PORT=port)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ilgi: PORT: cannot listen on 127.0.0.1:")


@pytest.mark.parametrize("given", ["0", "-1", "257", "x"])
def test_a_number_of_processes_that_is_none_is_told(given, capsys):
    with pytest.raises(SystemExit) as left:
        main(["--workers", given], {})
    assert left.value.code == 2
    assert "--workers" in capsys.readouterr().err


STAND_IN = """
import signal, socket, sys, time
cord = socket.socket(fileno=0)
number, fds, _, _ = socket.recv_fds(cord, 2, 2)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(STATUS))
if int.from_bytes(number) == 0:
    cord.send(b".")
    time.sleep(60)
sys.exit(3)
"""


async def test_a_process_that_dies_again_and_again_is_started_with_growing_pauses(monkeypatch, caplog):
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-c", STAND_IN.replace("STATUS", "5")))
    monkeypatch.setattr(workers, "PAUSES_S", (0.0, 0.02, 0.04))
    paused = []
    monkeypatch.setattr(workers.log, "error", lambda *told: paused.append(told[2:]))
    with bound("127.0.0.1", 0) as listener:
        running = asyncio.create_task(Workers(listener, os.environ, None).run(2))
        async with asyncio.timeout(WAIT_S):
            while len(paused) < 4:
                await asyncio.sleep(0.01)
        signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT_S):
            assert await running == 5
    assert paused[:4] == [(3, 0.0), (3, 0.02), (3, 0.04), (3, 0.04)]


async def test_a_process_that_cannot_be_started_is_tried_again_while_another_serves(monkeypatch, caplog):
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-c", STAND_IN.replace("STATUS", "0")))
    monkeypatch.setattr(workers, "PAUSES_S", (0.0, 0.02))
    start, fails, tried = asyncio.create_subprocess_exec, [OSError(11, "no more processes")] * 2, []

    async def start_some(*command, **how):
        tried.append(command)
        if len(tried) > 1 and fails:
            raise fails.pop()
        return await start(*command, **how)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_some)
    with bound("127.0.0.1", 0) as listener:
        running = asyncio.create_task(Workers(listener, os.environ, None).run(2))
        async with asyncio.timeout(WAIT_S):
            while len(tried) < 5:
                await asyncio.sleep(0.01)
                assert not running.done()
        signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT_S):
            assert await running == 0
    assert sum("cannot be started" in line for line in caplog.messages) == 2


async def test_who_does_not_end_is_killed(monkeypatch):
    stubborn = STAND_IN.replace("lambda *_: sys.exit(STATUS)", "signal.SIG_IGN")
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-c", stubborn))
    monkeypatch.setattr(workers, "END_S", 0.1)
    with bound("127.0.0.1", 0) as listener:
        parent = Workers(listener, os.environ, None)
        running = asyncio.create_task(parent.run(1))
        async with asyncio.timeout(WAIT_S):
            while not parent._serving:
                await asyncio.sleep(0.01)
        signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT_S):
            assert await running == 137
