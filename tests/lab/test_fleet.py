"""Several processes behind one address: started, killed, asked to go, replaced. The processes are `fake_process.py`."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest

from bot.lab.fleet import Fleet, fleet
from bot.lab.router import Router
from bot.lab.stage import BotDied

HERE = Path(__file__).parent
ENVIRON = {"PATH": os.environ["PATH"], "PYTHONPATH": str(HERE)}


@pytest.fixture
async def router() -> AsyncIterator[Router]:
    async with Router() as found:
        yield found


async def reach(router: Router, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(router.url.rpartition(":")[2]))
    writer.write(f"GET {path} HTTP/1.1\r\n".encode())
    return reader, writer


async def who_answers(router: Router) -> tuple[int, str]:
    reader, writer = await reach(router, "/")
    async with asyncio.timeout(5):
        pid, url = (await reader.readline()).decode().split()
    writer.close()
    return int(pid), url


async def answering(router: Router, times: int = 6) -> set[int]:
    return {(await who_answers(router))[0] for _ in range(times)}


def pids(crew: Fleet) -> set[int]:
    return {crew.bots[name].process.pid for name in crew.running}


async def test_all_of_them_answer_under_the_one_address_that_they_are_told(router: Router) -> None:
    async with fleet(ENVIRON, router, module="fake_process") as crew:
        assert crew.running == ["a", "b"]
        assert await answering(router) == pids(crew)
        assert (await who_answers(router))[1] == router.url
    assert router.backends == {}


async def test_one_that_is_killed_is_replaced_a_little_later(router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.lab.fleet.RESTART_S", 0.05)
    async with fleet(ENVIRON, router, module="fake_process") as crew:
        crew.kill("a")
        assert await crew.restart("a") == "c"
        assert crew.bots["a"].process.returncode == -signal.SIGKILL
        assert crew.running == ["b", "c"]
        assert await answering(router) == pids(crew)


async def test_while_one_is_gone_the_other_answers_all(router: Router) -> None:
    async with fleet(ENVIRON, router, module="fake_process") as crew:
        crew.kill("a")
        await crew.bots["a"].process.wait()
        assert await answering(router) == {crew.bots["b"].process.pid}


async def test_a_deploy_starts_the_new_one_before_the_old_one_goes(router: Router) -> None:
    async with fleet(ENVIRON, router, module="fake_process") as crew:
        for name in crew.running:
            new = await crew.replace(name)
            assert crew.bots[name].process.returncode == 0
            assert crew.bots[new].process.pid in await answering(router) <= pids(crew)
        assert crew.running == ["c", "d"]


async def test_one_that_does_not_start_is_told_with_what_it_said(router: Router) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with fleet(ENVIRON | {"FAKE": "dies"}, router, module="fake_process"):
            pass
    assert caught.group_contains(BotDied, match="a bad setting")


async def test_where_one_does_not_start_the_other_is_not_left_over(router: Router, tmp_path: Path) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with fleet(ENVIRON | {"FAKE": "one dies", "TOLD": str(tmp_path)}, router, module="fake_process"):
            pass
    assert caught.group_contains(BotDied, match="a bad setting")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_the_busiest_is_the_one_with_most_media_streams(router: Router) -> None:
    async with fleet(ENVIRON, router, module="fake_process") as crew, AsyncExitStack() as streams:

        async def stay(name: str, path: str) -> None:
            router.preferred = {name}
            reader, writer = await reach(router, path)
            await reader.readline()
            streams.callback(writer.close)

        assert {crew.busiest(Random(seed)) for seed in range(20)} == {"a", "b"}, "any, as long as there are none"
        await stay("b", "/twilio/media")
        for _ in range(3):
            await stay("a", "/other")
        assert {crew.busiest(Random(seed)) for seed in range(20)} == {"b"}
        for _ in range(2):
            await stay("a", "/twilio/media")
        assert {crew.busiest(Random(seed)) for seed in range(20)} == {"a"}
