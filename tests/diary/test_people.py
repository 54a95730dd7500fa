"""Who is signed in: codes, sessions, counts, and what the signed-in person may read."""

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, event, func, select

from bot.conversation.commands import Status
from bot.diary import people as module
from bot.diary.crypto import Keys
from bot.diary.people import MOST_TRIES, People, Person, korean_number
from bot.diary.schema import callers, diary_keys, limits, sessions, sign_in_codes, stream_jobs
from bot.diary.store import Store
from bot.errors import StoreError
from tests.diary.talks import ANOTHER, BOTH_SECRETS, NEWER_SECRET, NUMBER, change, entered

BROWSER, STRANGER = "secret-of-the-browser", "secret-of-another"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
def people(store: Store) -> People:
    return People(store.database, store.keys, store.clock)


async def count(store: Store, table) -> int:
    async with store.database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(table)) or 0


def wrong(code: str) -> str:
    """Another code of six digits."""
    return f"{(int(code) + 1) % 10**6:06}"


async def signed_in(people: People, number: str = NUMBER) -> str:
    token = await people.sign_in(BROWSER, await people.new_code(BROWSER, number))
    assert token is not None
    return token


# Codes


async def test_the_right_code_makes_a_session_once(people: People) -> None:
    code = await people.new_code(BROWSER, NUMBER)
    assert re.fullmatch("[0-9]{6}", code)
    token = await people.sign_in(BROWSER, code)
    assert token is not None
    assert re.fullmatch("[A-Za-z0-9_-]{43}", token)
    assert (await people.person(token)).number == NUMBER
    assert await people.sign_in(BROWSER, code) is None


async def test_a_code_is_good_for_the_browser_that_asked_for_it_alone(people: People) -> None:
    code = await people.new_code(BROWSER, NUMBER)
    assert await people.sign_in(STRANGER, code) is None
    other = await people.new_code(STRANGER, NUMBER)
    if other != code:
        assert await people.sign_in(STRANGER, code) is None
    for _ in range(MOST_TRIES + 1):
        await people.sign_in(STRANGER, wrong(other))
    assert await people.sign_in(BROWSER, code), "whatever the other one tried"


async def test_of_the_numbers_that_a_browser_asks_for_the_last_is_the_one(people: People) -> None:
    first = await people.new_code(BROWSER, NUMBER)
    assert await people.number_asked(BROWSER) == NUMBER
    second = await people.new_code(BROWSER, ANOTHER)
    assert (await people.number_asked(BROWSER), await people.number_asked(STRANGER)) == (ANOTHER, None)
    if first != second:
        assert await people.sign_in(BROWSER, first) is None
    assert (await people.person(await people.sign_in(BROWSER, second))).number == ANOTHER


async def test_a_code_is_spoken_by_its_name_to_its_own_number_alone(people: People, clock) -> None:
    code, name = await people.new_code(BROWSER, NUMBER), people.code_name(BROWSER)
    assert BROWSER not in name
    assert await people.code_to_speak(name, NUMBER) == code
    assert await people.code_to_speak(name, ANOTHER) is None
    for none in ("", "x", people.code_name(STRANGER)):
        assert await people.code_to_speak(none, NUMBER) is None
    for _ in range(MOST_TRIES):
        assert await people.sign_in(BROWSER, wrong(code)) is None
    assert await people.code_to_speak(name, NUMBER) is None, "no try is left for it"
    code = await people.new_code(BROWSER, NUMBER)
    clock.forward(minutes=10)
    assert await people.code_to_speak(name, NUMBER) is None
    assert await people.number_asked(BROWSER) is None


async def test_after_ten_minutes_a_code_is_good_for_nothing(people: People, clock) -> None:
    first, second = await people.new_code(BROWSER, NUMBER), await people.new_code(STRANGER, ANOTHER)
    clock.forward(seconds=599)
    assert await people.sign_in(BROWSER, first)
    clock.forward(seconds=1)
    assert await people.sign_in(STRANGER, second) is None


async def test_a_code_that_is_asked_for_again_is_the_same_for_ten_minutes_more(people: People, clock) -> None:
    code = await people.new_code(BROWSER, NUMBER)
    clock.forward(seconds=599)
    assert await people.new_code(BROWSER, NUMBER) == code
    clock.forward(seconds=599)
    assert await people.sign_in(BROWSER, code)


async def test_of_many_who_ask_at_once_on_one_browser_all_are_told_the_same_code(open_store) -> None:
    stores = [await open_store(), await open_store()]
    asked = await asyncio.gather(*(stores[n % 2].people.new_code(BROWSER, NUMBER) for n in range(10)))
    assert len(set(asked)) == 1
    assert await stores[0].people.sign_in(BROWSER, asked[0])


