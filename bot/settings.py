"""Every setting, read once from the environment at the start.

A malformed setting, or half of a pair, is a `SettingError` that names it and never shows a secret's value. An absent
optional one takes its built-in or closes its door; an empty value is an absent one. It must not know what the settings
are used for: no database, no network, no other part of the bot but its errors and the forms of values (`environ`).
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from bot.environ import Environ, is_loopback, pair, public_url, service_url, text, timezone, whole
from bot.errors import SettingError

Tts = Literal["openai", "espeak"]

MEDIA_PATH = "/twilio/media"
DEFAULT_PORT = 5000
DEFAULT_DATABASE_URL = "sqlite:///ilgi.db"
TWILIO_API_URL = "https://api.twilio.com"
RTZR_API_URL = "https://openapi.vito.ai"
DEFAULT_MODEL = "gpt-4.1-mini"
DEFAULT_TTS_MODEL = "gpt-4o-mini-tts"
DEFAULT_TTS_VOICE = "coral"
DEFAULT_CALL_MINUTES = 30
DEFAULT_TIMEZONE = "Asia/Seoul"
LONGEST_CALL_MINUTES = 240
LONGEST_RETENTION_DAYS = 36_500
SHORTEST_KEY_CHARS = 32
MOST_PROXIES = 10
MOST_WORKERS = 256
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Where the workers of one `serve` leave their figures; not ours to name, and read by prometheus_client itself."""
MOST_CHANNELS = 100_000

_ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SQLITE = ("sqlite", "sqlite+aiosqlite")
_POSTGRES = ("postgres", "postgresql", "postgresql+asyncpg")


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioSettings:
    """The telephone account. With no auth token every request is refused, unless `allow_unsigned`."""

    account_sid: str | None = None
    auth_tokens: tuple[str, ...] = field(default=(), repr=False)
    phone_number: str | None = field(default=None, repr=False)
    allow_unsigned: bool = False
    api_url: str = TWILIO_API_URL


@dataclass(frozen=True, slots=True, kw_only=True)
class RtzrSettings:
    """The recogniser's account. `channels` None: how many streams it takes at once is not known."""

    client_id: str
    client_secret: str = field(repr=False)
    api_url: str = RTZR_API_URL
    channels: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAiSettings:
    """Any OpenAI-compatible server. `api_key` and `base_url` None: that server needs none, or it is OpenAI's own."""

    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    model: str = DEFAULT_MODEL
    tts_model: str = DEFAULT_TTS_MODEL
    tts_voice: str = DEFAULT_TTS_VOICE


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """What the commands need that only read or change the diary. `diary_keys` is the text of DIARY_KEY.

    `retention_days` None: what was said is kept for ever.
    """

    database_url: str = field(default=DEFAULT_DATABASE_URL, repr=False)
    diary_keys: str | None = field(default=None, repr=False)
    timezone: ZoneInfo
    journal_dir: Path | None = None
    retention_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(StoreSettings):
    """What a serving process needs. `public_url` has no slash at its end.

    `stream_keys` let programs in at the streaming jobs, `metrics_keys` at /metrics. So many `proxies` stand before the
    process, each of which adds the address that it saw to X-Forwarded-For. Spans are sent to `otlp_endpoint`. So many
    `workers` share the port.
    """

    port: int = DEFAULT_PORT
    public_url: str
    twilio: TwilioSettings
    rtzr: RtzrSettings
    openai: OpenAiSettings | None = None
    tts: Tts = "espeak"
    max_call_minutes: int = DEFAULT_CALL_MINUTES
    stream_keys: tuple[str, ...] = field(default=(), repr=False)
    metrics_keys: tuple[str, ...] = field(default=(), repr=False)
    otlp_endpoint: str | None = None
    proxies: int = 0
    workers: int = 1

    @property
    def media_url(self) -> str:
        """Where Twilio dials the media stream: `wss://` for an https PUBLIC_URL, `ws://` for http."""
        return "ws" + self.public_url.removeprefix("http") + MEDIA_PATH

    @property
    def host(self) -> str:
        """The address to bind: only the loopback when unsigned requests are allowed."""
        if not self.twilio.allow_unsigned:
            return "0.0.0.0"
        return "::1" if urlsplit(self.public_url).hostname == "::1" else "127.0.0.1"

    def listening_on(self, port: int) -> "Settings":
        """The same settings once the port is known: PORT=0 lets the system choose one."""
        default = self.public_url == f"http://localhost:{self.port}"
        return replace(self, port=port, public_url=f"http://localhost:{port}" if default else self.public_url)


