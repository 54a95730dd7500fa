from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.audio import mulaw, vad
from bot.audio.resample import Resampler
from bot.audio.vad import SpeechEvent, Vad
from bot.conversation.events import SpeechPaused, SpeechResumed, SpeechStarted, SpeechStopped
from bot.errors import LocalProtocolError

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
SILENCE_MS = 600
SOUNDS = ["voice", "noise", "zeros", "full", "square", "missing"]
MAY_FOLLOW: dict[type | None, set[type]] = {
    None: {SpeechStarted},
    SpeechStarted: {SpeechPaused},
    SpeechPaused: {SpeechResumed, SpeechStopped},
    SpeechResumed: {SpeechPaused},
    SpeechStopped: {SpeechStarted},
}


def frames(line: bytes) -> list[bytes]:
    resampler = Resampler(8000, 16000)
    return [resampler.push(mulaw.decode(line[n : n + 160])) for n in range(0, len(line) // 160 * 160, 160)]


def hear(detector: Vad, pcm: list[bytes], from_ms: int = 0) -> list[tuple[int, SpeechEvent]]:
    told = []
    for n, frame in enumerate(pcm, start=1):
        at_ms = from_ms + 20 * n
        told += [(at_ms, event) for event in detector.push(frame, at_ms)]
    return told


def silence(ms: int) -> bytes:
    return b"\xff" * (8 * ms)


def recorded(folder: str, name: str) -> bytes:
    return (FIXTURES / folder / f"{name}.ulaw").read_bytes()


def some_utterances() -> list[str]:
    return sorted(path.stem for path in (FIXTURES / "utterances").glob("*.ulaw"))[::9]


def loud(rng: np.random.Generator) -> bytes:
    return (rng.standard_normal(320) * 5000).clip(-32768, 32767).astype("<i2").tobytes()


def voice(n_frames: int, hz: float = 140.0) -> list[bytes]:
    """A buzz that swells and fades four times a second: speech enough for any detector."""
    at = np.arange(320 * n_frames) / 16000
    pulses = sum(np.cos(2 * np.pi * k * hz * at) / (1 + abs(k - 5)) for k in range(1, 24))
    sound = 5000 * pulses * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * at - 1.57)) / np.max(np.abs(pulses))
    whole = sound.astype("<i2").tobytes()
    return [whole[n : n + 640] for n in range(0, len(whole), 640)]


@pytest.mark.parametrize("name", some_utterances())
def test_an_utterance_is_one_talk_told_in_time(name: str) -> None:
    sound = recorded("utterances", name)
    begin_ms, end_ms = SILENCE_MS, SILENCE_MS + len(sound) // 8
    told = hear(Vad(), frames(silence(SILENCE_MS) + sound + silence(SILENCE_MS)))
    events = [event for _, event in told]
    assert isinstance(events[0], SpeechStarted)
    assert begin_ms - 40 <= events[0].at_ms <= told[0][0] <= begin_ms + 300
    assert isinstance(events[-1], SpeechStopped)
    assert abs(events[-1].at_ms - end_ms) <= 80
    assert end_ms + 200 <= told[-1][0] <= end_ms + 360
    assert all(at_ms > end_ms for at_ms, event in told if isinstance(event, SpeechStopped))


def test_a_pause_is_told_before_the_stop_and_at_the_same_time_of_the_call() -> None:
    told = hear(Vad(), [bytes(640)] * 20 + voice(40) + [bytes(640)] * 30)
    (_, start), (paused_at_ms, paused), (stopped_at_ms, stopped) = told
    assert isinstance(start, SpeechStarted)
    assert isinstance(paused, SpeechPaused)
    assert isinstance(stopped, SpeechStopped)
    assert paused.at_ms == stopped.at_ms
    assert paused_at_ms - paused.at_ms == 20 * vad.SOFT_FRAMES
    assert stopped_at_ms - stopped.at_ms == 20 * vad.CUT_OFF_STOP_FRAMES


def test_a_voice_that_fades_is_waited_for_a_frame_longer() -> None:
    fading = [
        (np.frombuffer(frame, "<i2") * 10 ** (-gone_db / 20)).astype("<i2").tobytes()
        for frame, gone_db in zip(voice(40)[30:36], (6, 14, 22, 30, 38, 46), strict=True)
    ]
    told = hear(Vad(), [bytes(640)] * 20 + voice(30) + fading + [bytes(640)] * 30)
    stopped_at_ms, stopped = told[-1]
    assert isinstance(stopped, SpeechStopped)
    assert stopped_at_ms - stopped.at_ms == 20 * vad.STOP_FRAMES


def test_a_click_does_not_break_a_silence() -> None:
    click = (20000).to_bytes(2, "little") * 8 + bytes(624)
    silent = [bytes(640)] * 5
    told = hear(Vad(), [bytes(640)] * 20 + voice(40) + silent + [click] + silent + [click] + silent)
    assert [type(event) for _, event in told] == [SpeechStarted, SpeechPaused, SpeechStopped]
    assert told[-1][0] <= 1200 + 20 * (vad.STOP_FRAMES + 1)


def test_a_pause_is_taken_back() -> None:
    between = vad.SOFT_FRAMES + 1
    told = hear(Vad(), [bytes(640)] * 20 + voice(25) + [bytes(640)] * between + voice(25))
    assert [type(event) for _, event in told] == [SpeechStarted, SpeechPaused, SpeechResumed]


