"""bot/doctor: what it finds, with the stand-ins on real sockets, and that it tells no secret and changes nothing."""

import json
import logging
import re
import sqlite3
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from bot.audio import second_opinion
from bot.diary.crypto import Keys
from bot.diary.store import Store
from bot.doctor import command, diary, services, telephone
from bot.doctor.advice import _ADVICE
from bot.doctor.command import as_json, as_table, checks, examined, main
from bot.doctor.row import Row, fail, ok, shown_url
from bot.errors import OpinionError, VoiceError
from bot.lab.openai import OpenAiLab
from bot.lab.rtzr import RtzrLab
from bot.lab.rtzr_behaviour import Close
from bot.lab.stage import staged
from bot.lab.twilio import ACCOUNT_SID, BOT_NUMBER
from bot.lab.twilio_rest import Number, TwilioRest
from bot.services.carrier import IncomingNumber
from bot.settings import OpenAiSettings, RtzrSettings, StoreSettings, TwilioSettings, load_store
from tests.canned import Answer, canned
from tests.setting_names import setting_names

AUTH_TOKEN = "auth-token-secret"
PUBLIC_URL = "https://ilgi.invalid"
KEY, OLD_KEY = "the-newest-key-of-the-diary-0123", "an-older-key-of-the-diary-987654"
SAID = "오늘은 산책을 했어요"
ACCOUNT_PATH = f"/2010-04-01/Accounts/{ACCOUNT_SID}.json"
NUMBERS_PATH = f"/2010-04-01/Accounts/{ACCOUNT_SID}/IncomingPhoneNumbers.json"
HEALTHY = Answer(200, {"status": "ok", "calls": 0, "draining": False, "database": "ok"})


def of(rows, what):
    (row,) = [row for row in rows if row.what == what]
    return row


def states(rows):
    return {row.what: row.state for row in rows}


def twilio_settings(api_url, **changes):
    return TwilioSettings(
        **{"account_sid": ACCOUNT_SID, "auth_tokens": (AUTH_TOKEN,), "phone_number": BOT_NUMBER, "api_url": api_url}
        | changes
    )


def good_number(public_url=PUBLIC_URL):
    return Number(
        BOT_NUMBER,
        voice_url=f"{public_url}/twilio/voice",
        voice_fallback_url="https://handler.twilio.com/twiml/EH1",
        status_callback=f"{public_url}/twilio/status",
    )


# The whole


@pytest.fixture
async def world(tmp_path):
    """Settings with which everything but PUBLIC_URL works."""
    async with AsyncExitStack() as stack:
        rtzr = await stack.enter_async_context(RtzrLab())
        openai = await stack.enter_async_context(OpenAiLab())
        rest = await stack.enter_async_context(TwilioRest(ACCOUNT_SID, AUTH_TOKEN, numbers=[good_number()]))
        yield {
            "PUBLIC_URL": PUBLIC_URL,
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TWILIO_PHONE_NUMBER": BOT_NUMBER,
            "TWILIO_API_URL": rest.url,
            "RTZR_CLIENT_ID": rtzr.client_id,
            "RTZR_CLIENT_SECRET": rtzr.client_secret,
            "RTZR_API_URL": rtzr.url,
            "OPENAI_API_KEY": openai.key,
            "OPENAI_BASE_URL": openai.url,
            "OPENAI_MODEL": "lab",
            "DATABASE_URL": f"sqlite:///{tmp_path / 'diary.db'}",
            "DIARY_KEY": KEY,
            "JOURNAL_DIR": str(tmp_path / "journals"),
        }


async def test_every_account_is_reached(world):
    rows = await examined(world)
    found = states(rows)
    opinion = found.pop("second opinion")
    assert opinion in ("ok", "off")
    assert found.pop("PUBLIC_URL") == "fail"
    assert set(found.values()) == {"ok"}
    assert list(found) == [
        "settings", "Twilio account", "Twilio number", "voice webhook", "status webhook", "fallback webhook",
        "recogniser token", "recogniser stream", "model", "voice", "espeak-ng", "database", "DIARY_KEY", "journals",
    ]  # fmt: skip


async def test_nothing_is_made_by_looking(world, tmp_path):
    await examined(world)
    assert list(tmp_path.iterdir()) == []


