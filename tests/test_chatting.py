"""bot/chatting.py: lines, replays, what is kept, and what goes wrong, over a real diary and a model by hand."""

import asyncio
from datetime import UTC, date, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from bot import chatting
from bot.chat import Answering
from bot.chatting import Chatting, Question, together
from bot.diary.chats import Answer, Chats, Exchange
from bot.diary.crypto import Keys
from bot.diary.store import Store
from bot.errors import StoreError
from bot.protocols.chat import Fault, Message, Metadata, Source, StreamError, StreamStart, StreamToken
from tests.chat_by_hand import CUT, WAIT_S, LibraryByHand, ModelByHand, a_person, hit
from tests.diary.talks import ANOTHER, SECRET

SEOUL = ZoneInfo("Asia/Seoul")


class Clock:
    def __init__(self):
        self.now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def stores(database_url, clock):
    """The diary as two processes have it."""
    both = [await Store.open(database_url, Keys.parse(SECRET), clock=clock) for _ in range(2)]
    yield both
    for store in both:
        await store.close()


@pytest.fixture
async def me(stores):
    return await a_person(stores[0])


def process(store, model=None, library=None):
    chats = Chats(store.database, store.keys, store.clock)
    return Chatting(chats, library or LibraryByHand(hit()), Answering(model, ""), clock=store.clock, timezone=SEOUL)


def message(content="어디 갔지?", session_id=None, message_id=None):
    return Message("message", message_id or str(uuid4()), content, session_id)


async def taken(one, me, *args, current=None, **named):
    question = await one.take(me, message(*args, **named), current)
    assert isinstance(question, Question), question
    return question


async def events_of(one, question):
    events = []

    async def send(event):
        events.append(event)

    async with asyncio.timeout(WAIT_S):
        await one.answer(question, send)
    return events


def kinds(events):
    return [type(event).__name__.removeprefix("Stream").lower() for event in events]


def text(events):
    return "".join(event.token for event in events if isinstance(event, StreamToken))


def session_of(events):
    assert isinstance(events[0], StreamStart)
    return events[0].session_id


async def test_an_answer_begins_streams_tells_its_sources_and_ends(stores, me) -> None:
    one = process(stores[0], ModelByHand("한강", "이요", "[1]."))
    question = await taken(one, me, message_id="3F2504E0-4f89-41d3-9a0c-0305e82c3301")
    events = await events_of(one, question)
    assert kinds(events) == ["start", "token", "token", "token", "sources", "end"]
    assert {event.message_id for event in events} == {"3F2504E0-4f89-41d3-9a0c-0305e82c3301"}
    assert events[0].timestamp == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert [event.index for event in events[1:4]] == [0, 1, 2] and text(events) == "한강이요."
    assert [source.metadata.id for source in events[4].sources] == ["CA1"]
    assert events[5].total_tokens == 3 and 0 <= events[5].processing_time_ms < 20_000


async def test_the_day_before_four_in_the_morning_is_the_day_before(stores, me, clock) -> None:
    library = LibraryByHand(hit())
    one = process(stores[0], ModelByHand("네."), library)
    clock.now = datetime(2026, 11, 21, 18, 59, tzinfo=UTC)
    await events_of(one, await taken(one, me))
    assert library.asked == [(me, "어디 갔지?", date(2026, 11, 21))]


async def test_another_process_goes_on_with_the_talk(stores, me) -> None:
    here, there = process(stores[0], ModelByHand("한강[1].")), process(stores[1], model := ModelByHand("네."))
    session_id = session_of(await events_of(here, await taken(here, me, "어디 갔지?")))
    events = await events_of(there, await taken(there, me, "누구랑?", session_id=session_id))
    assert session_of(events) == session_id
    assert [said["content"] for said in model.asked[0][1:3]] == ["어디 갔지?", "한강."]


async def test_the_session_of_a_socket_is_used_until_another_one_is_named_or_asked_for(stores, me) -> None:
    one = process(stores[0], ModelByHand("네."))
    first = session_of(await events_of(one, await taken(one, me)))
    same = await taken(one, me, current=first)
    new = await taken(one, me, session_id="new", current=first)
    named = await taken(one, me, session_id=first, current=new.session_id)
    assert (same.session_id, named.session_id) == (first, first) and new.session_id not in (first, None)


