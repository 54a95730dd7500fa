"""The browser's wire: what is read, what is refused and with which words, and which sentences count as played."""

import json
from base64 import b64encode
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.audio.forms import WIDE
from bot.conversation.texts import table
from bot.errors import LocalProtocolError
from bot.protocols.browser import (
    BrowserStream,
    Hello,
    Quiet,
    Sound,
    Typed,
)
from bot.protocols.browser_messages import (
    LONGEST_MESSAGE_CHARS,
    LONGEST_TEXT,
    BadMessage,
    Config,
    Fault,
    failure,
    transcript,
)
from bot.protocols.playing import LATE_MS, STANDS_STILL_MS, Interrupt, Played
from bot.protocols.twilio import Ignored, Mark, Started, Stopped

SESSION = "3f0c8c9e-6f0a-4f4e-9d8e-0a1b2c3d4e5f"
FRAME = b"\1\2" * 480


def init(**config: Any) -> str:
    return json.dumps(
        {"type": "init", "config": {"language": "auto", "useWhisper": False, "sampleRate": 16000, **config}}
    )


def audio(pcm: bytes = bytes(960), heard: tuple[str, int] | None = None) -> str:
    message: dict[str, Any] = {"type": "audio", "audio": b64encode(pcm).decode()}
    if heard:
        message["heard"] = {"sentence": heard[0], "ms": heard[1]}
    return json.dumps(message)


def talking(first: int = 0, **config: Any) -> BrowserStream:
    stream = BrowserStream()
    stream.receive(init(**config))
    stream.begin("WB" + "1" * 32, "token", first)
    return stream


def fault_of(stream: BrowserStream, message: str | bytes) -> tuple[Fault, str]:
    with pytest.raises(BadMessage) as caught:
        stream.receive(message)
    return caught.value.fault, caught.value.where


def test_a_talk_begins_with_init_and_ends_with_end() -> None:
    stream = BrowserStream()
    assert stream.receive(init(sampleRate=48000)) == [Hello(Config("auto", False, 48000), None)]
    assert stream.begin("WBsid", "token") == Started("WBsid", "WBsid", "", {"token": "token"})
    assert json.loads(stream.connected(SESSION, resumed=True)) == {
        "type": "connected",
        "sessionId": SESSION,
        "resumed": True,
        "sampleRate": 24000,
    }
    assert stream.receive('{"type":"end"}') == [Stopped()]
    assert fault_of(stream, audio()) == (Fault.WRONG_ORDER, "")


def test_a_config_may_be_left_out_field_by_field() -> None:
    assert BrowserStream().receive('{"type":"init","config":{}}') == [Hello(Config(), None)]


def test_a_session_is_named_to_be_resumed() -> None:
    message = json.loads(init()) | {"sessionId": SESSION.upper()}
    assert BrowserStream().receive(json.dumps(message)) == [Hello(Config(), SESSION)]


def test_an_init_that_was_refused_may_be_followed_by_another() -> None:
    stream = BrowserStream()
    stream.receive(init())
    assert fault_of(stream, init()) == (Fault.WRONG_ORDER, "")
    assert stream.receive(audio()) == [Ignored("sound before the talk")]
    stream.refuse()
    assert fault_of(stream, audio()) == (Fault.WRONG_ORDER, "")
    assert stream.receive(init(sampleRate=8000)) == [Hello(Config(sample_rate=8000), None)]


def test_whoever_misuses_the_stream_is_told() -> None:
    for misuse in (
        lambda stream: stream.refuse(),
        lambda stream: stream.begin("WB", "token"),
        lambda stream: stream.media(FRAME, "1:0"),
        lambda stream: stream.mark("1:0"),
        lambda stream: stream.clear(),
    ):
        with pytest.raises(LocalProtocolError):
            misuse(BrowserStream())
    with pytest.raises(LocalProtocolError):
        talking().media(FRAME[:-2], "1:0")


