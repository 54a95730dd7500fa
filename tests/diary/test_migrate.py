import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from bot.conversation.commands import Mood, Status
from bot.conversation.habit import PauseHabit
from bot.diary import migrate
from bot.diary import postgresql as postgresql_module
from bot.diary.crypto import Keys
from bot.diary.database import Database, parse_url, sqlite_file
from bot.diary.records import TurnRecord
from bot.diary.revision import is_current
from bot.diary.schema import metadata
from bot.diary.store import Store, keys_of
from bot.errors import SettingError, StoreError
from tests.diary.talks import let_in

MIGRATIONS = ("first_0001", "waterfalls_0002", "durable_0003", "doors_0004", "channels_0005")


RunSql = Callable[[str, str], list[tuple[str, ...]]]
REVISION = "SELECT version_num FROM alembic_version"


async def test_an_empty_database_gets_exactly_the_tables_of_the_schema(unmigrated_url: str) -> None:
    await migrate.upgrade(unmigrated_url)
    database = Database(unmigrated_url)

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))

    try:
        assert await is_current(database)
        async with database.read() as connection:
            assert await connection.run_sync(differences) == []
    finally:
        await database.close()


async def test_migrating_again_changes_nothing(store: Store, diary_url: str) -> None:
    call = await let_in(store, "CA1", None)
    await call.add_said(0, "남아요", 0, 1)
    await migrate.upgrade(diary_url)
    assert await store.said("CA1") == ["남아요"]


def migration(name: str) -> ModuleType:
    return import_module(f"bot.diary.migrations.versions.{name}")


@pytest.mark.parametrize("before", ["0001", "0002"])
async def test_a_diary_of_a_release_before_keeps_what_it_holds(
    store: Store, diary_url: str, keys: Keys, before: str
) -> None:
    call = await let_in(store, "CA1", "+821012345678")
    await call.add_said(0, "남아요", 0, 1)
    await call.add_said(1, "이것도요", 2, 3)
    await call.save_entry("하루", "남는다.", Mood.CALM, Status.APPROVED)

    def downgrade(connection: Connection) -> None:
        with Operations.context(MigrationContext.configure(connection)):
            for name in MIGRATIONS[: int(before) - 1 : -1]:
                migration(name).downgrade()

    async with store.database.write() as connection:
        await connection.run_sync(downgrade)
        await connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{before}'")
        columns = set((await connection.exec_driver_sql("SELECT * FROM turns")).keys())
        assert "stream" not in columns and ("waterfall" in columns) is (before == "0002")
    await migrate.upgrade(diary_url)
    again = await Store.open(diary_url, keys)
    assert await again.turns("CA1") == [TurnRecord(0, "남아요", None, 0, 1), TurnRecord(1, "이것도요", None, 2, 3)]
    assert [(entry.body, entry.provisional) for entry in await again.entries()] == [("남는다.", False)]
    assert await again.habit("CA1") == PauseHabit()
    second = await let_in(again, "CA1")
    await second.add_said(1, "다른 전화 줄에서요", 0, 1)
    assert len(await again.turns("CA1")) == 3, "turns of two streams may have one number"
    await again.close()


@pytest.mark.sqlite
async def test_many_may_migrate_and_open_at_once(diary_url: str, keys: Keys, run_sql: RunSql) -> None:
    await asyncio.gather(*(migrate.upgrade(diary_url) for _ in range(3)), *(opened(diary_url, keys) for _ in range(3)))
    assert run_sql(diary_url, REVISION) == [("0005",)]


async def opened(diary_url: str, keys: Keys) -> None:
    store = await Store.open(diary_url, keys)
    await store.close()


def test_two_processes_may_migrate_at_once(unmigrated_url: str, run_sql: RunSql) -> None:
    command = [sys.executable, "-m", "bot.diary.migrate"]
    environ = {**os.environ, "DATABASE_URL": unmigrated_url}
    running = [subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert run_sql(unmigrated_url, REVISION) == [("0005",)]
    assert sorted("0005" in text for text in said) == [False, True], "one of them did it"


async def test_a_diary_of_a_newer_release_is_left_alone(store: Store, diary_url: str, keys: Keys) -> None:
    async with store.database.write() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="from revision 9999"):
        await migrate.upgrade(diary_url)
    with pytest.raises(StoreError, match=r"from revision 9999|not of this release"):
        await Store.open(diary_url, keys)


@pytest.mark.postgresql
async def test_a_served_database_is_not_migrated_by_the_way(unmigrated_url: str, keys: Keys) -> None:
    with pytest.raises(StoreError, match=r"run python -m bot\.diary\.migrate"):
        await Store.open(unmigrated_url, keys)


def test_the_command_names_a_setting_that_cannot_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate.main({"DATABASE_URL": "mysql://localhost/diary"}) == 1
    assert capsys.readouterr().err.startswith("migrate: DATABASE_URL: ")


@pytest.mark.parametrize(
    ("given", "driver", "rest"),
    [
        ("postgres://me:pw@host:5432/diary", "postgresql+asyncpg", "me:pw@host:5432/diary"),
        ("postgresql://host/diary?sslmode=require", "postgresql+asyncpg", "host/diary?ssl=require"),
        ("postgresql+asyncpg://host/diary", "postgresql+asyncpg", "host/diary"),
        ("sqlite:///ilgi.db", "sqlite+aiosqlite", "/ilgi.db"),
        ("sqlite:////var/ilgi.db", "sqlite+aiosqlite", "//var/ilgi.db"),
    ],
)
def test_the_forms_of_an_address(given: str, driver: str, rest: str) -> None:
    assert parse_url(given).render_as_string(hide_password=False) == f"{driver}://{rest}"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "ilgi.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite://secret:secret@secret/x.db",
        "sqlite://secret/x.db",
        "sqlite:///secret%00.db",
        "sqlite:///x.db?secret=1",
        "sqlite:///x.db?mode=ro",
        "mysql://secret/db",
        "postgres:/x",
        "postgres://secret:secret@host:port/db",
        "postgres://secret:secret@host:70000/db",
        "postgres://host/db?secret=1",
    ],
)
def test_an_address_that_is_none_is_named_and_not_shown(given: str) -> None:
    with pytest.raises(SettingError, match=r"^DATABASE_URL: ") as error:
        parse_url(given)
    assert "secret" not in str(error.value)


def test_a_directory_is_no_file_and_gets_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in (f"{tmp_path}/folder", "folder/", ".", "/"):
        with pytest.raises(SettingError, match=r"^DATABASE_URL: names a directory"):
            keys_of(f"sqlite:///{name}", None)
        with pytest.raises(SettingError, match=r"^DATABASE_URL: names a directory"):
            Database(f"sqlite:///{name}")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_only_sqlite_has_a_file() -> None:
    assert sqlite_file("sqlite:///some/ilgi.db") == Path("some/ilgi.db")
    assert sqlite_file("postgres://host/diary") is None


def test_the_tables_can_be_made_on_postgresql() -> None:
    made = "".join(str(CreateTable(table).compile(dialect=postgresql.dialect())) for table in metadata.sorted_tables)
    assert made.count("BYTEA") == 18 and made.count("TIMESTAMP WITH TIME ZONE") == 27


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_engine(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'asyncpg'", name="asyncpg")

    monkeypatch.setattr(postgresql_module, "_engine", no_engine)
    with pytest.raises(StoreError, match="asyncpg"):
        Database("postgres://host/diary")