async def test_a_code_without_tries_is_followed_by_another_one(people: People, monkeypatch) -> None:
    made = iter([111111, 999999, 222222])
    monkeypatch.setattr(module.secrets, "randbelow", lambda _: next(made))
    old = await people.new_code(BROWSER, NUMBER)
    for _ in range(MOST_TRIES - 1):
        assert await people.sign_in(BROWSER, wrong(old)) is None
    assert await people.new_code(BROWSER, NUMBER) == old, "to ask again gives no more tries"
    assert await people.sign_in(BROWSER, wrong(old)) is None
    assert await people.sign_in(BROWSER, old) is None, "five wrong tries are all"
    new = await people.new_code(BROWSER, NUMBER)
    assert await people.sign_in(BROWSER, old) is None
    assert await people.sign_in(BROWSER, new)


async def test_who_has_no_try_left_writes_nothing(people: People, store: Store, monkeypatch) -> None:
    code = await people.new_code(BROWSER, NUMBER)
    for _ in range(MOST_TRIES):
        assert await people.sign_in(BROWSER, wrong(code)) is None

    def write() -> None:
        raise AssertionError("a transaction that writes")

    monkeypatch.setattr(store.database, "write", write)
    assert await people.sign_in(BROWSER, code) is None
    assert await people.sign_in(STRANGER, code) is None, "nor who has asked for no code"


async def test_the_fifth_try_may_be_the_right_one(people: People) -> None:
    code = await people.new_code(BROWSER, NUMBER)
    for _ in range(MOST_TRIES - 1):
        assert await people.sign_in(BROWSER, wrong(code)) is None
    assert await people.sign_in(BROWSER, code)


async def test_of_many_tries_at_once_no_more_than_five_are_looked_at(open_store, monkeypatch) -> None:
    stores = [await open_store(), await open_store()]
    known = [People(store.database, store.keys, store.clock) for store in stores]
    code = await known[0].new_code(BROWSER, NUMBER)
    seen = []

    def noting(one: str, given: str) -> bool:
        seen.append(given)
        return one == given

    monkeypatch.setattr(module, "_is_same", noting)
    tries = [known[n % 2].sign_in(BROWSER, wrong(code)) for n in range(20)]
    assert await asyncio.gather(*tries) == [None] * 20
    assert len(seen) == MOST_TRIES


async def test_of_two_who_give_the_right_code_at_once_one_is_let_in(open_store) -> None:
    stores = [await open_store(), await open_store()]
    known = [People(store.database, store.keys, store.clock) for store in stores]
    code = await known[0].new_code(BROWSER, NUMBER)
    tokens = await asyncio.gather(*(one.sign_in(BROWSER, code) for one in known))
    assert sum(token is not None for token in tokens) == 1


async def test_a_known_number_and_an_unknown_one_cost_the_diary_the_same_statements(
    people: People, store: Store
) -> None:
    await entered(store, "CA1", number=NUMBER)
    asked: list[str] = []

    def note(*of: Any) -> None:
        asked.append(of[2])

    counted = []
    event.listen(Engine, "before_cursor_execute", note)
    try:
        for number in (NUMBER, ANOTHER):
            code = await people.new_code(BROWSER, number)
            assert await people.sign_in(BROWSER, wrong(code)) is None
            counted.append(asked.copy())
            asked.clear()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert counted[0] == counted[1]
    assert len(counted[0]) >= 4


async def test_a_code_is_good_while_the_key_is_rotated(people: People, open_store) -> None:
    code = await people.new_code(BROWSER, NUMBER)
    newer = await open_store(Keys.parse(BOTH_SECRETS))
    assert await People(newer.database, newer.keys, newer.clock).sign_in(BROWSER, code)


async def test_a_code_is_good_when_its_key_is_gone_after_a_rotation(people: People, open_store) -> None:
    code = await people.new_code(BROWSER, NUMBER)
    await (await open_store(Keys.parse(BOTH_SECRETS))).rotate()
    newer = await open_store(Keys.parse(NEWER_SECRET))
    assert await newer.people.number_asked(BROWSER) == NUMBER
    assert await newer.people.sign_in(BROWSER, code)


async def test_after_a_rotation_a_code_stays_the_same_and_goes_when_its_number_is_forgotten(
    people: People, open_store
) -> None:
    code = await people.new_code(BROWSER, NUMBER)
    newer = await open_store(Keys.parse(BOTH_SECRETS))
    await newer.rotate()
    assert await newer.people.new_code(BROWSER, NUMBER) == code
    await newer.forget_number(NUMBER)
    assert await newer.people.sign_in(BROWSER, code) is None


