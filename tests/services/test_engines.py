"""What speaks: how a server is asked, and what becomes of its connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import numpy as np
import pytest

from bot.conversation.texts import table
from bot.lab.http import Connection
from bot.lab.openai import OpenAiLab
from bot.lab.openai_behaviour import Profile
from bot.services.engines import EspeakVoice, OpenAiVoice
from bot.settings import OpenAiSettings

TEXT = "오늘은 비가 왔어요."
QUICK = Profile(first_byte_ms=0, speech_speed=1000)


class Asked(OpenAiLab):
    """The stand-in, which keeps what it was asked for."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile=profile)
        self.asked: list[dict[str, Any]] = []

    async def _speech(self, connection: Connection, asked: dict[str, Any]) -> None:
        self.asked.append(asked)
        await super()._speech(connection, asked)


@asynccontextmanager
async def speaking(profile: Profile = QUICK, model: str = "lab-tts") -> AsyncIterator[tuple[Asked, OpenAiVoice]]:
    async with Asked(profile) as lab:
        voice = OpenAiVoice(OpenAiSettings(api_key=lab.key, base_url=lab.url, tts_model=model, tts_voice="coral"))
        yield lab, voice
        await voice.close()


async def all_of(engine: OpenAiVoice | EspeakVoice, pace: float = 1.0) -> bytes:
    return b"".join([piece async for piece in engine.stream(TEXT, pace)])


async def test_a_server_is_told_the_pace_in_a_number_and_in_words() -> None:
    async with speaking() as (lab, voice):
        await all_of(voice)
        await all_of(voice, 0.8)
    own, slower = lab.asked
    assert "speed" not in own
    assert own["instructions"] == table("voice")["manner"]
    assert slower["speed"] == 0.8
    assert slower["instructions"].startswith(own["instructions"])
    assert table("voice")["slower"] in slower["instructions"]


@pytest.mark.parametrize("model", ["tts-1", "tts-1-hd"])
async def test_the_first_models_are_told_in_a_number_only(model: str) -> None:
    async with speaking(model=model) as (lab, voice):
        await all_of(voice)
        await all_of(voice, 0.8)
    assert [("instructions" in asked, asked.get("speed")) for asked in lab.asked] == [(False, None), (False, 0.8)]


async def test_a_sentence_after_one_that_was_left_finds_an_open_connection() -> None:
    async with speaking(Profile(first_byte_ms=0, speech_speed=2)) as (lab, voice):
        await voice.warm()
        async with aclosing(voice.stream(TEXT)) as pieces:
            await anext(pieces)
        async with asyncio.timeout(5):
            await lab.client_left.wait()
        await voice.warm()
        assert lab.report.connections == 2
        lab.profile.speech_speed = 1000
        await all_of(voice)
        await all_of(voice)
        assert lab.report.connections == 2
        assert lab.report.breaches == []


async def test_espeak_keeps_its_pitch_and_its_level_when_it_is_slower() -> None:
    own, slower = await all_of(EspeakVoice()), await all_of(EspeakVoice(), 0.7)
    assert len(slower) / len(own) == pytest.approx(1 / 0.7, rel=0.12)
    assert rms(slower) == pytest.approx(rms(own), rel=0.1)
    assert centre_hz(slower) == pytest.approx(centre_hz(own), rel=0.1)


def rms(pcm: bytes) -> float:
    return float(np.sqrt(np.mean(np.frombuffer(pcm, "<i2").astype(float) ** 2)))


def centre_hz(pcm: bytes) -> float:
    """Where the middle of the spectrum's power lies: it falls with the pace when a sound is only played slower."""
    samples = np.frombuffer(pcm, "<i2").astype(float)
    power = np.abs(np.fft.rfft(samples)) ** 2
    below = np.searchsorted(np.cumsum(power), power.sum() / 2)
    return float(np.fft.rfftfreq(len(samples), 1 / EspeakVoice.rate_hz)[below])
