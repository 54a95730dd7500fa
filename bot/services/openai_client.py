"""What the chat model and the voice share: the client of one OpenAI-compatible account, and its errors without content.

It must not know what is asked for or said.
"""

import logging

import httpx2
from openai import APIStatusError, APITimeoutError, AsyncOpenAI, DefaultAsyncHttpxClient

from bot.settings import OpenAiSettings

OPENAI_URL = "https://api.openai.com/v1"
CONNECT_S = 2.0
READ_S = 30.0
# The turns of a talk lie up to a minute apart; the default of 5 s would open a new TLS connection for most of them.
IDLE_S = 90.0


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
        http_client=DefaultAsyncHttpxClient(timeout=timeout, limits=limits),
    )


def reason(error: Exception) -> str:
    """Say what went wrong without a word of what was sent or received."""
    match error:
        case APITimeoutError():
            return "timed out"
        case APIStatusError(status_code=status):
            return f"HTTP {status}"
        case _:
            return type(error).__name__
