"""The server's side of a WebSocket, patient with a peer whose answer to a ping waits behind what it has sent.

A door that reads no faster than it can work leaves the rest with the peer, and its pong stands in the same line: for a
recording that is sent faster than real time, minutes of audio. Whoever sends anything is there, so only a peer of which
nothing at all has come is given up. It must not know what is sent.
"""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class PatientProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol for `Config(ws=…)`; all but the end of its wait for a pong is as it was."""

    _heard = False

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self._heard = True
        super().data_received(data)

    def keepalive_timeout(self) -> None:
        """No pong has come in time: give the peer up, unless something else has come, or waits to be read."""
        if not self._heard and not self.read_paused:
            super().keepalive_timeout()
            return
        self._heard = False
        if self.ping_timeout is not None:
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