async def test_nobody_goes_on_with_a_session_of_another_or_one_that_is_over(stores, me, clock) -> None:
    one = process(stores[0], ModelByHand("네."))
    session_id = session_of(await events_of(one, await taken(one, me)))
    other = await a_person(stores[0], ANOTHER, "CA9")
    assert await one.take(other, message(session_id=session_id), None) is Fault.UNKNOWN_SESSION
    clock.now = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
    assert await one.take(me, message(session_id=session_id), None) is Fault.UNKNOWN_SESSION
    assert await one.take(me, message(), session_id) is Fault.UNKNOWN_SESSION
    assert isinstance(await one.take(me, message(session_id="new"), session_id), Question)


async def test_questions_of_a_session_are_answered_in_order_though_two_processes_have_them(stores, me) -> None:
    gate = asyncio.Event()
    model = ModelByHand("네.", gate)
    both = [process(store, model) for store in stores]
    session_id = (await taken(both[0], me)).session_id
    assert session_id is not None
    order: list[int] = []

    async def answer(number, question):
        await events_of(both[number % 2], question)
        order.append(number)

    first = await taken(both[0], me, "0", session_id="new")
    questions = [first]
    for number in range(1, 6):
        questions.append(await taken(both[number % 2], me, str(number), session_id=first.session_id))
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
        for number in reversed(range(6)):
            tasks.create_task(answer(number, questions[number]))
        await asyncio.sleep(0.3)
        assert len(model.asked) == 1, "one at a time"
        gate.set()
    assert order == [0, 1, 2, 3, 4, 5]
    assert [len(chat) for chat in model.asked] == [2, 4, 6, 8, 10, 12], "each knows those before it"


async def test_many_sessions_are_answered_at_once(stores, me) -> None:
    gate = asyncio.Event()
    one = process(stores[0], model := ModelByHand("네.", gate))
    questions = [await taken(one, me, session_id="new") for _ in range(5)]
    async with asyncio.TaskGroup() as tasks:
        for question in questions:
            tasks.create_task(events_of(one, question))
        async with asyncio.timeout(WAIT_S):
            while len(model.asked) < 5:
                await asyncio.sleep(0.01)
        gate.set()


async def test_a_line_that_is_full_takes_no_more(stores, me) -> None:
    one = process(stores[0])
    session_id = (await taken(one, me)).session_id
    for _ in range(7):
        await taken(one, me, session_id=session_id)
    assert await one.take(me, message(session_id=session_id), None) is Fault.LINE_FULL


async def test_the_same_question_again_gets_the_kept_answer_and_asks_no_model(stores, me) -> None:
    here, there = process(stores[0], ModelByHand("한강", "에 가셨어요[1].")), process(stores[1], again := ModelByHand())
    first = await events_of(here, await taken(here, me, message_id=(same := str(uuid4()))))
    second = await events_of(there, await taken(there, me, message_id=same.upper(), session_id="new"))
    assert kinds(second)[0] == "start" and kinds(second)[-2:] == ["sources", "end"]
    assert text(second) == text(first) == "한강에 가셨어요."
    assert (second[-2].sources, session_of(second)) == (first[-2].sources, session_of(first))
    assert second[-1].total_tokens == kinds(second).count("token")
    assert {event.message_id for event in second} == {same.upper()}
    assert again.asked == []
    assert await here.take(me, message("다른 말", message_id=same), None) is Fault.OTHER_CONTENT


async def test_the_same_question_while_it_is_being_answered_waits_and_gets_that_answer(stores, me) -> None:
    gate = asyncio.Event()
    here, there = process(stores[0], model := ModelByHand("한강", gate, "이요.")), process(stores[1], model)
    same = str(uuid4())
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(events_of(here, await taken(here, me, message_id=same)))
        second = tasks.create_task(events_of(there, await taken(there, me, message_id=same)))
        await asyncio.sleep(0.4)
        gate.set()
    assert text(first.result()) == text(second.result()) == "한강이요."
    assert len(model.asked) == 1


async def test_a_question_that_is_answered_elsewhere_is_waited_for_with_reads_alone(stores, me) -> None:
    gate = asyncio.Event()
    here, there = process(stores[0], model := ModelByHand("한강", gate, "이요.")), process(stores[1], model)
    same = str(uuid4())
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(events_of(here, await taken(here, me, message_id=same)))
        question = await taken(there, me, message_id=same)
        arrive, looked, wrote = there._store.arrive, asyncio.Event(), []
        is_in_the_making = there._store.is_in_the_making

        async def noted(*args):
            wrote.append(gate.is_set())
            return await arrive(*args)

        async def look(*args):
            looked.set()
            return await is_in_the_making(*args)

        there._store.arrive, there._store.is_in_the_making = noted, look
        second = tasks.create_task(events_of(there, question))
        for _ in range(3):
            looked.clear()
            await looked.wait()
        gate.set()
    assert text(first.result()) == text(second.result()) == "한강이요."
    assert wrote == [True]