@pytest.mark.postgresql
async def test_who_signs_in_while_the_key_is_rotated_waits_for_it_and_is_let_in(
    people: People, store: Store, diary_url, run_sql
) -> None:
    code = await people.new_code(BROWSER, NUMBER)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks, store.database.write() as connection:
        # As `rotate` does it: first the keys, then the numbers.
        await connection.execute(select(diary_keys).with_for_update())
        signing_in = tasks.create_task(people.sign_in(BROWSER, code))
        while run_sql(diary_url, WAITING) == [("0",)]:
            await asyncio.sleep(0.01)
        await connection.execute(sign_in_codes.update().values(number_hash=b"new"))
    assert signing_in.result()


async def test_neither_code_nor_token_nor_number_stands_in_the_database(people: People, diary_url, run_sql) -> None:
    token = await signed_in(people)
    code = await people.new_code(BROWSER, NUMBER)
    await people.limits.allow("codes", NUMBER, 3, 60)
    for table in ("sign_in_codes", "sessions", "limits", "callers"):
        rows = run_sql(diary_url, f"SELECT * FROM {table}")
        assert rows
        told = str(rows)
        assert not any(secret in told for secret in (code, token, BROWSER, NUMBER, NUMBER[1:], token.encode().hex()))


async def test_nothing_names_the_number_of_a_person() -> None:
    assert NUMBER not in repr(Person(1, NUMBER))


# Numbers


@pytest.mark.parametrize(
    "typed",
    [
        "010-1234-5678",
        "01012345678",
        " 010 1234 5678 ",
        "010.1234.5678",
        "０１０－１２３４－５６７８",
        "+82 10-1234-5678",
        "+82 (0)10-1234-5678",
        "0082 10 1234 5678",
        "+821012345678",
    ],
)
def test_a_number_may_be_typed_as_people_do(typed: str) -> None:
    assert korean_number(typed) == NUMBER


@pytest.mark.parametrize("typed", ["", "0", "+", "010", "anonymous", "+0012", "1" * 30, "010-1234-567a", "+8656696"])
def test_what_is_no_number_is_none(typed: str) -> None:
    assert korean_number(typed) is None


@given(st.text())
def test_any_text_is_a_whole_number_or_none(typed: str) -> None:
    number = korean_number(typed)
    assert number is None or re.fullmatch(r"\+[1-9][0-9]{6,14}", number)


# Sessions


async def test_a_session_lasts_thirty_days(people: People, clock) -> None:
    token = await signed_in(people)
    clock.forward(days=30, seconds=-1)
    assert await people.person(token)
    clock.forward(seconds=1)
    assert await people.person(token) is None


async def test_each_session_ends_for_itself(people: People) -> None:
    phone, laptop = await signed_in(people), await signed_in(people)
    await people.sign_out(phone)
    await people.sign_out(phone)
    assert await people.person(phone) is None
    assert await people.person(laptop)


async def test_who_signs_in_again_on_the_same_browser_leaves_no_session_behind(people: People) -> None:
    old = await signed_in(people)
    new = await people.sign_in(BROWSER, await people.new_code(BROWSER, ANOTHER), instead_of=old)
    assert await people.person(old) is None
    assert (await people.person(new)).number == ANOTHER


@pytest.mark.postgresql
async def test_who_signs_in_again_while_they_are_forgotten_is_somebody_new(store: Store, diary_url, run_sql) -> None:
    people = store.people
    old = await signed_in(people)
    code = await people.new_code(BROWSER, NUMBER)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks, store.database.write() as connection:
        # As `forget_number` does it: first the person is held.
        await connection.execute(select(callers.c.id).with_for_update())
        signing_in = tasks.create_task(people.sign_in(BROWSER, code, instead_of=old))
        while run_sql(diary_url, WAITING) == [("0",)]:
            await asyncio.sleep(0.01)
        await connection.execute(callers.delete())
    assert (await people.person(signing_in.result())).number == NUMBER


async def test_a_wrong_code_ends_no_session(people: People) -> None:
    old = await signed_in(people)
    code = await people.new_code(BROWSER, NUMBER)
    assert await people.sign_in(BROWSER, wrong(code), instead_of=old) is None
    assert await people.person(old)


async def test_who_is_forgotten_is_signed_out_also_without_any_call(people: People, store: Store) -> None:
    token = await signed_in(people)
    await store.forget_number(NUMBER)
    assert await people.person(token) is None
    assert (await count(store, callers), await count(store, sessions)) == (0, 0)


async def test_who_is_forgotten_has_no_code_left(people: People, store: Store) -> None:
    code = await people.new_code(BROWSER, NUMBER)
    other = await people.new_code(STRANGER, ANOTHER)
    assert await store.forget_number(NUMBER) == []
    assert await people.sign_in(BROWSER, code) is None
    assert await people.sign_in(STRANGER, other)