async def test_no_secret_and_no_number_is_told(world):
    broken = {**world, "TWILIO_AUTH_TOKEN": "another-secret", "RTZR_CLIENT_SECRET": "wrong-secret", "TTS": "sk-typo"}
    for environ in (world, broken):
        rows = await examined(environ)
        told = as_json(rows) + as_table(rows)
        for name in ("TWILIO_AUTH_TOKEN", "RTZR_CLIENT_SECRET", "OPENAI_API_KEY", "DIARY_KEY"):
            assert environ[name] not in told
        assert BOT_NUMBER not in told
        assert "sk-typo" not in told


async def test_settings_that_cannot_be_used_are_all_named_and_the_rest_is_checked(world):
    rows = await examined({**world, "PORT": "x", "TTS": "polly", "RTZR_CLIENT_SECRET": "", "TIMEZONE": "Seoul"})
    failed = [row.what for row in rows if row.state == "fail"]
    assert failed == ["PORT", "RTZR_CLIENT_SECRET", "TTS", "TIMEZONE", "PUBLIC_URL"]
    assert of(rows, "TTS").mend.startswith("TTS: espeak, or openai")
    assert of(rows, "model").state == "ok"
    assert of(rows, "Twilio account").state == "ok"
    assert "recogniser token" not in states(rows)


async def test_what_is_optional_and_not_set_is_off(world):
    least = {name: world[name] for name in world if name.startswith(("RTZR", "DATABASE"))}
    found = states(await examined(least))
    assert (found["Twilio account"], found["model"], found["journals"]) == ("off", "off", "off")
    assert "fail" not in found.values()


async def test_a_check_that_gets_no_answer_ends(world):
    async with TwilioRest(ACCOUNT_SID, AUTH_TOKEN) as rest:
        rest.faults.hangs = 1
        rows = await examined({**world, "TWILIO_API_URL": rest.url}, limit_s=3.0)
    assert of(rows, "Twilio account") == fail(
        "Twilio account", "no answer within 3 s", "see that it is up and reached from here"
    )
    assert of(rows, "recogniser stream").state == "ok"


@pytest.mark.parametrize(("row", "status"), [(ok("a", "b"), 0), (fail("a", "b", "c"), 1)])
def test_the_exit_status_is_0_only_when_nothing_failed(monkeypatch, capsys, row, status):
    async def found(environ, limit_s):
        return [row, Row("x", "off", "y"), Row("w", "warn", "v", "u")]

    monkeypatch.setattr(command, "examined", found)
    assert main(["--json"], {}) == status
    assert [each["state"] for each in json.loads(capsys.readouterr().out)] == [row.state, "off", "warn"]
    assert main([], {}) == status
    assert capsys.readouterr().out.splitlines()[-1].endswith("1 off")
    assert not logging.root.manager.disable


def test_the_table_tells_how_to_mend_it_beneath_and_stays_narrow():
    table = as_table([ok("a", "fine"), fail("database", "it is broken " * 12, "mend it " * 20)])
    assert max(map(len, table.splitlines())) <= 80
    assert re.search(r"^fail  database  it is broken", table, re.M)
    assert re.search(r"^ {16}-> mend it", table, re.M)
    assert table.endswith("1 ok, 0 warn, 1 fail, 0 off\n")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example.com/twilio/voice", "https://a.example.com/twilio/voice"),
        ("https://user:pass@a.example.com:8443/x?token=secret#f", "https://a.example.com:8443/x?…"),
        ("https://[", "what is no address"),
        ("https://a.example.com:99999/", "what is no address"),
    ],
)
def test_of_an_address_only_what_is_no_secret_is_shown(url, shown):
    assert shown_url(url) == shown


def test_every_setting_that_can_be_wrong_has_its_advice():
    free_text = {"OPENAI_TTS_MODEL", "OPENAI_TTS_VOICE"}
    assert set(_ADVICE) == setting_names() - free_text


# The telephone


async def test_a_refused_account(world):
    async with TwilioRest(ACCOUNT_SID, "another") as rest:
        (row,) = await telephone.twilio(twilio_settings(rest.url), PUBLIC_URL)
    assert (row.state, row.found) == ("fail", "the account is refused: HTTP 401")
    assert "TWILIO_AUTH_TOKEN" in row.mend


