"""bot/lab/raw_parts.py: what the parts of a call cost by themselves."""

import os
from dataclasses import astuple

import pytest

from bot.lab.openai import OpenAiLab
from bot.lab.raw_parts import ANSWERS, RawParts, measured


def test_a_second_of_a_call_has_fifty_frames_and_its_share_of_answers() -> None:
    parts = RawParts(
        decode_us=1.0, mulaw_us=2.0, resample_us=3.0, vad_us=4.0, message_us=10.0, chat_ms=8.0, speech_ms=16.0
    )
    assert parts.call_ms(chats=0.0, speeches=0.0) == pytest.approx(1.0)
    assert parts.call_ms(chats=0.25, speeches=0.125) == pytest.approx(1.0 + 2.0 + 2.0)


async def test_every_part_is_measured_on_real_sockets() -> None:
    core = min(os.sched_getaffinity(0))
    async with OpenAiLab() as lab:
        parts = await measured(4, lab.url, core, seconds=0.5)
    assert all(cost > 0 for cost in astuple(parts))
    assert parts.mulaw_us < parts.message_us
    assert lab.report.breaches == []
    assert len(lab.report.chats) == lab.report.speeches == ANSWERS + 1
