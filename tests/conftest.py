"""For all tests: the order of the whole calls, the two databases that a diary can be in, and calls in memory.

A test that takes `database_url` or `store` (in tests/diary also `diary_url`) runs once for each of `--databases`. The
marks `sqlite` and `postgresql` are for what only one of them has. PostgreSQL is a real server, one for each worker,
started when the first test needs it; a server that cannot be had is an error, never a skip.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bot.diary import migrate
from bot.diary.crypto import Keys, make_secret
from bot.diary.store import Store
from bot.lab.postgres import PostgresLab

# What the tests have in common says what was not so, too.
pytest.register_assert_rewrite(*(f"tests.{path.stem}" for path in Path(__file__).parent.iterdir()))

from tests.calls_in_memory import Stage, staged  # noqa: E402

DATABASES = ("sqlite", "postgresql")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--databases", default=",".join(DATABASES), help="run the tests of the diary on these alone")


def pytest_configure(config: pytest.Config) -> None:
    for name in DATABASES:
        config.addinivalue_line("markers", f"{name}: only {name} has this")
    chosen = config.getoption("--databases").split(",")
    if not set(chosen) <= set(DATABASES):
        raise pytest.UsageError(f"--databases: of {', '.join(DATABASES)}, one or more")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what needs `database_kind` on each database; by module, so that a fixture of a module may need it too."""
    if "database_kind" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--databases").split(",")
        marked = [name for name in DATABASES if metafunc.definition.get_closest_marker(name)]
        kinds = [name for name in DATABASES if name in chosen and name in (marked or chosen)]
        metafunc.parametrize("database_kind", kinds, scope="module")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what plays in real time: it lasts minutes and needs little of a core, so the others run beside it."""
    items.sort(key=lambda item: not (item.path.name.startswith("test_calls") or item.path.parent.name == "proxy"))
    chosen = config.getoption("--databases").split(",")
    others = [name for name in DATABASES if name not in chosen]
    left_out = [item for item in items if any(map(item.get_closest_marker, others))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def postgres_lab() -> Iterator[PostgresLab]:
    """The PostgreSQL server of this worker; a test that stops or freezes one starts its own."""
    with PostgresLab() as lab:
        yield lab


@pytest.fixture(scope="session")
def migrated_template(postgres_lab: PostgresLab) -> str:
    """A database with this release's tables and nothing in them, to be copied."""
    url = postgres_lab.new_database()
    asyncio.run(migrate.upgrade(url))
    return url


@pytest.fixture(scope="session")
def make_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Make a new diary's database and give its address: `make_database(kind)`; `migrated=False`: without any table.

    SQLite's is a file that is not there yet, in a folder of its own or in `folder`.
    """

    def make(kind: str, *, migrated: bool = True, folder: Path | None = None) -> str:
        if kind == "sqlite":
            return f"sqlite:///{(folder or tmp_path_factory.mktemp('database')) / 'diary.db'}"
        lab: PostgresLab = request.getfixturevalue("postgres_lab")
        return lab.new_database(template=request.getfixturevalue("migrated_template") if migrated else None)

    return make


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, database_kind: str, make_database: Callable[..., str], tmp_path: Path
) -> Iterator[str]:
    """An empty diary of the test's own, ready for `Store.open`: tmp_path/diary.db, or a database of the server."""
    yield from _for_one_test(request, make_database(database_kind, folder=tmp_path))


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An empty diary, open."""
    store = await Store.open(database_url, Keys.parse(make_secret()))
    yield store
    await store.close()


@pytest.fixture
def unmigrated_url(
    request: pytest.FixtureRequest, database_kind: str, make_database: Callable[..., str], tmp_path: Path
) -> Iterator[str]:
    """As `database_url`, without any table."""
    yield from _for_one_test(request, make_database(database_kind, folder=tmp_path, migrated=False))


def _for_one_test(request: pytest.FixtureRequest, url: str) -> Iterator[str]:
    lab: PostgresLab | None = None if url.startswith("sqlite") else request.getfixturevalue("postgres_lab")
    yield url
    if lab is not None:
        lab.drop_database(url)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A process for calls in memory, with its diary in tmp_path/diary.db."""
    async with staged(tmp_path) as stage:
        yield stage


@pytest.fixture
def run_sql(request: pytest.FixtureRequest) -> Callable[[str, str], list[tuple[str, ...]]]:
    """Run one SQL statement behind the diary's back: `run_sql(url, statement)`; gives the rows, each field as text."""

    def run(url: str, statement: str) -> list[tuple[str, ...]]:
        if url.startswith("sqlite:///"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
                return [tuple(map(str, row)) for row in connection.execute(statement)]
        rows = request.getfixturevalue("postgres_lab").sql(statement, url)
        return [tuple(row.split("|")) for row in rows.splitlines()]

    return run
