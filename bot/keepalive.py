"""The server's side of a connection: whom it waits for, and how long.

A door that reads no faster than it can work leaves the rest with the peer, and the peer's answer to a ping stands in
the same line: for a recording that is sent faster than real time, minutes of audio. Whoever sends anything is there, so
only a peer of which nothing at all has come is given up. But nobody may hold a connection without asking for anything,
and nothing is kept for a peer that does not read. It must not know what is sent.
"""

import asyncio
import socket
from collections.abc import Callable

from h11 import Request
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets import http11
from websockets.frames import Frame

from bot.close_codes import POLICY
from bot.doors.asgi import STRAIGHT

HEAD_S = 10.0
"""So long a connection may be open, or lie between two requests, without the whole head of one."""

UNREAD_S = 60.0
"""A peer that takes nothing of what waits for it for so long is given up."""

PIECE_BYTES, MOST_FRAMES = 4_096, 1_500
"""So many frames may come in one read, which has up to 256 KiB: each takes the process a while, however small it is."""


class PromptProtocol(H11Protocol):
    """uvicorn's protocol for `Config(http=…)`, which itself waits for a request without an end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._answered: RequestResponseCycle | None = None
        self._head_timer = self.loop.call_later(HEAD_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        self._head_timer.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Request) -> None:
        """The connection is a WebSocket's from now on."""
        self._head_timer.cancel()
        super().handle_websocket_upgrade(event)

    def _look(self) -> None:
        """Give the peer up if it has begun no request since the last look, and had all of its answer by then."""
        idle = (self.cycle is None or self.cycle.response_complete) and not self.transport.get_write_buffer_size()
        if idle and self.cycle is self._answered:
            self.transport.abort()
            return
        self._answered = self.cycle if idle else None
        self._head_timer = self.loop.call_later(HEAD_S, self._look)


class PatientProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol for `Config(ws=…)`; all but what stands here is as it was."""

    _heard = False
    _frames = 0
    _receiver: Callable[[str | bytes], None] | None = None

    def data_received(self, data: bytes) -> None:
        """Take what has come, piece by piece; a peer that sends nothing but tiny frames is given up."""
        self._heard = True
        self._frames = 0
        for at in range(0, len(data), PIECE_BYTES):
            super().data_received(data[at : at + PIECE_BYTES])
            if self.close_sent:
                return
            if self._frames > MOST_FRAMES:
                self.conn.fail(POLICY, "too many frames")
                self.handle_parser_exception()
                return

    def handle_events(self) -> None:
        """Count the frames of a piece, and handle them."""
        self._frames += len(self.conn.events)
        super().handle_events()

    def handle_connect(self, event: http11.Request) -> None:
        """Take the handshake; the application may ask for its messages to come `STRAIGHT`."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"] = {**(self.scope["extensions"] or {}), STRAIGHT: self._straight}  # type: ignore[dict-item]

    def _straight(self, receiver: Callable[[str | bytes], None]) -> None:
        self._receiver = receiver

    def send_receive_event_to_app(self) -> None:
        """A message is whole. uvicorn would queue it, and stop and begin reading for each one."""
        if self._receiver is None or self.close_sent:
            super().send_receive_event_to_app()
            return
        data = b"".join(self.frames)
        try:
            message = data.decode() if self.curr_msg_data_type == "text" else data
        except UnicodeDecodeError:
            super().send_receive_event_to_app()
            return
        self.frames = []
        self._receiver(message)

    def handle_ping(self) -> None:
        """Answer a ping, unless the peer leaves our answers unread."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_cont(self, event: Frame) -> None:
        """Take a fragment; an empty one adds nothing, and the size of a message is no bound for how many there are."""
        if event.data or event.fin:
            super().handle_cont(event)

    def keepalive_timeout(self) -> None:
        """No pong has come in time: give the peer up, unless something else has come, or waits to be read."""
        if not self._heard and not self.read_paused:
            super().keepalive_timeout()
            return
        self._heard = False
        if self.ping_timeout is not None:
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)


def give_up_unread(listener: socket.socket, after_s: float = UNREAD_S) -> None:
    """Have the system break each connection of this port whose peer takes nothing of what waits for it.

    Source: tcp(7), TCP_USER_TIMEOUT; only Linux has it. Closing such a connection would wait for ever.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(after_s * 1000))
