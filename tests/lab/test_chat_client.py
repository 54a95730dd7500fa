"""bot/lab/chat_client.py against a server by hand: waits that double, broken connections, silence, refusals."""

import asyncio
import json
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from websockets.asyncio.server import serve

from bot.lab import chat_client
from bot.lab.chat_client import ChatClient, ChatFailed

WAIT_S = 20


class Server:
    """Answers each message with the events that are next in `plans`; "drop" breaks the connection."""

    def __init__(self):
        self.plans = []
        self.messages = []
        self.headers = []
        self.refuse = []
        self.url = ""

    async def answer(self, socket):
        """One connection."""
        async for text in socket:
            message = json.loads(text)
            self.messages.append(message)
            for event in self.plans.pop(0):
                if event == "drop":
                    socket.transport.abort()
                    return
                await socket.send(json.dumps({"message_id": message["message_id"], **event}))

    def let_in(self, connection, request):
        """Refuse as often as it is said to."""
        self.headers.append(request.headers)
        if self.refuse:
            return connection.respond(HTTPStatus(self.refuse.pop(0)), "")
        return None


@asynccontextmanager
async def server_of():
    state = Server()
    async with serve(state.answer, "127.0.0.1", 0, process_request=state.let_in) as server:
        state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield state


@pytest.fixture
async def server():
    async with server_of() as state:
        yield state


class Waits(list):
    """What the client waited, without waiting."""

    async def __call__(self, seconds):
        self.append(seconds)


@pytest.fixture
def waits():
    return Waits()


START = {"type": "stream_start", "session_id": "s-1"}
TOKEN = {"type": "stream_token", "token": "네", "index": 0}
END = {"type": "stream_end", "total_tokens": 1, "processing_time_ms": 3}
WHOLE = [START, TOKEN, END]


async def asked(chat, content="어제 뭐 했지?"):
    async with asyncio.timeout(WAIT_S):
        return [event["type"] async for event in chat.ask(content)]


async def test_an_answer_is_read_to_its_end_and_the_next_question_goes_on_in_its_session(server) -> None:
    server.plans = [WHOLE, WHOLE]
    async with ChatClient(server.url, "ilgi=token") as chat:
        assert await asked(chat) == ["stream_start", "stream_token", "stream_end"]
        await asked(chat, "또?")
    assert [message["session_id"] for message in server.messages] == ["new", "s-1"]
    assert [message["content"] for message in server.messages] == ["어제 뭐 했지?", "또?"]
    assert (server.headers[0]["Cookie"], server.headers[0]["Origin"]) == ("ilgi=token", server.url)


async def test_a_connection_that_breaks_is_made_again_and_the_same_message_sent(server) -> None:
    server.plans = [[START, TOKEN, "drop"], ["drop"], WHOLE]
    async with ChatClient(server.url, "", first_wait_s=0.01) as chat:
        assert await asked(chat) == ["stream_start", "stream_token", "stream_start", "stream_token", "stream_end"]
    assert len({message["message_id"] for message in server.messages}) == 1
    assert [message["session_id"] for message in server.messages] == ["new", "s-1", "s-1"]


async def test_a_server_that_is_not_there_is_tried_five_times_with_waits_that_double(server, waits) -> None:
    server.refuse = [503, 502, 429, 503, 503, 503]
    with pytest.raises(ChatFailed, match="HTTP 503"):
        async with ChatClient(server.url, "", sleep=waits):
            pass
    assert waits == [1, 2, 4, 8, 16]
    server.refuse, server.plans = [503, 503], [WHOLE]
    async with ChatClient(server.url, "", sleep=waits) as chat:
        assert (await asked(chat))[-1] == "stream_end"


async def test_a_server_that_breaks_every_connection_is_given_up_too(server, waits) -> None:
    server.plans = [[START, "drop"], *[["drop"]] * 5]
    async with ChatClient(server.url, "", sleep=waits) as chat:
        with pytest.raises(ChatFailed, match="it breaks"):
            await asked(chat)
    assert waits == [1, 2, 4, 8, 16] and server.plans == []


async def test_a_port_where_nobody_listens_is_tried_too(waits) -> None:
    async with server_of() as gone:
        pass
    with pytest.raises(ChatFailed, match="no connection"):
        async with ChatClient(gone.url, "", sleep=waits):
            pass
    assert len(waits) == 5


@pytest.mark.parametrize("status", [401, 403])
async def test_who_is_not_let_in_does_not_try_again(server, waits, status) -> None:
    server.refuse = [status]
    with pytest.raises(ChatFailed, match=f"HTTP {status}"):
        async with ChatClient(server.url, "", sleep=waits):
            pass
    assert waits == []


async def test_silence_ends_the_waiting(server) -> None:
    server.plans = [[START]]
    async with ChatClient(server.url, "", answer_s=0.1) as chat:
        with pytest.raises(ChatFailed, match="no event"):
            await asked(chat)
    assert chat_client.ANSWER_S == 30


async def test_after_a_session_that_is_over_a_new_one_is_asked_for(server) -> None:
    error = {"type": "stream_error", "error_code": "WS-002-VALIDATION_ERROR", "message": "", "solutions": []}
    others, over = {**error, "reason": "bad_content"}, {**error, "reason": "unknown_session"}
    server.plans = [WHOLE, [others], [over], WHOLE]
    async with ChatClient(server.url, "") as chat:
        for last in ("stream_end", "stream_error", "stream_error", "stream_end"):
            assert (await asked(chat))[-1] == last
    assert [message["session_id"] for message in server.messages] == ["new", "s-1", "s-1", "new"]


async def test_tokens_that_follow_each_other_closely_are_given_as_one(server) -> None:
    tokens = [{"type": "stream_token", "token": f"{number} ", "index": number} for number in range(10)]
    other = {**TOKEN, "message_id": "of another answer"}
    server.plans = [[START, *tokens, END], [START, *tokens[:5], other, *tokens[5:], END], WHOLE]
    async with ChatClient(server.url, "", buffer_s=WAIT_S) as chat:
        for pieces in (1, 2):
            events = [event async for event in chat.ask("뭐?")]
            texts = [event for event in events if event["type"] == "stream_token"]
            assert "".join(event["token"] for event in texts) == "0 1 2 3 4 5 6 7 8 9 "
            assert [event["index"] for event in texts] == [0, 5][:pieces] and events[-1]["type"] == "stream_end"
    assert chat_client.BUFFER_S == 0.05


async def test_a_token_is_given_though_nothing_follows_it(server) -> None:
    server.plans = [[START, TOKEN]]
    async with ChatClient(server.url, "", buffer_s=0.01) as chat:
        events = chat.ask("뭐?")
        async with asyncio.timeout(WAIT_S):
            assert [(await anext(events))["type"] for _ in range(2)] == ["stream_start", "stream_token"]
        await events.aclose()


async def test_what_was_left_of_an_answer_is_not_taken_for_the_next_one(server) -> None:
    server.plans = [[START, TOKEN, TOKEN, END], WHOLE]
    async with ChatClient(server.url, "") as chat:
        async for event in (events := chat.ask("하나")):
            if event["type"] == "stream_token":
                break
        await events.aclose()
        assert await asked(chat) == ["stream_start", "stream_token", "stream_end"]
