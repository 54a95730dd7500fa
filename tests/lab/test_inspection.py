"""The app's messages, read strictly: each breach is found, and what Twilio would not act on has no effect."""

import json
from base64 import b64encode
from typing import Any

import pytest

from bot.lab.inspection import Clear, Inspector, Label, Outbound, Sound

SID = "MZ1"
CLEAR = {"event": "clear", "streamSid": SID}


def media(payload: Any = "/w==") -> dict[str, Any]:
    return {"event": "media", "streamSid": SID, "media": {"payload": payload}}


def mark(name: Any) -> dict[str, Any]:
    return {"event": "mark", "streamSid": SID, "mark": {"name": name}}


def read(*messages: Any, streaming: bool = True) -> tuple[Outbound | None, list[str]]:
    """What the last message asks for, and every breach."""
    breaches: list[str] = []
    inspector = Inspector(SID, breaches.append)
    inspector.streaming = streaming
    last = None
    for message in messages:
        last = inspector.read(message if isinstance(message, str | bytes) else json.dumps(message))
    return last, breaches


def test_good_messages_are_no_breach() -> None:
    assert read(mark("x")) == (Label("x"), [])
    assert read(CLEAR) == (Clear(), [])


def test_whole_frames_are_no_breach() -> None:
    assert read(media(b64encode(b"\x01" * 320).decode())) == (Sound(b"\x01" * 320), [])


@pytest.mark.parametrize(
    ("message", "breach"),
    [
        (b"\xff", "31950"),
        ("{", "not JSON"),
        ([], "not an object"),
        ({"streamSid": SID}, "event None"),
        ({"event": ["media"], "streamSid": SID}, "event ['media']"),
        ({"event": "stop", "streamSid": SID}, "event 'stop'"),
        (CLEAR | {"reason": "x"}, "missing or extra: reason"),
        ({"event": "clear"}, "missing or extra: streamSid"),
        ({"event": "media", "streamSid": SID}, "missing or extra: media"),
        (CLEAR | {"streamSid": "MZ2"}, "another stream"),
        (media() | {"media": {"payload": "/w==", "track": "outbound"}}, "other than payload"),
        (media() | {"media": "/w=="}, "other than payload"),
        (media(7), "other than payload"),
        (media("/w"), "not base64"),
        (media("오늘"), "not base64"),
        (mark(7), "other than name"),
        (mark("x") | {"mark": {}}, "other than name"),
    ],
)
def test_what_twilio_would_not_act_on(message: Any, breach: str) -> None:
    wanted, breaches = read(message)
    assert wanted is None
    [only] = breaches
    assert breach in only


@pytest.mark.parametrize("message", [media(), mark("x"), CLEAR, "x", b"x"])
def test_nothing_may_come_before_start(message: Any) -> None:
    assert read(message, streaming=False) == (None, ["a message before start"])


@pytest.mark.parametrize(
    ("payload", "breach"), [("", "without audio"), ("/w==", "1 bytes"), ("UklGRg==", "WAV header")]
)
def test_odd_audio_is_played_and_is_a_breach(payload: str, breach: str) -> None:
    wanted, breaches = read(media(payload))
    assert isinstance(wanted, Sound)
    assert any(breach in found for found in breaches)


def test_a_reply_is_dead_after_clear() -> None:
    assert read(mark("1:0"), mark("1:1"), CLEAR, mark("2:0"))[1] == []
    [breach] = read(mark("1:0"), CLEAR, mark("1:1"))[1]
    assert "1:1" in breach
    assert read(mark("bye"), CLEAR, mark("bye"))[1] == [], "a name that tells no reply proves nothing"


def test_an_aside_is_dead_after_clear_and_no_other_is() -> None:
    assert read(mark("aside:0"), mark("aside:0:end"), CLEAR, mark("aside:1"), mark("aside:1:end"))[1] == []
    [breach] = read(mark("aside:0"), CLEAR, mark("aside:0:end"))[1]
    assert "aside:0:end" in breach
