"""bot/doors/chat.py: both ways to chat, on real sockets, over a real diary in both databases."""

import asyncio
import itertools
import json
from datetime import date
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bot.diary.crypto import Keys
from bot.diary.library import Library
from bot.diary.store import Store
from bot.doors import chat as door_module
from bot.doors import events as events_module
from bot.doors.chat import MOST_FAULTS, MOST_SOCKETS
from bot.errors import StoreError
from tests.chat_by_hand import (
    CUT,
    WAIT_S,
    ask,
    write_entry,
)
from tests.diary.talks import ANOTHER, SECRET
from tests.doors.chat_site import ME, OTHER, site_of


@pytest.fixture
async def store(database_url):
    opened = await Store.open(database_url, Keys.parse(SECRET))
    yield opened
    await opened.close()


@pytest.fixture
async def site(store):
    async with site_of(store) as opened:
        yield opened


async def events_from(socket, last=("stream_end", "stream_error")):
    """The events up to the end of an answer."""
    events = []
    async with asyncio.timeout(WAIT_S):
        while True:
            events.append(json.loads(await socket.recv(decode=True)))
            if events[-1]["type"] in last:
                return events


async def sse_from(response):
    """The events of a stream, each named twice the same."""
    events, name = [], None
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            events.append(json.loads(line.removeprefix("data: ")))
            assert events[-1]["type"] == name
    return events


def text(events):
    return "".join(event["token"] for event in events if event["type"] == "stream_token")


FIELDS = {
    "stream_start": {"type", "message_id", "session_id", "timestamp"},
    "stream_token": {"type", "message_id", "token", "index"},
    "stream_sources": {"type", "message_id", "sources"},
    "stream_end": {"type", "message_id", "total_tokens", "processing_time_ms"},
    "stream_error": {"type", "message_id", "error_code", "message", "solutions", "reason"},
}


def check(events, message_id):
    """A whole answer in its order, with its fields and its numbers."""
    kinds = [event["type"] for event in events]
    tokens = kinds.count("stream_token")
    assert kinds == ["stream_start", *["stream_token"] * tokens, "stream_sources", "stream_end"]
    for event in events:
        assert set(event) == FIELDS[event["type"]] and event["message_id"] == message_id
    assert [event["index"] for event in events[1:-2]] == list(range(tokens))
    assert events[-1]["total_tokens"] == tokens
    assert events[0]["timestamp"].endswith("Z")


# The socket


async def test_a_question_is_answered_on_the_socket_and_the_next_goes_on_in_its_session(site) -> None:
    async with site.socket() as socket:
        await socket.send(ask(message_id=(one := str(uuid4()))))
        events = await events_from(socket)
        check(events, one)
        assert text(events) == "네, 그랬어요."
        (source,) = events[-2]["sources"]
        assert source == {
            "title": "한강",
            "content": "지수랑 한강에 갔다. 라면을 먹었다.",
            "score": 0.8,
            "metadata": {"date": "2026-03-02", "id": "CA1", "kind": "entry"},
        }
        await socket.send(ask("누구랑?"))
        assert (await events_from(socket))[0]["session_id"] == events[0]["session_id"]
        await socket.send(ask("누구랑?", session_id="new"))
        assert (await events_from(socket))[0]["session_id"] != events[0]["session_id"]
    assert [len(chat) for chat in site.model.asked] == [2, 4, 2]


async def test_another_socket_goes_on_with_a_session_by_its_address(site) -> None:
    async with site.socket(query="?session_id=new") as socket:
        await socket.send(ask())
        session_id = (await events_from(socket))[0]["session_id"]
    async with site.socket(query=f"?session_id={session_id}") as socket:
        await socket.send(ask("누구랑?"))
        assert (await events_from(socket))[0]["session_id"] == session_id
    assert len(site.model.asked[-1]) == 4


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "WS-001-INVALID_JSON"),
        (b"\x00\xff", "WS-001-INVALID_JSON"),
        ("", "WS-001-INVALID_JSON"),
        ("[]", "WS-002-VALIDATION_ERROR"),
        ('{"type":"ping"}', "WS-002-VALIDATION_ERROR"),
        (ask(content="가" * 10_001), "WS-002-VALIDATION_ERROR"),
        (ask(content=""), "WS-002-VALIDATION_ERROR"),
        (ask(message_id="1"), "WS-002-VALIDATION_ERROR"),
        (ask(session_id="of-somebody-else"), "WS-002-VALIDATION_ERROR"),
    ],
    ids=itertools.count(),
)
async def test_a_bad_message_is_told_and_the_connection_lives(site, message, code) -> None:
    async with site.socket() as socket:
        await socket.send(message)
        (error,) = await events_from(socket)
        assert set(error) == FIELDS["stream_error"] and error["error_code"] == code
        assert error["solutions"]
        await socket.send(ask(message_id=(one := str(uuid4()))))
        check(await events_from(socket), one)


