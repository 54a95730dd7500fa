"""The queue of one reply: order, what a pause holds back, and how far it is."""

from typing import Any

import pytest

from bot import track as track_module
from bot.conversation.events import AudioSent
from bot.track import Begin, End, Over, Track

FRAME = b"\x11" * 160


def taken(track: Track, limit_bytes: int = 320) -> list[Any]:
    items = []
    while track.is_ready:
        items.append(track.take(limit_bytes))
    return items


def test_sound_comes_out_in_order_in_the_pieces_that_are_asked_for() -> None:
    track = Track(1)
    track.add(0, FRAME * 3)
    track.add(0, FRAME)
    track.finish(0)
    track.add(1, FRAME)
    track.finish(1)
    track.end()
    assert taken(track) == [Begin(0), FRAME * 2, FRAME, FRAME, End(0, 80), Begin(1), FRAME, End(1, 20), Over()]
    assert track.is_over


def test_a_sentence_without_sound_leaves_no_trace() -> None:
    track = Track(1)
    track.finish(0)
    track.add(1, FRAME)
    track.finish(1)
    assert taken(track) == [Begin(1), FRAME, End(1, 20)]


def test_a_pause_holds_sound_and_beginnings_but_not_what_stands_before_them() -> None:
    track = Track(1)
    track.is_paused = True
    track.add(0, FRAME)
    assert taken(track) == []
    track.is_paused = False
    assert [track.take(320), track.take(320)] == [Begin(0), FRAME]
    track.is_paused = True
    track.finish(0)
    track.add(1, FRAME)
    track.finish(1)
    track.end()
    assert taken(track) == [End(0, 20)]
    track.is_paused = False
    assert taken(track) == [Begin(1), FRAME, End(1, 20), Over()]


def test_only_sound_that_waits_fills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_module, "QUEUE_MS", 40)
    track = Track(1)
    track.add(0, FRAME * 2)
    assert not track.is_full
    track.add(0, FRAME)
    assert track.is_full
    track.take(320)
    track.take(160)
    assert not track.is_full


def test_progress_is_of_the_sentence_that_was_begun_last_and_knows_its_length_when_it_is_made() -> None:
    track = Track(4)
    track.add(0, FRAME * 2)
    assert track.progress(0) is None
    track.take(160)
    assert track.progress(0) is None
    track.take(160)
    assert track.progress(20) == AudioSent(4, 0, 20, 20, None)
    track.finish(0)
    track.add(1, FRAME * 5)
    track.finish(1)
    assert track.progress(20) == AudioSent(4, 0, 20, 20, 40)
    assert [track.take(160), track.take(160)] == [FRAME, End(0, 40)]
    assert track.progress(40) == AudioSent(4, 0, 40, 40, 40)
    assert [track.take(160), track.take(160)] == [Begin(1), FRAME]
    assert track.progress(60) == AudioSent(4, 1, 20, 60, 100)


def test_what_was_told_is_not_told_again() -> None:
    track = Track(1)
    track.add(0, FRAME * 4)
    track.take(320)
    track.take(320)
    assert track.untold_ms == 40
    track.progress(0)
    assert track.untold_ms == 0
    track.take(160)
    assert track.untold_ms == 20