async def test_who_is_signed_in_is_kept_without_any_call_and_nobody_else(people: People, store: Store, clock) -> None:
    token = await signed_in(people)
    await entered(store, "CA1", number=ANOTHER)
    clock.forward(days=29)
    assert await store.remove_before(clock.now.date()) == ["CA1"]
    assert await people.person(token)
    assert await count(store, callers) == 1
    clock.forward(days=1)
    await store.remove_before(clock.now.date())
    assert await count(store, callers) == 0


async def test_who_has_streamed_is_kept_as_long_as_that_is(people: People, store: Store, clock) -> None:
    person = await people.person(await signed_in(people))
    row = {"caller_id": person.caller_id, "state": "completed", "config": "{}", "owner": 0, "audio_ms": 0}
    await change(store, stream_jobs.insert().values(job_id="one", made_at=clock.now, **row))
    clock.forward(days=40)
    await store.remove_before(clock.now.date())
    assert await count(store, callers) == 1
    await change(store, stream_jobs.delete())
    await store.remove_before(clock.now.date())
    assert await count(store, callers) == 0


async def test_who_signs_in_while_old_callers_are_removed_stays_or_is_told(people: People, store: Store, clock) -> None:
    await signed_in(people)
    clock.forward(days=40)
    code = await people.new_code(BROWSER, NUMBER)
    token, _ = await asyncio.gather(
        people.sign_in(BROWSER, code), store.remove_before(clock.now.date()), return_exceptions=True
    )
    assert isinstance(token, StoreError) or await people.person(token)


async def test_the_first_call_of_who_signed_in_before_is_the_first(people: People, store: Store) -> None:
    token = await signed_in(people)
    assert (await store.call_arrived("CA1", NUMBER)).first_time
    await entered(store, "CA2")
    assert (await people.person(token)).caller_id == (await people.person(await signed_in(people))).caller_id
    assert await count(store, callers) == 1


async def test_to_ask_for_a_code_makes_nobody_known(people: People, store: Store) -> None:
    code = await people.new_code(BROWSER, NUMBER)
    await people.sign_in(BROWSER, wrong(code))
    assert await count(store, callers) == 0


# Forms


async def test_a_form_token_is_good_for_its_secret_alone(people: People) -> None:
    token = people.form_token("one")
    assert people.is_form_token("one", token)
    for secret, given_token in (("two", token), ("one", token[:-1] + "z"), ("one", ""), ("one", "0" * 64)):
        assert not people.is_form_token(secret, given_token)


async def test_what_a_known_browser_keeps_is_good_for_its_number_alone(people: People) -> None:
    token = people.known_token(NUMBER)
    assert people.is_known_token(NUMBER, token)
    assert not people.is_known_token(ANOTHER, token)
    assert not people.is_form_token(NUMBER, token)
    assert not people.is_known_token(NUMBER, "x")


# What is over


async def test_what_is_over_is_removed_and_nothing_else(people: People, store: Store, clock, monkeypatch) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 2)
    for n in range(5):
        await people.limits.allow("code", str(n), 1, 60)
    await people.new_code(STRANGER, ANOTHER)
    token = await signed_in(people)
    assert await people.remove_expired() == 0
    clock.forward(seconds=700)
    await people.limits.allow("code", "late", 1, 60)
    assert await people.remove_expired() == 6
    assert (await count(store, sign_in_codes), await count(store, limits)) == (0, 1)
    assert await people.person(token)
    clock.forward(days=30)
    assert await people.remove_expired() == 2
    assert await count(store, sessions) == 0


# What a person may read


async def test_a_person_reads_their_own_entries_alone_newest_first(people: People, store: Store, clock) -> None:
    for n, number in enumerate((NUMBER, ANOTHER, None, NUMBER, NUMBER)):
        await entered(store, f"CA{n}", Status.APPROVED, number)
        clock.forward(days=1)
    await entered(store, "CA9", Status.DISCARDED)
    mine, theirs = [await people.person(await signed_in(people, number)) for number in (NUMBER, ANOTHER)]
    assert [entry.call_sid for entry in await people.entries(mine, skip=0, most=9)] == ["CA4", "CA3", "CA0"]
    assert [entry.call_sid for entry in await people.entries(mine, skip=1, most=1)] == ["CA3"]
    (entry,) = await people.entries(theirs, skip=0, most=9)
    assert (entry.call_sid, entry.title, entry.body) == ("CA1", "하루", "하루였다.")


async def test_who_never_called_has_nothing_to_read(people: People, store: Store) -> None:
    await entered(store, "CA1")
    stranger = await people.person(await signed_in(people, ANOTHER))
    assert await people.entries(stranger, skip=0, most=9) == []