async def test_faults_without_end_close_the_socket_but_not_those_between_good_messages(site) -> None:
    async with site.socket() as socket:
        for _ in range(2):
            for _ in range(MOST_FAULTS - 1):
                await socket.send("{")
                assert (await events_from(socket))[0]["error_code"] == "WS-001-INVALID_JSON"
            await socket.send(ask())
            assert (await events_from(socket))[-1]["type"] == "stream_end"
        told = 0
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(WAIT_S):
                while True:
                    await socket.send("{")
                    told += (await events_from(socket))[0]["error_code"] == "WS-001-INVALID_JSON"
        assert (told, socket.close_code) == (MOST_FAULTS, 1008)


async def test_a_diary_that_is_away_for_long_closes_no_socket(site) -> None:
    async with site.socket() as socket:
        site.identity.fails = StoreError("away")
        for _ in range(MOST_FAULTS + 1):
            await socket.send(ask())
            assert (await events_from(socket))[0]["error_code"] == "WS-003-SERVICE_NOT_INITIALIZED"
        site.identity.fails = None
        await socket.send(ask())
        assert (await events_from(socket))[-1]["type"] == "stream_end"


async def test_a_question_of_ten_thousand_letters_is_answered(site) -> None:
    async with site.socket() as socket:
        await socket.send(ask("가" * 10_000))
        assert (await events_from(socket))[-1]["type"] == "stream_end"


async def test_a_foreign_session_is_nobodys_and_a_new_one_can_be_asked_for(site) -> None:
    async with site.socket(OTHER) as socket:
        await socket.send(ask())
        theirs = (await events_from(socket))[0]["session_id"]
    async with site.socket(query=f"?session_id={theirs}") as socket:
        for asked in (ask(), ask(session_id=theirs)):
            await socket.send(asked)
            (error,) = await events_from(socket)
            assert (error["error_code"], error["reason"]) == ("WS-002-VALIDATION_ERROR", "unknown_session")
        await socket.send(ask(session_id="new"))
        mine = await events_from(socket)
        assert mine[-1]["type"] == "stream_end" and mine[0]["session_id"] != theirs
        await socket.send(ask("또?"))
        assert (await events_from(socket))[0]["session_id"] == mine[0]["session_id"]


@pytest.mark.parametrize(("people", "ours", "status"), [({}, True, 401), (None, False, 403)])
async def test_who_is_not_signed_in_or_not_from_our_page_is_refused(store, people, ours, status) -> None:
    async with site_of(store, people=people) as site:
        site.identity.ours = ours
        for headers in ({}, {"X-Test-Person": "nobody"}) if status == 401 else (ME,):
            with pytest.raises(InvalidStatus) as refused:
                await site.socket(headers)
            assert refused.value.response.status_code == status
            assert "stream_error" in refused.value.response.body.decode()
            async with site.post(ask(), headers) as response:
                assert response.status_code == status
                assert json.loads(await response.aread())["type"] == "stream_error"


async def test_messages_sent_at_once_over_two_sockets_are_answered_one_after_the_other(site) -> None:
    site.answers("네", 0.05, ".")
    async with site.socket() as one, site.socket() as two:
        await one.send(ask("0"))
        session_id = (await events_from(one))[0]["session_id"]
        ids = [str(uuid4()) for _ in range(6)]
        for number, message_id in enumerate(ids):
            await (one, two)[number % 2].send(ask(str(number), session_id, message_id))
        heard: list[tuple[float, str, str]] = []

        async def listen(socket):
            for _ in range(3):
                for event in await events_from(socket):
                    heard.append((asyncio.get_running_loop().time(), event["message_id"], event["type"]))

        await asyncio.gather(listen(one), listen(two))
    order = [message_id for _, message_id, _ in sorted(heard)]
    blocks = [name for at, name in enumerate(order) if at == 0 or order[at - 1] != name]
    assert sorted(blocks) == sorted(ids), "no answer is interrupted by another of its session"
    for socket_ids in (ids[0::2], ids[1::2]):
        assert [name for name in blocks if name in socket_ids] == socket_ids


