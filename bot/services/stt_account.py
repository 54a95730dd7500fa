"""The recogniser's account: how a socket is opened with it, and what a refusal means.

Must not know what is sent over the socket. No token is logged.
"""

import asyncio
import json
import ssl
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from bot.errors import RecogniserError, RecogniserFull
from bot.protocols import rtzr
from bot.services.stt_stats import SttStats
from bot.services.stt_token import RecogniserRefused, Token, Tokens
from bot.settings import RtzrSettings

OPEN_TIMEOUT_S = 2.0
CLOSE_TIMEOUT_S = 1.0
PING_INTERVAL_S = 5.0
PING_TIMEOUT_S = 3.0
"""A connection that dies in a quiet is noticed within their sum, which is less than `stt_outbox.QUIET_MS`."""


class Account:
    """The account, and the token at hand."""

    def __init__(
        self, settings: RtzrSettings, tokens: Tokens, *, opened: Callable[[float], None] = lambda _: None
    ) -> None:
        """`opened` is told how many seconds each socket took."""
        self._opened = opened
        # One for all sockets: reading the trusted certificates takes 20 ms, and 0.8 MiB more each time.
        self._tls = ssl.create_default_context() if settings.api_url.lower().startswith(("https:", "wss:")) else None
        self._api_url = settings.api_url
        self._tokens = tokens

    async def connect(self, stats: SttStats, options: rtzr.Options = rtzr.KOREAN) -> ClientConnection:
        """Open a socket, with a new token when the one at hand is not taken.

        RecogniserError: not now; RecogniserFull: no channel; RecogniserRefused: never.
        """
        try:
            token = await self._tokens.get()
            try:
                return await self._handshake(token, stats, options)
            except InvalidStatus as error:
                if error.response.status_code != 401:
                    raise
            self._tokens.reject(token)
            return await self._handshake(await self._tokens.get(), stats, options)
        except InvalidStatus as error:
            raise _refusal(error) from error
        except (OSError, WebSocketException) as error:
            raise RecogniserError(f"no socket: {type(error).__name__}") from error

    async def _handshake(self, token: Token, stats: SttStats, options: rtzr.Options) -> ClientConnection:
        now = asyncio.get_running_loop().time
        began_s = now()
        socket = await connect(
            rtzr.streaming_url(
                self._api_url,
                model_name=options.model_name,
                language=options.language,
                epd_time_s=options.epd_time_s,
            ),
            additional_headers={"Authorization": f"Bearer {token.text}"},
            ssl=self._tls,
            compression=None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
        )
        took_s = now() - began_s
        stats.sockets += 1
        stats.connect_ms += took_s * 1000
        self._opened(took_s)
        return socket


async def hang_up(socket: ClientConnection) -> None:
    """Close a socket in good order, or in any: it is closed within `CLOSE_TIMEOUT_S`."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await socket.close()
    except TimeoutError:
        pass
    finally:
        socket.transport.abort()


def _refusal(error: InvalidStatus) -> RecogniserError:
    status = error.response.status_code
    try:
        body = json.loads(error.response.body)
        code = body.get("code", "") if isinstance(body, dict) else ""
    except ValueError:
        code = ""
    why = f"handshake: HTTP {status}" + (f" {code}" if isinstance(code, str) and code.isalnum() else "")
    if status == 429:
        return RecogniserFull(why)
    return RecogniserRefused(why) if 400 <= status < 500 else RecogniserError(why)