async def test_an_account_that_cannot_be_reached():
    (row,) = await telephone.twilio(twilio_settings("http://127.0.0.1:9"), PUBLIC_URL)
    assert (row.state, row.found) == ("fail", "no answer: ConnectError")
    assert "cannot be reached" in row.mend


@pytest.mark.parametrize("status", ["suspended", "closed", ""])
async def test_an_account_that_is_not_active(status):
    async with TwilioRest(ACCOUNT_SID, AUTH_TOKEN) as rest:
        rest.status = status
        (row,) = await telephone.twilio(twilio_settings(rest.url), PUBLIC_URL)
    assert (row.state, row.found) == ("fail", f"it is {status or 'not active'}")


async def test_a_trial_account_is_a_warning():
    answers = {
        ("GET", ACCOUNT_PATH): Answer(200, {"status": "active", "type": "Trial"}),
        ("GET", NUMBERS_PATH): Answer(200, {"incoming_phone_numbers": [{"sid": "PN1"}]}),
    }
    async with canned(answers) as api:
        rows = await telephone.twilio(twilio_settings(api.url), None)
    assert states(rows) == {"Twilio account": "warn", "Twilio number": "ok"}


async def test_twilio_in_trouble():
    async with canned({("GET", ACCOUNT_PATH): Answer(503, {})}) as api:
        (row,) = await telephone.twilio(twilio_settings(api.url), PUBLIC_URL)
    assert (row.state, row.found, row.mend) == ("fail", "HTTP 503", "try again: see status.twilio.com")


async def test_the_numbers_of_an_account_cannot_be_listed():
    async with canned({("GET", ACCOUNT_PATH): Answer(200, {"status": "active"})}) as api:
        rows = await telephone.twilio(twilio_settings(api.url), PUBLIC_URL)
    assert (of(rows, "Twilio number").state, of(rows, "Twilio number").found) == ("fail", "HTTP 404")


async def test_a_number_that_is_not_ours():
    async with TwilioRest(ACCOUNT_SID, AUTH_TOKEN, numbers=[Number("+15550001111")]) as rest:
        rows = await telephone.twilio(twilio_settings(rest.url), PUBLIC_URL)
    assert of(rows, "Twilio number") == fail(
        "Twilio number", "…901 is not a number of this account", "set TWILIO_PHONE_NUMBER to one"
    )


async def test_without_a_number_its_webhooks_are_not_checked():
    async with TwilioRest(ACCOUNT_SID, AUTH_TOKEN) as rest:
        rows = await telephone.twilio(twilio_settings(rest.url, phone_number=None), PUBLIC_URL)
    assert states(rows) == {"Twilio account": "ok", "Twilio number": "warn"}


async def test_no_account_and_every_request_let_in():
    (row,) = await telephone.twilio(TwilioSettings(allow_unsigned=True), PUBLIC_URL)
    assert (row.state, row.found) == ("off", "not configured: every request is let in")


VOICE, STATUS = f"{PUBLIC_URL}/twilio/voice", f"{PUBLIC_URL}/twilio/status"


@pytest.mark.parametrize(
    ("number", "state", "found"),
    [
        (IncomingNumber(voice_url=VOICE, voice_method="POST"), "ok", VOICE),
        (IncomingNumber(voice_url=VOICE), "ok", VOICE),
        (IncomingNumber(voice_url=VOICE, voice_method="GET"), "fail", "its method is not POST"),
        (IncomingNumber(), "fail", "not set"),
        (IncomingNumber(voice_url=VOICE + "/"), "fail", f"it is {VOICE}/"),
        (IncomingNumber(voice_url="https://b.example.com/twilio/voice?k=secret"), "fail",
         "it is https://b.example.com/twilio/voice?…"),
        (IncomingNumber(voice_url=VOICE, voice_application_sid="AP1"), "fail",
         "calls go to a TwiML app, and the webhook is not asked"),
        (IncomingNumber(voice_url=VOICE, trunk_sid="TK1"), "fail",
         "calls go to a SIP trunk, and the webhook is not asked"),
    ],
)  # fmt: skip
def test_the_voice_webhook(number, state, found):
    row = telephone.voice_webhook(number, PUBLIC_URL)
    assert (row.state, row.found) == (state, found)
    assert state == "ok" or VOICE in row.mend


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (IncomingNumber(status_callback=STATUS, status_callback_method="POST"), "ok"),
        (IncomingNumber(status_callback=STATUS), "ok"),
        (IncomingNumber(status_callback=STATUS, status_callback_method="GET"), "warn"),
        (IncomingNumber(status_callback="https://b.example.com"), "warn"),
        (IncomingNumber(), "warn"),
    ],
)
def test_the_status_webhook(number, state):
    row = telephone.status_webhook(number, PUBLIC_URL)
    assert row.state == state
    assert state == "ok" or STATUS in row.mend


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (IncomingNumber(voice_fallback_url="https://handler.twilio.com/twiml/EH1"), "ok"),
        (IncomingNumber(voice_fallback_url=f"{PUBLIC_URL}/fallback"), "warn"),
        (IncomingNumber(), "warn"),
    ],
)
def test_the_fallback_webhook(number, state):
    assert telephone.fallback_webhook(number, PUBLIC_URL).state == state


