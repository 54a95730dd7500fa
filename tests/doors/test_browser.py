"""bot/doors/browser.py: who is let in, which talk they get, and what becomes of one whose browser is gone.

On real sockets, with real calls, in both databases.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import pytest
from quart import Quart
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bot import admission
from bot.call import Call
from bot.diary.browser_talks import sid_of
from bot.diary.people import Person
from bot.diary.store import Store
from bot.doors import asgi, opening
from bot.doors import browser as door_module
from bot.doors import partings as partings_module
from bot.doors.asgi import StraightSocket, straight_sockets
from bot.doors.browser import MOST_SOCKETS, BrowserDoor, Running
from bot.doors.live import LiveCalls
from bot.doors.opening import MOST_FAULTS
from bot.doors.partings import Partings
from bot.errors import StoreError
from bot.line import BrowserLine
from tests.calls_in_memory import staged
from tests.chat_by_hand import WAIT_S, IdentityByHand, serving
from tests.pages_in_memory import WideHandVoice

ME, OTHER = "+821012345678", "+821099999999"
INIT = {"type": "init", "config": {}}


class IdentityOfTalks(IdentityByHand):
    """Knows a person by a header, and notes what is counted."""

    def __init__(self, people):
        super().__init__(people)
        self.counted = []

    async def allow(self, what, subject, most, within_s):
        """As Identity's."""
        self.counted.append((what, subject, most, within_s))
        self.left -= 1
        return self.left >= 0


@dataclass
class Site:
    """A server with the door alone."""

    address: str
    door: BrowserDoor
    identity: IdentityOfTalks
    store: Store
    live: LiveCalls
    partings: Partings
    calls: list[Call] = field(default_factory=list)
    work: int = 0

    def socket(self, who: str = "me", **more: Any) -> connect:
        return connect(
            f"ws://{self.address}/ws",
            additional_headers={"X-Test-Person": who},
            compression=None,
            ping_interval=None,
            proxy=None,
            **more,
        )

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not is_so():
                await asyncio.sleep(0.01)


async def ask(socket: ClientConnection, message: dict[str, Any] | str) -> dict[str, Any]:
    await socket.send(message if isinstance(message, str) else json.dumps(message))
    return await answer(socket)


async def answer(socket: ClientConnection) -> dict[str, Any]:
    """The next message that is neither sound nor transcript."""
    async with asyncio.timeout(WAIT_S):
        while True:
            told: dict[str, Any] = json.loads(await socket.recv())
            if told["type"] not in ("audio", "transcript"):
                return told


