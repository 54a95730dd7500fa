"""The page's playback clock in the lab: what was played, when, and what it tells of it."""

import numpy as np

from bot.lab.browser_playback import BEFORE_MS, PagePlayback
from bot.lab.level import is_audible

TONE = (np.sin(np.arange(960) * 0.1) * 8_000).astype("<i2").tobytes()


def test_a_gap_is_followed_by_a_little_patience() -> None:
    page = PagePlayback()
    page.queue("1:0", TONE[:960])
    ticks = [page.tick() for _ in range(BEFORE_MS // 20)]
    assert not any(tick.was_sent for tick in ticks)
    assert page.tick().was_sent and page.heard == ("1:0", 20)
    assert not page.tick().was_sent and page.is_idle


def test_sentences_follow_each_other_without_a_gap_and_are_told_one_by_one() -> None:
    page = PagePlayback()
    page.queue("1:0", TONE)
    page.queue("1:1", TONE)
    assert page.queued_ms == 80
    told, passed = [], []
    for _ in range(4):
        tick = page.tick()
        assert tick.was_sent and len(tick.frame) == 160 and not tick.is_aside
        told.append(page.heard)
        passed += tick.echoed
    assert told == [("1:0", 20), ("1:0", 40), ("1:1", 20), ("1:1", 40)]
    assert passed == ["1:0"]


def test_sound_is_heard_as_it_would_be_on_a_telephone() -> None:
    page = PagePlayback()
    page.queue("aside:0", TONE * 5)
    ticks = [page.tick() for _ in range(10)]
    assert all(tick.is_aside for tick in ticks)
    assert all(is_audible(tick.frame) for tick in ticks[1:])


def test_what_is_dropped_is_neither_played_nor_told() -> None:
    page = PagePlayback()
    page.queue("1:0", TONE * 3)
    page.tick()
    assert page.drop() == 100
    assert page.is_idle and not page.tick().was_sent
    assert page.heard == ("1:0", 20)
    page.queue("2:0", TONE)
    page.tick()
    assert page.heard == ("2:0", 20)
