"""bot/audio/segments.py: how much silence ends a segment."""

import pytest

from bot.audio.segments import Segments
from bot.audio.vad import SOFT_FRAMES, STOP_FRAMES, SpeechEvent, Vad
from bot.conversation.events import SpeechPaused, SpeechResumed, SpeechStarted, SpeechStopped
from tests.services.listening import spoken


class Detector:
    """Hears a voice in frames that are not silent, as the real one tells it."""

    def __init__(self) -> None:
        self.quiet = 0
        self.talks = False
        self.until_ms = 0

    def push(self, pcm_16k_20ms: bytes, at_ms: int) -> list[SpeechEvent]:
        if any(pcm_16k_20ms):
            events: list[SpeechEvent] = [] if self.talks else [SpeechStarted(at_ms - 20)]
            if self.talks and self.quiet >= SOFT_FRAMES:
                events = [SpeechResumed()]
            self.talks, self.quiet, self.until_ms = True, 0, at_ms
            return events
        self.quiet += 1
        if self.talks and self.quiet == SOFT_FRAMES:
            return [SpeechPaused(self.until_ms)]
        if self.talks and self.quiet == STOP_FRAMES:
            self.talks = False
            return [SpeechStopped(self.until_ms)]
        return []


def ends_of(frames: str, max_silence_ms: int) -> list[int]:
    """Where segments end, in ms; `v` is a frame with a voice."""
    segments = Segments(Detector(), max_silence_ms=max_silence_ms)
    heard = [segments.push((b"\1" if kind == "v" else b"\0") * 640) for kind in frames]
    return [(index + 1) * 20 for index, one in enumerate(heard) if one.ends_segment]


@pytest.mark.parametrize(("silence_ms", "ended_ms"), [(30, 400), (200, 400), (240, 440), (600, 800), (1500, 1700)])
def test_a_silence_that_lasts_ends_the_segment_once(silence_ms: int, ended_ms: int) -> None:
    assert ends_of("v" * 10 + " " * 200, silence_ms) == [ended_ms]


def test_a_shorter_silence_ends_nothing() -> None:
    assert ends_of("v" * 10 + " " * 29 + "v" * 10 + " " * 29 + "v", 600) == []


def test_each_segment_has_its_own_end() -> None:
    assert ends_of(("v" * 10 + " " * 30) * 3, 600) == [800, 1600, 2400]


def test_who_goes_on_after_a_short_end_has_another_segment() -> None:
    assert ends_of("v" * 10 + " " * 12 + "v" * 5 + " " * 30, 200) == [400, 740]


def test_silence_alone_ends_nothing() -> None:
    assert ends_of(" " * 500, 200) == []


def test_a_voice_is_told_frame_by_frame() -> None:
    segments = Segments(Detector(), max_silence_ms=600)
    voiced = [segments.push((b"\1" if kind == "v" else b"\0") * 640).voiced for kind in " vv" + " " * 12]
    assert voiced == [False] + [True] * 11 + [False] * 3


def test_two_recorded_utterances_are_two_segments() -> None:
    pcm = spoken("jia-rain", 300, 900) + spoken("minho-cat", 300, 900)
    segments = Segments(Vad(), max_silence_ms=600)
    ends = [at for at in range(0, len(pcm), 640) if segments.push(pcm[at : at + 640]).ends_segment]
    first = len(spoken("jia-rain", 300, 900))
    assert len(ends) == 2 and ends[0] < first < ends[1]
