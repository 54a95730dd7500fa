"""bot/diary/chats.py: sessions that end, lines that keep their order over processes, answers that are kept once."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from bot.diary.chats import (
    LEASE,
    MOST_WAITING,
    SESSION,
    Answer,
    Answered,
    Arrival,
    Chats,
    Exchange,
    InTheMaking,
    LineFull,
    OtherContent,
    UnknownSession,
    Waiting,
)
from bot.diary.schema import callers, chat_messages, chat_sessions
from bot.diary.store import Store
from bot.errors import LeaseLost
from bot.protocols.chat import Metadata, Source
from tests.diary.talks import ANOTHER, NUMBER, told

ASKED, TOLD = "지수랑 어디 갔었지?", "한강에 다녀오셨어요."
SOURCE = Source("한강", "지수랑 한강에 갔다.", 0.8, Metadata("2026-03-02", "CA1", "entry"))
WHOLE = Answer(TOLD, [SOURCE])


async def person(store: Store, number: str = NUMBER, call_sid: str = "CA1") -> int:
    await store.call_arrived(call_sid, number)
    async with store.database.read() as connection:
        return int(await connection.scalar(select(func.max(callers.c.id))) or 0)


def chats_of(store: Store) -> Chats:
    return Chats(store.database, store.keys, store.clock)


def waiting(arrival: Arrival) -> Waiting:
    assert isinstance(arrival, Waiting)
    return arrival


@pytest.fixture
def chats(store: Store) -> Chats:
    return chats_of(store)


async def test_a_question_without_a_session_begins_one_and_the_next_goes_on_in_it(store: Store, chats: Chats) -> None:
    me = await person(store)
    first = waiting(await chats.arrive(me, "m1", ASKED, None))
    assert await chats.is_next(first)
    assert await chats.talk(first, 9) == []
    await chats.finish(first, WHOLE)
    second = waiting(await chats_of(store).arrive(me, "m2", "또?", first.session_id))
    assert second.session_id == first.session_id
    assert await chats.talk(second, 9) == [Exchange(ASKED, WHOLE)]
    other = waiting(await chats.arrive(me, "m3", ASKED, None))
    assert other.session_id != first.session_id
    assert await chats.talk(other, 9) == []


async def test_only_the_last_of_a_talk_is_given_and_what_has_no_answer_is_left_out(store: Store, chats: Chats) -> None:
    me = await person(store)
    session_id = None
    for number, answer in enumerate(["하나", "둘", "", "셋", "넷"]):
        question = waiting(await chats.arrive(me, f"m{number}", f"{number}?", session_id))
        session_id = question.session_id
        await chats.finish(question, Answer(answer, [], is_whole=number != 4))
    last = waiting(await chats.arrive(me, "m9", "?", session_id))
    assert [(one.question, one.answer.text) for one in await chats.talk(last, 3)] == [("3?", "셋"), ("4?", "넷")]


async def test_nobody_has_the_sessions_of_another(store: Store, chats: Chats) -> None:
    me, other = await person(store), await person(store, ANOTHER, "CA2")
    mine = waiting(await chats.arrive(me, "m1", ASKED, None))
    await chats.finish(mine, WHOLE)
    assert await chats.arrive(other, "m2", ASKED, mine.session_id) == UnknownSession()
    assert await chats.arrive(me, "m2", ASKED, "no-such-session") == UnknownSession()
    assert await chats.arrive(999, "m2", ASKED, None) == UnknownSession(), "a person who was removed"
    theirs = waiting(await chats.arrive(other, "m1", ASKED, None))
    assert theirs.session_id != mine.session_id, "a message id is a person's own, and so is what was answered to it"
    assert await chats.talk(theirs, 9) == []


async def test_a_session_ends_half_an_hour_after_its_last_use_and_its_words_are_removed(
    store: Store, chats: Chats, clock, diary_url: str, run_sql: Callable[[str, str], list[tuple[str, ...]]]
) -> None:
    me = await person(store)
    first = waiting(await chats.arrive(me, "m1", ASKED, None))
    await chats.finish(first, WHOLE)
    clock.forward(minutes=29)
    second = waiting(await chats.arrive(me, "m2", "또?", first.session_id))
    clock.forward(minutes=29)
    await chats.finish(second, WHOLE)
    clock.forward(seconds=SESSION.total_seconds() - 1)
    assert isinstance(await chats.arrive(me, "m1", ASKED, None), Answered)
    assert await chats.remove_expired() == 0
    clock.forward(seconds=1)
    assert await chats.arrive(me, "m3", "또?", first.session_id) == UnknownSession()
    assert waiting(await chats.arrive(me, "m1", ASKED, None)).session_id != first.session_id, "nobody knows it any more"
    assert await chats.remove_expired() == 1
    assert await chats.remove_expired() == 0
    assert run_sql(diary_url, "SELECT count(*) FROM chat_messages") == [("1",)]


async def test_what_was_answered_is_given_again_and_an_answer_that_broke_off_is_made_anew(
    store: Store, chats: Chats
) -> None:
    me = await person(store)
    first = waiting(await chats.arrive(me, "m1", ASKED, None))
    assert await chats_of(store).arrive(me, "m1", ASKED, None) == InTheMaking()
    await chats.finish(first, Answer("한강", [], is_whole=False))
    again = waiting(await chats.arrive(me, "m1", ASKED, None))
    assert (again.session_id, again.number) == (first.session_id, first.number) and again.place > first.place
    await chats.finish(again, WHOLE)
    assert await chats.arrive(me, "m1", ASKED, first.session_id) == Answered(first.session_id, WHOLE)
    assert await chats.arrive(me, "m1", ASKED, "some-other-session") == Answered(first.session_id, WHOLE)
    assert await chats.arrive(me, "m1", "다른 말", first.session_id) == OtherContent()


class Interrupted:
    """A database whose next transaction that writes stops, before or after it is committed."""

    def __init__(self, database, chats, *, is_written):
        self.stopped = asyncio.Event()
        self._database, self._chats, self._is_written = database, chats, is_written

    @asynccontextmanager
    async def write(self):
        """As Database's."""
        self._chats._database = self._database
        async with self._database.write() as connection:
            yield connection
            if not self._is_written:
                await self._stop()
        await self._stop()

    async def _stop(self):
        self.stopped.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("is_written", [False, True], ids=("before it is written", "when it was written"))
