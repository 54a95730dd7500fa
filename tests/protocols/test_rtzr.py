"""RTZR's messages: what is sent is strict, what is read is tolerant."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import LocalProtocolError, RemoteProtocolError
from bot.protocols.rtzr import (
    KOREAN,
    Final,
    Ignored,
    Interim,
    Options,
    ServerFault,
    Session,
    Word,
    options_for,
    streaming_url,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        name: JSON for name in ("seq", "start_at", "duration", "final", "alternatives", "error", "type", "message")
    },
)


def transcript(**changes: object) -> str:
    fields: dict[str, object] = {
        "seq": 3,
        "start_at": 5120,
        "duration": 1840,
        "final": True,
        "alternatives": [
            {
                "text": "오늘은 병원에 다녀왔어요.",
                "confidence": 0.41,
                "words": [{"text": "오늘은", "start_at": 280, "duration": 220, "confidence": 0.0}],
            }
        ],
    }
    fields.update(changes)
    return json.dumps({name: value for name, value in fields.items() if value is not ...}, ensure_ascii=False)


def test_the_address_carries_the_settings_the_card_asks_for() -> None:
    parts = urlsplit(streaming_url("https://openapi.vito.ai"))
    assert (parts.scheme, parts.netloc, parts.path) == ("wss", "openapi.vito.ai", "/v1/transcribe:streaming")
    assert parse_qs(parts.query) == {
        "sample_rate": ["16000"],
        "encoding": ["LINEAR16"],
        "model_name": ["sommers_ko"],
        "domain": ["CALL"],
        "use_itn": ["true"],
        "use_punctuation": ["true"],
        "epd_time": ["0.8"],
    }


@pytest.mark.parametrize(
    ("base", "begin"),
    [
        ("http://127.0.0.1:8801", "ws://127.0.0.1:8801/v1/"),
        ("wss://example.org/", "wss://example.org/v1/"),
        ("https://example.org/stt", "wss://example.org/stt/v1/"),
    ],
)
def test_the_address_follows_the_base(base: str, begin: str) -> None:
    assert streaming_url(base).startswith(begin)


@pytest.mark.parametrize(
    "settings",
    [
        {"sample_rate_hz": 7999},
        {"encoding": "WAV"},
        {"domain": "GENERAL"},
        {"epd_time_s": 0.0},
        {"model_name": "whisper"},
        {"language": "en"},
    ],
)
def test_settings_the_server_would_refuse_are_our_bug(settings: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError):
        streaming_url("https://example.org", **settings)  # type: ignore[arg-type]


def test_a_language_has_the_model_that_knows_it() -> None:
    assert options_for("auto") == options_for("ko") == KOREAN == Options("sommers_ko", None, 0.8)
    assert options_for("ja", epd_time_s=2.0) == Options("sommers_ja", None, 2.0)
    assert options_for("en") == Options("whisper", "en")
    assert options_for("auto", whisper=True) == Options("whisper", "ko")


def test_whisper_is_told_the_language() -> None:
    parts = urlsplit(streaming_url("https://example.org", model_name="whisper", language="en"))
    query = parse_qs(parts.query)
    assert (query["model_name"], query["language"]) == (["whisper"], ["en"])


def test_a_base_that_is_no_address_is_our_bug() -> None:
    with pytest.raises(LocalProtocolError):
        streaming_url("openapi.vito.ai")


def test_a_final_is_read_whole() -> None:
    final = Session().receive(transcript())
    assert final == Final(3, 5120, 1840, "오늘은 병원에 다녀왔어요.", (Word("오늘은", 280, 220),))
    assert isinstance(final, Final)
    assert final.end_ms == 6960


def test_a_partial_is_read() -> None:
    message = transcript(final=False, duration=0, alternatives=[{"text": "오늘은 병원에", "confidence": 0.0}])
    assert Session().receive(message) == Interim(3, 5120, 0, "오늘은 병원에")


@pytest.mark.parametrize("alternatives", [[], None, ..., [None], [{}], [{"text": None}], [{"text": " "}], "x"])
def test_a_final_without_text_is_a_final(alternatives: object) -> None:
    assert Session().receive(transcript(alternatives=alternatives)) == Final(3, 5120, 1840, "")


@pytest.mark.parametrize("words", [None, [], "x", [None, {"start_at": 3}]])
def test_words_may_be_missing(words: object) -> None:
    assert Session().receive(transcript(alternatives=[{"text": "네", "words": words}])) == Final(3, 5120, 1840, "네")


def test_numbers_may_be_strings_or_missing() -> None:
    message = transcript(seq="3", start_at="5120", duration=..., alternatives=[{"text": "네"}])
    assert Session().receive(message) == Final(3, 5120, 0, "네")


def test_a_partial_without_text_says_nothing() -> None:
    assert isinstance(Session().receive(transcript(final=False, alternatives=[])), Ignored)


def test_text_that_could_not_be_written_down_is_made_to_be() -> None:
    half = '{"seq":1,"final":true,"alternatives":[{"text":"\\ud83d \uc544\uce68"}]}'
    final = Session().receive(half)
    assert isinstance(final, Final)
    assert final.text.encode("utf-8").decode() == final.text
    assert "아침" in final.text


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ('{"error": "quota"}', "quota"),
        ('{"error": {"code": "E500", "msg": "broken"}}', "broken"),
        ('{"type": "error", "message": "broken"}', "broken"),
        ('{"type": "error"}', "unnamed"),
        ('{"error": true}', "unnamed"),
    ],
)
def test_an_error_has_two_shapes(message: str, why: str) -> None:
    assert Session().receive(message) == ServerFault(why)


@pytest.mark.parametrize("message", ['{"type": "started"}', "{}", '{"final": true}'])
def test_what_is_not_known_is_ignored(message: str) -> None:
    assert isinstance(Session().receive(message), Ignored)


@pytest.mark.parametrize("message", ["", "EOS", "[]", "3", "null", b"\xff\xfe", "[" * 100_000])
def test_what_is_no_object_breaks_the_protocol_but_not_the_session(message: str | bytes) -> None:
    session = Session()
    with pytest.raises(RemoteProtocolError):
        session.receive(message)
    assert isinstance(session.receive(transcript()), Final)


@given(FIELDS)
def test_any_object_is_read_as_something(fields: dict[str, object]) -> None:
    assert isinstance(Session().receive(json.dumps(fields)), Interim | Final | ServerFault | Ignored)


@given(st.text() | st.binary())
def test_any_message_is_read_or_refused(message: str | bytes) -> None:
    try:
        inbound = Session().receive(message)
    except RemoteProtocolError:
        return
    assert isinstance(inbound, Interim | Final | ServerFault | Ignored)


def test_the_two_ends_are_not_the_same() -> None:
    session = Session()
    assert json.loads(session.finalize()) == {"type": "Finalize"}
    assert not session.ended
    assert session.eos() == "EOS"
    assert session.ended


@given(st.lists(st.sampled_from(["audio", "finalize"]), max_size=20), st.sampled_from(["audio", "finalize", "eos"]))
def test_nothing_goes_out_after_eos(before: list[str], after: str) -> None:
    session = Session()

    def send(what: str) -> object:
        return session.audio(b"\0\0") if what == "audio" else getattr(session, what)()

    for what in before:
        send(what)
    send("eos")
    with pytest.raises(LocalProtocolError):
        send(after)


@given(st.binary(max_size=64))
def test_audio_is_whole_samples(pcm: bytes) -> None:
    session = Session()
    if pcm and len(pcm) % 2 == 0:
        assert session.audio(pcm) == pcm
    else:
        with pytest.raises(LocalProtocolError):
            session.audio(pcm)


def test_mulaw_samples_are_single_bytes() -> None:
    assert Session(encoding="MULAW").audio(b"\xff") == b"\xff"
