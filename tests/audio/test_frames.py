import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.audio import frames
from bot.audio.frames import Framer


def test_sizes_are_20_ms() -> None:
    assert frames.MULAW_FRAME_BYTES == 160
    assert frames.PCM_FRAME_BYTES == 640


@given(st.lists(st.binary(max_size=400), max_size=12))
def test_frames_are_whole_and_nothing_is_lost(chunks: list[bytes]) -> None:
    framer = Framer()
    out = [framer.push(chunk) for chunk in chunks]
    assert all(len(each) % 160 == 0 for each in out)
    last = framer.flush()
    whole = b"".join(chunks)
    assert len(last) in (0, 160)
    assert b"".join(out) + last == whole + b"\xff" * (-len(whole) % 160)


def test_flush_begins_anew() -> None:
    framer = Framer()
    framer.push(b"abc")
    assert framer.flush() == b"abc".ljust(160, b"\xff")
    assert framer.flush() == b""
    assert framer.push(b"x" * 160) == b"x" * 160


def test_another_size_and_padding() -> None:
    framer = Framer(4, b"\0")
    assert framer.push(b"12345") == b"1234"
    assert framer.flush() == b"5\0\0\0"


@pytest.mark.parametrize(("frame_bytes", "padding"), [(0, b"\0"), (-1, b"\0"), (4, b""), (4, b"ab")])
def test_a_senseless_framer_is_refused(frame_bytes: int, padding: bytes) -> None:
    with pytest.raises(ValueError, match=r"frame|padding"):
        Framer(frame_bytes, padding)
