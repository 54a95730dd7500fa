"""What a process holds, as the system tells it: memory, threads, open files and sockets. Source: proc(5).

It must not know what the process is.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ESTABLISHED = "01"
PAGE_BYTES, TICK = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Used:
    """What a process has used: CPU in seconds, and the memory that it holds now."""

    at_s: float
    cpu_s: float
    rss_mib: float

    @classmethod
    def of(cls, pid: int) -> "Used":
        """Look at a process."""
        root = Path(f"/proc/{pid}")
        fields = (root / "stat").read_text().rpartition(")")[2].split()
        rss_mib = int((root / "statm").read_text().split()[1]) * PAGE_BYTES / 2**20
        return cls(time.monotonic(), (int(fields[11]) + int(fields[12])) / TICK, rss_mib)

    @classmethod
    def of_all(cls, pid: int) -> "Used":
        """Look at a process and all that it has started."""
        each = [cls.of(pid), *(cls.of_all(child) for child in _children(pid))]
        return cls(time.monotonic(), sum(used.cpu_s for used in each), sum(used.rss_mib for used in each))


@dataclass(frozen=True, slots=True)
class Held:
    """One look: memory in MiB, CPU so far in s, and how many open files there are of each kind."""

    rss_mib: float
    cpu_s: float
    threads: int
    files: Counter[str]

    @property
    def open_files(self) -> int:
        """All of them."""
        return self.files.total()


def _children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for children in lists for child in children.read_text().split()]


def held(pid: int, ports: Mapping[int, str]) -> Held:
    """Look at a process. A TCP socket is named after the port in `ports` at either end, a file after its name."""
    root, used = Path(f"/proc/{pid}"), Used.of(pid)
    threads = sum(1 for _ in (root / "task").iterdir())
    return Held(used.rss_mib, used.cpu_s, threads, _files(root, ports))


def _files(root: Path, ports: Mapping[int, str]) -> Counter[str]:
    sockets = _tcp(root, ports)
    found: Counter[str] = Counter()
    for link in (root / "fd").iterdir():
        try:
            target = os.readlink(link)
        except OSError:
            continue  # closed since
        kind, _, inode = target.partition(":[")
        if kind == "socket":
            found[sockets.get(inode.rstrip("]"), "other sockets")] += 1
        elif target.startswith("/") and not target.startswith("/dev/"):
            found[Path(target).name] += 1
        else:
            found["pipes and the like"] += 1
    return found


def _tcp(root: Path, ports: Mapping[int, str]) -> dict[str, str]:
    """The names of connected TCP sockets, by inode."""
    named: dict[str, str] = {}
    for table in ("tcp", "tcp6"):
        try:
            lines = (root / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue  # this system has none
        for fields in (line.split() for line in lines):
            ends = [int(address.rpartition(":")[2], 16) for address in fields[1:3]]
            name = next((ports[port] for port in ends if port in ports), "other TCP")
            named[fields[9]] = name if fields[3] == ESTABLISHED else f"{name}, not connected"
    return named