async def test_sessions_of_one_socket_are_answered_beside_each_other(site) -> None:
    gate = asyncio.Event()
    site.answers("네", gate, ".")
    async with site.socket() as socket:
        for _ in range(3):
            await socket.send(ask(session_id="new"))
        seen = [await events_from(socket, last=("stream_token",)) for _ in range(3)]
        starts = [event for events in seen for event in events if event["type"] == "stream_start"]
        assert len({event["session_id"] for event in starts}) == 3
        gate.set()


async def test_a_line_that_is_full_is_told(site) -> None:
    gate = asyncio.Event()
    site.answers("네", gate, ".")
    async with site.socket() as socket:
        for _ in range(9):
            await socket.send(ask())
        events = await events_from(socket, last=("stream_error",))
        assert events[-1]["error_code"] == "GEN-003-TOO_MANY_WAITING"
        gate.set()
        for _ in range(8):
            assert (await events_from(socket))[-1]["type"] == "stream_end"


async def test_the_same_message_again_is_answered_from_what_was_kept(site) -> None:
    message = ask()
    async with site.socket() as socket:
        await socket.send(message)
        first = await events_from(socket)
    async with site.socket() as socket:
        await socket.send(message)
        second = await events_from(socket)
        check(second, first[0]["message_id"])
        assert (text(second), second[-2], second[0]["session_id"]) == (text(first), first[-2], first[0]["session_id"])
    assert len(site.model.asked) == 1


async def test_a_client_that_goes_in_the_middle_ends_the_models_request_and_may_ask_again(site) -> None:
    site.answers("한강", asyncio.Event())
    message = ask()
    socket = await site.socket()
    await socket.send(message)
    await events_from(socket, last=("stream_token",))
    socket.transport.abort()
    async with asyncio.timeout(WAIT_S):
        while not site.model.left:
            await asyncio.sleep(0.01)
    site.answers("한강", "이요.")
    async with site.socket() as again:
        await again.send(message)
        assert text(await events_from(again)) == "한강이요."


async def test_of_a_client_that_goes_just_when_its_question_was_taken_nothing_stays_in_the_line(
    site, monkeypatch
) -> None:
    tasks, person, take = [], site.identity.person, site.chats.take
    went = asyncio.Event()

    async def asked():
        tasks.append(asyncio.current_task())
        return await person()

    async def taken(*message):
        question = await take(*message)
        tasks[0].cancel()
        went.set()
        return question

    monkeypatch.setattr(site.identity, "person", asked)
    monkeypatch.setattr(site.chats, "take", taken)
    message = ask()
    socket = await site.socket()
    async with asyncio.timeout(WAIT_S):
        await socket.send(message)
        await went.wait()
    socket.transport.abort()
    monkeypatch.undo()
    async with site.socket() as again:
        await again.send(message)
        assert (await events_from(again))[-1]["type"] == "stream_end"


async def test_who_signs_out_is_told_so_and_the_socket_is_closed(site) -> None:
    async with site.socket() as socket:
        await socket.send(ask())
        await events_from(socket)
        site.identity.people.clear()
        await socket.send(ask())
        (error,) = await events_from(socket)
        assert error["error_code"] == "WS-002-VALIDATION_ERROR"
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(WAIT_S):
                await socket.recv()
        assert socket.close_code == 1008


async def test_who_signs_out_in_the_middle_of_an_answer_gets_no_more_of_it(site, monkeypatch) -> None:
    monkeypatch.setattr(door_module, "SIGNED_IN_S", 0.0)
    gate = asyncio.Event()
    site.answers("네", gate, ", 그랬어요[1]", ".")
    async with site.socket() as socket:
        await socket.send(ask(message_id=(one := str(uuid4()))))
        await events_from(socket, last=("stream_token",))
        site.identity.people.clear()
        gate.set()
        (error,) = await events_from(socket)
        assert (error["type"], error["message_id"], error["reason"]) == ("stream_error", one, "signed_out")
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(WAIT_S):
                await socket.recv()
        assert (socket.close_code, site.model.left) == (1008, 1)