def load(environ: Environ) -> Settings:
    """All settings of a serving process; SettingError names the first that cannot be used."""
    store = load_store(environ)
    return Settings(
        database_url=store.database_url,
        diary_keys=store.diary_keys,
        timezone=store.timezone,
        journal_dir=store.journal_dir,
        retention_days=store.retention_days,
        port=_port(environ),
        public_url=load_public_url(environ),
        twilio=load_twilio(environ),
        rtzr=load_rtzr(environ),
        openai=load_openai(environ),
        tts=load_tts(environ),
        max_call_minutes=whole(environ, "MAX_CALL_MINUTES", 1, LONGEST_CALL_MINUTES) or DEFAULT_CALL_MINUTES,
        stream_keys=_keys(environ, "STREAM_KEYS"),
        metrics_keys=_keys(environ, "METRICS_KEY"),
        otlp_endpoint=load_otlp_endpoint(environ),
        proxies=_proxies(environ),
        workers=_workers(environ),
    )


def load_store(environ: Environ) -> StoreSettings:
    """The settings of the diary alone; SettingError names the first that cannot be used."""
    return StoreSettings(
        database_url=load_database_url(environ),
        diary_keys=load_diary_keys(environ),
        timezone=_timezone(environ),
        journal_dir=load_journal_dir(environ),
        retention_days=_retention_days(environ),
    )


def load_twilio(environ: Environ) -> TwilioSettings:
    """The telephone account alone; SettingError names the first that cannot be used."""
    account = _twilio_account(environ)
    return TwilioSettings(
        account_sid=account[0] if account else None,
        auth_tokens=account[1] if account else (),
        phone_number=_phone_number(environ),
        allow_unsigned=_allow_unsigned(environ),
        api_url=service_url(environ, "TWILIO_API_URL") or TWILIO_API_URL,
    )


def problems(environ: Environ) -> list[SettingError]:
    """Every setting that cannot be used, once each; none just when `load` gives settings."""
    found: dict[str, SettingError] = {}
    for part in _PARTS:
        try:
            part(environ)
        except SettingError as error:
            found.setdefault(error.name, error)
    return list(found.values())


def _port(environ: Environ) -> int:
    port = whole(environ, "PORT", 0, 65535)
    return DEFAULT_PORT if port is None else port


def load_public_url(environ: Environ) -> str:
    """PUBLIC_URL, else RENDER_EXTERNAL_URL, else this machine."""
    given = public_url(environ, "PUBLIC_URL") or public_url(environ, "RENDER_EXTERNAL_URL")
    return given or f"http://localhost:{_port(environ)}"


def load_database_url(environ: Environ) -> str:
    """Where the diary is."""
    database_url = text(environ, "DATABASE_URL") or DEFAULT_DATABASE_URL
    scheme, separator, rest = database_url.partition("://")
    if not separator or not rest or scheme not in _SQLITE + _POSTGRES:
        raise SettingError("DATABASE_URL", "is not a sqlite:///… or postgresql://… address")
    return database_url


def load_diary_keys(environ: Environ) -> str | None:
    """The text of DIARY_KEY; None: the key is in a file beside the SQLite file."""
    diary_keys = text(environ, "DIARY_KEY")
    if diary_keys is None and load_database_url(environ).partition("://")[0] in _POSTGRES:
        raise SettingError("DIARY_KEY", "is required with PostgreSQL")
    return diary_keys


def _timezone(environ: Environ) -> ZoneInfo:
    return timezone(environ, "TIMEZONE", DEFAULT_TIMEZONE)


def load_journal_dir(environ: Environ) -> Path | None:
    """Where journals are kept; None: nowhere."""
    journal_dir = text(environ, "JOURNAL_DIR")
    if journal_dir is None:
        return None
    if os.path.exists(journal_dir) and not os.path.isdir(journal_dir):
        raise SettingError("JOURNAL_DIR", "is there, but is not a directory")
    return Path(journal_dir)


def _retention_days(environ: Environ) -> int | None:
    return whole(environ, "RETENTION_DAYS", 1, LONGEST_RETENTION_DAYS)


def _keys(environ: Environ, name: str) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in (text(environ, name) or "").split(",") if key.strip())
    if any(len(key) < SHORTEST_KEY_CHARS or not key.isascii() or len(key.split()) != 1 for key in keys):
        why = f"holds a key that is shorter than {SHORTEST_KEY_CHARS} ASCII characters, or has a space in it"
        raise SettingError(name, why)
    return keys


def load_otlp_endpoint(environ: Environ) -> str | None:
    """Where spans are sent, None for nowhere; SettingError when it is no address."""
    return service_url(environ, "OTEL_EXPORTER_OTLP_ENDPOINT")


def _proxies(environ: Environ) -> int:
    given = whole(environ, "PROXIES", 0, MOST_PROXIES)
    if given is not None:
        return given
    return 0 if is_loopback(urlsplit(load_public_url(environ)).hostname or "") else 1


def _workers(environ: Environ) -> int:
    return whole(environ, "WEB_CONCURRENCY", 1, MOST_WORKERS) or 1


