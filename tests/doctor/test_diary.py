"""bot/doctor/diary.py: the database, its keys, its clock and its jobs; the journals."""

import sqlite3
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from bot.diary.crypto import Keys
from bot.diary.store import Store
from bot.doctor import diary
from bot.doctor.command import checks
from bot.doctor.row import fail
from tests.doctor.rows import of

NUMBER = "+821012345678"
KEY, OLD_KEY = "the-newest-key-of-the-diary-0123", "an-older-key-of-the-diary-987654"


def clock():
    return datetime.now(UTC)


async def diary_rows(database_url, key=KEY, *, clock=clock):
    return await diary.database(database_url, key, clock=clock, is_hosted=False)


async def written(database_url, key=KEY):
    store = await Store.open(database_url, Keys.parse(key))
    await store.call_arrived("CA" + "1" * 32, NUMBER)
    return store


async def test_a_diary_that_is_fine(database_url, database_kind):
    await (await written(database_url)).close()
    rows = await diary_rows(database_url)
    expected = ["database", "tables", "DIARY_KEY", *(["clock"] if database_kind == "postgresql" else []), "jobs"]
    assert [(row.what, row.state) for row in rows] == [(what, "ok") for what in expected]


async def test_looking_leaves_nothing_behind(database_url, run_sql):
    await (await written(database_url)).close()
    await diary_rows(database_url)
    assert run_sql(database_url, "SELECT count(*) FROM schedules") == [("0",)]


@pytest.mark.parametrize("key", [OLD_KEY, None])
async def test_a_diary_that_the_key_does_not_open(database_url, tmp_path, key):
    await (await written(database_url)).close()
    assert of(await diary_rows(database_url, key), "DIARY_KEY").state == "fail"
    assert not (tmp_path / "diary.db.key").exists()


async def test_a_key_that_is_still_in_use_beside_the_newest(database_url):
    await (await written(database_url, OLD_KEY)).close()
    await (await Store.open(database_url, Keys.parse(f"{KEY},{OLD_KEY}"))).close()
    row = of(await diary_rows(database_url, f"{KEY},{OLD_KEY}"), "DIARY_KEY")
    assert (row.state, row.mend) == ("warn", "python -m bot rotate")


async def test_a_damaged_diary(database_url, run_sql):
    await (await written(database_url)).close()
    sealed = "X'00'" if database_url.startswith("sqlite") else "'\\x00'"
    run_sql(database_url, f"UPDATE callers SET number_sealed = {sealed}")
    assert of(await diary_rows(database_url), "DIARY_KEY").state == "fail"


async def test_tables_that_are_missing(unmigrated_url, database_kind):
    if database_kind == "sqlite":
        sqlite3.connect(unmigrated_url.removeprefix("sqlite:///")).execute("CREATE TABLE other (id)").connection.close()
    row = of(await diary_rows(unmigrated_url), "tables")
    assert row.state == ("warn" if database_kind == "sqlite" else "fail")
    assert row.mend.startswith("python -m bot.diary.migrate")


@pytest.mark.postgresql
@pytest.mark.parametrize(("skew_s", "state"), [(0, "ok"), (10, "warn"), (-10, "warn"), (60, "fail"), (-60, "fail")])
async def test_a_clock_that_is_not_the_databases(database_url, skew_s, state):
    await (await written(database_url)).close()
    rows = await diary_rows(database_url, clock=lambda: clock() + timedelta(seconds=skew_s))
    assert of(rows, "clock").state == state


@pytest.mark.postgresql
@pytest.mark.parametrize("wrong", ["user", "password", "port", "name"])
async def test_a_database_that_cannot_be_reached(database_url, wrong):
    parts = urlsplit(database_url)
    user, password, port, name = parts.username, parts.password, parts.port, parts.path
    user, password = ("nobody", password) if wrong == "user" else (user, "x" if wrong == "password" else password)
    port, name = (9, name) if wrong == "port" else (port, "/there_is_none" if wrong == "name" else name)
    (row,) = await diary_rows(f"postgres://{user}:{password}@127.0.0.1:{port}{name}")
    assert (row.what, row.state) == ("database", "fail")
    assert "DATABASE_URL" in row.mend
    assert str(parts.password) not in row.found


@pytest.mark.postgresql
async def test_a_database_that_only_reads(database_url, run_sql):
    await (await written(database_url)).close()
    name = database_url.rpartition("/")[2]
    run_sql(database_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    rows = await diary_rows(database_url)
    assert (of(rows, "database").state, len(rows)) == ("fail", 1)


async def test_dead_jobs_are_counted_by_their_kind(database_url, run_sql):
    await (await written(database_url)).close()
    values = "'{}', 'dead', '2026-01-01 00:00:00', 8, 8, '2026-01-01 00:00:00'"
    for kind, key in (("entry", "a"), ("entry", "b"), ("recording", "c")):
        run_sql(
            database_url,
            f"INSERT INTO jobs (kind, key, args, state, run_at, attempt, token, made_at) "
            f"VALUES ('{kind}', '{key}', {values})",
        )
    row = of(await diary_rows(database_url), "jobs")
    assert (row.state, row.found) == ("warn", "dead after every try: 2 entry, 1 recording")
    run_sql(database_url, row.mend.partition(": ")[2])
    row = of(await diary_rows(database_url), "jobs")
    assert (row.state, row.found) == ("warn", "3 were due 10 min ago")


def test_a_hosted_file_is_a_warning(tmp_path):
    for hosted in ({"DYNO": "web.1"}, {"RENDER": "true"}):
        environ = {"DATABASE_URL": f"sqlite:///{tmp_path / 'diary.db'}", **hosted}
        (check,) = [check for check in checks(environ) if check.what == "database"]
        assert check.run.keywords["is_hosted"]
    row = diary._nothing_yet(tmp_path / "diary.db", is_hosted=True)
    assert (row.state, "PostgreSQL" in row.mend) == ("warn", True)


async def test_a_folder_that_is_not_there(tmp_path):
    rows = await diary_rows(f"sqlite:///{tmp_path / 'nowhere' / 'diary.db'}")
    assert of(rows, "database") == fail(
        "database", "its folder is not there, or cannot be written to", f"mkdir -p {tmp_path / 'nowhere'}"
    )


@pytest.mark.parametrize(
    ("database_url", "key", "what"),
    [("sqlite:////tmp", KEY, "DATABASE_URL"), ("sqlite:///diary.db", "short", "DIARY_KEY")],
)
async def test_a_setting_that_only_its_use_shows_to_be_wrong(database_url, key, what):
    (row,) = await diary_rows(database_url, key)
    assert (row.what, row.state) == (what, "fail")
    assert row.mend.startswith(f"{what}: ")


async def test_the_journals(tmp_path):
    async def state(folder):
        (row,) = await diary.journals(folder)
        return row.state

    assert await state(None) == "off"
    assert await state(tmp_path) == "ok"
    assert await state(tmp_path / "a" / "b") == "ok"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    assert await state(tmp_path / "file") == "fail"
    assert await state(tmp_path / "file" / "x") == "fail"
