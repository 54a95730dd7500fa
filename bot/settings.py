"""Every setting, read once from the environment at the start.

A malformed setting, or half of a pair, is a `SettingError` that names it and never shows a secret's value. An absent
optional one takes its built-in or closes its door; an empty value is an absent one. It must not know what the settings
are used for: no database, no network, no other part of the bot but its errors.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from bot.errors import SettingError

Environ = Mapping[str, str]
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
LONGEST_CALL_MINUTES = 240

_ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
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
    """The recogniser's account."""

    client_id: str
    client_secret: str = field(repr=False)
    api_url: str = RTZR_API_URL


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
    """What the commands need that only read or change the diary. `diary_keys` is the text of DIARY_KEY."""

    database_url: str = field(default=DEFAULT_DATABASE_URL, repr=False)
    diary_keys: str | None = field(default=None, repr=False)
    timezone: ZoneInfo
    journal_dir: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(StoreSettings):
    """What a serving process needs. `public_url` has no slash at its end."""

    port: int = DEFAULT_PORT
    public_url: str
    twilio: TwilioSettings
    rtzr: RtzrSettings
    openai: OpenAiSettings | None = None
    tts: Tts = "espeak"
    max_call_minutes: int = DEFAULT_CALL_MINUTES

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
    port = _whole(environ, "PORT", DEFAULT_PORT, 0, 65535)
    public_url = _public_url(environ, port)
    openai = _openai(environ)
    store = load_store(environ)
    return Settings(
        database_url=store.database_url,
        diary_keys=store.diary_keys,
        timezone=store.timezone,
        journal_dir=store.journal_dir,
        port=port,
        public_url=public_url,
        twilio=_twilio(environ, public_url),
        rtzr=_rtzr(environ),
        openai=openai,
        tts=_tts(environ, openai),
        max_call_minutes=_whole(environ, "MAX_CALL_MINUTES", DEFAULT_CALL_MINUTES, 1, LONGEST_CALL_MINUTES),
    )


def load_store(environ: Environ) -> StoreSettings:
    """The settings of the diary alone; SettingError names the first that cannot be used."""
    database_url = _text(environ, "DATABASE_URL") or DEFAULT_DATABASE_URL
    scheme, separator, rest = database_url.partition("://")
    if not separator or not rest or scheme not in _SQLITE + _POSTGRES:
        raise SettingError("DATABASE_URL", "is not a sqlite:///… or postgresql://… address")
    diary_keys = _text(environ, "DIARY_KEY")
    if diary_keys is None and scheme in _POSTGRES:
        raise SettingError("DIARY_KEY", "is required with PostgreSQL")
    journal_dir = _text(environ, "JOURNAL_DIR")
    if journal_dir is not None and os.path.exists(journal_dir) and not os.path.isdir(journal_dir):
        raise SettingError("JOURNAL_DIR", "is there, but is not a directory")
    return StoreSettings(
        database_url=database_url,
        diary_keys=diary_keys,
        timezone=_timezone(environ),
        journal_dir=Path(journal_dir) if journal_dir is not None else None,
    )


def _text(environ: Environ, name: str) -> str | None:
    """The trimmed value; None when absent or blank."""
    return environ.get(name, "").strip() or None


