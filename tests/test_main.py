"""bot/__main__.py: a reader of the output who has enough of it."""

import os
import subprocess
import sys

import pytest

from bot import __main__ as command_line


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["at-the-end", "at-once"])
def test_who_reads_no_further_is_no_stack_trace(unbuffered: str) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "bot"],
            stdout=writes,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            check=False,
        )
    finally:
        os.close(writes)
    assert (ended.returncode, ended.stderr) == (command_line.CUT_SHORT, b"")


def test_a_closed_output_is_none() -> None:
    ended = subprocess.run(
        ["sh", "-c", 'exec "$0" -m bot >&-', sys.executable], stderr=subprocess.PIPE, check=False, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_another_broken_pipe_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: list[str]) -> int:
        raise BrokenPipeError

    monkeypatch.setitem(command_line.COMMANDS, "serve", breaks)
    monkeypatch.setattr(sys, "argv", ["bot", "serve"])
    reads, writes = os.pipe()
    with os.fdopen(reads), os.fdopen(writes, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        with pytest.raises(BrokenPipeError):
            command_line.main()
