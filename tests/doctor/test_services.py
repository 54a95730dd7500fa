"""bot/doctor/services.py: the recogniser, the model, the voices and the second opinion, with the stand-ins."""

import pytest

from bot.audio import second_opinion
from bot.doctor import services
from bot.errors import OpinionError, VoiceError
from bot.lab.openai import OpenAiLab
from bot.lab.rtzr import RtzrLab
from bot.lab.rtzr_behaviour import Close
from bot.settings import OpenAiSettings, RtzrSettings
from tests.doctor.rows import of, states


def rtzr_settings(lab, **changes):
    fields = {"client_id": lab.client_id, "client_secret": lab.client_secret, "api_url": lab.url} | changes
    return RtzrSettings(**fields)


async def test_the_stream_is_opened_once_and_ended_with_eos():
    async with RtzrLab() as lab:
        rows = await services.recogniser(rtzr_settings(lab))
        assert states(rows) == {"recogniser token": "ok", "recogniser stream": "ok", "recogniser channels": "off"}
        assert (lab.report.sockets, lab.report.eos, lab.report.authentications) == (1, 1, 1)
        assert lab.breaches == []


async def test_the_channels_that_there_are_said_to_be():
    async with RtzrLab() as lab:
        rows = await services.recogniser(rtzr_settings(lab, channels=10))
    assert (of(rows, "recogniser channels").state, of(rows, "recogniser channels").found[:10]) == ("ok", "10 at once")


async def test_an_account_that_the_recogniser_does_not_know():
    async with RtzrLab() as lab:
        (row,) = await services.recogniser(rtzr_settings(lab, client_secret="wrong"))
    assert (row.what, row.state, row.found) == ("recogniser token", "fail", "authentication: HTTP 401")
    assert "RTZR_CLIENT_SECRET" in row.mend


async def test_a_recogniser_that_cannot_be_reached():
    (row,) = await services.recogniser(RtzrSettings(client_id="a", client_secret="b", api_url="http://127.0.0.1:9"))
    assert (row.what, row.state) == ("recogniser token", "fail")


async def test_a_recogniser_that_has_enough_of_us():
    async with RtzrLab() as lab:
        lab.faults.authentications, lab.faults.authentication_status = 9, 429
        (row,) = await services.recogniser(rtzr_settings(lab))
    assert (row.what, row.state, row.found) == ("recogniser token", "fail", "authentication: HTTP 429")


@pytest.mark.parametrize(("status", "state"), [(403, "fail"), (500, "fail"), (429, "warn")])
async def test_a_stream_that_is_refused(status, state):
    async with RtzrLab() as lab:
        lab.faults.handshakes, lab.faults.handshake_status = 9, status
        rows = await services.recogniser(rtzr_settings(lab))
    assert of(rows, "recogniser token").state == "ok"
    assert of(rows, "recogniser stream").state == state
    assert str(status) in of(rows, "recogniser stream").found


async def test_a_stream_that_breaks():
    async with RtzrLab() as lab:
        lab.faults.closes = [Close(0, None)]
        rows = await services.recogniser(rtzr_settings(lab))
    assert of(rows, "recogniser stream").state == "fail"
    assert "then broken" in of(rows, "recogniser stream").found


def model_settings(lab, **changes):
    fields = {"api_key": lab.key, "base_url": lab.url, "model": "lab"} | changes
    return OpenAiSettings(**fields)


async def test_the_model_is_asked_once_and_left_after_its_first_word():
    async with OpenAiLab() as lab:
        (row,) = await services.model(model_settings(lab))
        assert (row.state, len(lab.report.chats), lab.report.breaches) == ("ok", 1, [])


@pytest.mark.parametrize(
    ("faults", "changes", "found", "mend"),
    [
        ({"chat_status": 401}, {}, "HTTP 401", "OPENAI_API_KEY"),
        ({}, {"api_key": "wrong"}, "HTTP 401", "OPENAI_API_KEY"),
        ({"chat_status": 404}, {}, "HTTP 404", "OPENAI_MODEL (lab)"),
        ({"chat_status": 429}, {}, "HTTP 429", "limits"),
        ({"chat_status": 500}, {}, "HTTP 500", "OPENAI_BASE_URL"),
        ({"empty_chat": True}, {}, "an empty answer", "OPENAI_BASE_URL"),
        ({"never_first_token": True}, {}, "no first token in time", "OPENAI_BASE_URL"),
        ({}, {"base_url": "http://127.0.0.1:9/v1"}, "APIConnectionError", "OPENAI_BASE_URL"),
    ],
)
async def test_a_model_that_fails(monkeypatch, faults, changes, found, mend):
    monkeypatch.setattr(services, "PATIENCE_S", 0.5)
    async with OpenAiLab() as lab:
        for name, value in faults.items():
            setattr(lab.faults, name, value)
        (row,) = await services.model(model_settings(lab, **changes))
    assert (row.state, row.found) == ("fail", found)
    assert mend in row.mend


async def test_a_model_that_is_slower_than_a_talk_waits(monkeypatch):
    monkeypatch.setattr(services.llm, "FIRST_TOKEN_S", 0.1)
    async with OpenAiLab() as lab:
        (row,) = await services.model(model_settings(lab))
    assert row.state == "warn"
    assert "built-in replies" in row.mend


async def test_both_voices_speak():
    async with OpenAiLab() as lab:
        assert states(await services.voice(model_settings(lab), "openai")) == {"voice": "ok", "espeak-ng": "ok"}
        assert states(await services.voice(model_settings(lab), "espeak")) == {"espeak-ng": "ok"}
        assert lab.report.breaches == []


@pytest.mark.parametrize(
    ("faults", "found"),
    [
        ({"speech_status": 401}, "HTTP 401"),
        ({"speech_status": 404}, "HTTP 404"),
        ({"never_first_byte": True}, "no first byte in time"),
        ({"speech_type": "audio/mpeg"}, "not PCM"),
    ],
)
async def test_a_voice_that_fails(monkeypatch, faults, found):
    monkeypatch.setattr(services, "PATIENCE_S", 0.5)
    async with OpenAiLab() as lab:
        for name, value in faults.items():
            setattr(lab.faults, name, value)
        rows = await services.voice(model_settings(lab), "openai")
    assert (of(rows, "voice").state, of(rows, "voice").found) == ("fail", found)
    assert of(rows, "voice").mend.endswith("; or TTS=espeak")
    assert of(rows, "espeak-ng").found == "speaks, should the voice fail"


async def test_no_espeak(monkeypatch):
    async def stream(self, text, pace=1.0):
        raise VoiceError("espeak-ng cannot be loaded")
        yield b""

    monkeypatch.setattr(services.EspeakVoice, "stream", stream)
    (row,) = await services.voice(None, "espeak")
    assert (row.state, row.mend) == ("fail", "pip install --force-reinstall espeakng-loader")


@pytest.mark.parametrize(
    ("why", "state"), [("not installed", "off"), ("silero_vad.onnx cannot be loaded: X", "warn"), (None, "ok")]
)
async def test_the_second_opinion(monkeypatch, why, state):
    def load():
        if why:
            raise OpinionError(why)

    monkeypatch.setattr(second_opinion, "load", load)
    (row,) = await services.opinion()
    assert row.state == state
