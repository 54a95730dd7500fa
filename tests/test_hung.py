"""bot/hung.py: a process whose loop stands still ends, and tells where; one whose loop turns does not."""

import asyncio
import os
import signal
import sys

import pytest

from tests.served import WAIT_S

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
PIPE = asyncio.subprocess.PIPE


async def ended(what, hung_s, *, stdin=asyncio.subprocess.DEVNULL, stderr=PIPE):
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


async def test_a_loop_that_stands_still_since_nobody_reads_its_log_is_ended_too():
    unread, log = os.pipe()
    try:
        assert await ended("os.write(2, bytes(1 << 24))", 0.5, stderr=log) == (-signal.SIGALRM, "", "")
    finally:
        os.close(unread)
        os.close(log)


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
