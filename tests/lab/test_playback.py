"""The playback clock: sound in order, marks when their sound was heard, clear."""

from hypothesis import given
from hypothesis import strategies as st

from bot.lab.playback import Playback

LOUD = bytes([0x10, 0x90] * 80)
QUIET = b"\xff" * 160


def test_silence_is_heard_when_nothing_was_sent() -> None:
    tick = Playback().tick()
    assert (tick.frame, tick.was_sent, tick.echoed) == (QUIET, False, ())


def test_sound_of_any_size_is_played_in_order_and_padded_at_its_end() -> None:
    playback = Playback()
    playback.media(b"\x01" * 100)
    playback.media(b"\x02" * 100)
    assert playback.queued_ms == 25
    assert playback.tick().frame == b"\x01" * 100 + b"\x02" * 60
    assert playback.tick().frame == b"\x02" * 40 + b"\xff" * 120
    assert not playback.is_idle
    playback.tick()
    assert playback.is_idle


def test_a_mark_comes_back_when_the_sound_before_it_is_over() -> None:
    playback = Playback()
    playback.media(LOUD)
    assert playback.mark("a") == ()
    playback.media(LOUD)
    assert playback.tick().echoed == ()
    assert playback.tick().echoed == ("a",)
    assert playback.pending_marks == 0


def test_a_mark_behind_nothing_comes_back_at_once() -> None:
    playback = Playback()
    assert playback.mark("a") == ("a",)
    playback.media(LOUD)
    playback.tick()
    assert playback.mark("b") == (), "the last frame is still being heard"
    assert playback.tick().echoed == ("b",)
    assert playback.mark("c") == ("c",)


def test_a_mark_in_the_middle_of_a_frame_waits_for_the_frame() -> None:
    playback = Playback()
    playback.media(b"\x01" * 80)
    playback.mark("middle")
    playback.media(b"\x01" * 80)
    assert playback.tick().echoed == ()
    assert playback.tick().echoed == ("middle",)


def test_clear_drops_sound_and_gives_back_every_mark_in_order() -> None:
    playback = Playback()
    playback.media(b"\x01" * 80)
    playback.mark("a")
    playback.media(LOUD * 10)
    playback.mark("b")
    playback.mark("b")
    playback.tick()
    assert playback.clear() == ("a", "b", "b")
    assert playback.is_idle
    assert playback.queued_ms == 0
    assert playback.tick().frame == QUIET
    playback.media(LOUD)
    assert playback.tick().frame == LOUD


def test_silence_at_the_end_is_not_speech_unheard() -> None:
    playback = Playback()
    playback.media(LOUD * 3 + QUIET * 50)
    assert playback.audible_ms_left() == 60
    playback.tick()
    assert playback.audible_ms_left() == 40


def test_sound_between_the_marks_of_an_aside_is_told_apart() -> None:
    playback = Playback()
    assert playback.mark("aside:0") == ("aside:0",), "nothing was being heard"
    for item in (LOUD, "aside:0:end", LOUD, "1:0", "aside:1", LOUD, "aside:1:end"):
        playback.mark(item) if isinstance(item, str) else playback.media(item)
    ticks = [playback.tick() for _ in range(4)]
    assert [tick.is_aside for tick in ticks] == [True, False, True, False]
    assert [tick.echoed for tick in ticks] == [(), ("aside:0:end",), ("1:0", "aside:1"), ("aside:1:end",)]


def test_clear_ends_an_aside() -> None:
    playback = Playback()
    playback.mark("aside:0")
    playback.media(LOUD * 5)
    assert playback.tick().is_aside
    playback.clear()
    playback.media(LOUD)
    assert not playback.tick().is_aside


@given(st.lists(st.binary(min_size=1, max_size=500) | st.text(max_size=2) | st.none(), max_size=30))
def test_all_sound_is_heard_once_and_all_marks_come_back_in_order(items: list[bytes | str | None]) -> None:
    """None is a tick between two messages."""
    playback, heard, echoed = Playback(), b"", []

    def tick() -> None:
        nonlocal heard
        queued_bytes = playback.queued_ms * 8
        step = playback.tick()
        echoed.extend(step.echoed)
        heard += step.frame if step.was_sent else b""
        assert step.was_sent or queued_bytes < 8

    for item in items:
        match item:
            case bytes():
                playback.media(item)
            case str():
                echoed.extend(playback.mark(item))
            case None:
                tick()
    while not playback.is_idle or playback.pending_marks:
        tick()
    sent = b"".join(item for item in items if isinstance(item, bytes))
    assert heard.replace(b"\xff", b"") == sent.replace(b"\xff", b"")
    assert echoed == [item for item in items if isinstance(item, str)]
