"""Signatures as Twilio makes them, against published values; URLs as Twilio resolves them."""

import pytest

from bot.lab.wire import Wire, signature, voice_parameters

TOKEN = "12345"


@pytest.mark.parametrize(
    ("url", "params", "expected"),
    [
        (
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            {
                "CallSid": "CA1234567890ABCDE",
                "Caller": "+14158675309",
                "Digits": "1234",
                "From": "+14158675309",
                "To": "+18005551212",
            },
            "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        ),
        (
            "https://mycompany.com/myapp.php?foo=1&bar=2"
            "&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620",
            None,
            "a9nBmqA0ju/hNViExpshrM61xv4=",
        ),
        ("wss://bot.example.com/twilio/stream", None, "paNHZWQa7oo4Cg0dnlquXYm6Y20="),
        ("https://bot.example.com/twilio/stream", None, "nW9mjekB/HxusbZPY5kRIzM3XLs="),
        (
            "https://bot.example.com/twilio/gather",
            {"CallSid": "CA1", "SpeechResult": "오늘 하루 어땠어"},
            "T89ag4JiMPbCkhO119noU06vTB4=",
        ),
    ],
)
def test_signatures(url: str, params: dict[str, str] | None, expected: str) -> None:
    assert signature(TOKEN, url, params) == expected


@pytest.mark.parametrize(
    ("public_url", "url", "base", "dialled"),
    [
        ("https://h.example", "wss://h.example/media", None, "wss://h.example/media"),
        ("https://h.example", "wss://h.example/media?token=x", None, "wss://h.example/media"),
        ("https://h.example", "/media", "https://h.example/twilio/voice", "wss://h.example/media"),
        ("https://h.example", "media", "https://h.example/twilio/voice", "wss://h.example/twilio/media"),
        ("http://127.0.0.1:5000", "/media", "http://127.0.0.1:5000/v", "ws://127.0.0.1:5000/media"),
    ],
)
def test_stream_urls(public_url: str, url: str, base: str | None, dialled: str) -> None:
    assert Wire("http://127.0.0.1:5000", TOKEN, public_url).socket_url(url, base) == dialled


def test_the_form_of_an_incoming_call_has_every_field() -> None:
    form = voice_parameters("AC1", "CA1", "+821012345678", "+827045678901", "ringing")
    geo = {f"{who}{what}" for who in ("From", "To", "Caller", "Called") for what in ("City", "State", "Zip", "Country")}
    always = {"AccountSid", "ApiVersion", "CallSid", "CallStatus", "Direction", "From", "To", "Caller", "Called"}
    assert set(form) == geo | always
    assert form["FromCountry"] == "KR"
    assert voice_parameters("AC1", "CA1", "anonymous", "+8270", "ringing")["FromCountry"] == ""
