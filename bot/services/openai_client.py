"""What the chat model and the voice share: the client of one account, its open connection, errors without content.

It must not know what is asked for or said.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx2
from openai import APIStatusError, APITimeoutError, AsyncOpenAI, DefaultAsyncHttpxClient, OpenAIError

from bot.services.tls import trusted
from bot.settings import OpenAiSettings

log = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"
CONNECT_S = 2.0
READ_S = 30.0
# The turns of a talk lie up to a minute apart; the default of 5 s would open a new TLS connection for most of them.
IDLE_S = 90.0
# After this long without a request a server may be about to close what is open.
FRESH_S = 45.0
WARM_S = 3.0
AGAIN_S = 10.0

FAILURES = (OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError)
"""What a request can fail with; ValueError, RecursionError: what came is not JSON, or is nested without an end."""


def connect(settings: OpenAiSettings) -> AsyncOpenAI:
    """Make a client that opens its connections when they are needed and never tries anything twice on its own."""
    logging.getLogger("openai").setLevel(logging.WARNING)  # its debug lines hold the messages, whatever OPENAI_LOG says
    timeout = httpx2.Timeout(READ_S, connect=CONNECT_S)
    limits = httpx2.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=IDLE_S)
    return AsyncOpenAI(
        api_key=settings.api_key or "none",  # a server of one's own may ask for none; the client insists on one
        base_url=settings.base_url or OPENAI_URL,
        max_retries=0,
        timeout=timeout,
        http_client=DefaultAsyncHttpxClient(timeout=timeout, limits=limits, verify=trusted()),
    )


class Warmth:
    """Sees to it that the next request of `client` finds an open connection, also while others are in use.

    `clock` counts seconds.
    """

    def __init__(self, client: AsyncOpenAI, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._idle_since: list[float] = []
        self._again_at = clock()
        self._is_opening = False

    @contextmanager
    def request(self) -> Iterator[None]:
        """Stand around every request, to know how many connections lie idle.

        One that is answered to its end leaves its connection idle; one that is left in the middle or breaks takes its
        connection with it.
        """
        if self._idle_since:
            self._idle_since.pop()
        yield
        self._idle_since.append(self._clock())

    async def warm(self) -> None:
        """Open a connection if none is surely idle, one at a time; cheap enough for every turn. Never fails."""
        now = self._clock()
        self._idle_since = [since for since in self._idle_since if now - since < FRESH_S]
        if self._is_opening or self._idle_since or now < self._again_at:
            return
        self._is_opening = True
        try:
            with self.request(), suppress(APIStatusError):  # that is an answer, too
                async with asyncio.timeout(WARM_S):
                    await self._client.models.with_raw_response.list()
        except (*FAILURES, TimeoutError) as error:
            self._again_at = self._clock() + AGAIN_S
            log.info("no connection could be opened ahead of time: %s", reason(error))
        finally:
            self._is_opening = False


def reason(error: Exception) -> str:
    """Say what went wrong without a word of what was sent or received."""
    match error:
        case APITimeoutError():
            return "timed out"
        case APIStatusError(status_code=status):
            return f"HTTP {status}"
        case _:
            return type(error).__name__
