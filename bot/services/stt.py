"""The recogniser of a call: one RTZR socket, kept open from the first frame to the last.

`SttStream.run` opens it, sends the audio in order, tells what was heard as events, and opens another when this one
breaks. Opening one takes about 80 ms; keeping it is what `SttStats` counts as saved. How messages look is the
protocol's (`bot.protocols.rtzr`), one socket is a `Link`'s (`stt_link.py`); what the events mean is the talk's. Nothing
that was said, and no token, is logged.
"""

import asyncio
import logging
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection

from bot.conversation.events import Event, Final, Interim, SttLoss, SttLost, SttPace, SttReady
from bot.errors import RecogniserError, RecogniserFull
from bot.protocols import rtzr
from bot.services.stt_account import Account, hang_up
from bot.services.stt_feed import FASTEST, PCM_BYTES_PER_MS, Feed
from bot.services.stt_link import Broken, Journal, Link
from bot.services.stt_names import Names
from bot.services.stt_stats import FinalPace, SttStats
from bot.services.stt_token import RecogniserRefused, Tokens
from bot.services.stt_watch import DeafTries
from bot.settings import RtzrSettings

log = logging.getLogger(__name__)

DELAYS_S = (0.0, 0.3, 0.6, 1.2)  # before the tries to open a socket
GIVE_UP_S = 4.0
"""All tries together take no longer, also where nobody answers: the caller waits, and is to be told."""
HEALTHY_S = 10.0
"""A socket that lived so long, or brought a final, was of use. An interim is no progress: the next socket is sent the
same audio, and what made this one break may lie in it."""
DRAIN_S = 2.0
TRAIL_BYTES = 400 * PCM_BYTES_PER_MS
"""So little voice behind a final is its end: a silence is noticed late."""

Emit = Callable[[Event], None]


