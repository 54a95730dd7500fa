"""bot/doctor/command.py: everything at once, and that it tells no secret and changes nothing."""

import json
import logging
import re
from contextlib import AsyncExitStack

import pytest

from bot.doctor import command
from bot.doctor.advice import _ADVICE
from bot.doctor.command import as_json, as_table, examined, main
from bot.doctor.row import Row, fail, ok, shown_url
from bot.lab.openai import OpenAiLab
from bot.lab.rtzr import RtzrLab
from bot.lab.stage import staged
from bot.lab.twilio import ACCOUNT_SID, BOT_NUMBER
from bot.lab.twilio_rest import Number, TwilioRest
from tests.doctor.rows import of, states
from tests.setting_names import setting_names

AUTH_TOKEN = "auth-token-secret"
PUBLIC_URL = "https://ilgi.invalid"
KEY = "the-newest-key-of-the-diary-0123"


def good_number():
    return Number(
        BOT_NUMBER,
        voice_url=f"{PUBLIC_URL}/twilio/voice",
        voice_fallback_url="https://handler.twilio.com/twiml/EH1",
        status_callback=f"{PUBLIC_URL}/twilio/status",
    )


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
    assert found.pop("recogniser channels") == "off"
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
    assert (of(rows, "database").state, of(rows, "journals").state) == ("ok", "ok")


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


@pytest.mark.parametrize(("row", "status"), [(ok("a", "b"), 0), (fail("a", "b", "c"), 1)])
def test_the_exit_status_is_0_only_when_nothing_failed(monkeypatch, capsys, row, status):
    async def found(environ):
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
