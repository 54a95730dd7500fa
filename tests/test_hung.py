"""bot/hung.py: a process whose loop stands still ends, and tells where; one whose loop turns does not."""

import asyncio
import faulthandler
import os
import signal
import socket
import sys

import pytest

from bot import hung
from tests.served import WAIT_S, environment

PROGRAM = """
import asyncio, os, re, time
from bot import hung

async def main():
    turning = asyncio.create_task(hung.end_when_hung())
    await asyncio.sleep(0.2)
    {what}
    print("still there", flush=True)

def for_ever(said):
    while said:
        pass

hung.HUNG_S, hung.TELL_S, hung.TURN_S = {hung_s}, 0.5, 0.1
asyncio.run(main())
"""
DEVNULL, PIPE = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE


def a_socket():
    """Two descriptors, as of a pipe."""
    return tuple(side.detach() for side in socket.socketpair())


async def ended(what, hung_s, *, stdin=DEVNULL, stderr=PIPE):
    """The status of a process that does `what` in its loop, and what it wrote."""
    program = PROGRAM.format(what=what, hung_s=hung_s)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=stdin, stdout=PIPE, stderr=stderr, cwd=os.getcwd()
    )
    async with asyncio.timeout(WAIT_S):
        written, told = await process.communicate()
    return process.returncode, written.decode(), (told or b"").decode()


IN_PYTHON = "for_ever('what was said')"
IN_C = "re.match('(a+)+$', 'a' * 99 + 'b')"


@pytest.mark.parametrize(("what", "where"), [(IN_PYTHON, "in for_ever"), (IN_C, "in match")])
async def test_a_loop_that_stands_still_ends_its_process_and_tells_where_but_not_what(what, where):
    status, written, told = await ended(what, 0.5)
    assert status == 1
    assert not written
    assert where in told
    assert "said" not in told and "aaa" not in told


@pytest.mark.parametrize(("pair", "status"), [(os.pipe, 1), (a_socket, -signal.SIGALRM)], ids=["pipe", "socket"])
async def test_a_loop_that_stands_still_since_nobody_reads_its_log_is_ended_too(pair, status):
    unread, log = pair()
    try:
        assert await ended("os.write(2, bytes(1 << 24))", 0.5, stderr=log) == (status, "", "")
    finally:
        os.close(unread)
        os.close(log)


async def test_what_is_told_comes_behind_what_a_log_has(tmp_path):
    path = tmp_path / "log"
    path.write_text("before\n")
    with path.open("a") as log:
        status, _, _ = await ended(IN_PYTHON, 0.5, stderr=log)
    assert status == 1
    assert path.read_text().startswith("before\n") and "in for_ever" in path.read_text()


async def test_want_of_a_thread_ends_nothing(monkeypatch):
    def has_none(*_, **__):
        raise RuntimeError("unable to start watchdog thread")

    monkeypatch.setattr(faulthandler, "dump_traceback_later", has_none)
    monkeypatch.setattr(hung, "TURN_S", 0.01)
    turning = asyncio.create_task(hung.end_when_hung())
    await asyncio.sleep(0.1)
    assert not turning.done()
    turning.cancel()


async def test_a_server_that_hangs_is_ended(tmp_path):
    program = f"""
import asyncio, sys, time
from bot import __main__ as command_line, garbage, hung

def hang_soon():
    asyncio.get_running_loop().call_later(0.5, time.sleep, {WAIT_S})

hung.HUNG_S, hung.TURN_S, garbage.keep_what_there_is = 2, 0.1, hang_soon
sys.argv = ["bot", "serve"]
sys.exit(command_line.main())
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), cwd=os.getcwd(), env=environment(tmp_path), stdin=DEVNULL, stderr=PIPE
    )
    try:
        async with asyncio.timeout(WAIT_S):
            _, told = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 1
    assert b"listening" in told and b"bot/server.py" in told


async def test_a_loop_that_turns_goes_on():
    assert await ended("await asyncio.sleep(4)", 3) == (0, "still there\n", "")


async def test_what_the_process_does_after_it_has_served_is_no_hanging():
    assert await ended("turning.cancel(); await asyncio.sleep(0); time.sleep(1.5)", 0.5) == (0, "still there\n", "")


async def test_at_a_terminal_a_process_may_be_stopped():
    terminal, side = os.openpty()
    try:
        assert await ended("time.sleep(1.5)", 0.5, stdin=side) == (0, "still there\n", "")
    finally:
        os.close(terminal)
        os.close(side)
