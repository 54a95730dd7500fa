"""TwiML as the Twilio stand-in reads it: each thing that Twilio would stumble over is found."""

import pytest

from bot.lab.twiml import TwimlFault, faults, parse

GOOD = """<?xml version="1.0" encoding="UTF-8"?>
<!-- a comment -->
<Response>
  <Connect action="/twilio/after">
    <Stream url="wss://h/twilio/media" statusCallback="https://h/s"><Parameter name="token" value="x"/></Stream>
  </Connect>
</Response>"""


def found(body: str, *, secure: bool = True) -> list[str]:
    return faults(parse(f"<Response>{body}</Response>".encode()), secure=secure)


def connect(stream: str, after: str = "<Hangup/>") -> str:
    return f"<Connect>{stream}</Connect>{after}"


def test_a_good_document_has_no_fault() -> None:
    verbs = parse(GOOD.encode())
    assert faults(verbs, secure=True) == []
    stream = verbs[0].child("Stream")
    assert stream is not None
    assert stream.children[0].attributes == {"name": "token", "value": "x"}


def test_text_is_read_with_its_speech_markup() -> None:
    [say] = parse('<Response><Say language="ko-KR"> 안녕<break time="1s"/>하세요 </Say></Response>'.encode())
    assert say.text == "안녕하세요"
    assert faults((say,), secure=True) == []


@pytest.mark.parametrize("document", ["", "hello", "<Response>", "<response/>", "<Say/>", "<Response/><Response/>"])
def test_what_is_no_twiml_cannot_be_run(document: str) -> None:
    with pytest.raises(TwimlFault):
        parse(document.encode())


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<Dance/>", "<Dance> in <Response>"),
        ("<hangup/>", "<hangup> in <Response>"),
        ("<Stream url='wss://h/m'/>", "<Stream> in <Response>"),
        ("<Gather><Hangup/></Gather>", "<Hangup> in <Gather>"),
        ("<Hangup reason='x'/>", "reason of <Hangup>"),
        ("<Say Language='ko-KR'>네</Say>", "Language of <Say>"),
        ("<Redirect/>", "leads nowhere"),
        (connect(""), "<Connect> without <Stream>"),
        (connect("<Stream url='wss://h/m'/>", after=""), "nothing follows <Connect>"),
        (connect("<Stream/>"), "<Stream> without url"),
        (connect("<Stream url='wss://h/m?token=1'/>"), "has a query"),
        (connect("<Stream url='wss://h/m&amp;a'/>"), "has a query"),
        (connect("<Stream url='ws://h/m'/>"), "31922"),
        (connect("<Stream url='/m' track='both_tracks'/>"), "inbound_track only"),
        (connect("<Stream url='/m'><Parameter value='x'/></Stream>"), "<Parameter> without name"),
        (connect(f"<Stream url='/m'><Parameter name='n' value='{'x' * 499}'/></Stream>"), "500 characters"),
    ],
)
def test_each_fault_is_found(body: str, fault: str) -> None:
    [only] = found(body)
    assert fault in only


def test_loopback_may_stream_without_tls() -> None:
    assert found(connect("<Stream url='ws://127.0.0.1:1/m'/>"), secure=False) == []
