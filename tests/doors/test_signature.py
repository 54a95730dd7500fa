"""bot/doors/signature.py: Twilio's own examples, and everything that must be refused."""

import base64
import hashlib
import hmac
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from bot.doors.signature import FORM_TYPE, LARGEST_BODY_BYTES, Signatures, parse_form

TOKEN = "12345"
EXAMPLE = MultiDict(
    [
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ]
)


def signatures(public_url="https://bot.example.com", tokens=(TOKEN,)):
    return Signatures(public_url, "ws" + public_url.removeprefix("http") + "/twilio/stream", tokens)


def signed(text, token=TOKEN):
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), hashlib.sha1)).decode()


def test_the_example_of_the_vendor():
    example = signatures("https://mycompany.com")
    assert example.webhook("/myapp.php", b"foo=1&bar=2", EXAMPLE, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")


def test_korean_values():
    form = MultiDict([("CallSid", "CA1"), ("SpeechResult", "오늘 하루 어땠어")])
    assert signatures().webhook("/twilio/gather", b"", form, "T89ag4JiMPbCkhO119noU06vTB4=")


def test_the_handshake_is_signed_over_its_wss_form():
    assert signatures().media(b"", "paNHZWQa7oo4Cg0dnlquXYm6Y20=")


def test_the_https_form_of_the_handshake_is_refused():
    assert not signatures().media(b"", "nW9mjekB/HxusbZPY5kRIzM3XLs=")


@pytest.mark.parametrize("tokens", [("new", TOKEN), (TOKEN, "old")])
def test_both_tokens_of_a_rotation_are_good(tokens):
    assert signatures(tokens=tokens).media(b"", "paNHZWQa7oo4Cg0dnlquXYm6Y20=")


def test_no_token_is_good_for_nothing():
    assert not signatures(tokens=()).media(b"", "paNHZWQa7oo4Cg0dnlquXYm6Y20=")


@pytest.mark.parametrize(
    "signature", [None, "", "=", "정말", "\udcff", signed("https://bot.example.com/other"), "A" * 9999]
)
def test_what_is_no_signature_is_refused(signature):
    assert not signatures().webhook("/twilio/voice", b"", EXAMPLE, signature)


def test_a_changed_field_is_refused():
    signature = signed("https://bot.example.com/twilio/voiceaAb")
    assert signatures().webhook("/twilio/voice", b"", MultiDict([("a", "A"), ("b", "")]), signature[:-1] + "x") is False
    good = signed("https://bot.example.com/twilio/voiceaAb")
    assert signatures().webhook("/twilio/voice", b"", MultiDict([("a", "A"), ("b", "")]), good)
    assert not signatures().webhook("/twilio/voice", b"", MultiDict([("a", "B"), ("b", "")]), good)
    assert not signatures().webhook("/twilio/voice", b"", MultiDict([("a", "A")]), good)


def test_repeated_fields_are_signed_each_in_order():
    form = MultiDict([("b", "2"), ("a", "y"), ("a", "x")])
    assert signatures().webhook("/twilio/voice", b"", form, signed("https://bot.example.com/twilio/voiceaxayb2"))


@pytest.mark.parametrize("spelling", ["https://bot.example.com", "https://bot.example.com:443"])
@pytest.mark.parametrize("public_url", ["https://bot.example.com", "https://bot.example.com:443"])
def test_the_port_of_the_scheme_may_be_written_or_not(public_url, spelling):
    form = MultiDict([("a", "1")])
    assert signatures(public_url).webhook("/twilio/voice", b"", form, signed(spelling + "/twilio/voicea1"))


def test_a_query_counts_as_it_was_written():
    signature = signed("https://bot.example.com/twilio/after?resumed=1&x=%ea%b0%80a1")
    form = MultiDict([("a", "1")])
    assert signatures().webhook("/twilio/after", b"resumed=1&x=%ea%b0%80", form, signature)
    assert not signatures().webhook("/twilio/after", b"resumed=2&x=%ea%b0%80", form, signature)
    assert not signatures().webhook("/twilio/after", b"\xff", form, signature)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"CallSid": "CA1"}'),
        ("multipart/form-data; boundary=x", b"--x--"),
        (None, b"CallSid=CA1"),
        (FORM_TYPE, b"a=%ff"),
        (FORM_TYPE, "a=가".encode()),
        (FORM_TYPE, b"a=" + b"x" * LARGEST_BODY_BYTES),
        (FORM_TYPE, b"&".join(b"a=%d" % n for n in range(600))),
    ],
    ids=["json", "multipart", "no type", "not utf-8", "not encoded", "too long", "too many"],
)
def test_what_is_no_form(content_type, body):
    assert parse_form(content_type, body) is None


def test_a_json_body_with_a_good_signature_of_its_url_is_still_no_form():
    assert parse_form("application/json", b'{"property": "value", "boolean": true}') is None


def test_the_type_of_a_form_may_have_a_charset():
    assert parse_form("application/x-www-form-urlencoded; charset=UTF-8", b"FromCity=&x=1&x=2") == MultiDict(
        [("FromCity", ""), ("x", "1"), ("x", "2")]
    )


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=8), st.text(st.characters(codec="utf-8")))))
def test_every_form_survives_the_wire_and_is_signed_as_the_vendor_does(pairs):
    form = parse_form(FORM_TYPE, urlencode(pairs).encode())
    assert form is not None and sorted(form.items(multi=True)) == sorted(pairs)
    fields = {name: sorted({value for other, value in pairs if other == name}) for name, _ in pairs}
    text = "".join(name + value for name in sorted(fields) for value in fields[name])
    assert signatures().webhook("/twilio/voice", b"", form, signed("https://bot.example.com/twilio/voice" + text))
