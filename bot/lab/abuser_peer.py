"""One connection of an abuser to a bot, and what becomes of it. It must not know what harm is meant."""

import asyncio
import os
import socket
import struct
from base64 import b64encode
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bot.lab.stage import AUTH_TOKEN
from bot.lab.wire import signature

MEDIA_PATH = "/twilio/media"
SMALL_WINDOW_BYTES = 4_096


@dataclass(slots=True)
class Target:
    """The bot, and what became of what was done to it."""

    url: str
    seconds: float
    seen: Counter[str] = field(default_factory=Counter)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 80

    def handshake(self, *, signed: bool = True, extra: bytes = b"") -> bytes:
        """A media handshake, as Twilio sends it or not."""
        host, port = self.address
        url = self.url.replace("http", "ws", 1) + MEDIA_PATH
        key = signature(AUTH_TOKEN if signed else "another", url)
        return (
            (
                f"GET {MEDIA_PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
                f"X-Twilio-Signature: {key}\r\n"
            ).encode()
            + extra
            + b"\r\n"
        )


def frame(opcode: int, content: bytes, *, final: bool = True) -> bytes:
    """A client's WebSocket frame, masked with zeros."""
    size = len(content)
    first = (0x80 if final else 0) | opcode
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((first, 0xFE)) + size.to_bytes(2)
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8)
    return head + bytes(4) + content


class Peer(asyncio.Protocol):
    """A connection that notes its end."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.got = bytearray()
        self.more, self.over, self.writable = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.was_reset = False
        self.writable.set()

    @classmethod
    async def to(cls, target: Target, *, narrow: bool = False) -> "Peer":
        """Connect; a `narrow` one has next to no room for what it does not read. OSError."""
        raw = socket.socket(socket.AF_INET)
        raw.setblocking(False)
        if narrow:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW_BYTES)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(raw, target.address)
            _, peer = await loop.create_connection(cls, sock=raw)
        except OSError:
            raw.close()
            raise
        return peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        del self.got[:-1_000]
        self.got += data
        self.more.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.was_reset = error is not None
        self.over.set()
        self.more.set()
        self.writable.set()

    async def answer(self) -> str:
        """The status of the next answer; "closed" where none came."""
        while b"\r\n\r\n" not in self.got and not self.over.is_set():
            self.more.clear()
            await self.more.wait()
        found = bytes(self.got[9:12]).decode() if self.got else "closed"
        self.got.clear()
        return found

    def reset(self) -> None:
        """Let go, so that nothing of it waits in the system."""
        raw = self.transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            with suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