class Recogniser:
    """The recogniser as the process knows it: its account, and how fast it is."""

    def __init__(
        self,
        settings: RtzrSettings,
        *,
        tokens: Tokens | None = None,
        opened: Callable[[float], None] = lambda _: None,
        dropped: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`tokens` replaces the cache: to share it, or for tests with a clock of their own.

        `opened` is told how many seconds each socket took, `dropped` how many bytes of a stream no socket was sent.
        """
        self.tokens = tokens or Tokens(settings)
        self.account = Account(settings, self.tokens, opened=opened)
        self.dropped = dropped
        self.pace = FinalPace()

    def stream(
        self,
        emit: Emit,
        *,
        name: str = "recogniser",
        journal: Journal | None = None,
        options: rtzr.Options = rtzr.KOREAN,
        drain_s: float = DRAIN_S,
        tells_pace: bool = True,
    ) -> "SttStream":
        """Return the recogniser of one call, `name` in the log; events go to `emit`, text messages to `journal`.

        `drain_s`: so long the last finals are waited for at the end. `tells_pace`: whether its finals come as fast as a
        caller's would, so that calls may go by them.
        """
        return SttStream(
            self, emit, name=name, journal=journal, options=options, drain_s=drain_s, tells_pace=tells_pace
        )

    async def close(self) -> None:
        """Close what the process keeps open."""
        await self.tokens.close()


class SttStream:
    """The recogniser of one call. `push`, `finalize` and `end` never wait and never fail."""

    def __init__(
        self,
        recogniser: Recogniser,
        emit: Emit,
        *,
        name: str,
        journal: Journal | None = None,
        options: rtzr.Options = rtzr.KOREAN,
        drain_s: float = DRAIN_S,
        tells_pace: bool = True,
    ) -> None:
        self._recogniser = recogniser
        self._options = options
        self._drain_s = drain_s
        self._tells_pace = tells_pace
        self._name = name
        self._emit = emit
        self._journal = journal
        self._feed = Feed()
        self._limit: asyncio.Timeout | None = None
        self._connection = 0
        self._names = Names()
        self._link: Link | None = None
        self._spare: ClientConnection | None = None
        self._tries = 0
        self._short_lived = 0  # sockets in a row that were of no use
        self._deaf_tries = DeafTries()
        self._drained = 0  # sockets that broke at the end
        self._told_p95_ms: int | None = None
        self._is_done = False
        self._heard_all: bool | None = None  # known once it is over, when nothing is kept any more
        self.stats = SttStats()
        self.final_ms = (0, 0)
        """Where in all audio the final begins and ends that is being told."""
        self.refused = False
        """The recogniser will not have us, and asking again would not help."""

    def push(self, pcm: bytes, *, urgent: bool = False) -> None:
        """Send audio: whole samples of 16 kHz PCM, in small bundles when it is `urgent`.

        Urgent audio holds a voice: for it, an answer is due. What can't be sent yet is kept, the last 40 s of it.
        """
        self._feed.push(pcm, urgent=urgent)

    async def room(self) -> None:
        """Wait until more audio can be pushed and none is lost: for audio that comes faster than it is spoken."""
        await self._feed.room()

    @property
    def heard_all(self) -> bool:
        """Whether everything that was pushed with a voice in it has its final."""
        if self._heard_all is not None:
            return self._heard_all
        outbox = self._feed.outbox
        return not outbox.dropped_bytes and (self._is_done or outbox.voice_bytes < TRAIL_BYTES)

    def finalize(self) -> None:
        """End the utterance behind all audio so far. There may be no answer."""
        self._feed.finalize()

    def end(self) -> None:
        """End the stream: what waits is sent, finals that come within `drain_s` are told, `run` returns."""
        if not self._feed.ending:
            self._feed.end()
            self._set_limit()

    async def run(self) -> None:
        """Be the recogniser until `end`, or until none can be had (then `SttLost` was told)."""
        try:
            async with asyncio.timeout(None) as self._limit:
                if self._feed.ending:
                    self._set_limit()
                while (socket := await self._open()) is not None:
                    if await self._serve(socket):
                        break
        except TimeoutError:
            if not self._feed.ending:
                raise
        finally:
            self._limit = None
            self._feed.end()
            if self._spare is not None:
                await hang_up(self._spare)
            self.stats.dropped_bytes = self._feed.outbox.dropped_bytes
            self._recogniser.dropped(self.stats.dropped_bytes)
            log.info("%s: %s", self._name, self.stats.line())
            self._heard_all = self.heard_all
            self._feed.outbox.clear()

    def _set_limit(self) -> None:
        if self._limit is not None:
            # With no socket and nothing to say there is nothing to wait for.
            outbox = self._feed.outbox
            needed = self._connection > 0 or not outbox.empty
            drain_s = self._drain_s + outbox.unsent_bytes / PCM_BYTES_PER_MS / 1000 / FASTEST
            self._limit.reschedule(asyncio.get_running_loop().time() + (drain_s if needed else 0.0))

    async def _open(self) -> ClientConnection | None:
        """Open the next socket; None when it cannot be had."""
        if self._spare is not None:
            socket, self._spare = self._spare, None
            return socket
        loss = SttLoss.UNREACHABLE
        try:
            async with asyncio.timeout(GIVE_UP_S):
                while self._tries < len(DELAYS_S):
                    await asyncio.sleep(DELAYS_S[self._tries])
                    self._tries += 1
                    try:
                        return await self._recogniser.account.connect(self.stats, self._options)
                    except RecogniserFull as error:
                        log.warning("%s: no channel (%s)", self._name, error)
                        loss = SttLoss.FULL
                        if not self._connection:
                            break
                        # The channel of the socket that broke may count for a moment longer.
                    except RecogniserRefused as error:
                        log.error("%s: refused (%s)", self._name, error)
                        self.refused = True
                        loss = SttLoss.UNREACHABLE
                        break
                    except RecogniserError as error:
                        log.warning("%s: try %d of %d failed (%s)", self._name, self._tries, len(DELAYS_S), error)
                        loss = SttLoss.UNREACHABLE
        except TimeoutError:
            log.warning("%s: no socket within %g s", self._name, GIVE_UP_S)
        if not self._feed.ending:
            self._emit(SttLost(loss))
        return None

    async def _serve(self, socket: ClientConnection) -> bool:
        """Talk on one socket until it breaks; return whether that was the end of the stream."""
        now = asyncio.get_running_loop().time
        opened_s, finals = now(), self.stats.finals
        self._connection = self._names.connected()
        self._feed.outbox.rewind(self._link.open_ms if self._link else None)
        if self._feed.ending:
            self._set_limit()
        link = self._link = Link(
            socket, self._feed, self.stats, self._recognised, self._replace, name=self._name, journal=self._journal
        )
        self._feed.connected = True
        try:
            self._emit(SttReady())
            self._tell_pace()
            broken = await link.run()
        finally:
            self._feed.connected = False
            await hang_up(socket)
        if broken is Broken.DONE:
            self._is_done = True
            return True
        log.warning("%s: socket %d %s (%s)", self._name, self._connection, broken, link.close_code)
        if self._feed.ending:
            # What has no final yet is worth one more socket.
            self._drained += 1
            self._set_limit()
            return self._drained > 1
        if broken is Broken.DEAF and self._spare is None:
            self._emit(SttLost(SttLoss.UNREACHABLE))
            return True
        self._count(link, broken, healthy=self.stats.finals > finals or now() - opened_s >= HEALTHY_S)
        return False

    def _count(self, link: Link, broken: Broken, *, healthy: bool) -> None:
        """Find out how patiently the next socket is to be opened; one that never answered counts as three."""
        if healthy or broken is Broken.DEAF:
            self._short_lived = 0
        else:
            self._short_lived += 1 if link.was_alive or broken is Broken.CLOSED else 3
        self._tries = max(self._short_lived - 1, 0)

    async def _replace(self) -> bool:
        """For a socket that is deaf, or hears nothing but noise: open another, and keep it if it is still needed.

        The old one stays until then, since there may be no channel for the new one. When other sockets were tried
        often enough in vain, this one is given up without another.
        """
        now = asyncio.get_running_loop().time
        if not self._deaf_tries.allows(now()):
            return False
        if self._deaf_tries.exhausted:
            return True
        self._deaf_tries.tried(now())
        try:
            spare = await self._recogniser.account.connect(self.stats, self._options)
        except RecogniserError as error:
            log.warning("%s: no other socket for one that understands nothing (%s)", self._name, error)
            return False
        if self._link and self._link.is_deaf:
            self._spare = spare
            return True
        await hang_up(spare)
        return False

    # ── what was recognised ──────────────────────────────────────────────────────────────────────────────────────

    def _recognised(self, inbound: rtzr.Interim | rtzr.Final) -> None:
        self._deaf_tries.helped()
        self._feed.moved()
        at_ms = self._feed.outbox.since_call_began_ms(inbound.start_ms)
        if isinstance(inbound, rtzr.Interim):
            if (name := self._names.interim(inbound.seq, at_ms, inbound.text)) is not None:
                self._emit(Interim(name, inbound.text))
        else:
            self.stats.finals += 1
            name = self._names.final(inbound.seq, at_ms)
            self.final_ms = (round(at_ms), round(at_ms) + inbound.duration_ms)
            self._settle(inbound)
            self._emit(Final(name, inbound.text))

    def _settle(self, final: rtzr.Final) -> None:
        assert self._link
        end_ms = final.end_ms if final.duration_ms else None
        self._feed.outbox.settled(final.start_ms, end_ms, worded=bool(final.text))
        if end_ms is None:
            return
        now_ms = asyncio.get_running_loop().time() * 1000
        if (answer_ms := self._link.unanswered.answered(end_ms, now_ms)) is not None and self._tells_pace:
            self._recogniser.pace.add(answer_ms)
            self._tell_pace()

    def _tell_pace(self) -> None:
        if (p95_ms := self._recogniser.pace.news(self._told_p95_ms)) is not None:
            self._told_p95_ms = p95_ms
            self._emit(SttPace(p95_ms))
