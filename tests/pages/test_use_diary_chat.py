"""use_diary_chat.js in React's strict mode, as npm gives React, in Node, against the real door of the chat."""

import asyncio
import json
import os
import shutil
import subprocess
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager
from pathlib import Path

import playwright
import pytest

from bot.diary.crypto import Keys
from bot.diary.store import Store
from bot.doors.pages import FOLDER
from tests.chat_by_hand import CUT, WAIT_S
from tests.diary.talks import SECRET
from tests.doors.chat_site import site_of

HERE = Path(__file__).parent / "react"
NODE = Path(playwright.__file__).parent / "driver/node"
"""A system's own may be too old to have WebSockets."""

if not shutil.which("npm"):
    if os.environ.get("CI"):
        raise RuntimeError("the hook is tested with React from npm, and there is none")
    pytest.skip("there is no npm", allow_module_level=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An app as somebody would have it: React from npm, and our two files."""
    app = tmp_path_factory.mktemp("app")
    for file in (*HERE.iterdir(), FOLDER / "static/use_diary_chat.js", FOLDER / "static/chat_client.js"):
        shutil.copy(file, app)
    command = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    subprocess.run(command, cwd=app, check=True, timeout=120, stdout=subprocess.DEVNULL)
    return app


class Chat:
    """A component with the hook; `state` is what the hook gave last."""

    def __init__(self, process):
        self._process = process
        self.states = []

    @property
    def state(self):
        return self.states[-1]

    @property
    def answer(self):
        return self.state["messages"][-1]

    async def read(self):
        """What it writes, until it ends."""
        async for line in self._process.stdout:
            self.states.append(json.loads(line))

    async def do(self, *command):
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()

    async def becomes(self, what):
        async with asyncio.timeout(WAIT_S):
            while not (self.states and what(self)):
                await asyncio.sleep(0.01)


def over(answers):
    """So many questions were asked, and every answer is over."""
    return lambda chat: len(chat.state["messages"]) == 2 * answers and not chat.state["isAnswering"]


@asynccontextmanager
async def mounted(folder, address, **options):
    """The component, which is there as long as the block."""
    process = await asyncio.create_subprocess_exec(
        *(NODE, "driver.js", json.dumps([address, options])),
        cwd=folder,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    chat = Chat(process)
    try:
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(chat.read())
            complaints = tasks.create_task(process.stderr.read())
            try:
                await chat.becomes(lambda chat: chat.state["connection"] == "idle")
                yield chat
                await chat.do("unmount")
                process.stdin.close()
                async with asyncio.timeout(WAIT_S):  # it ends by itself: nothing of the chat is left behind
                    await asyncio.wait([reading, complaints])
            finally:
                if process.returncode is None and not reading.done():
                    process.kill()
        assert [line for line in complaints.result().decode().splitlines() if "deprecated" not in line] == []
    finally:
        await process.wait()


@pytest.fixture
async def site(tmp_path):
    store = await Store.open(f"sqlite:///{tmp_path / 'diary.db'}", Keys.parse(SECRET))
    async with site_of(store) as opened:
        yield opened
    await store.close()


async def test_an_answer_grows_in_the_messages_and_has_its_sources(folder, site) -> None:
    gate = asyncio.Event()
    site.answers("한강", gate, "이요[1].")
    async with mounted(folder, site.address) as chat:
        await chat.do("send", "어디 갔지?")
        await chat.becomes(lambda chat: chat.state["messages"] and chat.answer["text"] == "한강")
        assert (chat.state["connection"], chat.state["isAnswering"]) == ("open", True)
        assert chat.answer["state"] == "answering"
        gate.set()
        await chat.becomes(over(1))
        question, answer = chat.state["messages"]
        assert (question["role"], question["text"], question["state"]) == ("user", "어디 갔지?", "whole")
        assert (answer["role"], answer["text"], answer["state"]) == ("diary", "한강이요.", "whole")
        assert [source["title"] for source in answer["sources"]] == ["한강"] and answer["error"] is None
        assert {state["connection"] for state in chat.states} == {"idle", "connecting", "open"}
    assert len(site.model.asked) == 1, "strict mode asks nothing twice"


async def test_what_is_asked_in_the_action_of_a_form_is_shown_before_its_answer_is_over(folder, site) -> None:
    gate = asyncio.Event()
    site.answers("한강", gate)
    async with mounted(folder, site.address) as chat:
        await chat.do("act", "어디 갔지?")
        await chat.becomes(lambda chat: chat.state["messages"] and chat.answer["text"] == "한강")
        assert chat.state["isAnswering"]
        gate.set()
        await chat.becomes(over(1))


async def test_questions_are_answered_in_order_in_one_session(folder, site) -> None:
    async with mounted(folder, site.address) as chat:
        await chat.do("send", "하나?")
        await chat.do("send", "둘?")
        await chat.becomes(over(2))
        assert [message["text"] for message in chat.state["messages"]] == [
            "하나?",
            "네, 그랬어요.",
            "둘?",
            "네, 그랬어요.",
        ]
        assert len({message["id"] for message in chat.state["messages"]}) == 4
    assert [len(asked) for asked in site.model.asked] == [2, 4]


async def test_stop_ends_the_answer_at_the_server_too_and_the_session_goes_on(folder, site) -> None:
    site.answers("한강", asyncio.Event())
    async with mounted(folder, site.address) as chat:
        await chat.do("send", "어디 갔지?")
        await chat.do("send", "누구랑?")
        await chat.becomes(lambda chat: chat.state["messages"] and chat.state["messages"][1]["text"] == "한강")
        await chat.do("stop")
        await chat.becomes(over(2))
        assert [message["state"] for message in chat.state["messages"]] == ["whole", "stopped", "whole", "stopped"]
        async with asyncio.timeout(WAIT_S):
            while not site.model.left:
                await asyncio.sleep(0.01)
        site.answers("지수요.")
        await chat.do("send", "누구랑?")
        await chat.becomes(over(3))
        assert (chat.answer["text"], chat.answer["state"]) == ("지수요.", "whole")
    assert [said["content"] for said in site.model.asked[-1][1:3]] == ["어디 갔지?", "한강"]
    assert len(site.model.asked) == 2, "what was stopped before its turn was never asked"


async def test_what_goes_wrong_is_told_in_the_answer(folder, site) -> None:
    site.answers("한강", CUT)
    async with mounted(folder, site.address, tries=0) as chat:
        await chat.do("send", "어디 갔지?")
        await chat.becomes(over(1))
        assert (chat.answer["state"], chat.answer["error"]["reason"]) == ("failed", "model_failed")
        assert chat.answer["error"]["message"] and chat.answer["error"]["solutions"]
        site.door.leave()
        await chat.becomes(lambda chat: chat.state["connection"] == "lost")
        await chat.do("send", "또?")
        await chat.becomes(over(2))
        assert (chat.answer["state"], chat.answer["error"]) == ("failed", {"reason": "no-connection"})


async def test_a_component_that_goes_in_the_middle_ends_its_answer_and_its_socket(folder, site) -> None:
    site.answers("한강", asyncio.Event())
    async with mounted(folder, site.address) as chat:
        await chat.do("send", "어디 갔지?")
        await chat.becomes(lambda chat: chat.state["messages"] and chat.answer["text"] == "한강")
        await chat.do("unmount")
        async with asyncio.timeout(WAIT_S):
            while not site.model.left:
                await asyncio.sleep(0.01)
