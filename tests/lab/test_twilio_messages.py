"""The stand-in's messages and calls: what Twilio would refuse, what arrives, what is spoken."""

import re
from urllib.parse import urlencode

import pytest

from bot.lab.twilio_messages import FORM_TYPE, Outgoing

ACCOUNT, HERE, THERE = "AC" + "0" * 32, "+827045678901", "+821012345678"
TWIML = '<Response><Say language="ko-KR">하나</Say><Pause length="1"/><Say>둘</Say><Hangup/></Response>'
MESSAGE = {"To": THERE, "From": HERE, "Body": "번호는 123456입니다"}
CALL = {"To": THERE, "From": HERE, "Twiml": TWIML, "Timeout": "30"}


def form(fields: dict[str, str]) -> bytes:
    return urlencode(fields).encode()


@pytest.fixture
def outgoing() -> Outgoing:
    return Outgoing(ACCOUNT, lambda number: number == HERE)


def test_a_message_is_made_and_arrives(outgoing: Outgoing) -> None:
    status, made = outgoing.message(f"{FORM_TYPE}; charset=utf-8", form(MESSAGE))
    assert (status, made["status"], made["num_segments"]) == (201, "queued", "1")
    assert re.fullmatch("SM[0-9a-f]{32}", str(made["sid"]))
    assert [(sent.to, sent.text) for sent in outgoing.messages] == [(THERE, "번호는 123456입니다")]
    assert outgoing.breaches == []


def test_a_call_is_made_and_its_document_is_kept(outgoing: Outgoing) -> None:
    status, made = outgoing.call(FORM_TYPE, form(CALL))
    assert (status, made["status"], made["direction"]) == (201, "queued", "outbound-api")
    assert re.fullmatch("CA[0-9a-f]{32}", str(made["sid"]))
    (call,) = outgoing.calls
    assert (call.sid, call.sender, call.to, call.ring_s) == (made["sid"], HERE, THERE, 30)
    assert [verb.name for verb in call.document] == ["Say", "Pause", "Say", "Hangup"]
    assert outgoing.breaches == []


@pytest.mark.parametrize(
    ("changes", "message_code", "call_code"),
    [
        ({"To": ""}, 21604, 21201),
        ({"To": "010-1234-5678"}, 21211, 21211),
        ({"From": ""}, 21603, 21213),
        ({"From": "+821000000000"}, 21606, 21210),
        ({"To": HERE}, 21266, 21266),
        ({"Body": "", "Twiml": ""}, 21602, 21205),
    ],
)
def test_what_twilio_refuses_is_refused(
    outgoing: Outgoing, changes: dict[str, str], message_code: int, call_code: int
) -> None:
    for made, fields, code in ((outgoing.message, MESSAGE, message_code), (outgoing.call, CALL, call_code)):
        status, error = made(FORM_TYPE, form({**fields, **changes}))
        assert (status, error["code"], error["status"]) == (400, code, 400)
    assert (outgoing.messages, outgoing.calls) == ([], [])


def test_a_body_that_is_no_form_has_no_fields(outgoing: Outgoing) -> None:
    assert outgoing.message("application/json", form(MESSAGE))[1]["code"] == 21604
    assert outgoing.call("", form(CALL))[1]["code"] == 21201


def test_a_message_may_be_too_long(outgoing: Outgoing) -> None:
    assert outgoing.message(FORM_TYPE, form({**MESSAGE, "Body": "가" * 1600}))[1]["num_segments"] == "24"
    assert outgoing.message(FORM_TYPE, form({**MESSAGE, "Body": "가" * 1601}))[1]["code"] == 21617


@pytest.mark.parametrize(("body", "segments"), [("a" * 160, 1), ("a" * 161, 2), ("가" * 70, 1), ("가" * 71, 2)])
def test_a_message_is_sent_in_segments(outgoing: Outgoing, body: str, segments: int) -> None:
    outgoing.message(FORM_TYPE, form({**MESSAGE, "Body": body}))
    assert outgoing.messages[0].segments == segments


def test_a_number_that_takes_nothing_is_refused_with_its_reason(outgoing: Outgoing) -> None:
    outgoing.refusals.messages[THERE] = 21614
    assert outgoing.message(FORM_TYPE, form(MESSAGE))[1]["code"] == 21614
    assert outgoing.call(FORM_TYPE, form(CALL))[0] == 201


@pytest.mark.parametrize(
    ("body", "arrives"), [("번호 😀", "번호 ?"), ("번호 — 하나", "번호 ? 하나"), ("번호… “하나”", "번호… “하나”")]
)
def test_in_korea_only_letters_of_euc_kr_arrive(outgoing: Outgoing, body: str, arrives: str) -> None:
    outgoing.message(FORM_TYPE, form({**MESSAGE, "Body": body}))
    assert outgoing.messages[0].text == arrives
    assert len(outgoing.breaches) == (body != arrives)


@pytest.mark.parametrize(
    "changes",
    [
        {"Twiml": '<Response><Gather action="/key"/></Response>'},
        {"Twiml": "<Response>"},
        {"Twiml": "<Response><Shout/></Response>"},
        {"Timeout": "601"},
        {"Timeout": "x"},
    ],
)
def test_a_call_that_is_made_and_goes_wrong_is_a_breach(outgoing: Outgoing, changes: dict[str, str]) -> None:
    assert outgoing.call(FORM_TYPE, form({**CALL, **changes}))[0] == 201
    assert len(outgoing.breaches) == 1


def test_a_document_that_is_too_long_is_a_breach(outgoing: Outgoing) -> None:
    outgoing.call(FORM_TYPE, form({**CALL, "Twiml": f"<Response><Say>{'가' * 4000}</Say></Response>"}))
    assert len(outgoing.breaches) == 1