async def close_code(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code


async def person_of(store: Store, number: str) -> Person:
    token = await store.people.begin_session(number)
    assert token
    person = await store.people.person(token)
    assert person
    return person


@asynccontextmanager
async def site_of(store: Store, tmp_path: Any) -> AsyncIterator[Site]:
    async with staged(tmp_path / "unused") as stage, asyncio.TaskGroup() as tasks:
        services = replace(stage.services, store=store)
        identity = IdentityOfTalks({"me": await person_of(store, ME), "other": await person_of(store, OTHER)})
        live, partings = LiveCalls(tasks, lambda call: call.run()), Partings(tasks, lambda work: work)
        door = BrowserDoor()
        site = Site("", door, identity, store, live, partings)

        def new_call(send, close, stream, config) -> Call:
            line = BrowserLine(stream, config, WideHandVoice())  # type: ignore[arg-type]
            site.calls.append(Call(services, send, close, alone=live.alone, line=line))
            return site.calls[-1]

        def work_came() -> None:
            site.work += 1

        app = Quart("talks", static_folder=None)
        app.register_blueprint(door.blueprint())
        app.asgi_app = straight_sockets(app.asgi_app)  # type: ignore
        door.start(Running(identity, store, live, new_call, partings, work_came))
        async with serving(app) as address:
            site.address = address
            try:
                yield site
            finally:
                partings.cancel()
                for call in site.calls:
                    call.gone()
                await live.finished(WAIT_S)


@pytest.fixture
async def site(store: Store, tmp_path: Any) -> AsyncIterator[Site]:
    (tmp_path / "unused").mkdir()
    async with site_of(store, tmp_path) as opened:
        yield opened


async def refused_with(site: Site, who: str = "me") -> int:
    with pytest.raises(InvalidStatus) as refused:
        async with site.socket(who):
            pass
    response = refused.value.response
    assert ("Retry-After" in response.headers) == (response.status_code in (429, 503))
    return response.status_code


# ── who is let in ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_nobody_is_let_in_from_another_page_or_without_being_signed_in(site: Site) -> None:
    assert await refused_with(site, "nobody") == 401
    site.identity.ours = False
    assert await refused_with(site) == 403
    site.identity.ours, site.identity.fails = True, StoreError("away")
    assert await refused_with(site) == 503
    assert not site.calls


async def test_a_door_that_closes_lets_nobody_in(site: Site) -> None:
    site.live.draining = True
    assert await refused_with(site) == 503


async def test_one_person_has_only_so_many_sockets(site: Site) -> None:
    sockets = [await site.socket() for _ in range(MOST_SOCKETS)]
    assert await refused_with(site) == 429
    async with site.socket("other"):
        pass
    await sockets[0].close()
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                async with site.socket():
                    break
            except InvalidStatus:
                await asyncio.sleep(0.01)
    for socket in sockets:
        await socket.close()


# ── which talk they get ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_new_talk_is_a_call_of_the_person(site: Site) -> None:
    async with site.socket() as socket:
        told = await ask(socket, INIT)
        assert told == {"type": "connected", "sessionId": told["sessionId"], "resumed": False, "sampleRate": 24000}
        first = json.loads(await socket.recv())
        assert (first["type"], first["sentence"], bool(first["text"])) == ("audio", "1:0", True)
        await socket.send('{"type":"text","text":"공원을 걸었어요"}')
        await socket.send('{"type":"end"}')
        assert await close_code(socket) == 1000
    await site.until(lambda: not len(site.live))
    call_sid = sid_of(told["sessionId"])
    assert await site.store.is_ended(call_sid)
    assert await site.store.said(call_sid) == ["공원을 걸었어요"]
    assert not await site.store.browser_talks.may_resume(told["sessionId"], 1)
    assert site.identity.counted[-1][:2] == ("talk", "1")
    assert not len(site.partings)


async def test_a_talk_is_resumed_by_its_person_alone(site: Site) -> None:
    async with site.socket() as socket:
        session_id = (await ask(socket, INIT))["sessionId"]
        await socket.send('{"type":"text","text":"공원을 걸었어요"}')
        while json.loads(await socket.recv())["type"] != "transcript":
            pass
    await site.until(lambda: len(site.partings) == 1)
    async with site.socket("other") as foreign:
        told = await ask(foreign, {**INIT, "sessionId": session_id})
        assert (told["type"], told["code"], told["retry"]) == ("error", "NO_SESSION", True)
        told = await ask(foreign, INIT)
        assert (told["type"], told["resumed"]) == ("connected", False) and told["sessionId"] != session_id
    async with site.socket() as mine:
        told = await ask(mine, {**INIT, "sessionId": session_id.upper()})
        assert (told["sessionId"], told["resumed"]) == (session_id, True)
        first = json.loads(await mine.recv())
        assert first["sentence"] == "10001:0"
        await mine.send('{"type":"end"}')
        assert await close_code(mine) == 1000
    assert [turn.said for turn in await site.store.turns(sid_of(session_id)) if turn.said] == ["공원을 걸었어요"]


async def test_a_talk_whose_socket_broke_unnoticed_is_resumed_too(site: Site) -> None:
    async with site.socket() as old, site.socket() as new:
        session_id = (await ask(old, INIT))["sessionId"]
        assert (await ask(new, {**INIT, "sessionId": session_id}))["resumed"]
        assert await close_code(old) == 4001
        await new.send('{"type":"end"}')
        assert await close_code(new) == 1000
    assert [call.stream for call in site.calls] == [1, 2]


async def test_unknown_and_ended_talks_are_not_resumed(site: Site) -> None:
    async with site.socket() as socket:
        session_id = (await ask(socket, INIT))["sessionId"]
        await socket.send('{"type":"end"}')
        await close_code(socket)
    await site.until(lambda: not len(site.live))
    async with site.socket() as socket:
        for unknown in (session_id, str(uuid4())):
            assert (await ask(socket, {**INIT, "sessionId": unknown}))["code"] == "NO_SESSION"
        assert (await ask(socket, {**INIT, "sessionId": "1"}))["code"] == "INVALID_MESSAGE"
        assert (await ask(socket, INIT))["type"] == "connected"


async def test_a_talk_after_one_that_was_not_resumed_has_names_of_its_own(site: Site) -> None:
    async with site.socket() as socket:
        await ask(socket, {**INIT, "sessionId": str(uuid4())})
        await ask(socket, INIT)
        first = json.loads(await socket.recv())
        assert first["sentence"].endswith(":0") and int(first["sentence"].partition(":")[0]) > 10_000


async def test_who_asks_for_talks_that_cannot_be_had_for_ever_is_sent_away(site: Site) -> None:
    async with site.socket() as socket:
        for _ in range(MOST_FAULTS):
            assert (await ask(socket, {**INIT, "sessionId": str(uuid4())}))["code"] == "NO_SESSION"
        assert (await answer(socket))["code"] == "TOO_MANY_FAULTS"
        assert await close_code(socket) == 1008


async def test_who_has_signed_out_since_the_handshake_gets_no_talk(site: Site) -> None:
    async with site.socket() as socket:
        site.identity.people["me"] = site.identity.people["other"]
        told = await ask(socket, INIT)
        assert (told["code"], told["retry"]) == ("SIGNED_OUT", False)
        assert await close_code(socket) == 1008
    assert not site.calls


async def test_who_signs_out_in_the_middle_of_a_talk_does_not_keep_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_module, "STILL_SIGNED_IN_S", 0.02)
    async with site.socket() as socket:
        await ask(socket, INIT)
        site.identity.fails = StoreError("away")
        await asyncio.sleep(0.1)
        site.identity.fails = None
        assert (await ask(socket, "{"))["code"] == "INVALID_JSON"
        del site.identity.people["me"]
        assert (await answer(socket))["code"] == "SIGNED_OUT"
        assert await close_code(socket) == 1008
    await site.until(lambda: len(site.partings) == 1)


