"""The voice against the stand-in: streamed, cached, and never silent."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from itertools import count

import numpy as np
import pytest

from bot.audio import mulaw
from bot.audio.forms import TELEPHONE, WIDE, Form
from bot.conversation.commands import Manner
from bot.errors import VoiceError
from bot.lab.openai import OpenAiLab, Profile, speech
from bot.lab.openai_behaviour import Faults
from bot.services import engines, espeak, tts
from bot.services.engines import EspeakVoice, OpenAiVoice
from bot.services.tts import OWN, Voice
from bot.settings import OpenAiSettings

SENTENCE = "오늘은 손자와 함께 가까운 공원에 다녀오셨군요."
QUICK = Profile(first_token_ms=0, token_ms=0, first_byte_ms=0, speech_speed=1000)


def settings_of(lab: OpenAiLab) -> OpenAiSettings:
    return OpenAiSettings(api_key=lab.key, base_url=lab.url, model="lab", tts_model="lab-tts", tts_voice="coral")


def engine_of(lab: OpenAiLab) -> OpenAiVoice:
    return OpenAiVoice(settings_of(lab), first_byte_s=1.0, stall_s=0.3)


async def spoken(voice: Voice, sentence: str = SENTENCE, manner: Manner = OWN) -> bytes:
    frames = [part async for part in voice.frames(sentence, manner)]
    assert all(part and len(part) % 160 == 0 for part in frames)
    return b"".join(frames)


def ms(frames: bytes) -> float:
    return len(frames) / 8


def loudness_dbfs(frames: bytes) -> float:
    sound = np.frombuffer(mulaw.decode(frames), "<i2").astype(float)
    return float(20 * np.log10(np.sqrt(np.mean(sound**2)) / 32768))


def alike(one: bytes, other: bytes) -> bool:
    """Whether two sounds say the same in the same voice: espeak-ng never gives the same samples twice."""
    if abs(len(one) - len(other)) > 3 * 160:
        return False
    length = min(len(one), len(other)) // 160 * 160
    sounds = [np.frombuffer(mulaw.decode(sound[:length]), "<i2").astype(float) for sound in (one, other)]
    levels = [np.log(np.abs(sound.reshape(-1, 160)).mean(axis=1) + 10) for sound in sounds]
    return float(np.corrcoef(*levels)[0, 1]) > 0.9


def espeak_ms(text: str) -> float:
    pcm, rate_hz = espeak.synthesize(text, variant="f3")
    return len(pcm) / 2 / rate_hz * 1000


async def test_espeak_alone_speaks_whole_frames_at_its_level() -> None:
    frames = await spoken(Voice())
    assert ms(frames) == pytest.approx(espeak_ms(SENTENCE), abs=60)
    assert loudness_dbfs(frames) == pytest.approx(-20, abs=1)


async def test_the_engine_s_speech_is_streamed() -> None:
    async with OpenAiLab(profile=Profile(first_byte_ms=0, speech_speed=20)) as lab:
        engine = engine_of(lab)
        voice = Voice(engine)
        parts = [part async for part in voice.frames(SENTENCE)]
        await voice.close()
        assert len(parts) > 10, "it does not wait for the whole"
        assert ms(b"".join(parts)) == pytest.approx(len(speech(SENTENCE)) / 48, abs=100)
        assert lab.report.breaches == []


@pytest.mark.parametrize(("seconds_apart", "joined"), [(0.0, True), (10.0, False)], ids=["ahead", "behind"])
async def test_pieces_are_joined_only_while_the_engine_is_ahead_of_the_ear(
    monkeypatch: pytest.MonkeyPatch, seconds_apart: float, joined: bool
) -> None:
    ticks = count()
    monkeypatch.setattr(engines, "monotonic", lambda: next(ticks) * seconds_apart)
    async with OpenAiLab(profile=Profile(first_byte_ms=0, speech_speed=20)) as lab:
        engine = engine_of(lab)
        longest = max([len(piece) async for piece in engine.stream(SENTENCE)])
        await engine.close()
        assert (longest >= engines.MOST_BYTES) is joined


@pytest.mark.parametrize(
    "faults",
    [
        Faults(speech_status=401),
        Faults(speech_status=429),
        Faults(speech_status=500),
        Faults(cut_speech_after_bytes=0),
        Faults(stall_speech_after_bytes=0),
        Faults(never_first_byte=True),
        *(Faults(speech_type=kind) for kind in ("audio/mpeg", "audio/x-wav", "text/html; charset=utf-8", "video/mp4")),
        *(
            Faults(speech_body=body)
            for body in (b"", b"RIFF\x24\x00\x00\x00WAVE", b"\xff\xfb\x90\x64", b'{"error": 1}')
        ),
    ],
)
async def test_a_voice_that_does_not_begin_is_replaced_in_the_same_sentence(faults: Faults) -> None:
    async with OpenAiLab(profile=QUICK, faults=faults) as lab:
        engine = engine_of(lab)
        with pytest.raises(VoiceError):
            _ = [piece async for piece in engine.stream(SENTENCE)]
        assert alike(await spoken(Voice(engine)), await spoken(Voice()))
        await engine.close()


@pytest.mark.parametrize("form", [TELEPHONE, WIDE], ids=["telephone", "browser"])
async def test_it_is_told_for_each_sentence_that_espeak_says_in_the_voice_s_place(form: Form) -> None:
    told: list[str] = []
    async with OpenAiLab(profile=QUICK) as lab:
        voice = Voice(engine_of(lab), fell_back=partial(told.append, "fell back"))
        there = voice if form is TELEPHONE else voice.also(form, lines=(), short=())
        _ = [part async for part in there.frames(SENTENCE)]
        assert told == []
        lab.faults.speech_status = 500
        _ = [part async for part in there.frames(SENTENCE)]
        await voice.close()
    assert told == ["fell back"]


async def test_espeak_alone_falls_back_on_nothing() -> None:
    told: list[str] = []
    await spoken(Voice(fell_back=partial(told.append, "fell back")))
    assert told == []


async def test_an_unreachable_voice_is_replaced() -> None:
    async with OpenAiLab(profile=QUICK) as lab:
        settings = settings_of(lab)
    assert alike(await spoken(Voice(OpenAiVoice(settings))), await spoken(Voice()))


@pytest.mark.parametrize("fault", ["cut_speech_after_bytes", "stall_speech_after_bytes"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
async def test_a_voice_that_breaks_in_the_middle_is_continued_near_the_word_it_reached(
    fault: str, share: float
) -> None:
    whole = len(speech(SENTENCE))
    async with OpenAiLab(profile=QUICK) as lab:
        voice = Voice(engine_of(lab))
        await spoken(voice)  # learns how fast the engine speaks
        setattr(lab.faults, fault, int(whole * share) // 2 * 2)
        frames = await spoken(voice)
        await voice.close()
    expected = len(speech(SENTENCE)) / 48 * share + espeak_ms(SENTENCE) * (1 - share)
    longest_word = espeak_ms("다녀오셨군요.")
    assert expected - longest_word / 2 < ms(frames) < expected + longest_word + 200


class Scripted:
    """An engine of 24 kHz that gives so many seconds of tone, at its own pace, and then fails, or not."""

    rate_hz = 24_000

    def __init__(self, seconds: float, *, fails: bool) -> None:
        self.seconds, self.fails, self.asked = seconds, fails, 0
        self.closed = 0

    async def stream(self, text: str, pace: float) -> AsyncGenerator[bytes]:
        self.asked += 1
        at = np.arange(int(self.rate_hz * self.seconds / pace))
        try:
            for piece in np.array_split((6000 * np.sin(at * 0.1)).astype("<i2"), 20):
                await asyncio.sleep(0)
                yield piece.tobytes()
            if self.fails:
                raise VoiceError("scripted")
        finally:
            self.closed += 1


async def test_the_word_that_was_cut_is_where_it_goes_on() -> None:
    _, _, words = espeak.synthesize_words(SENTENCE, variant="f3")
    reached_ms = words[3][1] + 100  # in the middle of the fourth word
    heard = []

    class Listening(EspeakVoice):
        async def stream(self, text: str, pace: float = 1.0) -> AsyncGenerator[bytes]:
            heard.append(text)
            async for piece in super().stream(text, pace):
                yield piece

    await spoken(Voice(Scripted(reached_ms / 1000, fails=True), fallback=Listening()))
    assert heard == [SENTENCE[words[3][0] :]]


async def test_a_failing_engine_rests_and_is_tried_again() -> None:
    now = 0.0
    engine = Scripted(0, fails=True)
    voice = Voice(engine, clock=lambda: now)
    for _ in range(5):
        assert await spoken(voice)
    assert engine.asked == 2
    now = 31.0
    await spoken(voice)
    assert engine.asked == 3
    await spoken(voice)
    assert engine.asked == 3, "one try, then it rests again"
    engine.seconds, engine.fails, now = 1.0, False, 70.0
    await spoken(voice)
    await spoken(voice)
    assert engine.asked == 5


async def test_a_sentence_that_is_left_leaves_the_trial_to_the_next() -> None:
    now = 0.0
    engine = Scripted(0, fails=True)
    voice = Voice(engine, clock=lambda: now)
    for _ in range(2):
        await spoken(voice)
    engine.seconds, engine.fails, now = 1.0, False, 31.0
    async with aclosing(voice.frames(SENTENCE)) as trial:
        await anext(trial)
        await spoken(voice)
        assert engine.asked == 3, "only one at a time tries it"
    await spoken(voice)
    await spoken(voice)
    assert engine.asked == 5


class Paced(Scripted):
    """An engine that gives its tone so many times faster than it is played, and after a while no more, or silence."""

    def __init__(self, *, speed: float, stalls_after_s: float = 60.0, silence_s: float = 0.0) -> None:
        super().__init__(3.0, fails=False)
        self.speed, self.stalls_after_s, self.silence_s = speed, stalls_after_s, silence_s

    async def stream(self, text: str, pace: float) -> AsyncGenerator[bytes]:
        given_s = 0.0
        async with aclosing(super().stream(text, pace)) as pieces:
            async for piece in pieces:
                await asyncio.sleep(0.15 / self.speed)
                yield piece
                given_s += 0.15
                if given_s >= self.stalls_after_s:
                    break
        for _ in range(int(self.silence_s / 0.05)):
            await asyncio.sleep(0.05)
            yield bytes(2 * self.rate_hz // 20)
        if self.stalls_after_s < 60.0:
            await asyncio.Event().wait()


async def longest_gap_s(voice: Voice) -> float:
    """The longest time for which a player that plays what it gets at once has nothing to play."""
    now = asyncio.get_running_loop().time
    gap_s, plays_until_s = 0.0, None
    async with aclosing(voice.frames(SENTENCE)) as parts:
        async for part in parts:
            begins_s = now()
            if plays_until_s is not None:
                gap_s = max(gap_s, begins_s - plays_until_s)
                begins_s = max(begins_s, plays_until_s)
            plays_until_s = begins_s + ms(part) / 1000
    return gap_s


@pytest.mark.parametrize("speed", [0.2, 0.5, 0.8])
async def test_a_voice_slower_than_it_is_played_makes_one_short_gap_and_then_rests(speed: float) -> None:
    engine = Paced(speed=speed)
    voice = Voice(engine, fallback=EspeakVoice())
    await spoken(Voice())  # espeak-ng is loaded
    for _ in range(2):
        assert await longest_gap_s(voice) < tts.GAP_S + 0.25
    assert await longest_gap_s(voice) < 0.05
    assert engine.asked == engine.closed == 2


async def test_a_voice_just_as_fast_as_it_is_played_is_kept() -> None:
    engine = Paced(speed=1.05)
    voice = Voice(engine)
    assert ms(await spoken(voice)) == pytest.approx(3000, abs=150)
    assert await longest_gap_s(voice) < 0.1
    assert engine.asked == 2


async def test_a_voice_far_ahead_that_stalls_is_gone_on_for_before_the_caller_hears_much_of_it() -> None:
    await spoken(Voice())
    voice = Voice(Paced(speed=20, stalls_after_s=0.9))
    assert await longest_gap_s(voice) < tts.GAP_S + 0.25


async def test_a_voice_that_is_only_silent_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tts, "FIRST_SOUND_S", 0.4)
    engine = Paced(speed=1, silence_s=10)
    engine.seconds = 0
    began_s = asyncio.get_running_loop().time()
    assert alike(await spoken(Voice(engine)), await spoken(Voice()))
    assert asyncio.get_running_loop().time() - began_s < 3


async def test_a_voice_that_falls_silent_in_a_sentence_is_gone_on_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tts, "SILENCE_S", 0.3)
    engine = Paced(speed=20, silence_s=30)
    engine.seconds = 0.6
    began_s = asyncio.get_running_loop().time()
    assert await longest_gap_s(Voice(engine)) < 0.3 + 0.3
    assert asyncio.get_running_loop().time() - began_s < 3


async def test_the_time_a_consumer_takes_is_not_the_voice_s() -> None:
    engine = Paced(speed=50)
    voice = Voice(engine)
    given = b""
    async with aclosing(voice.frames(SENTENCE)) as parts:
        async for part in parts:
            given += part
            await asyncio.sleep(0.05)
    assert ms(given) == pytest.approx(3000, abs=150)


async def test_fixed_lines_are_rendered_once() -> None:
    async with OpenAiLab(profile=QUICK) as lab:
        voice = Voice(engine_of(lab))
        lines = [f"{n}번째 인사를 드립니다." for n in range(1, 7)]
        await voice.prepare([*lines, lines[0]])
        asked = len(lab.report.requests)
        assert asked == 6
        parts = [part async for part in voice.frames(lines[2])]
        assert len(parts) == 1, "all of it at once"
        await voice.prepare(lines)
        assert len(lab.report.requests) == asked
        await voice.close()


async def test_a_line_the_engine_could_not_say_is_there_and_tried_again() -> None:
    async with OpenAiLab(profile=QUICK, faults=Faults(speech_status=500)) as lab:
        now = 0.0
        voice = Voice(engine_of(lab), clock=lambda: now)
        await voice.prepare([SENTENCE])
        assert alike(await spoken(voice), await spoken(Voice()))
        lab.faults.speech_status, now = None, 60.0
        await voice.prepare([SENTENCE])
        assert ms(await spoken(voice)) == pytest.approx(len(speech(SENTENCE)) / 48, abs=100)
        assert len(lab.report.requests) == 2
        await voice.close()


async def test_stopping_in_the_middle_ends_the_request() -> None:
    async with OpenAiLab(profile=Profile(first_byte_ms=0, speech_speed=2)) as lab:
        voice = Voice(engine_of(lab))
        async with aclosing(voice.frames(SENTENCE)) as frames:
            assert await anext(frames)
        async with asyncio.timeout(5):
            await lab.client_left.wait()
        assert lab.report.cancelled == 1
        await voice.close()


async def test_ten_sentences_at_once_are_the_same_as_alone() -> None:
    sentences = ["비가 왔어요.", "친구를 만나서 밥을 먹었어요.", "잘 잤어요.", "저녁에는 산책을 다녀왔답니다."] * 3
    voice = Voice()
    alone = [await spoken(voice, sentence) for sentence in sentences]
    assert not alike(alone[0], alone[1])
    assert not alike(alone[1], alone[3])
    together = await asyncio.gather(*(spoken(voice, sentence) for sentence in sentences))
    assert all(alike(one, other) for one, other in zip(together, alone, strict=True))


async def test_what_has_no_sound_gives_no_frames() -> None:
    engine = Scripted(1, fails=False)
    for text in ("", "…", "😀", "\n"):
        assert await spoken(Voice(engine), text) == b""
    assert engine.asked == 0


async def test_an_engine_without_sound_is_replaced() -> None:
    assert alike(await spoken(Voice(Scripted(0, fails=False))), await spoken(Voice()))


# ── slower, louder, at once ────────────────────────────────────────────────────────────────────────────────────────

SLOWER = Manner(pace=0.8)
LOUDER = Manner(gain_db=6.0)


@pytest.mark.parametrize("pace", [0.8, 0.7])
@pytest.mark.parametrize("has_engine", [True, False])
async def test_slower_takes_longer_as_asked(has_engine: bool, pace: float) -> None:
    async with OpenAiLab(profile=QUICK) as lab:
        voice = Voice(engine_of(lab) if has_engine else None)
        own, slower = await spoken(voice), await spoken(voice, manner=Manner(pace=pace))
        await voice.close()
        assert lab.report.breaches == []
    assert ms(slower) / ms(own) == pytest.approx(1 / pace, rel=0.12)


async def test_louder_is_louder_whether_made_or_from_memory() -> None:
    voice = Voice()
    own = await spoken(voice)
    made = await spoken(voice, manner=LOUDER)
    assert loudness_dbfs(made) - loudness_dbfs(own) == pytest.approx(6, abs=0.5)
    await voice.prepare([SENTENCE])
    kept = await spoken(voice, manner=LOUDER)
    assert loudness_dbfs(kept) - loudness_dbfs(await spoken(voice)) == pytest.approx(6, abs=0.5)
    assert voice.cached(SENTENCE, LOUDER) == kept


async def test_a_fixed_line_is_made_once_for_each_pace() -> None:
    engine = Scripted(1, fails=False)
    voice = Voice(engine)
    await voice.prepare([SENTENCE])
    slow = await spoken(voice, manner=SLOWER)
    assert ms(slow) == pytest.approx(1250, abs=150)
    assert await spoken(voice, manner=SLOWER) == slow
    assert await spoken(voice, manner=Manner(0.8, 6.0)) != slow
    assert engine.asked == 2
    await spoken(voice, manner=Manner(0.7))
    assert engine.asked == 3
    assert ms(await spoken(voice)) == pytest.approx(1000, abs=150)
    assert engine.asked == 3
    for _ in range(2):
        await spoken(voice, "정해지지 않은 말이에요.", SLOWER)
    assert engine.asked == 5, "what is no fixed line is not kept"


async def test_a_slower_line_that_was_left_or_broke_is_not_kept() -> None:
    engine = Scripted(1, fails=False)
    voice = Voice(engine)
    await voice.prepare([SENTENCE])
    async with aclosing(voice.frames(SENTENCE, SLOWER)) as frames:
        await anext(frames)
    engine.fails = True
    await spoken(voice, manner=SLOWER)
    engine.fails = False
    assert ms(await spoken(voice, manner=SLOWER)) == pytest.approx(1250, abs=150)
    assert engine.asked == 4


async def test_lines_at_other_paces_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tts, "PACED_LINES", 2)
    engine = Scripted(0.1, fails=False)
    voice = Voice(engine)
    lines = ["하나요.", "둘이요.", "셋이요."]
    await voice.prepare(lines)
    for line in lines:
        await spoken(voice, line, SLOWER)
    await spoken(voice, lines[2], SLOWER)
    assert engine.asked == 6
    await spoken(voice, lines[0], SLOWER)
    assert engine.asked == 7


async def test_a_line_in_memory_is_there_at_once_and_no_other_is() -> None:
    voice = Voice()
    assert voice.cached("네.") is None
    await voice.prepare(["네."])
    frames = voice.cached("네.")
    assert frames is not None
    assert frames == await spoken(voice, "네.")
    assert voice.cached("네.", SLOWER) == frames, "better at its own pace than not at all"
    slow = await spoken(voice, "네.", SLOWER)
    assert slow != frames
    assert voice.cached("네.", SLOWER) == slow
    assert voice.cached("네") is None


async def test_a_slower_voice_that_breaks_is_continued_slower_near_the_word_it_reached() -> None:
    whole = len(speech(SENTENCE, 0.8))
    async with OpenAiLab(profile=QUICK) as lab:
        voice = Voice(engine_of(lab))
        await spoken(voice)
        await spoken(voice, manner=SLOWER)
        lab.faults.cut_speech_after_bytes = whole // 4 * 2
        frames = await spoken(voice, manner=SLOWER)
        await voice.close()
    expected = (whole / 48 + espeak_ms(SENTENCE) / 0.8) / 2
    longest_word = espeak_ms("다녀오셨군요.") / 0.8
    assert expected - longest_word / 2 < ms(frames) < expected + longest_word + 200


async def test_a_warm_voice_has_its_connection_before_the_first_sentence() -> None:
    async with OpenAiLab(profile=QUICK) as lab:
        voice = Voice(engine_of(lab))
        await voice.warm()
        await spoken(voice)
        await voice.warm()
        await spoken(voice)
        assert lab.report.connections == 1
        await voice.close()
    await voice.warm()
    await Voice().warm()