# The way to us


async def test_an_address_where_nobody_answers():
    (row,) = await telephone.way_to_us(None, PUBLIC_URL)
    assert (row.state, row.found) == ("fail", f"no answer from {PUBLIC_URL}/health: ConnectError")
    (row,) = await telephone.way_to_us(None, "http://127.0.0.1:9")
    assert row.state == "warn"
    assert "only this machine" in row.found


@pytest.mark.parametrize(
    ("health", "found"),
    [
        (Answer(502, b"<html>bad gateway"), "HTTP 502, and not this bot"),
        (Answer(200, b"<html>welcome"), "HTTP 200, and not this bot"),
        (Answer(200, {"status": "ok"}), "HTTP 200, and not this bot"),
        (Answer(200, ["draining"]), "HTTP 200, and not this bot"),
        (Answer(301, b"", {"Location": "https://www.example.com/health?x=secret"}),
         "redirects to https://www.example.com/health?…"),
    ],
)  # fmt: skip
async def test_an_address_where_somebody_else_answers(health, found):
    async with canned({("GET", "/health"): health}) as bot:
        (row,) = await telephone.way_to_us(twilio_settings(""), bot.url)
    assert row.state == "fail"
    assert row.found.endswith(found)
    assert "PUBLIC_URL" in row.mend


async def test_a_bot_without_its_database():
    degraded = Answer(200, {"status": "degraded", "calls": 0, "draining": False, "database": "down"})
    async with canned({("GET", "/health"): degraded}) as bot:
        (row,) = await telephone.way_to_us(None, bot.url)
    assert (row.state, row.found) == ("warn", "the bot answers, and its database is down")


@pytest.mark.parametrize(("status", "found"), [(403, "refused: HTTP 403"), (502, "HTTP 502")])
async def test_a_bot_that_does_not_take_what_twilio_signs(status, found):
    answers = {("GET", "/health"): HEALTHY, ("POST", "/twilio/stream-status"): Answer(status, {})}
    async with canned(answers) as bot:
        rows = await telephone.way_to_us(twilio_settings(""), bot.url)
    assert (of(rows, "signed webhook").state, of(rows, "signed webhook").found) == ("fail", found)
    assert "media stream" not in states(rows)


@pytest.mark.parametrize(
    ("status", "state", "found"),
    [(502, "fail", "is refused: HTTP 502"), (403, "fail", "is refused: HTTP 403"), (503, "warn", "going away")],
)
async def test_a_proxy_that_passes_on_no_media_stream(status, state, found):
    answers = {
        ("GET", "/health"): HEALTHY,
        ("POST", "/twilio/stream-status"): Answer(204, b""),
        ("GET", "/twilio/media"): Answer(status, {}),
    }
    async with canned(answers) as bot:
        rows = await telephone.way_to_us(twilio_settings(""), bot.url)
    assert of(rows, "signed webhook").state == "ok"
    assert of(rows, "media stream").state == state
    assert found in of(rows, "media stream").found


