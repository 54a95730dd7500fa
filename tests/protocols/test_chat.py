"""bot/protocols/chat.py: what is taken, what is refused and why, and how events are spelt."""

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.protocols.chat import (
    BadMessage,
    Fault,
    Metadata,
    Source,
    StreamEnd,
    StreamError,
    StreamSources,
    StreamStart,
    StreamToken,
    encode,
    encode_sse,
    failure,
    named_session,
    parse,
)

ID = "3F2504E0-4f89-41d3-9a0c-0305e82c3301"
GOOD = {"type": "message", "message_id": ID, "content": "어제 뭐 했지?", "session_id": "s-1"}


def text(**changes: object) -> str:
    return json.dumps({**GOOD, **changes}, ensure_ascii=False)


def without(name: str) -> str:
    return json.dumps({key: value for key, value in GOOD.items() if key != name})


def test_a_message_is_taken_as_it_is() -> None:
    message = parse(text(something="else"))
    assert (message.message_id, message.content, message.session_id) == (ID, "어제 뭐 했지?", "s-1")
    assert parse(text().encode()) == message


@pytest.mark.parametrize("absent", [without("session_id"), text(session_id=None)])
def test_a_session_need_not_be_named(absent: str) -> None:
    assert parse(absent).session_id is None


@pytest.mark.parametrize("content", ["가", "가" * 10_000, "😀" * 10_000, " 가 ", "\u0000가"])
def test_a_question_has_from_one_to_ten_thousand_letters(content: str) -> None:
    assert parse(text(content=content)).content == content


@pytest.mark.parametrize(
    ("message", "fault", "told_id"),
    [
        ("", Fault.NOT_JSON, None),
        ("{", Fault.NOT_JSON, None),
        ("안녕", Fault.NOT_JSON, None),
        (b"\xff\xfe", Fault.NOT_JSON, None),
        (text() + "}", Fault.NOT_JSON, None),
        ('{"type":"message","message_id":"' + ID + '","content":"\\ud800"}', Fault.NOT_JSON, None),
        ('{"x":' + "[" * 100_000, Fault.NOT_JSON, None),
        ("[]", Fault.NOT_A_MESSAGE, None),
        ("3", Fault.NOT_A_MESSAGE, None),
        ("null", Fault.NOT_A_MESSAGE, None),
        (without("type"), Fault.NOT_A_MESSAGE, ID),
        (text(type="ping"), Fault.NOT_A_MESSAGE, ID),
        (text(type=3), Fault.NOT_A_MESSAGE, ID),
        (without("message_id"), Fault.BAD_MESSAGE_ID, None),
        (text(message_id=3), Fault.BAD_MESSAGE_ID, None),
        (text(message_id="one"), Fault.BAD_MESSAGE_ID, None),
        (text(message_id=ID + "\n"), Fault.BAD_MESSAGE_ID, None),
        (text(message_id=ID.replace("-", "")), Fault.BAD_MESSAGE_ID, None),
        (without("content"), Fault.BAD_CONTENT, ID),
        (text(content=""), Fault.BAD_CONTENT, ID),
        (text(content=" \n"), Fault.BAD_CONTENT, ID),
        (text(content="가" * 10_001), Fault.BAD_CONTENT, ID),
        (text(content=["가"]), Fault.BAD_CONTENT, ID),
        (text(session_id=""), Fault.BAD_SESSION_ID, ID),
        (text(session_id="s" * 65), Fault.BAD_SESSION_ID, ID),
        (text(session_id=3), Fault.BAD_SESSION_ID, ID),
    ],
)
def test_what_is_no_message_is_refused_by_name(message: str | bytes, fault: Fault, told_id: str | None) -> None:
    with pytest.raises(BadMessage) as error:
        parse(message)
    assert (error.value.fault, error.value.message_id) == (fault, told_id)
    assert "어제" not in str(error.value)


@given(st.one_of(st.text(), st.binary()))
def test_nothing_that_comes_breaks_the_reader(message: str | bytes) -> None:
    with pytest.raises(BadMessage):
        parse(message)


