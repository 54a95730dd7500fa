"""The removal of whole calls: of a person, and of days that are not kept any longer."""

import asyncio
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
from sqlalchemy import func, select

from bot.diary import removal
from bot.diary.outbox import enqueue
from bot.diary.schema import (
    callers,
    calls,
    chat_messages,
    chat_sessions,
    entries,
    jobs,
    sessions,
    stream_jobs,
    turns,
)
from bot.diary.store import Store
from bot.errors import LeaseLost
from tests.diary.talks import ANOTHER, NUMBER, let_in, told, work

TABLES = (callers, calls, turns, entries, jobs, sessions, chat_sessions, chat_messages, stream_jobs)

NONE = {table.name: 0 for table in TABLES}


async def count(store: Store) -> dict[str, int]:
    async with store.database.read() as connection:
        return {table.name: await connection.scalar(select(func.count()).select_from(table)) or 0 for table in TABLES}


async def test_a_person_is_removed_and_nobody_else(store: Store, clock, monkeypatch) -> None:
    monkeypatch.setattr(removal, "BATCH_ROWS", 2)
    for n, number in enumerate((NUMBER, ANOTHER, None, NUMBER, NUMBER)):
        call = await told(store, f"CA{n}", "걸었어요", number=number)
        await call.keep_stage("{}")
        await call.ended("goodbye")
        await store.recording_made(f"CA{n}", f"RE{n}")
    assert await store.forget_number("+82 10") == []
    assert sorted(await store.forget_number(NUMBER)) == ["CA0", "CA3", "CA4"]
    assert await store.forget_number(NUMBER) == []
    assert await count(store) == NONE | {"callers": 1, "calls": 2, "turns": 2, "entries": 2, "jobs": 4}
    assert [entry.call_sid for entry in await store.entries()] == ["CA1", "CA2"]
    assert sorted(await work(store)) == ["entry:CA1", "entry:CA2", "recording:RE1", "recording:RE2"]
    assert (await store.call_arrived("CA9", NUMBER)).first_time, "a stranger again"


async def test_nothing_more_is_kept_of_a_call_that_goes_on_while_its_caller_is_removed(open_store) -> None:
    one, two = await open_store(), await open_store()
    call = await told(one, "CA1", "걸었어요")
    assert await two.forget_number(NUMBER) == ["CA1"]
    for write in (call.add_said(1, "비밀", 0, 1), call.keep_stage("{}"), call.ended("goodbye"), call.forget_day()):
        with pytest.raises(LeaseLost):
            await write
    assert set((await count(one)).values()) == {0}


async def test_a_person_may_be_removed_while_they_call_and_their_work_is_done(open_store) -> None:
    one, two = await open_store(), await open_store()
    for n in range(4):
        await (await told(one, f"CA{n}", "걸었어요")).ended("goodbye")

    async def talk(call_sid: str) -> None:
        await two.call_arrived(call_sid, NUMBER)
        try:
            stream = await two.claim_media_token(call_sid, await two.media_token(call_sid))
            call = two.owned(call_sid, stream)
            for turn in range(8):
                await call.add_said(turn, "말했어요", 0, 1)
            await call.ended("goodbye")
        except LeaseLost:
            pass

    async def finish() -> None:
        for job in await two.outbox.claim(["entry"], 9):
            try:
                async with two.outbox.finish(job) as connection:
                    await connection.execute(select(calls).order_by(calls.c.call_sid).with_for_update())
            except LeaseLost:
                pass

    async with asyncio.timeout(30):
        await asyncio.gather(talk("CA8"), finish(), one.forget_number(NUMBER), talk("CA9"), one.forget_number(NUMBER))
    await one.forget_number(NUMBER)
    assert set((await count(one)).values()) == {0}


