"""bot/protocols/jobs.py: requests for jobs, and what comes and goes over their sockets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import RemoteProtocolError
from bot.protocols.jobs import (
    Audio,
    ConnectionSuccess,
    Ended,
    Failure,
    FinalSummary,
    JobRequest,
    JobStream,
    TranscriptSegment,
    encode,
    parse_request,
)


@pytest.mark.parametrize("body", [b"", b"  \n", b"{}"])
def test_a_request_may_ask_for_nothing(body: bytes) -> None:
    wanted = parse_request(body)
    assert wanted == JobRequest()
    assert (wanted.max_silence_ms, wanted.summary, wanted.title) == (600, True, None)


def test_a_request_says_what_the_job_is_to_be() -> None:
    body = '{"language":"ko","max_silence_frames":200,"sample_rate":16000,"summary":false,"title":"회의"}'
    assert parse_request(body.encode()) == JobRequest(
        language="ko", max_silence_frames=200, summary=False, title="회의"
    )


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ('{"languages":"ko"}', "languages"),
        ('{"language":"Korean"}', "language"),
        (r'{"language":"ko\n"}', "language"),
        ('{"max_silence_frames":0}', "max_silence_frames"),
        ('{"max_silence_frames":201}', "max_silence_frames"),
        ('{"max_silence_frames":"20"}', "max_silence_frames"),
        ('{"max_silence_frames":20.5}', "max_silence_frames"),
        ('{"sample_rate":8000}', "sample_rate"),
        ('{"summary":1}', "summary"),
        ('{"title":' + json.dumps("가" * 201) + "}", "title"),
        ("[]", "object"),
        ("null", "object"),
        ("{", "JSON"),
        ("ok", "JSON"),
    ],
)
def test_a_request_that_cannot_be_used_is_told_why(body: str, named: str) -> None:
    with pytest.raises(RemoteProtocolError, match=named):
        parse_request(body.encode())


@given(st.binary(max_size=200))
def test_any_body_is_a_request_or_a_clear_error(body: bytes) -> None:
    try:
        assert isinstance(parse_request(body), JobRequest)
    except RemoteProtocolError as error:
        assert str(error)


@given(st.lists(st.binary(max_size=2000), max_size=20))
def test_audio_in_pieces_of_any_size_is_the_same_audio_in_whole_frames(pieces: list[bytes]) -> None:
    stream, frames = JobStream(), []
    for piece in pieces:
        inbound = stream.receive(piece)
        assert isinstance(inbound, Audio)
        frames += inbound.frames
    frames += stream.flush()
    sent = b"".join(pieces)
    assert all(len(frame) == 640 for frame in frames)
    assert b"".join(frames) == sent + bytes(-len(sent) % 640)
    assert stream.flush() == []


def test_half_a_sample_waits_for_its_other_half() -> None:
    stream = JobStream()
    assert stream.receive(b"\1\2" * 319 + b"\1") == Audio([])
    assert stream.receive(b"\2") == Audio([b"\1\2" * 320])


@pytest.mark.parametrize("message", ['{"type":"end"}', '{ "type" : "end", "why": "done" }'])
def test_a_client_says_that_it_has_sent_all(message: str) -> None:
    assert JobStream().receive(message) == Ended()


@pytest.mark.parametrize(
    "message", ["", "end", "{", "[]", "{}", '{"type":1}', '{"type":"start"}', "[" * 10000, '"end"']
)
def test_any_other_text_is_an_error_and_the_stream_goes_on(message: str) -> None:
    stream = JobStream()
    stream.receive(b"\1" * 100)
    with pytest.raises(RemoteProtocolError, match="end"):
        stream.receive(message)
    assert stream.receive(b"\1" * 540) == Audio([b"\1" * 640])


@given(st.text(max_size=100))
def test_whatever_is_said_it_is_read_or_refused(message: str) -> None:
    try:
        assert JobStream().receive(message) == Ended()
    except RemoteProtocolError:
        pass


def test_messages_have_the_documented_fields() -> None:
    assert json.loads(encode(ConnectionSuccess("j", 1500, 2))) == {
        "type": "connection_success",
        "job_id": "j",
        "audio_ms": 1500,
        "segments": 2,
        "sample_rate": 16000,
        "chunk_bytes": 960,
    }
    assert json.loads(encode(TranscriptSegment(0, "네", 0.3, 1.25))) == {
        "type": "transcript_segment",
        "index": 0,
        "text": "네",
        "start_time": 0.3,
        "end_time": 1.25,
        "is_final": True,
    }
    assert json.loads(encode(FinalSummary("j", None, 0, 2.0))) == {
        "type": "final_summary",
        "job_id": "j",
        "summary": None,
        "segments": 0,
        "duration": 2.0,
    }
    assert json.loads(encode(Failure("IDLE", "why"))) == {"type": "error", "code": "IDLE", "message": "why"}