async def test_a_question_that_is_answered_elsewhere_is_not_waited_for_for_ever(stores, me, monkeypatch) -> None:
    monkeypatch.setattr(chatting, "ELSEWHERE_S", 0.1)
    one = process(stores[0])
    await taken(one, me, message_id=(same := str(uuid4())))
    events = await events_of(one, await taken(one, me, message_id=same))
    assert kinds(events) == ["error"] and fault_of(events[0]) == "GEN-002-TOO_SLOW"


@pytest.mark.parametrize("is_written", [False, True], ids=("before it is written", "when it was written"))
async def test_who_leaves_while_the_answer_is_kept_loses_nothing_and_holds_up_no_line(stores, me, is_written) -> None:
    one = process(stores[0], model := ModelByHand("한강", "이요."))
    question = await taken(one, me, "어디 갔지?", message_id=(same := str(uuid4())))
    finish, keeping = one._store.finish, asyncio.Event()

    async def interrupted(*args):
        one._store.finish = finish
        if is_written:
            await finish(*args)
        keeping.set()
        await asyncio.Event().wait()

    one._store.finish = interrupted
    async with asyncio.timeout(WAIT_S):
        answering = asyncio.create_task(events_of(one, question))
        await keeping.wait()
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
    again = await taken(one, me, "어디 갔지?", message_id=same)
    assert text(await events_of(one, again)) == "한강이요." and len(model.asked) == 1, "the whole answer was kept"
    following = await taken(one, me, "왜?", session_id=question.session_id)
    assert following.arrival.is_next, "nothing stands before it in the line"


async def test_who_leaves_in_the_middle_ends_the_models_request_and_what_was_said_is_kept(stores, me) -> None:
    model = ModelByHand("한강", "에", asyncio.Event())
    one = process(stores[0], model)
    question = await taken(one, me, "어디 갔지?", message_id=(same := str(uuid4())))
    heard = asyncio.Event()

    async def send(event):
        if isinstance(event, StreamToken) and event.index == 1:
            heard.set()

    answering = asyncio.create_task(one.answer(question, send))
    async with asyncio.timeout(WAIT_S):
        await heard.wait()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert model.left == 1
    model.tokens = ("네.",)
    await events_of(one, await taken(one, me, "왜?", session_id=question.session_id))
    assert [said["content"] for said in model.asked[-1][1:3]] == ["어디 갔지?", "한강에"]
    again = await events_of(one, await taken(one, me, "어디 갔지?", message_id=same))
    assert text(again) == "네.", "an answer that broke off is made anew"


async def test_a_socket_that_breaks_is_no_fault_and_what_was_said_is_kept(stores, me) -> None:
    one = process(stores[0], model := ModelByHand("한강", "에"))
    question = await taken(one, me)

    async def send(event):
        if isinstance(event, StreamToken):
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await one.answer(question, send)
    await events_of(one, await taken(one, me, "왜?", session_id=question.session_id))
    assert [said["content"] for said in model.asked[-1][1:3]] == ["어디 갔지?", "한강"]


def fault_of(event):
    assert isinstance(event, StreamError)
    return event.error_code


async def test_a_model_that_fails_in_the_middle_is_told_after_its_tokens(stores, me) -> None:
    one = process(stores[0], ModelByHand("한강", CUT))
    events = await events_of(one, await taken(one, me))
    assert kinds(events) == ["start", "token", "error"]
    assert fault_of(events[-1]) == "GEN-001-MODEL_FAILED"


async def test_an_answer_that_takes_too_long_is_stopped(stores, me, monkeypatch) -> None:
    monkeypatch.setattr(chatting, "ANSWER_S", 0.1)
    one = process(stores[0], ModelByHand("한강", asyncio.Event()))
    events = await events_of(one, await taken(one, me))
    assert kinds(events) == ["start", "token", "error"]
    assert fault_of(events[-1]) == "GEN-002-TOO_SLOW"


