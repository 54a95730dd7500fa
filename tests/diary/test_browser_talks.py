"""Talks of browsers in the diary: whose they are, how long they can be gone on with, and how they end."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.diary.browser_talks import GONE, RESUMED_WITHIN, new_session, sid_of
from bot.diary.crypto import Keys
from bot.diary.schema import calls
from bot.diary.store import Store
from tests.diary.talks import ANOTHER, NUMBER, SECRET, let_in, told


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(database_url: str, clock: Clock) -> AsyncIterator[Store]:
    opened = await Store.open(database_url, Keys.parse(SECRET), clock=clock)
    yield opened
    await opened.close()


async def caller_id(store: Store, number: str) -> int:
    token = await store.people.begin_session(number)
    person = await store.people.person(token or "")
    assert person
    return person.caller_id


def test_every_session_is_another_call() -> None:
    sessions = {new_session() for _ in range(100)}
    sids = {sid_of(session) for session in sessions}
    assert len(sessions) == len(sids) == 100
    assert all(len(sid) == 34 and sid.startswith("WB") and sid[2:].isalnum() for sid in sids)


async def test_a_talk_can_be_gone_on_with_for_as_long_as_it_lives_and_half_a_minute(store: Store, clock: Clock) -> None:
    session, me, other = new_session(), await caller_id(store, NUMBER), await caller_id(store, ANOTHER)
    assert not await store.browser_talks.may_resume(session, me)
    await store.call_arrived(sid_of(session), NUMBER)
    assert await store.browser_talks.may_resume(session, me)
    call = await let_in(store, sid_of(session))
    assert await store.browser_talks.may_resume(session, me)
    assert not await store.browser_talks.may_resume(session, other)
    await call.handed_over()
    clock.now += RESUMED_WITHIN
    assert await store.browser_talks.may_resume(session, me)
    clock.now += timedelta(seconds=1)
    assert not await store.browser_talks.may_resume(session, me)


async def test_a_talk_that_never_began_cannot_be_gone_on_with_later(store: Store, clock: Clock) -> None:
    session, me = new_session(), await caller_id(store, NUMBER)
    await store.call_arrived(sid_of(session), NUMBER)
    clock.now += RESUMED_WITHIN + timedelta(seconds=1)
    assert not await store.browser_talks.may_resume(session, me)


async def test_a_talk_of_a_process_that_died_can_be_gone_on_with_until_its_lease_is_long_over(
    store: Store, clock: Clock
) -> None:
    session, me = new_session(), await caller_id(store, NUMBER)
    await told(store, sid_of(session), "공원을 걸었어요")
    clock.now += timedelta(seconds=60) + RESUMED_WITHIN
    assert await store.browser_talks.may_resume(session, me)
    clock.now += timedelta(seconds=31)
    assert not await store.browser_talks.may_resume(session, me)
    assert await store.close_lapsed() == 1
    assert await store.is_ended(sid_of(session))


async def test_a_telephone_call_is_no_talk(store: Store) -> None:
    session, me = new_session(), await caller_id(store, NUMBER)
    await let_in(store, "CA" + sid_of(session)[2:])
    assert not await store.browser_talks.may_resume(session, me)


async def test_a_talk_whose_browser_is_gone_is_ended_with_its_entry_to_be_written(store: Store) -> None:
    session, me = new_session(), await caller_id(store, NUMBER)
    call = await told(store, sid_of(session), "공원을 걸었어요")
    await call.handed_over()
    await store.browser_talks.gone(call.call_sid, call.stream)
    assert await store.is_ended(call.call_sid)
    assert not await store.browser_talks.may_resume(session, me)
    async with store.database.read() as connection:
        assert await connection.scalar(calls.select().with_only_columns(calls.c.why)) == GONE
    assert len(await store.outbox.claim(["entry"], 4)) == 1


async def test_a_talk_that_somebody_went_on_with_is_not_ended_for_the_stream_before(store: Store) -> None:
    session = new_session()
    call = await told(store, sid_of(session), "공원을 걸었어요")
    await call.handed_over()
    again = await let_in(store, call.call_sid)
    await store.browser_talks.gone(call.call_sid, call.stream)
    assert not await store.is_ended(call.call_sid)
    await store.browser_talks.gone(again.call_sid, again.stream)
    assert await store.is_ended(call.call_sid)
