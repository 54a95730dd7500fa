"""How to mend a setting that cannot be used. It must not know what a setting is used for."""

from bot.errors import SettingError

_ADVICE = {
    "PORT": "leave it out where the platform sets it; else a free port, such as 5000",
    "PUBLIC_URL": "the https address under which Twilio reaches this bot, such as https://diary.example.com",
    "RENDER_EXTERNAL_URL": "Render sets it; for another address set PUBLIC_URL",
    "TWILIO_ACCOUNT_SID": "copy it from Twilio's console, Account Info",
    "TWILIO_AUTH_TOKEN": "copy it from Twilio's console, Account Info; while it is rotated: NEW,OLD",
    "TWILIO_PHONE_NUMBER": "the number as Twilio's console writes it, without spaces, beginning with +",
    "TWILIO_API_URL": "leave it out",
    "ALLOW_UNSIGNED": "leave it out, and set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN",
    "RTZR_CLIENT_ID": "copy it from developers.rtzr.ai, My Console, with RTZR_CLIENT_SECRET",
    "RTZR_CLIENT_SECRET": "copy it from developers.rtzr.ai, My Console, with RTZR_CLIENT_ID",
    "RTZR_API_URL": "leave it out",
    "OPENAI_API_KEY": "copy it again, in one piece; or leave it out for the built-in replies",
    "OPENAI_BASE_URL": "the address of an OpenAI-compatible server, such as http://localhost:11434/v1; or leave it out",
    "OPENAI_MODEL": "the name of a model of that server; or leave it out with the other OPENAI_ settings",
    "TTS": "espeak, or openai with OPENAI_API_KEY; or leave it out",
    "DATABASE_URL": "sqlite:///FILE or postgres://USER:PASSWORD@HOST/NAME; or leave it out for sqlite:///ilgi.db",
    "DIARY_KEY": "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))', and keep a copy of it",
    "TIMEZONE": "a name such as Asia/Seoul; or leave it out",
    "JOURNAL_DIR": "the path of a folder that this user may write to; or leave it out",
    "RETENTION_DAYS": "for how many days a call is kept, at least 1; or leave it out to keep everything",
    "RTZR_CHANNELS": "how many streams the account may have at once, from 1; or leave it out",
    "STREAM_KEYS": "keys of at least 32 random characters, with commas between; or leave it out",
    "WEB_CONCURRENCY": "how many processes share the port, one for each core; or leave it out",
    "METRICS_KEY": "a key of at least 32 random characters; or leave it out, and there is no /metrics",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "a collector of OTLP over HTTP, such as http://localhost:4318; or leave it out",
    "PROXIES": "how many proxies stand before the process, from 0 to 10; or leave it out",
    "MAX_CALL_MINUTES": "from 1 to 240; or leave it out for 30",
}


def advice(error: SettingError) -> str:
    """What to set instead."""
    return f"{error.name}: {_ADVICE.get(error.name, 'see the table of settings in the README')}"