async def test_a_talk_that_cannot_be_let_in_now_can_be_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise StoreError("away")

    monkeypatch.setattr(site.store, "claim_media_token", away)
    monkeypatch.setattr(admission, "CLAIM_PAUSES_S", ())
    async with site.socket() as socket:
        await ask(socket, INIT)
        told = await answer(socket)
        assert (told["code"], told["retry"]) == ("STORE_UNAVAILABLE", True)
        assert await close_code(socket) == 1011


async def test_a_peer_that_reads_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "CLOSE_S", 0.05)

    async def never(_: object) -> None:
        await asyncio.Event().wait()

    socket = StraightSocket(never)
    async with asyncio.timeout(WAIT_S):
        await socket.close(1000)
    assert socket.close_code == 1000


async def test_what_comes_before_the_talk_is_answered_and_then_closed(site: Site) -> None:
    async with site.socket() as socket:
        assert (await ask(socket, {"type": "end"}))["code"] == "WRONG_ORDER"
        assert (await ask(socket, {"type": "audio", "audio": "AAAA"}))["code"] == "WRONG_ORDER"
        assert (await ask(socket, "[]"))["code"] == "INVALID_MESSAGE"
        for _ in range(MOST_FAULTS - 3):
            assert (await ask(socket, "nonsense"))["code"] == "INVALID_JSON"
        assert (await answer(socket))["code"] == "TOO_MANY_FAULTS"
        assert await close_code(socket) == 1008
    assert not site.calls


async def test_a_message_that_is_far_too_long_ends_the_socket(site: Site) -> None:
    async with site.socket() as socket:
        assert (await ask(socket, "x" * 60_000))["code"] == "TOO_LONG"
        await socket.send("x" * 200_000)
        assert await close_code(socket) == 1009


async def test_who_never_says_hello_is_told_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "INIT_S", 0.2)
    async with site.socket() as socket:
        assert (await answer(socket))["code"] == "NO_INIT"
        assert await close_code(socket) == 1008


async def test_too_many_talks_are_too_many(site: Site) -> None:
    site.identity.left = 1
    async with site.socket() as first, site.socket() as second:
        assert (await ask(first, INIT))["type"] == "connected"
        told = await ask(second, INIT)
        assert (told["code"], told["retry"]) == ("TOO_MANY", True)
        site.identity.left = 1
        assert (await ask(second, INIT))["type"] == "connected"