async def test_a_bot_that_runs_lets_in_what_twilio_signs_and_notes_no_call(tmp_path, run_sql):
    async with staged(tmp_path, offline=True) as stage:
        environ = {**stage.bot.environ, "PUBLIC_URL": stage.bot.url}
        rows = await examined({**environ, "TWILIO_API_URL": "http://127.0.0.1:9"})
        other = await examined({**environ, "TWILIO_API_URL": "http://127.0.0.1:9", "TWILIO_AUTH_TOKEN": "another"})
        entries = await stage.bot.entries()
    found = states(rows)
    assert found["PUBLIC_URL"] == "warn"  # only this machine reaches it
    assert [found[what] for what in ("signed webhook", "media stream", "database", "tables", "DIARY_KEY", "jobs")] == [
        "ok"
    ] * 6
    assert of(other, "signed webhook") == fail(
        "signed webhook",
        "refused: HTTP 403",
        "start the bot with the PUBLIC_URL, TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN that are set here",
    )
    assert entries == []
    assert run_sql(environ["DATABASE_URL"], "SELECT count(*) FROM calls") == [("0",)]
    assert not [line for line in stage.bot.log if "ERROR" in line]


# The services


def rtzr_settings(lab, **changes):
    fields = {"client_id": lab.client_id, "client_secret": lab.client_secret, "api_url": lab.url} | changes
    return RtzrSettings(**fields)


async def test_the_stream_is_opened_once_and_ended_with_eos():
    async with RtzrLab() as lab:
        rows = await services.recogniser(rtzr_settings(lab))
        assert states(rows) == {"recogniser token": "ok", "recogniser stream": "ok"}
        assert (lab.report.sockets, lab.report.eos, lab.report.authentications) == (1, 1, 1)
        assert lab.breaches == []


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


# The diary


def clock():
    return datetime.now(UTC)


def store_settings(database_url, key=KEY, **changes):
    return load_store({"DATABASE_URL": database_url, "DIARY_KEY": key, **changes})


async def diary_rows(database_url, key=KEY, **changes):
    arguments = {"clock": clock, "is_hosted": False} | changes
    return await diary.database(store_settings(database_url, key), **arguments)


async def written(database_url, key=KEY):
    store = await Store.open(database_url, Keys.parse(key))
    await store.call_arrived("CA" + "1" * 32, BOT_NUMBER)
    return store


async def test_a_diary_that_is_fine(database_url, database_kind):
    await (await written(database_url)).close()
    rows = await diary_rows(database_url)
    expected = ["database", "tables", "DIARY_KEY", *(["clock"] if database_kind == "postgresql" else []), "jobs"]
    assert [(row.what, row.state) for row in rows] == [(what, "ok") for what in expected]


async def test_looking_leaves_nothing_behind(database_url, run_sql):
    await (await written(database_url)).close()
    await diary_rows(database_url)
    assert run_sql(database_url, "SELECT count(*) FROM schedules") == [("0",)]


@pytest.mark.parametrize("key", [OLD_KEY, None])
async def test_a_diary_that_the_key_does_not_open(database_url, tmp_path, key):
    await (await written(database_url)).close()
    settings = StoreSettings(database_url=database_url, diary_keys=key, timezone=load_store({}).timezone)
    rows = await diary.database(settings, clock=clock, is_hosted=False)
    assert of(rows, "DIARY_KEY").state == "fail"
    assert not (tmp_path / "diary.db.key").exists()


async def test_a_key_that_is_still_in_use_beside_the_newest(database_url):
    await (await written(database_url, OLD_KEY)).close()
    await (await Store.open(database_url, Keys.parse(f"{KEY},{OLD_KEY}"))).close()
    row = of(await diary_rows(database_url, f"{KEY},{OLD_KEY}"), "DIARY_KEY")
    assert (row.state, row.mend) == ("warn", "python -m bot rotate")


async def test_a_damaged_diary(database_url, run_sql):
    await (await written(database_url)).close()
    sealed = "X'00'" if database_url.startswith("sqlite") else "'\\x00'"
    run_sql(database_url, f"UPDATE callers SET number_sealed = {sealed}")
    assert of(await diary_rows(database_url), "DIARY_KEY").state == "fail"


async def test_tables_that_are_missing(unmigrated_url, database_kind):
    if database_kind == "sqlite":
        sqlite3.connect(unmigrated_url.removeprefix("sqlite:///")).execute("CREATE TABLE other (id)").connection.close()
    row = of(await diary_rows(unmigrated_url), "tables")
    assert row.state == ("warn" if database_kind == "sqlite" else "fail")
    assert row.mend.startswith("python -m bot.diary.migrate")


