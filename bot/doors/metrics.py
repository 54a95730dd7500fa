"""GET /metrics: what is measured of the process, for who brings METRICS_KEY as a bearer token.

Without the setting there is no such page. A key, and no port of its own: Heroku and Render let only one port be
reached, and Prometheus can bring a key wherever it is. It must not know what is measured.
"""

import asyncio

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from quart import Response

from bot.doors.door import Door
from bot.doors.identity import brings_key
from bot.metrics import Metrics
from bot.settings import Settings


class MetricsDoor(Door[Metrics]):
    """Tells what is measured."""

    def __init__(self, settings: Settings) -> None:
        self._keys = tuple(key.encode() for key in settings.metrics_keys)

    async def metrics(self) -> Response:
        """The figures in Prometheus's text format; 404 without the setting, 401 without the key."""
        if not self._keys:
            return Response(status=404)
        if not brings_key(self._keys):
            return Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        told = await asyncio.to_thread(self.running.exposition)
        return Response(told, content_type=CONTENT_TYPE_PLAIN_0_0_4)
