"""The sizes of a frame of telephone audio, and the cutting of any stream of bytes into whole frames.

A frame is 20 ms of one channel. Knows nothing of what the bytes mean.
"""

FRAME_MS = 20
MULAW_HZ = 8000
MULAW_FRAME_BYTES = MULAW_HZ * FRAME_MS // 1000
PCM_HZ = 16000
PCM_FRAME_BYTES = PCM_HZ * FRAME_MS // 1000 * 2
MULAW_SILENCE = b"\xff"


class Framer:
    """Collects bytes and gives them back as whole frames, in order.

    The frame is `frame_bytes` long; `padding` is the byte that fills the last frame at `flush`.
    Never holds more than one frame less a byte between calls.
    """

    def __init__(self, frame_bytes: int = MULAW_FRAME_BYTES, padding: bytes = MULAW_SILENCE) -> None:
        if frame_bytes < 1:
            raise ValueError("a frame has at least one byte")
        if len(padding) != 1:
            raise ValueError("the padding is one byte")
        self._frame_bytes = frame_bytes
        self._padding = padding
        self._rest = b""

    def push(self, chunk: bytes) -> bytes:
        """Return all frames that are whole now, joined (maybe none)."""
        held = self._rest + chunk
        whole_bytes = len(held) - len(held) % self._frame_bytes
        self._rest = held[whole_bytes:]
        return held[:whole_bytes]

    def flush(self) -> bytes:
        """Return what is left, padded to one whole frame, or nothing when nothing is left."""
        rest, self._rest = self._rest, b""
        return rest.ljust(self._frame_bytes, self._padding) if rest else b""