def _allow_unsigned(environ: Environ) -> bool:
    unsigned = text(environ, "ALLOW_UNSIGNED") or "0"
    if unsigned not in ("0", "1"):
        raise SettingError("ALLOW_UNSIGNED", "must be 1 or absent")
    if unsigned == "1" and not is_loopback(urlsplit(load_public_url(environ)).hostname or ""):
        raise SettingError("ALLOW_UNSIGNED", "is only for a PUBLIC_URL on this machine")
    return unsigned == "1"


def _phone_number(environ: Environ) -> str | None:
    number = text(environ, "TWILIO_PHONE_NUMBER")
    if number is not None and not _E164.fullmatch(number):
        raise SettingError("TWILIO_PHONE_NUMBER", "must look like +821012345678")
    return number


def _twilio_account(environ: Environ) -> tuple[str, tuple[str, ...]] | None:
    """The account's sid and its auth tokens."""
    given = pair(environ, "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")
    if given is None:
        return None
    if not _ACCOUNT_SID.fullmatch(given[0]):
        raise SettingError("TWILIO_ACCOUNT_SID", "must be AC and 32 hexadecimal digits")
    tokens = tuple(token.strip() for token in given[1].split(","))
    if len(tokens) > 2 or any(not token or not token.isascii() or len(token.split()) != 1 for token in tokens):
        raise SettingError("TWILIO_AUTH_TOKEN", "must be one token, or two with a comma between")
    return given[0], tokens


def load_rtzr(environ: Environ) -> RtzrSettings:
    """The recogniser's account alone; SettingError names the first that cannot be used."""
    given = pair(environ, "RTZR_CLIENT_ID", "RTZR_CLIENT_SECRET")
    if given is None:
        raise SettingError("RTZR_CLIENT_ID", "is required, and RTZR_CLIENT_SECRET: no talk without a recogniser")
    api_url = service_url(environ, "RTZR_API_URL") or RTZR_API_URL
    return RtzrSettings(client_id=given[0], client_secret=given[1], api_url=api_url, channels=_rtzr_channels(environ))


def _rtzr_channels(environ: Environ) -> int | None:
    return whole(environ, "RTZR_CHANNELS", 1, MOST_CHANNELS)


def load_openai(environ: Environ) -> OpenAiSettings | None:
    """The model's server alone, None when there is none; SettingError names the first that cannot be used."""
    key, base_url = text(environ, "OPENAI_API_KEY"), service_url(environ, "OPENAI_BASE_URL")
    model = text(environ, "OPENAI_MODEL")
    if key is None and base_url is None:
        if model is not None:
            raise SettingError("OPENAI_MODEL", "is set, but neither OPENAI_API_KEY nor OPENAI_BASE_URL is")
        return None
    if key is None and model is None:
        raise SettingError("OPENAI_MODEL", "is missing, though OPENAI_BASE_URL is set")
    if key is not None and (not key.isascii() or len(key.split()) != 1):
        raise SettingError("OPENAI_API_KEY", "holds a space or a letter that is not ASCII")
    return OpenAiSettings(
        api_key=key,
        base_url=base_url,
        model=model or DEFAULT_MODEL,
        tts_model=text(environ, "OPENAI_TTS_MODEL") or DEFAULT_TTS_MODEL,
        tts_voice=text(environ, "OPENAI_TTS_VOICE") or DEFAULT_TTS_VOICE,
    )


def load_tts(environ: Environ) -> Tts:
    """Which engine speaks; SettingError when it cannot."""
    has_key = text(environ, "OPENAI_API_KEY") is not None
    engine = text(environ, "TTS")
    if engine is None:
        return "openai" if has_key else "espeak"
    if engine == "openai":
        if not has_key:
            raise SettingError("TTS", "is openai, but OPENAI_API_KEY is missing")
        return "openai"
    if engine != "espeak":
        raise SettingError("TTS", "must be openai or espeak")
    return "espeak"


_PARTS: tuple[Callable[[Environ], object], ...] = (
    _port,
    load_public_url,
    _twilio_account,
    _phone_number,
    _allow_unsigned,
    lambda environ: service_url(environ, "TWILIO_API_URL"),
    load_rtzr,
    lambda environ: service_url(environ, "RTZR_API_URL"),
    _rtzr_channels,
    load_openai,
    load_tts,
    load_database_url,
    load_diary_keys,
    _timezone,
    load_journal_dir,
    _retention_days,
    lambda environ: whole(environ, "MAX_CALL_MINUTES", 1, LONGEST_CALL_MINUTES),
    lambda environ: _keys(environ, "STREAM_KEYS"),
    lambda environ: _keys(environ, "METRICS_KEY"),
    load_otlp_endpoint,
    _proxies,
    _workers,
)