async def test_who_finds_no_place_is_told_so_and_may_ask_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.store._channels, "_most", 1)
    async with site.socket() as first, site.socket("other") as second:
        assert (await ask(first, INIT))["type"] == "connected"
        told = await ask(second, INIT)
        assert (told["type"], told["code"], told["retry"]) == ("error", "NO_PLACE", True)
        assert "자리가 없어요" in told["message"]
        await first.send('{"type":"end"}')
        assert await close_code(first) == 1000
        await site.until(lambda: not len(site.live))
        assert (await ask(second, INIT))["type"] == "connected"


async def test_a_talk_that_broke_off_is_never_refused_for_want_of_a_place(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site.socket() as socket:
        session_id = (await ask(socket, INIT))["sessionId"]
    await site.until(lambda: len(site.partings) == 1)
    monkeypatch.setattr(site.store._channels, "_most", 1)
    monkeypatch.setattr(LiveCalls, "is_full", True)
    async with site.socket() as new, site.socket() as again:
        assert (await ask(new, INIT))["code"] == "NO_PLACE"
        assert (await ask(again, {**INIT, "sessionId": session_id}))["resumed"]


async def test_a_diary_that_is_away_is_told_and_can_be_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise StoreError("away")

    async with site.socket() as socket:
        with monkeypatch.context() as patched:
            patched.setattr(site.store, "media_token", away)
            assert (await ask(socket, INIT))["code"] == "STORE_UNAVAILABLE"
        assert (await ask(socket, INIT))["type"] == "connected"


async def test_any_garbage_leaves_the_talk_alive(site: Site) -> None:
    async with site.socket() as socket:
        await ask(socket, INIT)
        for message in ("", "null", '{"type":"init","config":{}}', '{"type":"audio","audio":"AA=="}', "{" * 9_000):
            assert (await ask(socket, message))["type"] == "error"
        await socket.send(b"\0\1\2")
        assert (await answer(socket))["code"] == "INVALID_JSON"
        await socket.send('{"type":"end"}')
        assert await close_code(socket) == 1000


# ── a browser that is gone ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_talk_whose_browser_does_not_come_back_is_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partings_module.Partings.begin, "__defaults__", (0.2,))
    async with site.socket() as socket:
        session_id = (await ask(socket, INIT))["sessionId"]
    assert not await site.store.is_ended(sid_of(session_id))
    await site.until(lambda: site.work == 1)
    assert await site.store.is_ended(sid_of(session_id))
    async with site.socket() as socket:
        assert (await ask(socket, {**INIT, "sessionId": session_id}))["code"] == "NO_SESSION"


async def test_a_talk_whose_browser_came_back_is_not_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partings_module.Partings.begin, "__defaults__", (0.3,))
    async with site.socket() as socket:
        session_id = (await ask(socket, INIT))["sessionId"]
    await site.until(lambda: len(site.partings) == 1)
    async with site.socket() as socket:
        assert (await ask(socket, {**INIT, "sessionId": session_id}))["resumed"]
        await site.until(lambda: site.work == 1)
        assert not await site.store.is_ended(sid_of(session_id))
        await socket.send('{"type":"text","text":"네, 돌아왔어요"}')
        while json.loads(await socket.recv())["type"] != "transcript":
            pass


async def test_a_process_that_leaves_sends_everybody_on_and_waits_for_nobody(site: Site) -> None:
    async with site.socket() as gone:
        left = (await ask(gone, INIT))["sessionId"]
    await site.until(lambda: len(site.partings) == 1)
    async with site.socket() as opening, site.socket() as talking:
        session_id = (await ask(talking, INIT))["sessionId"]
        await asyncio.sleep(0.05)
        site.live.drain()
        site.door.leave()
        assert await close_code(opening) == 1012
        with suppress(ConnectionClosed):
            while True:
                await talking.send('{"type":"audio","audio":"%s"}' % ("A" * 1280))
                await asyncio.sleep(0.001)
        assert await close_code(talking) == 1012
    await site.until(lambda: not len(site.partings) and not len(site.live))
    for session in (left, session_id):
        assert not await site.store.is_ended(sid_of(session))
        assert await site.store.browser_talks.may_resume(session, 1)