async def test_who_leaves_while_the_question_arrives_holds_up_no_line(store: Store, chats: Chats, is_written) -> None:
    me = await person(store)
    first = waiting(await chats.arrive(me, "m1", ASKED, None))
    await chats.finish(first, WHOLE)
    chats._database = interrupted = Interrupted(chats._database, chats, is_written=is_written)
    arriving = asyncio.create_task(chats.arrive(me, "m2", "또?", first.session_id))
    await interrupted.stopped.wait()
    arriving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await arriving
    assert waiting(await chats.arrive(me, "m3", "왜?", first.session_id)).is_next
    assert isinstance(await chats.arrive(me, "m2", "또?", first.session_id), Waiting)


async def test_a_question_is_in_the_making_as_long_as_a_process_is_at_it(store: Store, chats: Chats, clock) -> None:
    me = await person(store)
    assert not await chats.is_in_the_making(me, "m1")
    first = waiting(await chats.arrive(me, "m1", ASKED, None))
    assert await chats_of(store).is_in_the_making(me, "m1")
    clock.forward(seconds=31)
    assert not await chats.is_in_the_making(me, "m1"), "its process is gone"
    again = waiting(await chats.arrive(me, "m1", ASKED, first.session_id))
    assert await chats.is_in_the_making(me, "m1")
    await chats.finish(again, WHOLE)
    assert not await chats.is_in_the_making(me, "m1")


async def test_questions_are_next_in_the_order_they_came_in_whichever_process_has_them(open_store) -> None:
    one, two = await open_store(), await open_store()
    me = await person(one)
    here, there = chats_of(one), chats_of(two)
    first = waiting(await here.arrive(me, "m0", ASKED, None))
    line = [first]
    for number in range(1, MOST_WAITING):
        at = (here, there)[number % 2]
        line.append(waiting(await at.arrive(me, f"m{number}", ASKED, first.session_id)))
    assert await there.arrive(me, "m9", ASKED, first.session_id) == LineFull()
    while line:
        assert [await (here, there)[n % 2].is_next(one) for n, one in enumerate(line)] == [True] + [False] * (
            len(line) - 1
        )
        await here.finish(line.pop(0), WHOLE)
    assert isinstance(await there.arrive(me, "m9", ASKED, first.session_id), Waiting)


