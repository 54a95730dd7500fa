"""Media Streams: every message of the fixtures, any text at all, and a round trip against a tiny opposite end."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import LocalProtocolError, RemoteProtocolError
from bot.lab import messages
from bot.protocols.twilio import (
    Connected,
    Ignored,
    Inbound,
    KeyDown,
    Mark,
    Media,
    MediaStream,
    Started,
    Stopped,
)

FOLDER = Path(__file__).parents[2] / "fixtures" / "messages"
INDEX = json.loads((FOLDER / "index.json").read_text("utf-8"))
OPENINGS: dict[str, list[dict[str, Any]]] = {
    "nothing": [],
    "connected": [messages.connected()],
    "start": [messages.connected(), messages.start()],
}
EVENTS = {"connected": Connected, "start": Started, "media": Media, "dtmf": KeyDown, "mark": Mark, "stop": Stopped}
# The first text of a run pays for a table of all characters.
patient = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def stream_after(opening: str) -> MediaStream:
    stream = MediaStream()
    for message in OPENINGS[opening]:
        stream.receive(json.dumps(message))
    return stream


@pytest.fixture
def stream() -> MediaStream:
    return stream_after("start")


def receive(stream: MediaStream, message: dict[str, Any]) -> Inbound:
    return stream.receive(json.dumps(message))


@pytest.mark.parametrize("case", INDEX, ids=lambda case: case.get("file", "oversize"))
def test_every_message_of_the_fixtures(case: dict[str, Any]) -> None:
    stream = stream_after(case["after"])
    raw = (FOLDER / case["file"]).read_bytes() if "file" in case else messages.oversize()
    message = raw if case["binary"] else raw.decode("utf-8")
    if case["verdict"] == "error":
        with pytest.raises(RemoteProtocolError):
            stream.receive(message)
        return
    event = stream.receive(message)
    assert isinstance(event, Ignored if case["verdict"] == "ignored" else EVENTS[json.loads(raw)["event"]])


def test_the_files_are_what_the_script_makes() -> None:
    on_disk = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.name != "index.json"}
    assert on_disk == {case.file: case.content for case in messages.cases()}


def test_a_bad_message_has_no_effect(stream: MediaStream) -> None:
    for case in messages.cases():
        if case.verdict == "error" and case.after == "start":
            with pytest.raises(RemoteProtocolError):
                stream.receive(case.content if case.binary else case.content.decode())
    assert receive(stream, messages.media(b"\x01\x02", 300)) == Media(300, b"\x01\x02")


def test_start_says_who_calls_and_what_we_asked_to_be_told() -> None:
    stream = stream_after("connected")
    assert stream.stream_sid is None
    started = receive(stream, messages.start(parameters={"token": "x", "이름": "값"}))
    expected = Started(messages.STREAM_SID, messages.CALL_SID, messages.ACCOUNT_SID, {"token": "x", "이름": "값"})
    assert started == expected
    assert stream.stream_sid == messages.STREAM_SID


def test_a_refused_start_leaves_room_for_a_good_one() -> None:
    stream = stream_after("connected")
    bad = messages.start()
    bad["start"]["mediaFormat"]["sampleRate"] = 16000
    with pytest.raises(RemoteProtocolError):
        receive(stream, bad)
    assert stream.stream_sid is None
    assert isinstance(receive(stream, messages.start()), Started)


def test_the_clock_jumps_over_gaps_and_never_goes_back(stream: MediaStream) -> None:
    at_ms = [
        event.at_ms
        for event in (receive(stream, messages.media(b"\xff", ms)) for ms in (171, 190, 10_190, 10_180, 10_211))
        if isinstance(event, Media)
    ]
    assert at_ms == [171, 190, 10_190, 10_190, 10_211]


def test_nothing_is_sent_before_start() -> None:
    for opening in ("nothing", "connected"):
        stream = stream_after(opening)
        for send in (lambda s: s.media(b"\xff" * 160), lambda s: s.mark("a"), lambda s: s.clear()):
            with pytest.raises(LocalProtocolError):
                send(stream)


def test_nothing_is_sent_or_taken_after_stop(stream: MediaStream) -> None:
    assert receive(stream, messages.stop()) == Stopped()
    for send in (lambda: stream.media(b"\xff" * 160), lambda: stream.mark("a"), stream.clear):
        with pytest.raises(LocalProtocolError):
            send()
    for late in (messages.stop(), messages.media(b"\xff", 500), messages.start(), messages.connected()):
        with pytest.raises(RemoteProtocolError):
            receive(stream, late)


@pytest.mark.parametrize("audio", [b"", b"\xff", b"\xff" * 159, b"\xff" * 161, b"\xff" * 319])
def test_audio_goes_out_in_whole_frames_only(stream: MediaStream, audio: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        stream.media(audio)


@pytest.mark.parametrize("name", ["", "\ud800"])
def test_a_mark_has_a_name_that_can_be_written(stream: MediaStream, name: str) -> None:
    with pytest.raises(LocalProtocolError):
        stream.mark(name)


def test_what_is_sent_has_the_documented_fields_and_no_other(stream: MediaStream) -> None:
    sid = messages.STREAM_SID
    audio = bytes(range(160))
    sent = json.loads(stream.media(audio))
    assert b64decode(sent["media"].pop("payload"), validate=True) == audio
    assert sent == {"event": "media", "streamSid": sid, "media": {}}
    assert json.loads(stream.mark("1:2")) == {"event": "mark", "streamSid": sid, "mark": {"name": "1:2"}}
    assert json.loads(stream.clear()) == {"event": "clear", "streamSid": sid}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
field_names = st.sampled_from(
    ["event", "streamSid", "start", "media", "mark", "dtmf", "stop", "name", "digit", "payload", "timestamp", "track"]
)
event_names = st.sampled_from([*EVENTS, "error", ""])
near_misses = st.builds(
    lambda event, fields: json.dumps({"event": event, **fields}),
    event_names,
    st.dictionaries(field_names, st.dictionaries(field_names, json_values, max_size=3) | json_values, max_size=4),
)


@patient
@given(
    opening=st.sampled_from(sorted(OPENINGS)),
    texts=st.lists(st.text(st.characters()) | near_misses | st.binary(max_size=40), max_size=6),
)
def test_any_input_is_an_event_or_the_peers_fault(opening: str, texts: list[str | bytes]) -> None:
    stream = stream_after(opening)
    for text in texts:
        try:
            event = stream.receive(text)
        except RemoteProtocolError:
            continue
        assert isinstance(event, Inbound)


class OppositeEnd:
    """Twilio in ten lines: takes what we send and gives marks back."""

    def __init__(self, stream_sid: str) -> None:
        self.stream_sid = stream_sid
        self.heard: list[Any] = []

    def take(self, text: str) -> None:
        message = json.loads(text)
        assert message.pop("streamSid") == self.stream_sid
        match message:
            case {"event": "media", "media": {"payload": payload}}:
                self.heard.append(b64decode(payload, validate=True))
            case {"event": "mark", "mark": {"name": name}}:
                self.heard.append(name)
            case {"event": "clear"}:
                self.heard.append(None)
            case _:
                raise AssertionError(message)


audio_frames = st.integers(1, 4).flatmap(lambda n: st.binary(min_size=160 * n, max_size=160 * n))


@pytest.mark.parametrize(
    "sid",
    ["CA1\nINFO a line of another's", "CA1\n", "../../etc", "", "통화"],
    ids=["a line", "a newline", "a path", "nothing", "letters of another kind"],
)
def test_a_sid_that_could_harm_a_log_or_a_file_name_is_refused(sid: str) -> None:
    with pytest.raises(RemoteProtocolError):
        receive(stream_after("connected"), messages.start(stream_sid=sid))


@patient
@given(
    stream_sid=st.from_regex("[A-Za-z0-9]{1,64}", fullmatch=True),
    sent=st.lists(audio_frames | st.text(st.characters(codec="utf-8"), min_size=1) | st.none(), max_size=8),
)
def test_what_goes_out_arrives_as_it_was(stream_sid: str, sent: list[bytes | str | None]) -> None:
    stream, twilio = stream_after("connected"), OppositeEnd(stream_sid)
    receive(stream, messages.start(stream_sid=stream_sid))
    for item in sent:
        match item:
            case bytes():
                twilio.take(stream.media(item))
            case str():
                twilio.take(stream.mark(item))
                assert receive(stream, messages.mark(item, stream_sid=stream_sid)) == Mark(item)
            case None:
                twilio.take(stream.clear())
    assert twilio.heard == sent


@given(mulaw=st.binary(min_size=1, max_size=400), at_ms=st.integers(0, 86_400_000))
def test_what_comes_in_is_as_it_was_sent(mulaw: bytes, at_ms: int) -> None:
    assert receive(stream_after("start"), messages.media(mulaw, at_ms)) == Media(at_ms, mulaw)


@pytest.mark.parametrize("digit", list("0123456789*#"))
def test_all_keys_of_a_telephone(stream: MediaStream, digit: str) -> None:
    assert receive(stream, messages.dtmf(digit)) == KeyDown(digit)