async def test_an_answer_goes_on_while_the_diary_cannot_say_who_is_signed_in(site, monkeypatch) -> None:
    monkeypatch.setattr(door_module, "SIGNED_IN_S", 0.0)
    gate = asyncio.Event()
    site.answers("네", gate, ".")
    async with site.socket() as socket:
        await socket.send(ask())
        await events_from(socket, last=("stream_token",))
        site.identity.fails = StoreError("away")
        gate.set()
        assert (await events_from(socket))[-1]["type"] == "stream_end"


async def test_who_asks_too_often_is_told_to_wait(site) -> None:
    site.identity.left = 1
    async with site.socket() as socket:
        await socket.send(ask())
        await events_from(socket)
        await socket.send(ask())
        (error,) = await events_from(socket)
        assert error["error_code"] == "GEN-004-TOO_OFTEN"
        async with site.post(ask()) as response:
            assert (response.status_code, response.headers["Retry-After"]) == (429, "60")


async def test_one_person_has_so_many_sockets_and_no_more(site) -> None:
    sockets = [await site.socket() for _ in range(MOST_SOCKETS)]
    with pytest.raises(InvalidStatus) as refused:
        await site.socket()
    assert (refused.value.response.status_code, refused.value.response.headers["Retry-After"]) == (429, "60")
    async with site.socket(OTHER):
        pass
    await sockets.pop().close()
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                sockets.append(await site.socket())
                break
            except InvalidStatus:
                await asyncio.sleep(0.02)
    await asyncio.gather(*(socket.close() for socket in sockets))


async def test_a_process_that_goes_away_gives_its_last_answer_and_closes(site) -> None:
    gate = asyncio.Event()
    site.answers("네", gate, ".")
    async with site.socket() as busy, site.socket() as idle:
        await busy.send(ask())
        await events_from(busy, last=("stream_token",))
        site.door.leave()
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(WAIT_S):
                await idle.recv()
        assert idle.close_code == 1012
        gate.set()
        assert (await events_from(busy))[-1]["type"] == "stream_end"
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(WAIT_S):
                await busy.recv()
        assert busy.close_code == 1012
    with pytest.raises(InvalidStatus) as refused:
        await site.socket()
    assert (refused.value.response.status_code, refused.value.response.headers["Retry-After"]) == (503, "5")
    async with site.post(ask()) as response:
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")


async def test_a_diary_that_is_away_is_told_and_the_connection_lives(site) -> None:
    async with site.socket() as socket:
        site.identity.fails = StoreError("away")
        await socket.send(ask())
        (error,) = await events_from(socket)
        assert error["error_code"] == "WS-003-SERVICE_NOT_INITIALIZED"
        with pytest.raises(InvalidStatus) as refused:
            await site.socket()
        assert refused.value.response.status_code == 503
        site.identity.fails = None
        await socket.send(ask())
        assert (await events_from(socket))[-1]["type"] == "stream_end"


async def test_the_first_token_leaves_within_ten_milliseconds_of_the_model(site) -> None:
    site.answers(*(one for _ in range(20) for one in (0.02, "말")))
    delays = []
    async with site.socket() as socket:
        await socket.send(ask())
        while (event := json.loads(await socket.recv()))["type"] != "stream_end":
            if event["type"] == "stream_token":
                delays.append(asyncio.get_running_loop().time() - site.model.given_at[event["index"]])
    assert len(delays) == 20
    assert sorted(delays)[len(delays) // 2] < 0.010


# The stream of events


async def test_a_post_is_answered_with_the_same_events_one_by_one(site) -> None:
    gate = asyncio.Event()
    site.answers("네", gate, ", 그랬어요[1].")
    async with site.post(ask(message_id=(one := str(uuid4())))) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["x-accel-buffering"] == "no"
        assert "no-store" in response.headers["cache-control"] and "no-transform" in response.headers["cache-control"]
        lines = response.aiter_lines()
        async with asyncio.timeout(WAIT_S):
            while '"stream_token"' not in await anext(lines):
                pass
        gate.set()
        rest = [json.loads(line.removeprefix("data: ")) async for line in lines if line.startswith("data: ")]
    assert [event["type"] for event in rest] == ["stream_token", "stream_sources", "stream_end"]
    async with site.post(ask(message_id=one)) as response:
        events = await sse_from(response)
    check(events, one)
    assert text(events) == "네, 그랬어요."


async def test_both_ways_share_their_sessions(site) -> None:
    async with site.post(ask()) as response:
        session_id = (await sse_from(response))[0]["session_id"]
    async with site.socket() as socket:
        await socket.send(ask(session_id=session_id))
        assert (await events_from(socket))[0]["session_id"] == session_id
    async with site.post(ask(), query=f"?session_id={session_id}") as response:
        assert (await sse_from(response))[0]["session_id"] == session_id
    assert [len(chat) for chat in site.model.asked] == [2, 4, 6]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", "WS-001-INVALID_JSON"),
        ("[]", "WS-002-VALIDATION_ERROR"),
        (ask(content=""), "WS-002-VALIDATION_ERROR"),
        (ask(session_id="of-somebody-else"), "WS-002-VALIDATION_ERROR"),
        ("{" + " " * 140_000, "WS-002-VALIDATION_ERROR"),
    ],
    ids=("not JSON", "no object", "nothing asked", "a foreign session", "too large"),
)
async def test_a_bad_post_is_one_event_and_no_success(site, body, code) -> None:
    async with site.post(body) as response:
        assert response.status_code == 400
        (error,) = await sse_from(response)
        assert set(error) == FIELDS["stream_error"] and error["error_code"] == code