async def test_days_before_one_are_removed_with_callers_who_have_no_other(store: Store, clock, monkeypatch) -> None:
    monkeypatch.setattr(removal, "BATCH_ROWS", 2)
    for day in range(6):
        await (await told(store, f"old{day}", "걸었어요", number=NUMBER if day % 2 else ANOTHER)).ended("goodbye")
        clock.forward(days=1)
    await (await told(store, "new", "쉬었어요")).ended("goodbye")
    assert await store.remove_before(date(2026, 11, 21)) == []
    assert await store.remove_before(date(2026, 11, 23)) == ["old0", "old1"]
    assert sorted(await store.remove_before(date(2026, 11, 27))) == ["old2", "old3", "old4", "old5"]
    assert await count(store) == NONE | {"callers": 1, "calls": 1, "turns": 1, "entries": 1, "jobs": 1}
    assert [entry.call_sid for entry in await store.entries(NUMBER)] == ["new"]


async def test_what_was_done_is_remembered_for_thirty_days(store: Store, clock, monkeypatch) -> None:
    monkeypatch.setattr(removal, "BATCH_ROWS", 2)
    for call_sid in ("CA1", "CA2", "CA3", "undone"):
        await (await told(store, call_sid, "걸었어요")).ended("goodbye")
        if call_sid == "CA3":
            assert len(await work(store)) == 3
    clock.forward(days=29)
    assert await store.remove_done_jobs() == 0
    clock.forward(days=2)
    assert await store.remove_done_jobs() == 3
    assert await work(store) == ["entry:undone"]


async def test_an_entry_that_there_was_nothing_for_is_not_asked_for_again(store: Store, clock) -> None:
    call = await let_in(store, "CA1")
    await call.add_said(0, "네", 0, 500)
    await call.ended("goodbye")
    assert await work(store) == ["entry:CA1"], "and wrote none"
    clock.forward(days=31)
    assert await store.remove_done_jobs() == 0
    assert await store.close_lapsed() == 0
    assert await store.remove_before(clock.now.date()) == ["CA1"]
    assert (await count(store))["jobs"] == 0


async def test_what_begins_while_a_caller_is_removed_goes_with_them_or_is_somebody_new(
    store: Store, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    people, real = store.people, removal._remove_batch
    person = await people.person(await people.begin_session(NUMBER))
    await store.chats.arrive(person.caller_id, "m1", "뭐 했더라", None)
    await told(store, "CA1", "걸었어요")
    begun = []

    async def and_then_it_rings(*which: Any) -> Sequence[str]:
        if not (removed := await real(*which)):
            await (await told(store, "CA2", "쉬었어요")).ended("goodbye")
            begun.append(await people.begin_session(NUMBER))
            job_id = await store.stream_jobs.create(person.caller_id, "{}", None)
            async with store.database.write() as connection:
                args = {"job_id": job_id}
                await enqueue(store.database, connection, "summary", f"summary:{job_id}", args, now=clock.now)
        return removed

    monkeypatch.setattr(removal, "_remove_batch", and_then_it_rings)
    assert await store.forget_number(NUMBER) == ["CA1", "CA2"]
    assert set((await count(store)).values()) == {0}
    assert await people.person(begun[0]) is None
    assert (await store.call_arrived("CA3", NUMBER)).first_time


async def test_of_who_calls_and_signs_in_all_the_time_nothing_from_before_is_left(open_store) -> None:
    one, two = await open_store(), await open_store()
    await told(one, "CA0", "걸었어요")
    before = await one.people.begin_session(NUMBER)
    came = {"CA0"}

    async def go_on(n: int) -> None:
        for m in range(5):
            await two.call_arrived(f"CA{n}-{m}", NUMBER)
            await two.people.begin_session(NUMBER)
            came.add(f"CA{n}-{m}")

    async with asyncio.timeout(30):
        _, removed, _ = await asyncio.gather(go_on(1), one.forget_number(NUMBER), go_on(2))
    assert await one.people.person(before) is None
    async with one.database.read() as connection:
        left = (await connection.scalars(select(calls.c.call_sid))).all()
    assert "CA0" in removed
    assert sorted([*removed, *left]) == sorted(came)
