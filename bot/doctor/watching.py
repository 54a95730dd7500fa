"""Who watches from outside: whether the collector takes our spans. It must not know what is in one."""

import asyncio

from bot.doctor.row import Row, fail, ok, shown_url
from bot.errors import SettingError
from bot.tracing import PACKAGES, SETTING, is_taken


async def spans(endpoint: str) -> list[Row]:
    """The collector is sent an empty batch."""
    what = "spans"
    try:
        if await asyncio.to_thread(is_taken, endpoint):
            return [ok(what, f"{shown_url(endpoint)} takes them")]
    except SettingError as error:
        return [fail(what, error.why, f"pip install {PACKAGES}; or leave {SETTING} out")]
    mend = f"see that {SETTING} takes OTLP over HTTP (port 4318, as a rule), and OTEL_EXPORTER_OTLP_HEADERS fit"
    return [fail(what, f"{shown_url(endpoint)} does not take them", mend)]