@given(st.dictionaries(st.sampled_from(["type", "message_id", "content", "session_id"]), st.text() | st.integers()))
def test_a_message_of_the_wrong_kind_is_a_validation_error(fields: dict[str, object]) -> None:
    try:
        message = parse(json.dumps(fields))
    except BadMessage as error:
        assert failure(error.fault, None).error_code == "WS-002-VALIDATION_ERROR"
    else:
        assert message.content == fields["content"]


CODES = {
    "WS-001-INVALID_JSON",
    "WS-002-VALIDATION_ERROR",
    "WS-003-SERVICE_NOT_INITIALIZED",
    "WS-999-INTERNAL_ERROR",
    "GEN-001-MODEL_FAILED",
    "GEN-002-TOO_SLOW",
    "GEN-003-TOO_MANY_WAITING",
    "GEN-004-TOO_OFTEN",
    "SEARCH-001-UNAVAILABLE",
}


def test_every_fault_has_a_code_and_tells_a_person_in_korean_what_to_do() -> None:
    events = [failure(fault, ID) for fault in Fault]
    assert {event.error_code for event in events} == CODES
    assert [event.reason for event in events] == list(Fault)
    for event in events:
        assert event.solutions
        for told in (event.message, *event.solutions):
            assert any("가" <= letter <= "힣" for letter in told) and told.endswith(".")


def test_no_fault_is_told_that_there_is_none_of() -> None:
    told = tomllib.loads(Path("bot/texts/chat.toml").read_text(encoding="utf-8"))["faults"]
    assert set(told) == {fault.value for fault in Fault}


SOURCE = Source("제목", "글", 0.5, Metadata("2026-03-02", "CA1", "entry"))
EVENTS = [
    (
        StreamStart(ID, "s-1", datetime(2026, 11, 21, 12, 0, 0, 5000, tzinfo=UTC)),
        {"type": "stream_start", "message_id": ID, "session_id": "s-1", "timestamp": "2026-11-21T12:00:00.005000Z"},
    ),
    (
        StreamToken(ID, " 오늘", 0),
        {"type": "stream_token", "message_id": ID, "token": " 오늘", "index": 0},
    ),
    (
        StreamSources(ID, [SOURCE]),
        {
            "type": "stream_sources",
            "message_id": ID,
            "sources": [
                {
                    "title": "제목",
                    "content": "글",
                    "score": 0.5,
                    "metadata": {"date": "2026-03-02", "id": "CA1", "kind": "entry"},
                }
            ],
        },
    ),
    (StreamEnd(ID, 3, 40), {"type": "stream_end", "message_id": ID, "total_tokens": 3, "processing_time_ms": 40}),
    (
        StreamError(None, "WS-001-INVALID_JSON", "못 읽었어요.", ["다시 보내 주세요."], Fault.NOT_JSON),
        {
            "type": "stream_error",
            "message_id": None,
            "error_code": "WS-001-INVALID_JSON",
            "message": "못 읽었어요.",
            "solutions": ["다시 보내 주세요."],
            "reason": "not_json",
        },
    ),
]


@pytest.mark.parametrize(("event", "fields"), EVENTS, ids=[fields["type"] for _, fields in EVENTS])
def test_an_event_has_exactly_these_fields_on_both_doors(event, fields: dict[str, object]) -> None:
    assert json.loads(encode(event)) == fields
    name, data, *rest = encode_sse(event).decode().split("\n")
    assert name == f"event: {fields['type']}" and rest == ["", ""]
    assert json.loads(data.removeprefix("data: ")) == fields


@given(st.text(alphabet=st.sampled_from("가 \n\r\u2028:\u0000[")))
def test_no_token_breaks_the_frame_of_a_server_sent_event(token: str) -> None:
    lines = encode_sse(StreamToken(ID, token, 0)).decode().split("\n")
    assert len(lines) == 4 and not any("\r" in line for line in lines)
    assert json.loads(lines[1].removeprefix("data: "))["token"] == token


@pytest.mark.parametrize(
    ("address", "session"),
    [
        (None, None),
        ("", None),
        ("new", "new"),
        ("a-1_b", "a-1_b"),
        ("\0", "-"),
        ("x" * 65, "-"),
        ("가", "-"),
        ("a\n", "-"),
    ],
)
def test_what_can_be_no_session_is_one_that_nobody_knows(address: str | None, session: str | None) -> None:
    assert named_session(address) == session
