"""The voice for browsers: the same voice at its own rate, rendered when it is needed."""

import asyncio
from collections.abc import AsyncGenerator

import numpy as np
import pytest

from bot.audio import mulaw
from bot.audio.forms import TELEPHONE, WIDE
from bot.audio.resample import Encoder
from bot.conversation.commands import Manner
from bot.conversation.lines import LINES
from bot.lab.openai import OpenAiLab, Profile
from bot.lab.openai_behaviour import Faults
from bot.services.engines import OpenAiVoice
from bot.services.shaping import Louder, louder
from bot.services.tts import OWN, Voice
from bot.settings import OpenAiSettings
from bot.wiring import wide_voice_of

SENTENCE = "오늘은 손자와 함께 가까운 공원에 다녀오셨군요."
QUICK = Profile(first_byte_ms=0, speech_speed=1000)


def engine_of(lab: OpenAiLab) -> OpenAiVoice:
    settings = OpenAiSettings(api_key=lab.key, base_url=lab.url, model="lab", tts_model="lab-tts", tts_voice="coral")
    return OpenAiVoice(settings, first_byte_s=1.0, stall_s=0.3)


def asked(lab: OpenAiLab) -> int:
    return sum("speech" in request for request in lab.report.requests)


async def spoken(voice: Voice, sentence: str = SENTENCE, manner: Manner = OWN) -> bytes:
    frames = [part async for part in voice.frames(sentence, manner)]
    assert all(part and len(part) % voice.form.frame_bytes == 0 for part in frames)
    return b"".join(frames)


def level_dbfs(pcm: bytes) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.frombuffer(pcm, "<i2").astype(float) ** 2)) / 32768))


def share_above(pcm: bytes, hz: int) -> float:
    power = np.abs(np.fft.rfft(np.frombuffer(pcm, "<i2").astype(float))) ** 2
    return float(power[hz * len(power) * 2 // WIDE.rate_hz :].sum() / power.sum())


class Humming:
    """An engine that hums at 24 kHz."""

    rate_hz = WIDE.rate_hz
    pcm = (np.sin(np.arange(24_000) ** 1.2 / 50) * 5_000).astype("<i2")

    async def stream(self, text: str, pace: float) -> AsyncGenerator[bytes]:
        yield self.pcm.tobytes()


async def test_what_an_engine_makes_at_24_khz_goes_out_as_it_is() -> None:
    made = np.frombuffer(await spoken(wide_voice_of(Voice(Humming()))), "<i2")
    first = next(at for at in np.flatnonzero(made == Humming.pcm[12_000]) if made[at + 1] == Humming.pcm[12_001])
    assert np.array_equal(made[first : first + 8_000], Humming.pcm[12_000:20_000])


async def test_espeak_is_no_telephone_in_a_browser() -> None:
    phone = Voice()
    wide = wide_voice_of(phone)
    narrow = mulaw.decode(await spoken(phone))
    made = await spoken(wide)
    assert level_dbfs(made) == pytest.approx(level_dbfs(narrow), abs=1.5)
    assert share_above(made, 4_000) > 0.002


async def test_nothing_is_rendered_before_somebody_is_there_and_then_only_what_is_short() -> None:
    async with OpenAiLab(profile=QUICK) as lab:
        phone = Voice(engine_of(lab))
        wide = wide_voice_of(phone)
        short = {*LINES.backchannels, *LINES.filler}
        assert wide.cached("네.") is None and not asked(lab)
        await wide.warm()
        assert asked(lab) == len(short)
        assert all(wide.cached(line) for line in short) and phone.cached("네.") is None
        await wide.warm()
        assert asked(lab) == len(short)
        await phone.close()


async def test_what_espeak_said_while_the_engine_was_away_is_made_anew_when_it_is_back() -> None:
    now = 0.0
    async with OpenAiLab(profile=QUICK, faults=Faults(speech_status=500)) as lab:
        phone = Voice(engine_of(lab), clock=lambda: now)
        wide = wide_voice_of(phone)
        await wide.warm()
        by_espeak = wide.cached("네.")
        await wide.warm()
        assert by_espeak and wide.cached("네.") == by_espeak
        lab.faults.speech_status = None
        now = 60.0
        await wide.warm()
        await wide.warm()
        before = asked(lab)
        assert wide.cached("네.") != by_espeak
        await wide.warm()
        assert asked(lab) == before
        await phone.close()


async def test_a_fixed_line_is_asked_for_once_and_nothing_else_is_kept() -> None:
    async with OpenAiLab(profile=QUICK) as lab:
        wide = wide_voice_of(Voice(engine_of(lab)))
        for _ in range(2):
            await spoken(wide, LINES.ask_correction[0])
            await spoken(wide, SENTENCE)
        assert asked(lab) == 3
        assert wide.cached(LINES.ask_correction[0]) and wide.cached(SENTENCE) is None
        slow = Manner(pace=0.8)
        for _ in range(2):
            await spoken(wide, LINES.ask_correction[0], slow)
        assert asked(lab) == 4
        await wide.close()


async def test_a_line_that_broke_off_is_not_kept() -> None:
    wide = wide_voice_of(Voice())
    async for _ in (frames := wide.frames(LINES.ask_correction[0])):
        break
    await frames.aclose()
    assert wide.cached(LINES.ask_correction[0]) is None


async def test_both_lines_know_that_the_engine_is_away() -> None:
    async with OpenAiLab(profile=QUICK, faults=Faults(speech_status=500)) as lab:
        phone = Voice(engine_of(lab))
        wide = wide_voice_of(phone)
        for _ in range(6):
            assert await spoken(wide)
        before = asked(lab)
        assert await spoken(phone)
        assert asked(lab) == before
        await phone.close()


def test_louder_knows_frames_of_any_form() -> None:
    tone = (np.sin(np.arange(24_000) * 2 * np.pi * 300 / 24_000) * 3_000).astype("<i2").tobytes()
    sentence, streamed = Louder(6.0, WIDE), b""
    for at in range(0, len(tone), 3 * WIDE.frame_bytes):
        streamed += sentence.push(tone[at : at + 3 * WIDE.frame_bytes])
    streamed += sentence.finish()
    assert streamed == louder(tone, 6.0, WIDE) and len(streamed) == len(tone)
    assert level_dbfs(streamed) == pytest.approx(level_dbfs(tone) + 6, abs=0.1)


@pytest.mark.parametrize("form", [TELEPHONE, WIDE])
@pytest.mark.parametrize("from_hz", [22_050, 24_000])
def test_sound_of_any_rate_becomes_whole_frames_of_a_form(form: object, from_hz: int) -> None:
    assert form in (TELEPHONE, WIDE)
    known = TELEPHONE if form is TELEPHONE else WIDE
    encoder = Encoder(from_hz, known)
    made = b"".join(encoder.push(bytes(1_001)) for _ in range(40)) + encoder.flush()
    assert len(made) % known.frame_bytes == 0
    assert known.length_ms(len(made)) == pytest.approx(40 * 1_001 / 2 / from_hz * 1000, abs=25)


async def test_many_at_once_are_warmed_without_harm() -> None:
    wide = wide_voice_of(Voice())
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(wide.warm())
    assert wide.cached("음.")
