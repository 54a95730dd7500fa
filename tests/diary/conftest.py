"""A diary of the test's own, in SQLite and in PostgreSQL (see tests/conftest.py), and a clock that the test turns."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from bot.diary.crypto import Keys
from bot.diary.store import Store
from tests.diary.talks import SECRET

OpenStore = Callable[..., Awaitable[Store]]


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime(2026, 11, 21, 12, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys() -> Keys:
    return Keys.parse(SECRET)


@pytest.fixture
def diary_url(database_url: str) -> str:
    return database_url


@pytest.fixture
async def open_store(diary_url: str, keys: Keys, clock: Clock) -> AsyncIterator[OpenStore]:
    """Open the test's diary, any number of times: each is an engine of its own, as in another process."""
    stores: list[Store] = []

    async def open_one(with_keys: Keys = keys) -> Store:
        stores.append(await Store.open(diary_url, with_keys, clock=clock))
        return stores[-1]

    yield open_one
    for store in stores:
        await store.close()


@pytest.fixture
async def store(open_store: OpenStore) -> Store:
    return await open_store()