@pytest.mark.parametrize(
    ("message", "fault", "where"),
    [
        ("", Fault.INVALID_JSON, ""),
        ("{", Fault.INVALID_JSON, ""),
        ("\ud800", Fault.INVALID_JSON, ""),
        ('{"type":"text","text":"\\ud800"}', Fault.INVALID_JSON, ""),
        (b'{"type":"end"}', Fault.INVALID_JSON, ""),
        ("[" * 40_000, Fault.INVALID_MESSAGE, ""),
        ("[]", Fault.INVALID_MESSAGE, ""),
        ("null", Fault.INVALID_MESSAGE, ""),
        ("{}", Fault.UNKNOWN_TYPE, ""),
        ('{"type":"media"}', Fault.UNKNOWN_TYPE, ""),
        ('{"type":3}', Fault.UNKNOWN_TYPE, ""),
        (init(), Fault.WRONG_ORDER, ""),
        ('{"type":"audio"}', Fault.INVALID_MESSAGE, "audio"),
        ('{"type":"audio","audio":"A*=="}', Fault.INVALID_AUDIO, "audio"),
        ('{"type":"audio","audio":"AAAA\\n"}', Fault.INVALID_AUDIO, "audio"),
        ('{"type":"audio","audio":[0,0]}', Fault.INVALID_MESSAGE, "audio"),
        (audio(bytes(3)), Fault.INVALID_AUDIO, "audio"),
        ('{"type":"audio","audio":"","rate":8000}', Fault.INVALID_MESSAGE, "rate"),
        ('{"type":"audio","audio":"","heard":{"sentence":"1:0"}}', Fault.INVALID_MESSAGE, "ms"),
        ('{"type":"audio","audio":"","heard":{"sentence":"1:0","ms":-1}}', Fault.INVALID_MESSAGE, "heard.ms"),
        ('{"type":"audio","audio":"","heard":{"sentence":"1:0","ms":1.5}}', Fault.INVALID_MESSAGE, "heard.ms"),
        ('{"type":"audio","audio":"","heard":{"sentence":"first","ms":1}}', Fault.INVALID_MESSAGE, "heard.sentence"),
        ('{"type":"text","text":""}', Fault.INVALID_MESSAGE, "text"),
        ('{"type":"text","text":" \\n"}', Fault.INVALID_MESSAGE, "text"),
        ('{"type":"text","text":1}', Fault.INVALID_MESSAGE, "text"),
        (json.dumps({"type": "text", "text": "가" * (LONGEST_TEXT + 1)}), Fault.INVALID_MESSAGE, "text"),
        ('{"type":"end","why":"tired"}', Fault.INVALID_MESSAGE, "why"),
        ("x" * (LONGEST_MESSAGE_CHARS + 1), Fault.TOO_LONG, ""),
    ],
)
def test_what_breaks_the_rules_is_named_and_changes_nothing(message: str | bytes, fault: Fault, where: str) -> None:
    stream = talking()
    assert fault_of(stream, message) == (fault, where)
    assert stream.receive(audio(bytes(640))) == [Sound(0, bytes(640))]


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"sampleRate": 7999}, "config.sampleRate"),
        ({"sampleRate": 48001}, "config.sampleRate"),
        ({"sampleRate": "16000"}, "config.sampleRate"),
        ({"sampleRate": 16000.5}, "config.sampleRate"),
        ({"sampleRate": True}, "config.sampleRate"),
        ({"language": "Korean"}, "config.language"),
        ({"language": "ko\n"}, "config.language"),
        ({"useWhisper": 1}, "config.useWhisper"),
        ({"samplerate": 8000}, "samplerate"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(config: dict[str, Any], where: str) -> None:
    assert fault_of(BrowserStream(), init(**config)) == (Fault.INVALID_MESSAGE, where)


def test_a_session_that_is_no_uuid_is_refused() -> None:
    message = json.dumps(json.loads(init()) | {"sessionId": SESSION + "0"})
    assert fault_of(BrowserStream(), message) == (Fault.INVALID_MESSAGE, "sessionId")


def test_every_fault_has_its_sentence() -> None:
    assert set(table("browser")["faults"]) == set(Fault)
    for fault in Fault:
        told = json.loads(failure(fault, "config.sampleRate"))
        assert (told["type"], told["code"], type(told["retry"])) == ("error", fault, bool)
        assert told["message"].endswith(".") and "{" not in told["message"]
    assert "config.sampleRate" in json.loads(failure(Fault.INVALID_MESSAGE, "config.sampleRate"))["message"]


def test_a_transcript_is_built_as_the_wire_has_it() -> None:
    told = {"type": "transcript", "speaker": "user", "text": '"네" \\', "final": False}
    assert json.loads(transcript("user", '"네" \\', final=False)) == told


def test_what_is_typed_becomes_one_line() -> None:
    assert talking().receive('{"type":"text","text":" 밥을\\n먹었어요\\u0000 "}') == [Typed("밥을 먹었어요")]


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 44100, 44101, 48000])
def test_sound_of_any_rate_becomes_frames_and_its_own_clock(rate_hz: int) -> None:
    stream = talking(sampleRate=rate_hz)
    tone = np.sin(np.arange(rate_hz) * 2 * np.pi * 440 / rate_hz) * 8000
    pcm = tone.astype("<i2").tobytes()
    sounds = [
        inbound
        for at in range(0, len(pcm), 1400)
        for inbound in stream.receive(audio(pcm[at : at + 1400]))
        if isinstance(inbound, Sound)
    ]
    heard = np.frombuffer(b"".join(sound.pcm for sound in sounds), "<i2")
    assert len(heard) // 320 in (49, 50)
    assert [sound.at_ms for sound in sounds] == [sum(len(s.pcm) for s in sounds[:i]) // 32 for i in range(len(sounds))]
    assert stream.at_ms == len(heard) // 16
    spectrum = np.abs(np.fft.rfft(heard[-8000:] * np.hanning(8000)))
    assert abs(int(np.argmax(spectrum)) * 2 - 440) <= 2
    assert np.abs(heard[400:]).max() == pytest.approx(8000, rel=0.02)


def test_silence_passes_until_there_is_sound() -> None:
    stream = talking()
    assert stream.silence(100) == [Sound(0, bytes(3200))]
    assert stream.receive(audio(bytes(640))) == [Sound(100, bytes(640))]
    assert stream.silence(100) == []
    assert stream.at_ms == 120


# ── what was played ──────────────────────────────────────────────────────────────────────────────────────────────────


def send(stream: BrowserStream, name: str, ms: int, *, whole: bool = True) -> list[dict[str, Any]]:
    told = [json.loads(stream.media(FRAME * 2, name)) for _ in range(ms // 40)]
    if whole:
        assert stream.mark(name) == ""
    return told


def test_sound_names_its_sentence_and_what_it_says_once() -> None:
    stream = talking()
    stream.caption("3:0", "안녕하세요.")
    first, second = send(stream, "3:0", 80)
    assert first == {"type": "audio", "audio": b64encode(FRAME * 2).decode(), "sentence": "3:0", "text": "안녕하세요."}
    assert second == {"type": "audio", "audio": b64encode(FRAME * 2).decode(), "sentence": "3:0"}
    (aside,) = send(stream, "aside:0", 40)
    assert (aside["sentence"], "text" in aside) == ("aside:0", False)


def test_a_sentence_is_echoed_when_the_page_has_played_all_of_it() -> None:
    stream = talking()
    stream.caption("1:0", "안녕하세요.")
    send(stream, "1:0", 400)
    assert stream.unplayed_ms is None
    assert stream.receive(audio(b"", ("1:0", 20))) == [Played(("안녕하세요.",))]
    assert stream.unplayed_ms == 380
    assert stream.receive(audio(b"", ("1:0", 399))) == []
    assert stream.unplayed_ms == 1
    assert stream.receive(audio(b"", ("1:0", 400))) == [Played(()), Mark("1:0")]
    assert stream.unplayed_ms == 0
    assert stream.receive(audio(b"", ("1:0", 400))) == []


def test_after_a_clear_nothing_older_is_ever_echoed() -> None:
    stream = talking()
    send(stream, "1:0", 80)
    stream.receive(audio(b"", ("1:0", 40)))
    stream.stopping(1, "안녕")
    assert json.loads(stream.clear()) == {"type": "interrupted", "heard": "안녕"}
    assert stream.unplayed_ms == 0
    send(stream, "2:0", 80)
    assert stream.receive(audio(b"", ("1:0", 80))) == []
    assert stream.receive('{"type":"interrupt","heard":{"sentence":"2:0","ms":80}}') == [
        Played(()),
        Mark("2:0"),
        Interrupt(),
    ]
    assert json.loads(stream.clear())["heard"] == ""


def test_a_reply_that_was_dropped_unheard_takes_no_words_from_the_one_that_is_stopped() -> None:
    stream = talking()
    send(stream, "1:0", 80)
    send(stream, "aside:0", 40)
    stream.stopping(1, "안녕")
    stream.stopping(2, "")
    assert json.loads(stream.clear())["heard"] == "안녕"


def test_time_is_the_sound_that_came_for_who_tells_and_who_does_not() -> None:
    stream = talking()
    send(stream, "1:0", 400)
    while Mark("1:0") not in stream.receive(audio(bytes(640))):
        pass
    assert stream.at_ms == 400 + LATE_MS
    send(stream, "2:0", 400)
    while Interrupt() not in stream.receive(audio(bytes(640), ("2:0", 20))):
        assert stream.unplayed_ms == 380
    assert stream.at_ms == 400 + LATE_MS + STANDS_STILL_MS + 20


def test_stop_passes_on_what_was_heard_at_once() -> None:
    stream = talking()
    send(stream, "1:0", 2_000)
    assert stream.receive(audio(b"", ("1:0", 20))) == [Played(())]
    assert stream.receive(audio(b"", ("1:0", 40))) == []
    assert stream.receive('{"type":"interrupt","heard":{"sentence":"1:0","ms":60}}') == [Played(()), Interrupt()]


def test_who_had_sound_and_has_none_is_there_all_the_same() -> None:
    stream = talking()
    assert stream.receive(audio(b"")) == []
    stream.receive(audio(bytes(640)))
    assert stream.receive(audio(b"")) == [Quiet()]
    assert stream.at_ms == 20


def test_sound_that_comes_too_early_has_no_effect() -> None:
    stream = talking()
    send(stream, "1:0", 400)
    with pytest.raises(BadMessage) as caught:
        stream.receive(audio(bytes(640), ("1:0", 400)), latest_ms=19)
    assert caught.value.fault is Fault.TOO_FAST
    assert (stream.at_ms, stream.has_sound, stream.unplayed_ms) == (0, False, None)
    assert Sound(0, bytes(640)) in stream.receive(audio(bytes(640)), latest_ms=20)


def test_an_aside_ends_no_echoes_for_who_does_not_tell() -> None:
    stream = talking()
    stream.mark("aside:0")
    send(stream, "aside:0", 400, whole=False)
    stream.mark("aside:0:end")
    send(stream, "1:0", 400)
    echoed = [mark for _ in range(200) for mark in stream.receive(audio(bytes(640))) if isinstance(mark, Mark)]
    assert echoed[-1] == Mark("1:0")


def test_sentences_of_a_talk_that_goes_on_have_names_of_their_own() -> None:
    stream = talking(first=10_000)
    stream.caption("1:0", "네, 이어서 들을게요.")
    assert send(stream, "1:0", 40)[0]["sentence"] == "10001:0"
    assert send(stream, "aside:0", 40)[0]["sentence"] == "aside:10000"
    assert stream.receive(audio(b"", ("1:0", 40))) == [Played(())]
    assert stream.unplayed_ms == 80
    assert stream.receive(audio(b"", ("aside:10000", 20))) == [Played(("네, 이어서 들을게요.",)), Mark("1:0")]


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_no_garbage_breaks_a_stream(garbage: str | bytes) -> None:
    for stream in (BrowserStream(), talking()):
        with pytest.raises(BadMessage):
            stream.receive(garbage)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from(["init", "audio", "text", "interrupt", "end", "x"]),
    st.dictionaries(st.sampled_from(["config", "audio", "text", "heard", "sessionId", "x"]), _json, max_size=3),
)
def test_any_message_of_a_known_kind_is_read_or_refused(kind: str, fields: dict[str, Any]) -> None:
    stream = talking()
    try:
        stream.receive(json.dumps({"type": kind, **fields}))
    except BadMessage as error:
        json.loads(failure(error.fault, error.where))


def test_what_goes_out_is_whole_frames_at_the_rate_that_is_announced() -> None:
    assert WIDE.frame_bytes == 960
    assert WIDE.length_ms(len(FRAME) * 3 + 1) == 60
