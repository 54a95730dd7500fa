"""bot/watchdog.py: how late sound comes. That a dead stream is ended is seen in tests/test_call.py."""

import pytest

from bot import watchdog
from bot.watchdog import LATE_MS, Watchdog


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The wall clock, in seconds, to be moved by hand."""
    now = [1_000.0]
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now[0])
    return now


def late(dog: Watchdog, wall: list[float], frames: int, *, from_ms: int, apart_s: float = 0.02) -> list[int]:
    found = []
    for index in range(frames):
        found.append(dog.heard(from_ms + 20 * index))
        wall[0] += apart_s
    return found


def test_sound_in_time_is_not_late_nor_is_what_jitters(wall: list[float]) -> None:
    dog = Watchdog(1800)
    assert not any(late(dog, wall, 500, from_ms=0))
    wall[0] += (LATE_MS - 10) / 1000
    assert not any(late(dog, wall, 500, from_ms=10_000))


def test_after_a_standstill_sound_is_late_by_what_is_still_to_come(wall: list[float]) -> None:
    dog = Watchdog(1800)
    late(dog, wall, 500, from_ms=0)
    wall[0] += 2.0
    found = late(dog, wall, 100, from_ms=10_000, apart_s=0.0)
    assert found[0] == pytest.approx(2_000, abs=30)
    assert found[50] == pytest.approx(1_000, abs=30)
    assert found[-1] == 0


def test_a_clock_that_goes_slower_than_ours_is_not_late(wall: list[float]) -> None:
    dog = Watchdog(1800)
    assert not any(late(dog, wall, 180_000, from_ms=0, apart_s=0.02 * 1.001))


def test_a_delay_that_stays_is_soon_how_the_line_is(wall: list[float]) -> None:
    dog = Watchdog(1800)
    late(dog, wall, 500, from_ms=0)
    wall[0] += 2.0
    found = late(dog, wall, 1_000, from_ms=10_000)
    assert found[0] == pytest.approx(2_000, abs=30)
    assert found[-1] == 0