async def test_a_diary_that_cannot_be_searched_is_told_and_the_next_question_is_answered(stores, me) -> None:
    library = LibraryByHand(hit())
    library.fails = StoreError("away")
    one = process(stores[0], ModelByHand("네."), library)
    question = await taken(one, me)
    events = await events_of(one, question)
    assert kinds(events) == ["start", "error"] and fault_of(events[-1]) == "SEARCH-001-UNAVAILABLE"
    library.fails = None
    assert text(await events_of(one, await taken(one, me, session_id=question.session_id))) == "네."


async def test_what_nobody_foresaw_is_told_without_its_text_and_holds_up_no_line(stores, me, caplog) -> None:
    library = LibraryByHand()
    library.fails = RuntimeError("한강에서 있었던 일")
    one = process(stores[0], ModelByHand("네."), library)
    question = await taken(one, me)
    events = await events_of(one, question)
    assert kinds(events) == ["start", "error"] and fault_of(events[-1]) == "WS-999-INTERNAL_ERROR"
    assert "한강" not in caplog.text and "RuntimeError" in caplog.text
    whole, one._store = one._store, None
    assert await one.take(me, message(), None) is Fault.INTERNAL
    one._store = whole
    library.fails = None
    library.hits.append(hit())
    assert text(await events_of(one, await taken(one, me, session_id=question.session_id))) == "네."


async def test_a_database_that_is_away_is_told(stores, me) -> None:
    class Away:
        async def arrive(self, *_):
            raise StoreError("away")

    one = process(stores[0])
    first = await taken(one, me)
    question = await taken(one, me, session_id=first.session_id)
    away = Chatting(Away(), LibraryByHand(), Answering(None, ""), clock=stores[0].clock, timezone=SEOUL)
    assert await away.take(me, message(), None) is Fault.NOT_READY
    one._store.is_next = Away().arrive
    one._store.finish = Away().arrive
    events = await events_of(one, question)
    assert kinds(events) == ["error"] and fault_of(events[0]) == "WS-003-SERVICE_NOT_INITIALIZED"


async def test_an_answer_that_cannot_be_kept_is_still_whole(stores, me) -> None:
    async def fails(*_):
        raise StoreError("away")

    one = process(stores[0], ModelByHand("네."))
    question = await taken(one, me)
    one._store.finish = fails
    assert kinds(await events_of(one, question)) == ["start", "token", "sources", "end"]


async def test_who_is_forgotten_in_the_middle_gets_no_more(stores, me, monkeypatch) -> None:
    monkeypatch.setattr(chatting, "RENEW_S", 0.0)
    gate = asyncio.Event()
    one = process(stores[0], ModelByHand("한강", gate, "에", "서"))
    question = await taken(one, me)
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(events_of(one, question))
        await asyncio.sleep(0.2)
        await stores[1].forget_number("+821012345678")
        gate.set()
    events = answering.result()
    assert kinds(events) == ["start", "token", "token", "error"]
    assert fault_of(events[-1]) == "WS-002-VALIDATION_ERROR"


SOURCES = [
    Source("한강", "", 0.8, Metadata(day, f"CA{day}", "entry")) for day in ("2025-06-03", "2025-06-03", "2025-07-26")
]


def test_a_question_that_goes_on_asks_about_the_days_of_the_answer_before_it() -> None:
    assert together(Exchange("어디?", Answer("한강.", SOURCES)), "그날 뭐 먹었지?") == [
        "2025년 6월 3일 그날 뭐 먹었지?",
        "2025년 7월 26일 그날 뭐 먹었지?",
    ]
    assert together(Exchange("지수는?", Answer("몰라요.", [])), "그때는?") == ["지수는? 그때는?"]


async def test_only_a_question_that_goes_on_is_searched_with_the_one_before(stores, me) -> None:
    library = LibraryByHand(hit(), hit("CA2"))
    one = process(stores[0], ModelByHand("한강[1]."), library)
    session_id = session_of(await events_of(one, await taken(one, me)))
    await events_of(one, await taken(one, me, "민수 생일은?", session_id=session_id))
    await events_of(one, await taken(one, me, "그날 비가 왔어?", session_id=session_id))
    library.hits.clear()
    await events_of(one, await taken(one, me, "누구랑?", session_id=session_id))
    assert [question for _, question, _ in library.asked] == [
        "어디 갔지?",
        "민수 생일은?",
        "그날 비가 왔어?",
        "2026년 3월 2일 그날 비가 왔어?",
        "누구랑?",
        "2026년 3월 2일 누구랑?",
    ]
