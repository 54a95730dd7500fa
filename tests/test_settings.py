"""bot/settings.py: what is read, and that each bad setting is named."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import SettingError
from bot.settings import load, load_store, load_twilio, problems

LEAST = {"RTZR_CLIENT_ID": "id", "RTZR_CLIENT_SECRET": "recogniser-secret"}
SID = "AC" + "0f" * 16
TOKEN = "0123456789abcdef0123456789abcdef"
TWILIO = {"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN": TOKEN}


def settings(**changes):
    return load({**LEAST, **changes})


def test_the_least_environment():
    least = settings()
    assert (least.port, least.public_url, least.media_url) == (
        5000,
        "http://localhost:5000",
        "ws://localhost:5000/twilio/media",
    )
    assert least.host == "0.0.0.0"
    assert (least.twilio.account_sid, least.twilio.auth_tokens, least.twilio.allow_unsigned) == (None, (), False)
    assert (least.rtzr.client_id, least.rtzr.api_url) == ("id", "https://openapi.vito.ai")
    assert least.rtzr.channels is None
    assert (least.openai, least.tts) == (None, "espeak")
    assert (least.database_url, least.diary_keys, least.journal_dir) == ("sqlite:///ilgi.db", None, None)
    assert (least.timezone.key, least.max_call_minutes, least.retention_days) == ("Asia/Seoul", 30, None)


def test_the_keys_of_the_streaming_jobs_and_the_proxies_in_front():
    keys = "k" * 32, "other-key-" + "x" * 32
    assert settings(STREAM_KEYS=f" {keys[0]} ,{keys[1]},").stream_keys == keys
    assert settings().stream_keys == () and keys[0] not in repr(settings(STREAM_KEYS=keys[0]))
    assert (settings().proxies, settings(PUBLIC_URL="https://diary.example.com").proxies) == (0, 1)
    assert settings(PROXIES="2").proxies == 2
    assert (settings().workers, settings(WEB_CONCURRENCY="4").workers) == (1, 4)


def test_who_may_see_what_is_measured_and_where_spans_go():
    keys = "m" * 32, "the-key-before-" + "x" * 32
    assert settings(METRICS_KEY=",".join(keys)).metrics_keys == keys
    assert keys[0] not in repr(settings(METRICS_KEY=keys[0]))
    assert (settings().metrics_keys, settings().otlp_endpoint) == ((), None)
    assert settings(OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318/").otlp_endpoint == "http://collector:4318"


def test_everything_set():
    full = settings(
        **TWILIO,
        PORT="8080",
        PUBLIC_URL="https://diary.example.com/",
        TWILIO_PHONE_NUMBER="+821012345678",
        TWILIO_API_URL="http://127.0.0.1:9/",
        RTZR_API_URL="http://127.0.0.1:8801",
        RTZR_CHANNELS="10",
        OPENAI_API_KEY="sk-1",
        OPENAI_MODEL="small",
        OPENAI_TTS_MODEL="speech",
        OPENAI_TTS_VOICE="nova",
        TTS="espeak",
        DATABASE_URL="postgres://user:pass@host/db",
        DIARY_KEY="one,two",
        TIMEZONE="Europe/Paris",
        JOURNAL_DIR="journals",
        MAX_CALL_MINUTES="240",
        RETENTION_DAYS="365",
    )
    assert full.media_url == "wss://diary.example.com/twilio/media"
    assert full.public_url == "https://diary.example.com"
    assert full.rtzr.channels == 10
    assert full.twilio.api_url == "http://127.0.0.1:9"
    assert full.openai is not None and (full.openai.model, full.openai.tts_voice) == ("small", "nova")
    assert (full.tts, full.journal_dir, full.max_call_minutes) == ("espeak", Path("journals"), 240)
    assert full.retention_days == 365


def test_an_empty_value_is_an_absent_one():
    assert settings(PUBLIC_URL=" ", OPENAI_API_KEY="", PORT="", TWILIO_AUTH_TOKEN="") == settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "x"), ("PORT", "-1"), ("PORT", "65536"), ("PORT", "80.5"), ("PORT", "٣"),
        ("PUBLIC_URL", "diary.example.com"),
        ("PUBLIC_URL", "ftp://diary.example.com"),
        ("PUBLIC_URL", "http://diary.example.com"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https://my_diary.example.com"),
        ("PUBLIC_URL", "https://diary.example.com?x=1"),
        ("PUBLIC_URL", "https://diary.example.com/#x"),
        ("PUBLIC_URL", "https://user:pass@diary.example.com"),
        ("PUBLIC_URL", "https://diary.example.com:99999"),
        ("PUBLIC_URL", "https://diary.example.com/a b"),
        ("PUBLIC_URL", "https://diary.example.com//a"),
        ("PUBLIC_URL", "https://일기.example.com"),
        ("RENDER_EXTERNAL_URL", "nowhere"),
        ("TWILIO_PHONE_NUMBER", "01012345678"), ("TWILIO_PHONE_NUMBER", "+82 10"),
        ("TWILIO_API_URL", "api.twilio.com"),
        ("ALLOW_UNSIGNED", "yes"),
        ("RTZR_API_URL", "vito"),
        ("RTZR_CHANNELS", "0"), ("RTZR_CHANNELS", "many"),
        ("OPENAI_BASE_URL", "localhost:11434"),
        ("OPENAI_MODEL", "small"),
        ("OPENAI_API_KEY", "sk 1"),
        ("TTS", "polly"), ("TTS", "openai"),
        ("DATABASE_URL", "mysql://host/db"), ("DATABASE_URL", "ilgi.db"),
        ("TIMEZONE", "Seoul"), ("TIMEZONE", "../etc/passwd"),
        ("JOURNAL_DIR", __file__),
        ("MAX_CALL_MINUTES", "0"), ("MAX_CALL_MINUTES", "241"),
        ("STREAM_KEYS", "short"), ("STREAM_KEYS", "a" * 31 + " b"), ("PROXIES", "11"),
        ("WEB_CONCURRENCY", "0"), ("WEB_CONCURRENCY", "257"), ("WEB_CONCURRENCY", "two"),
        ("RETENTION_DAYS", "0"), ("RETENTION_DAYS", "-1"), ("RETENTION_DAYS", "1.5"), ("RETENTION_DAYS", "36501"),
    ],
)  # fmt: skip
def test_a_malformed_setting_is_named(name, value):
    with pytest.raises(SettingError) as error:
        settings(**{name: value})
    assert error.value.name == name
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["PORT", "MAX_CALL_MINUTES", "TTS", "TIMEZONE", "DATABASE_URL", "ALLOW_UNSIGNED"])
def test_a_secret_in_the_wrong_place_is_not_shown(name):
    with pytest.raises(SettingError) as error:
        settings(**{name: "sk-secret"})
    assert error.value.name == name
    assert "secret" not in str(error.value)


def test_a_journal_folder_that_cannot_be_looked_at_is_left_to_its_use():
    assert settings(JOURNAL_DIR="x" * 300).journal_dir == Path("x" * 300)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"RTZR_CLIENT_ID": ""}, "RTZR_CLIENT_ID"),
        ({"RTZR_CLIENT_SECRET": ""}, "RTZR_CLIENT_SECRET"),
        ({"RTZR_CLIENT_ID": "", "RTZR_CLIENT_SECRET": ""}, "RTZR_CLIENT_ID"),
        ({"TWILIO_ACCOUNT_SID": SID}, "TWILIO_AUTH_TOKEN"),
        ({"TWILIO_AUTH_TOKEN": TOKEN}, "TWILIO_ACCOUNT_SID"),
        ({**TWILIO, "TWILIO_ACCOUNT_SID": "AC123"}, "TWILIO_ACCOUNT_SID"),
        ({"OPENAI_BASE_URL": "http://localhost:11434/v1"}, "OPENAI_MODEL"),
        ({"DATABASE_URL": "postgresql://host/db"}, "DIARY_KEY"),
        ({"ALLOW_UNSIGNED": "1", "PUBLIC_URL": "https://diary.example.com"}, "ALLOW_UNSIGNED"),
    ],
)
def test_half_of_a_pair_is_named(changes, name):
    with pytest.raises(SettingError) as error:
        settings(**changes)
    assert error.value.name == name


@pytest.mark.parametrize("tokens", ["one,", ",two", "a,b,c", "one two", "열쇠"])
def test_a_bad_token_is_named_and_not_shown(tokens):
    with pytest.raises(SettingError) as error:
        settings(TWILIO_ACCOUNT_SID=SID, TWILIO_AUTH_TOKEN=tokens)
    assert error.value.name == "TWILIO_AUTH_TOKEN"
    assert tokens not in str(error.value)


def test_two_tokens_while_one_is_rotated():
    assert settings(TWILIO_ACCOUNT_SID=SID, TWILIO_AUTH_TOKEN="new, old").twilio.auth_tokens == ("new", "old")


def test_secrets_are_not_in_what_is_printed():
    full = settings(
        **TWILIO, OPENAI_API_KEY="sk-secret", DATABASE_URL="postgres://u:pw-secret@h/d", DIARY_KEY="key-secret"
    )
    for secret in (TOKEN, "sk-secret", "pw-secret", "key-secret", "recogniser-secret"):
        assert secret not in repr(full)


@pytest.mark.parametrize(
    "url", ["http://localhost:5000", "http://127.0.0.1:5000", "http://[::1]:5000", "https://localhost"]
)
def test_unsigned_is_allowed_on_this_machine_and_binds_it_only(url):
    unsigned = settings(PUBLIC_URL=url, ALLOW_UNSIGNED="1")
    assert unsigned.twilio.allow_unsigned
    assert unsigned.host == ("::1" if "::1" in url else "127.0.0.1")


def test_the_public_url_of_the_platform_is_taken_unless_another_is_set():
    assert settings(RENDER_EXTERNAL_URL="https://ilgi.onrender.com").public_url == "https://ilgi.onrender.com"
    both = settings(RENDER_EXTERNAL_URL="https://ilgi.onrender.com", PUBLIC_URL="https://a.example.com/ilgi/")
    assert (both.public_url, both.media_url) == ("https://a.example.com/ilgi", "wss://a.example.com/ilgi/twilio/media")


def test_a_port_chosen_by_the_system_is_in_the_default_public_url():
    assert settings(PORT="0").listening_on(4321).public_url == "http://localhost:4321"
    fixed = settings(PORT="0", PUBLIC_URL="https://a.example.com").listening_on(4321)
    assert (fixed.port, fixed.public_url) == (4321, "https://a.example.com")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"OPENAI_API_KEY": "sk"}, ("sk", None, "gpt-4.1-mini", "openai")),
        ({"OPENAI_API_KEY": "sk", "TTS": "espeak"}, ("sk", None, "gpt-4.1-mini", "espeak")),
        ({"OPENAI_BASE_URL": "http://[::1]:1/v1/", "OPENAI_MODEL": "m"}, (None, "http://[::1]:1/v1", "m", "espeak")),
        ({"OPENAI_API_KEY": "sk", "OPENAI_BASE_URL": "https://v.kr"}, ("sk", "https://v.kr", "gpt-4.1-mini", "openai")),
    ],
)  # fmt: skip
def test_the_model_account(changes, expected):
    with_model = settings(**changes)
    assert with_model.openai is not None
    openai = with_model.openai
    assert (openai.api_key, openai.base_url, openai.model, with_model.tts) == expected


def test_the_diary_alone_needs_no_account():
    assert load_store({"DATABASE_URL": "sqlite:///other.db"}).database_url == "sqlite:///other.db"


def test_the_telephone_account_alone():
    twilio = load_twilio({**TWILIO, "PORT": "x", "TIMEZONE": "nowhere"})
    assert (twilio.account_sid, twilio.auth_tokens) == (SID, (TOKEN,))


def test_every_setting_that_cannot_be_used_is_named_once():
    environ = {
        "PORT": "x",
        "PUBLIC_URL": "diary.example.com",
        "ALLOW_UNSIGNED": "1",
        "TWILIO_ACCOUNT_SID": SID,
        "TWILIO_PHONE_NUMBER": "010",
        "RTZR_CLIENT_SECRET": "s",
        "RTZR_CHANNELS": "0",
        "OPENAI_MODEL": "m",
        "TTS": "polly",
        "DATABASE_URL": "mysql://h/d",
        "TIMEZONE": "Seoul",
        "MAX_CALL_MINUTES": "0",
        "RETENTION_DAYS": "0",
    }
    assert [problem.name for problem in problems(environ)] == [
        "PORT", "PUBLIC_URL", "TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER", "RTZR_CLIENT_ID", "RTZR_CHANNELS",
        "OPENAI_MODEL", "TTS", "DATABASE_URL", "TIMEZONE", "RETENTION_DAYS", "MAX_CALL_MINUTES",
    ]  # fmt: skip


VALUES = st.dictionaries(
    st.sampled_from(
        ["PORT", "PUBLIC_URL", "RENDER_EXTERNAL_URL", "ALLOW_UNSIGNED", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN",
         "TWILIO_PHONE_NUMBER", "TWILIO_API_URL", "RTZR_CLIENT_ID", "RTZR_CLIENT_SECRET", "RTZR_API_URL", "TTS",
         "RTZR_CHANNELS", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "DATABASE_URL", "DIARY_KEY", "TIMEZONE",
         "MAX_CALL_MINUTES", "RETENTION_DAYS"]
    ),
    st.sampled_from(
        ["", "1", "0", "x", "openai", SID, TOKEN, "+821012345678", "http://localhost:1", "https://a.example.com",
         "postgres://u:p@h/d", "sqlite:///a.db", "Asia/Seoul"]
    ) | st.text(max_size=8),
)  # fmt: skip


@given(VALUES)
def test_there_are_problems_just_when_nothing_can_be_loaded(environ):
    found = problems(environ)
    if not found:
        load(environ)
        return
    with pytest.raises(SettingError) as error:
        load(environ)
    assert error.value.name in {problem.name for problem in found}