def test_frames_that_never_came_end_a_talk() -> None:
    detector = Vad()
    told = hear(detector, [bytes(640)] * 20 + voice(40))
    assert [type(event) for _, event in told] == [SpeechStarted]
    events = detector.missing(50, 1200 + 1000)
    assert [type(event) for event in events] == [SpeechPaused, SpeechStopped]
    assert all(1100 <= event.at_ms <= 1240 for event in events if isinstance(event, SpeechStopped))


def test_an_endless_gap_costs_no_more_than_a_long_one() -> None:
    detector = Vad()
    assert detector.missing(10**9, 20 * 10**9) == []
    assert detector.missing(0, 20 * 10**9) == []


@pytest.mark.parametrize("kind", ["white", "pink", "hum", "cough", "keyboard"])
def test_noise_alone_is_no_speech(kind: str) -> None:
    told = hear(Vad(), frames(recorded("noises", kind)))
    assert sum(isinstance(event, SpeechStarted) for _, event in told) == 0


@pytest.mark.parametrize("name", ["filler-eum-125", "filler-eo-210", "filler-geu-170"])
def test_a_held_filler_is_not_cut(name: str) -> None:
    sound = recorded("noises", name)
    told = hear(Vad(), frames(silence(SILENCE_MS) + sound + silence(SILENCE_MS)))
    stops = [at_ms for at_ms, event in told if isinstance(event, SpeechStopped)]
    assert isinstance(told[0][1], SpeechStarted)
    assert stops
    assert min(stops) >= SILENCE_MS + len(sound) // 8


def test_a_vowel_held_longer_than_the_floor_remembers_is_not_cut() -> None:
    sound = recorded("noises", "filler-eo-170")
    middle = sound[1600 : len(sound) - 1600]
    told = hear(Vad(), frames(silence(SILENCE_MS) + sound[:1600] + 2 * middle + silence(SILENCE_MS)))
    stops = [at_ms for at_ms, event in told if isinstance(event, SpeechStopped)]
    assert len(stops) == 1
    assert stops[0] >= SILENCE_MS + (1600 + 2 * len(middle)) // 8


@given(st.lists(st.tuples(st.sampled_from(SOUNDS), st.integers(1, 40)), max_size=12))
@settings(max_examples=40, deadline=None)
def test_events_come_in_order_and_state_stays_bounded(story: list[tuple[str, int]]) -> None:
    rng = np.random.default_rng(1)
    detector, last, at_ms = Vad(), None, 0
    for what, n in story:
        made = {
            "voice": voice,
            "noise": lambda n: [loud(rng) for _ in range(n)],
            "zeros": lambda n: [bytes(640)] * n,
            "full": lambda n: [b"\xff\x7f" * 320] * n,
            "square": lambda n: [(b"\xff\x7f" * 4 + b"\x00\x80" * 4) * 40] * n,
        }
        if what == "missing":
            events = detector.missing(n, at_ms + 20 * n)
        else:
            events = [event for _, event in hear(detector, made[what](n), at_ms)]
        at_ms += 20 * n
        for event in events:
            assert type(event) in MAY_FOLLOW[last]
            assert isinstance(event, SpeechResumed) or 0 <= event.at_ms <= at_ms
            last = type(event)
    held = [getattr(detector, name) for name in vars(detector)]
    assert sum(len(each) for each in held if hasattr(each, "__len__")) < 200


@given(st.binary(min_size=640, max_size=640))
@settings(max_examples=50, deadline=None)
def test_any_bytes_are_a_frame(frame: bytes) -> None:
    detector = Vad()
    for n in range(1, 4):
        assert len(detector.push(frame, 20 * n)) <= 1


@pytest.mark.parametrize("size", [0, 1, 320, 639, 641, 1280])
def test_a_frame_of_another_size_is_our_bug(size: int) -> None:
    with pytest.raises(LocalProtocolError):
        Vad().push(bytes(size), 20)


def test_features_know_their_sounds() -> None:
    at = np.arange(vad.WINDOW) / 16000
    rng = np.random.default_rng(0)
    pure, hiss = 8000 * np.sin(2 * np.pi * 440 * at), rng.standard_normal(vad.WINDOW) * 3000
    buzz = np.frombuffer(b"".join(voice(4)), "<i2").astype(float)[400 : 400 + vad.WINDOW]
    assert vad.tone(vad.spectrum(pure)) > 0.99
    assert vad.tone(vad.spectrum(hiss)) < 0.5
    assert vad.suddenness(pure) < 0.3
    assert vad.suddenness(np.eye(1, vad.WINDOW, 100)[0]) == 1
    assert vad.suddenness(np.zeros(vad.WINDOW)) == 0
    assert vad.pitch(pure) > 0.9
    assert vad.pitch(buzz) > 0.8
    assert vad.pitch(hiss) < 0.5
    assert vad.pitch(np.zeros(vad.WINDOW)) == 0
    assert vad.steadiness(vad.spectrum(pure), vad.spectrum(pure)) == pytest.approx(1)
    assert vad.steadiness(vad.spectrum(hiss), vad.spectrum(pure)) < 0.9
    assert vad.level(bytes(640)) == pytest.approx(-90.3, abs=0.1)
    assert vad.level(b"\x00\x80" * 320) == pytest.approx(0, abs=0.1)