async def test_what_is_not_said_to_be_json_is_not_read(site) -> None:
    async with site.post(ask(), {**ME, "Content-Type": "text/plain"}) as response:
        assert response.status_code == 400
        (error,) = await sse_from(response)
        assert error["error_code"] == "WS-001-INVALID_JSON"
    assert site.model.asked == []


async def test_a_long_silence_has_a_heartbeat(site, monkeypatch) -> None:
    assert events_module.HEARTBEAT_S == 15.0
    monkeypatch.setattr(events_module.EventBody.__init__, "__defaults__", (0.05,))
    gate = asyncio.Event()
    site.answers("네", gate, ".")
    async with site.post(ask()) as response:
        lines = response.aiter_lines()
        async with asyncio.timeout(WAIT_S):
            beats = 0
            while beats < 8:
                beats += await anext(lines) == ":"
        gate.set()
        assert '"stream_end"' in "".join([line async for line in lines])


async def test_a_reader_that_goes_in_the_middle_ends_the_models_request(site) -> None:
    site.answers("한강", asyncio.Event())
    async with site.post(ask()) as response:
        async for line in response.aiter_lines():
            if '"stream_token"' in line:
                break
    async with asyncio.timeout(WAIT_S):
        while not site.model.left:
            await asyncio.sleep(0.01)


async def test_a_reader_who_signs_out_in_the_middle_gets_no_more(site, monkeypatch) -> None:
    monkeypatch.setattr(door_module, "SIGNED_IN_S", 0.0)
    gate = asyncio.Event()
    site.answers("네", gate, ", 그랬어요[1]", ".")
    async with site.post(ask()) as response:
        lines = response.aiter_lines()
        async with asyncio.timeout(WAIT_S):
            while '"stream_token"' not in await anext(lines):
                pass
        site.identity.people.clear()
        gate.set()
        rest = [json.loads(line.removeprefix("data: ")) async for line in lines if line.startswith("data: ")]
    assert [event.get("reason") for event in rest] == ["signed_out"]


async def test_a_model_that_fails_is_told_behind_its_tokens(site) -> None:
    site.answers("한강", CUT)
    async with site.post(ask()) as response:
        events = await sse_from(response)
    assert [event["type"] for event in events] == ["stream_start", "stream_token", "stream_error"]
    assert events[-1]["error_code"] == "GEN-001-MODEL_FAILED"


# With a diary


async def test_an_answer_is_made_of_ones_own_diary_alone(store) -> None:
    await write_entry(store, "CA1", date(2026, 3, 2), "한강", "지수랑 한강에 가서 라면을 먹었다.")
    await write_entry(store, "CA2", date(2026, 3, 3), "바다", "민수랑 바다에 가서 회를 먹었다.", number=ANOTHER)
    async with site_of(store, Library(store.database, store.keys)) as site:
        site.model.tokens = (CUT,)
        for headers, question, right in ((ME, "지수랑 어디 갔지?", "CA1"), (OTHER, "민수랑 어디 갔지?", "CA2")):
            async with site.socket(headers) as socket:
                await socket.send(ask(question))
                events = await events_from(socket)
                assert [source["metadata"]["id"] for source in events[-2]["sources"]] == [right]
        async with site.socket(OTHER) as socket:
            await socket.send(ask("지수랑 한강에서 라면 먹은 날은?"))
            events = await events_from(socket)
            assert events[-2]["sources"] == [] and "한강" not in text(events)
