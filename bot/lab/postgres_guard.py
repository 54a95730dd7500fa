"""Runs one PostgreSQL server for as long as its own standard input is open: the server outlives nobody who started it.

    python postgres_guard.py USER FOLDER postgres -D ...

Prints the server's pid, and ends with the server. When standard input ends first (whoever held it has been killed), the
server is ended at once and FOLDER removed. It runs by itself, without the project's packages.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

END_S = 5.0


def as_user(name: str | None) -> dict[str, Any]:
    """The arguments that make `subprocess` run something as that user; none for the user that we are."""
    if name is None:
        return {}
    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def family(pid: int) -> list[int]:
    """A process and its children, the process first; empty when it is gone."""
    try:
        os.kill(pid, 0)
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except ProcessLookupError:
        return []
    except FileNotFoundError:  # no Linux
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
        pairs = [line.split() for line in listed.stdout.splitlines()]
        return [pid, *(int(child) for child, parent in pairs if int(parent) == pid)]
    return [pid, *(int(child) for child in children.split())]


def send(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to those of the processes that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def main(user: str, folder: str, *command: str) -> None:
    """Run it; see above. USER is empty for the user that we are."""
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **as_user(user or None))
    alone = threading.Event()

    def follow() -> None:
        server.wait()
        if alone.is_set():
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    follower = threading.Thread(target=follow, daemon=True)
    print(server.pid, flush=True)
    sys.stdout.close()
    follower.start()
    sys.stdin.buffer.read()
    alone.set()
    send(family(server.pid), signal.SIGCONT)
    send([server.pid], signal.SIGQUIT)
    follower.join(END_S)
    send(list(reversed(family(server.pid))), signal.SIGKILL)
    follower.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
