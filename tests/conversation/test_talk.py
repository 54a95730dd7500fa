"""A call without wires: frames become speech, gaps become silence, marks find their sentence."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.audio.frames import MULAW_FRAME_BYTES, PCM_FRAME_BYTES
from bot.conversation.commands import Command, Finalize, Recognise, Say
from bot.conversation.events import CallStarted, Interim, MarkEchoed
from bot.conversation.talk import MAX_GAP_MS, Talk, mark_name, parse_mark
from bot.conversation.turns import Turns
from bot.protocols.twilio import Mark, Media

FIXTURES = Path(__file__).parents[2] / "fixtures"
SILENCE = b"\xff" * MULAW_FRAME_BYTES


def played(talk: Talk, mulaw: bytes, at_ms: int) -> list[Command]:
    commands: list[Command] = []
    for begin in range(0, len(mulaw), MULAW_FRAME_BYTES):
        commands += talk.hear(Media(at_ms, mulaw[begin : begin + MULAW_FRAME_BYTES]))
        at_ms += 20
    return commands


def pcm(commands: list[Command]) -> bytes:
    return b"".join(command.pcm for command in commands if isinstance(command, Recognise))


def started() -> Talk:
    talk = Talk(Turns())
    talk.tell(CallStarted(first_time=False))
    return talk


def test_speech_is_recognised_and_finalized() -> None:
    utterance = (FIXTURES / "utterances" / "jia-lunch.ulaw").read_bytes()
    talk, half = started(), len(utterance) // 2 // MULAW_FRAME_BYTES * MULAW_FRAME_BYTES
    commands = played(talk, SILENCE * 25 + utterance[:half], 155)
    commands += talk.tell(Interim((1, 1), "점심에는"))
    commands += played(talk, utterance[half:] + SILENCE * 40, talk.now_ms)
    assert [c for c in commands if isinstance(c, Finalize)]
    frames = 25 + len(utterance) // MULAW_FRAME_BYTES + 40
    assert len(pcm(commands)) in (frames * PCM_FRAME_BYTES, (frames + 1) * PCM_FRAME_BYTES)


def test_a_gap_is_filled_with_silence_up_to_a_bound() -> None:
    talk = started()
    played(talk, SILENCE * 3, 155)
    assert len(pcm(played(talk, SILENCE, 155 + 60 + 400))) == 21 * PCM_FRAME_BYTES
    assert talk.now_ms == 155 + 60 + 400 + 20
    filled = len(pcm(played(talk, SILENCE, 120_000))) // PCM_FRAME_BYTES
    assert filled == MAX_GAP_MS // 20 + 1


@given(st.lists(st.integers(-2, 2), min_size=5, max_size=60))
def test_jitter_is_no_gap(jitter: list[int]) -> None:
    talk = started()
    for index, off in enumerate(jitter):
        assert len(pcm(talk.hear(Media(171 + index * 20 + off, SILENCE)))) == PCM_FRAME_BYTES


@given(st.lists(st.integers(-10_000, 200_000), max_size=20))
def test_the_call_clock_never_goes_back(stamps: list[int]) -> None:
    talk, before = started(), 0
    for stamp in stamps:
        talk.hear(Media(stamp, SILENCE))
        assert talk.now_ms >= before
        before = talk.now_ms


@pytest.mark.parametrize(
    "name", ["", "7", "7:", ":1", "a:b", "7:1:2", "responsePart", "-1:0", "9" * 5_000 + ":0", "１:０"]
)
def test_a_mark_that_is_not_ours_is_nothing(name: str) -> None:
    assert parse_mark(name) is None
    assert started().hear(Mark(name)) == []


@given(st.integers(0, 10**6), st.integers(0, 100))
def test_a_mark_tells_its_sentence(reply: int, index: int) -> None:
    assert parse_mark(mark_name(reply, index)) == MarkEchoed(reply, index)


def test_the_greeting_is_said_at_once() -> None:
    commands = Talk(Turns()).tell(CallStarted(first_time=True))
    assert any(isinstance(command, Say) for command in commands)