async def test_questions_that_come_at_once_stand_in_one_line_and_the_same_one_stands_once(open_store) -> None:
    stores = [await open_store(), await open_store()]
    me = await person(stores[0])
    session_id = waiting(await chats_of(stores[0]).arrive(me, "m", ASKED, None)).session_id
    async with asyncio.timeout(30):
        arrivals = await asyncio.gather(
            *(chats_of(stores[n % 2]).arrive(me, f"m{n // 2}", ASKED, session_id) for n in range(10))
        )
    mine = [arrival for arrival in arrivals if isinstance(arrival, Waiting)]
    assert len({one.place for one in mine}) == 5 and arrivals.count(InTheMaking()) == 5


async def test_a_question_whose_process_is_gone_is_passed_over_and_asked_again_it_stands_at_the_end(
    open_store, clock
) -> None:
    one, two = await open_store(), await open_store()
    me = await person(one)
    dead, alive = chats_of(one), chats_of(two)
    first = waiting(await dead.arrive(me, "m1", ASKED, None))
    clock.forward(seconds=20)
    second = waiting(await alive.arrive(me, "m2", "또?", first.session_id))
    assert not await alive.is_next(second)
    clock.forward(seconds=LEASE.total_seconds() - 20)
    assert await alive.is_next(second)
    with pytest.raises(LeaseLost):
        await dead.renew(first)
    again = waiting(await alive.arrive(me, "m1", ASKED, None))
    assert again.place > second.place and not await alive.is_next(again)
    for late in (dead.finish(first, WHOLE), dead.is_next(first), dead.renew(first)):
        with pytest.raises(LeaseLost):
            await late
    await alive.finish(second, WHOLE)
    await alive.finish(again, WHOLE)


async def test_a_lease_that_is_renewed_in_time_holds(store: Store, chats: Chats, clock) -> None:
    me = await person(store)
    first = waiting(await chats.arrive(me, "m1", ASKED, None))
    second = waiting(await chats.arrive(me, "m2", "또?", first.session_id))
    for _ in range(3):
        clock.forward(seconds=20)
        await chats.renew(first)
        await chats.renew(second)
    assert (await chats.is_next(first), await chats.is_next(second)) == (True, False)


@pytest.mark.parametrize(
    "forget",
    [
        lambda store: store.owned("CA1", 1).forget_turn(0),
        lambda store: store.owned("CA1", 1).forget_day(whole_day=False),
        lambda store: store.owned("CA1", 1).forget_so_far(whole_day=False),
        lambda store: store.delete("CA1"),
    ],
    ids=("a turn", "the day", "all so far", "the call"),
)
async def test_who_has_something_removed_has_no_chat_about_it_left_and_others_keep_theirs(
    store: Store, chats: Chats, forget: Callable[[Store], Awaitable[object]]
) -> None:
    await told(store, "CA1", "지수랑 한강에 갔어요")
    me, other = await person(store), await person(store, ANOTHER, "CA2")
    mine = waiting(await chats.arrive(me, "m1", ASKED, None))
    theirs = waiting(await chats.arrive(other, "m2", ASKED, None))
    await forget(store)
    with pytest.raises(LeaseLost):
        await chats.finish(mine, WHOLE)
    await chats.finish(theirs, WHOLE)
    async with store.database.read() as connection:
        assert (await connection.scalars(select(chat_sessions.c.session_id))).all() == [theirs.session_id]


async def test_a_person_who_is_forgotten_leaves_no_chat(store: Store, chats: Chats) -> None:
    me = await person(store)
    await chats.finish(waiting(await chats.arrive(me, "m1", ASKED, None)), WHOLE)
    await store.forget_number(NUMBER)
    async with store.database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(chat_messages)) == 0


async def test_what_was_asked_and_answered_is_sealed(store: Store, chats: Chats) -> None:
    me = await person(store)
    await chats.finish(waiting(await chats.arrive(me, "m1", ASKED, None)), WHOLE)
    async with store.database.read() as connection:
        sealed = (await connection.scalars(select(chat_messages.c.content_sealed))).all()
    opened = sorted(store.keys.decrypt(one) for one in sealed)
    assert len(opened) == 2 and ASKED in opened
    assert not any(word.encode() in one for one in sealed for word in ("한강", "지수"))


async def test_moments_are_those_of_the_clock(store: Store, chats: Chats) -> None:
    me = await person(store)
    await chats.arrive(me, "m1", ASKED, None)
    async with store.database.read() as connection:
        assert await connection.scalar(select(chat_sessions.c.used_at)) == datetime(2026, 11, 21, 12, tzinfo=UTC)
