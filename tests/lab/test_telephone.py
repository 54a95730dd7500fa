"""bot/lab/telephone.py: the command that phones a running bot, where something is wrong."""

import asyncio
import socket

import pytest

from bot.lab import demo, telephone


def test_who_phones_where_nobody_serves_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert telephone.main(["--bot", url, "--script", "barge-in"]) == 1
    told = capsys.readouterr()
    assert f"nobody spoke: does a bot serve at {url}" in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize("command", [lambda: telephone.main([]), demo.main], ids=["call", "demo"])
def test_an_interrupt_ends_it_without_a_word(command, monkeypatch, capsys) -> None:
    def interrupted(main):
        main.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "run", interrupted)
    monkeypatch.setattr("sys.argv", ["demo"])
    assert command() == 130
    assert capsys.readouterr().err == ""