@pytest.mark.postgresql
@pytest.mark.parametrize(("skew_s", "state"), [(0, "ok"), (10, "warn"), (-10, "warn"), (60, "fail"), (-60, "fail")])
async def test_a_clock_that_is_not_the_databases(database_url, skew_s, state):
    await (await written(database_url)).close()
    rows = await diary_rows(database_url, clock=lambda: clock() + timedelta(seconds=skew_s))
    assert of(rows, "clock").state == state


@pytest.mark.postgresql
@pytest.mark.parametrize("wrong", ["user", "password", "port", "name"])
async def test_a_database_that_cannot_be_reached(database_url, wrong):
    parts = urlsplit(database_url)
    user, password, port, name = parts.username, parts.password, parts.port, parts.path
    user, password = ("nobody", password) if wrong == "user" else (user, "x" if wrong == "password" else password)
    port, name = (9, name) if wrong == "port" else (port, "/there_is_none" if wrong == "name" else name)
    (row,) = await diary_rows(f"postgres://{user}:{password}@127.0.0.1:{port}{name}")
    assert (row.what, row.state) == ("database", "fail")
    assert "DATABASE_URL" in row.mend
    assert str(parts.password) not in row.found


@pytest.mark.postgresql
async def test_a_database_that_only_reads(database_url, run_sql):
    await (await written(database_url)).close()
    name = database_url.rpartition("/")[2]
    run_sql(database_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    rows = await diary_rows(database_url)
    assert (of(rows, "database").state, len(rows)) == ("fail", 1)


async def test_dead_jobs_are_counted_by_their_kind(database_url, run_sql):
    await (await written(database_url)).close()
    values = "'{}', 'dead', '2026-01-01 00:00:00', 8, 8, '2026-01-01 00:00:00'"
    for kind, key in (("entry", "a"), ("entry", "b"), ("recording", "c")):
        run_sql(
            database_url,
            f"INSERT INTO jobs (kind, key, args, state, run_at, attempt, token, made_at) "
            f"VALUES ('{kind}', '{key}', {values})",
        )
    row = of(await diary_rows(database_url), "jobs")
    assert (row.state, row.found) == ("warn", "dead after every try: 2 entry, 1 recording")
    run_sql(database_url, row.mend.partition(": ")[2])
    row = of(await diary_rows(database_url), "jobs")
    assert (row.state, row.found) == ("warn", "3 were due 10 min ago")


def test_a_hosted_file_is_a_warning(tmp_path):
    for hosted in ({"DYNO": "web.1"}, {"RENDER": "true"}):
        environ = {"DATABASE_URL": f"sqlite:///{tmp_path / 'diary.db'}", **hosted}
        (check,) = [check for check in checks(environ) if check.what == "database"]
        assert check.run.keywords["is_hosted"]
    row = diary._nothing_yet(tmp_path / "diary.db", is_hosted=True)
    assert (row.state, "PostgreSQL" in row.mend) == ("warn", True)


async def test_a_folder_that_is_not_there(tmp_path):
    rows = await diary_rows(f"sqlite:///{tmp_path / 'nowhere' / 'diary.db'}")
    assert of(rows, "database") == fail(
        "database", "its folder is not there, or cannot be written to", f"mkdir -p {tmp_path / 'nowhere'}"
    )


@pytest.mark.parametrize(
    ("database_url", "key", "what"),
    [("sqlite:////tmp", KEY, "DATABASE_URL"), ("sqlite:///diary.db", "short", "DIARY_KEY")],
)
async def test_a_setting_that_only_its_use_shows_to_be_wrong(database_url, key, what):
    (row,) = await diary_rows(database_url, key)
    assert (row.what, row.state) == (what, "fail")
    assert row.mend.startswith(f"{what}: ")


async def test_the_journals(tmp_path):
    async def state(folder):
        (row,) = await diary.journals(folder)
        return row.state

    assert await state(None) == "off"
    assert await state(tmp_path) == "ok"
    assert await state(tmp_path / "a" / "b") == "ok"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    assert await state(tmp_path / "file") == "fail"
    assert await state(tmp_path / "file" / "x") == "fail"
