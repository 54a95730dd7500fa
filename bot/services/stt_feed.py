"""What the call gives its recogniser, as one connection after the other is to send it.

`push`, `finalize` and `end` never wait; `next` waits until something is worth sending, and `room`, for those who have
their audio faster than it is spoken, until there is place for more. How fast it may go out is the `Pacer`'s. Knows no
sockets.
"""

import asyncio

from bot.services.stt_outbox import Outbox

PCM_BYTES_PER_MS = 32
BUNDLE_BYTES = 100 * PCM_BYTES_PER_MS
URGENT_BYTES = 40 * PCM_BYTES_PER_MS  # … while words are expected: a later interim is a later answer
KEPT_BYTES = 40_000 * PCM_BYTES_PER_MS  # 40 s: more than the longest utterance and every try to reconnect
ROOM_BYTES = 2_000 * PCM_BYTES_PER_MS  # with more than this unsent, who can wait does
OPEN_BYTES = 30_000 * PCM_BYTES_PER_MS  # … and with a voice so far back that has no final yet,
WORDLESS_S = 3.0  # … for so long: then there was no word in it

FASTEST = 25.0
"""Audio that waited is sent at most so many times as fast as it was spoken, behind `AT_ONCE_MS` in one go.

Ten seconds (more than most turns) are made up for in 0.4 s. No more, so that the recogniser, which decodes
faster than that, is never far behind: what a ping asks it then is answered in time, and a replay cannot be taken for a
connection that is dead.
"""
AT_ONCE_MS = 1_000.0


class Pacer:
    """How fast one connection is sent audio."""

    def __init__(self) -> None:
        self._caught_up_s = 0.0

    def sent(self, audio_ms: float, now_s: float) -> float:
        """Note audio that is sent now; return for how many seconds nothing more should be."""
        self._caught_up_s = max(self._caught_up_s, now_s) + audio_ms / 1000 / FASTEST
        return max(0.0, self._caught_up_s - now_s - AT_ONCE_MS / 1000 / FASTEST)


class Feed:
    """The audio of one call, 16 kHz PCM, and the ends of its utterances."""

    def __init__(self) -> None:
        self.outbox = Outbox(most_bytes=KEPT_BYTES, bytes_per_ms=PCM_BYTES_PER_MS)
        self.ending = False
        self.connected = False
        """Somebody takes what `next` gives, so that a voice which gets no word may be none."""
        self._bundle = BUNDLE_BYTES
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()

    def push(self, pcm: bytes, *, urgent: bool) -> None:
        """Add whole samples; they go out in small bundles when they are `urgent`."""
        if self.ending:
            return
        self.outbox.push(pcm, voiced=urgent)
        self._bundle = URGENT_BYTES if urgent else BUNDLE_BYTES
        if self.outbox.unsent_bytes >= self._bundle:
            self._wake.set()

    def finalize(self) -> None:
        """Add the end of an utterance."""
        if not self.ending:
            self.outbox.mark()
            self._wake.set()

    def end(self) -> None:
        """Nothing more will be added."""
        self.ending = True
        self._wake.set()
        self._moved.set()

    def moved(self) -> None:
        """Something was understood, or settled."""
        self._moved.set()

    async def room(self) -> None:
        """Wait until more can be added and none is lost, even when the connection breaks; or until the end."""
        while not self.ending:
            is_behind = self.outbox.unsent_bytes > ROOM_BYTES
            if not is_behind and self.outbox.open_bytes <= OPEN_BYTES:
                return
            self._moved.clear()
            try:
                async with asyncio.timeout(None if is_behind else WORDLESS_S):
                    await self._moved.wait()
            except TimeoutError:
                if self.connected:
                    self.outbox.excuse()

    async def next(self) -> bytes | object | None:
        """Wait for what is to be sent next: a bundle, or FINALIZE; None when all was sent and nothing will be added.

        Less than a bundle waits for more, but not when an utterance or the stream ends.
        """
        while True:
            worth_it = self.ending or self.outbox.mark_waits or self.outbox.unsent_bytes >= self._bundle
            if worth_it and ((item := self.outbox.take(BUNDLE_BYTES)) is not None or self.ending):
                self._moved.set()
                return item
            self._wake.clear()
            await self._wake.wait()