def _whole(environ: Environ, name: str, default: int, low: int, high: int) -> int:
    text = _text(environ, name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise SettingError(name, f"must be a whole number from {low} to {high}")
    return int(text)


def _timezone(environ: Environ) -> ZoneInfo:
    name = _text(environ, "TIMEZONE") or "Asia/Seoul"
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise SettingError("TIMEZONE", "is not a time zone such as 'Asia/Seoul'") from error


def is_loopback(host: str) -> bool:
    """Whether a host name of a URL can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _url(name: str, text: str) -> SplitResult:
    """An http(s) address with a host, and with no user, query or fragment."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise SettingError(name, "is not a URL") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise SettingError(name, "must be an http:// or https:// address")
    if not text.isascii() or any(character.isspace() for character in text):
        raise SettingError(name, "holds a space or a letter that is not ASCII")
    if "@" in parts.netloc or "?" in text or "#" in text:
        raise SettingError(name, "must have no user, no ? and no #")
    return parts


def _public_url(environ: Environ, port: int) -> str:
    """PUBLIC_URL, else RENDER_EXTERNAL_URL, else this machine. A path is allowed: a proxy may serve us below one."""
    for name in ("PUBLIC_URL", "RENDER_EXTERNAL_URL"):
        text = _text(environ, name)
        if text is None:
            continue
        url = text.rstrip("/")
        parts = _url(name, url)
        host = parts.hostname or ""
        if "_" in host:
            raise SettingError(name, "Twilio calls no host with an underscore in its name")
        if parts.scheme == "http" and not is_loopback(host):
            raise SettingError(name, "must be https, unless it is this machine")
        if not _PATH.fullmatch(parts.path):
            raise SettingError(name, "has a path that would not be signed as it is written")
        return url
    return f"http://localhost:{port}"


def _service_url(environ: Environ, name: str) -> str | None:
    text = _text(environ, name)
    if text is None:
        return None
    _url(name, text)
    return text.rstrip("/")


def _pair(environ: Environ, first: str, second: str) -> tuple[str, str] | None:
    """Both values, or None when neither is there."""
    one, two = _text(environ, first), _text(environ, second)
    if one is not None and two is not None:
        return one, two
    if one is None and two is None:
        return None
    missing, given = (first, second) if one is None else (second, first)
    raise SettingError(missing, f"is missing, though {given} is set")


def _twilio(environ: Environ, public_url: str) -> TwilioSettings:
    unsigned = _text(environ, "ALLOW_UNSIGNED") or "0"
    if unsigned not in ("0", "1"):
        raise SettingError("ALLOW_UNSIGNED", "must be 1 or absent")
    if unsigned == "1" and not is_loopback(urlsplit(public_url).hostname or ""):
        raise SettingError("ALLOW_UNSIGNED", "is only for a PUBLIC_URL on this machine")
    number = _text(environ, "TWILIO_PHONE_NUMBER")
    if number is not None and not _E164.fullmatch(number):
        raise SettingError("TWILIO_PHONE_NUMBER", "must look like +821012345678")
    pair = _pair(environ, "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")
    if pair is not None and not _ACCOUNT_SID.fullmatch(pair[0]):
        raise SettingError("TWILIO_ACCOUNT_SID", "must be AC and 32 hexadecimal digits")
    return TwilioSettings(
        account_sid=pair[0] if pair else None,
        auth_tokens=_auth_tokens(pair[1]) if pair else (),
        phone_number=number,
        allow_unsigned=unsigned == "1",
        api_url=_service_url(environ, "TWILIO_API_URL") or TWILIO_API_URL,
    )


def _auth_tokens(text: str) -> tuple[str, ...]:
    tokens = tuple(token.strip() for token in text.split(","))
    if len(tokens) > 2 or any(not token or not token.isascii() or len(token.split()) != 1 for token in tokens):
        raise SettingError("TWILIO_AUTH_TOKEN", "must be one token, or two with a comma between")
    return tokens


def _rtzr(environ: Environ) -> RtzrSettings:
    pair = _pair(environ, "RTZR_CLIENT_ID", "RTZR_CLIENT_SECRET")
    if pair is None:
        raise SettingError("RTZR_CLIENT_ID", "is required, and RTZR_CLIENT_SECRET: no talk without a recogniser")
    api_url = _service_url(environ, "RTZR_API_URL") or RTZR_API_URL
    return RtzrSettings(client_id=pair[0], client_secret=pair[1], api_url=api_url)


def _openai(environ: Environ) -> OpenAiSettings | None:
    key, base_url = _text(environ, "OPENAI_API_KEY"), _service_url(environ, "OPENAI_BASE_URL")
    model = _text(environ, "OPENAI_MODEL")
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
        tts_model=_text(environ, "OPENAI_TTS_MODEL") or DEFAULT_TTS_MODEL,
        tts_voice=_text(environ, "OPENAI_TTS_VOICE") or DEFAULT_TTS_VOICE,
    )


def _tts(environ: Environ, openai: OpenAiSettings | None) -> Tts:
    has_key = openai is not None and openai.api_key is not None
    text = _text(environ, "TTS")
    if text is None:
        return "openai" if has_key else "espeak"
    if text == "openai":
        if not has_key:
            raise SettingError("TTS", "is openai, but OPENAI_API_KEY is missing")
        return "openai"
    if text != "espeak":
        raise SettingError("TTS", "must be openai or espeak")
    return "espeak"
