"""bot/lab/procfs.py: what a process holds, told of the test's own."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

from bot.lab.procfs import Used, held


async def test_sockets_are_named_after_the_port_at_either_end_and_files_after_themselves(tmp_path: Path) -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0.05)
    with (tmp_path / "diary.db").open("w"):
        found = held(os.getpid(), {port: "door"})
        assert found.files["door"] == 2  # both ends are this process's
        assert found.files["door, not connected"] == 1  # it listens
        assert found.files["diary.db"] == 1
    writer.close()
    server.close()
    await server.wait_closed()
    assert not [name for name in held(os.getpid(), {port: "door"}).files if name.startswith("diary")]


def test_a_thread_more_is_seen() -> None:
    over = threading.Event()
    before = held(os.getpid(), {}).threads
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        assert held(os.getpid(), {}).threads == before + 1
    finally:
        over.set()
        thread.join()


def test_memory_that_is_used_is_seen() -> None:
    before = held(os.getpid(), {}).rss_mib
    taken = bytearray(os.urandom(1 << 20) * 32)
    assert held(os.getpid(), {}).rss_mib - before > 24
    assert taken


def test_what_a_process_has_started_is_counted_with_it() -> None:
    pid = os.getpid()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        one, other = Used.of(pid), Used.of(child.pid)
        assert Used.of_all(pid).rss_mib > one.rss_mib + other.rss_mib / 2
        assert child.stdin
        child.stdin.close()
