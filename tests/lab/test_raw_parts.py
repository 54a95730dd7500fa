"""bot/lab/raw_parts.py: what the parts of a call cost by themselves."""

import os
from dataclasses import astuple

import pytest

from bot.lab.openai import OpenAiLab
from bot.lab.raw_parts import ANSWERS, AT_ONCE, NotMeasured, RawParts, Talk, measured


def test_a_second_of_a_call_has_fifty_frames_and_its_share_of_answers() -> None:
    parts = RawParts(
        decode_us=1.0, mulaw_us=2.0, resample_us=3.0, vad_us=4.0, message_us=10.0, chat_ms=8.0, speech_ms=16.0
    )
    assert parts.call_ms(chats=0.0, speeches=0.0) == pytest.approx(1.0)
    assert parts.call_ms(chats=0.25, speeches=0.125) == pytest.approx(1.0 + 2.0 + 2.0)


async def test_every_part_is_measured_on_real_sockets() -> None:
    core = min(os.sched_getaffinity(0))
    async with OpenAiLab() as lab:
        parts = await measured(4, lab.url, core, Talk(["오늘은 걸었어요", "비가 왔어요"], 12), seconds=0.5)
    assert all(cost > 0 for cost in astuple(parts))
    assert parts.mulaw_us < parts.message_us
    assert lab.report.breaches == []
    assert len(lab.report.chats) == lab.report.speeches == ANSWERS + AT_ONCE
    assert lab.report.spoken_chars == 12 * lab.report.speeches


async def test_a_process_that_ends_without_a_result_is_told() -> None:
    with pytest.raises(NotMeasured, match="exit status 1"):
        await measured(1, "http://127.0.0.1:9/v1", min(os.sched_getaffinity(0)), Talk([], 12), seconds=0.1)
