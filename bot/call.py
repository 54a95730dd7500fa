"""One call: the media stream's messages go to the talk, and what the talk decides is carried out.

It owns one `asyncio.TaskGroup` for as long as the stream lives, and nothing of it outlives that: the recogniser's
socket, the writer, the keeper that commits turns in order, the reply that is being made. It decides nothing itself.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from bot.conversation.commands import (
    Command,
    Finalize,
    ForgetDay,
    HangUp,
    Recognise,
    Reply,
    Say,
    StopSpeaking,
    WriteEntry,
)
from bot.conversation.events import CallStarted, Draining, Event
from bot.conversation.floor import State
from bot.conversation.talk import Talk
from bot.conversation.turns import Turns
from bot.diary.entries import Scribe
from bot.diary.records import Arrival
from bot.diary.store import Store
from bot.errors import RemoteProtocolError, StoreError, where
from bot.journal import Direction, Journal, Wire, encode_event
from bot.keeper import Keepable, Keeper
from bot.playout import Playout
from bot.protocols.twilio import Inbound, Media, MediaStream, Started, Stopped
from bot.services.replies import Replies
from bot.services.stt import Recogniser, SttStream
from bot.services.tts import Voice
from bot.speaker import Speaker

log = logging.getLogger(__name__)

START_S = 10.0
"""How long a socket may be open without `start`."""

QUIET_S = 5.0
"""How long an open stream may bring no message: Twilio sends 50 a second, silence too."""

BAD_MESSAGES = 20
"""So many messages that break the protocol end the stream."""

OVERTIME_S = 120.0
"""By the wall, so much longer than a call may last, a stream ends whatever its own clock says."""

EARLY_MESSAGES = 500
"""So many messages wait while the token is checked."""

NORMAL, POLICY = 1000, 1008


@dataclass(frozen=True, slots=True)
class Services:
    """What a process has once, for all its calls."""

    store: Store
    recogniser: Recogniser
    replies: Replies
    scribe: Scribe
    voice: Voice
    max_call_ms: int
    journal: Callable[[str, str], Journal] | None = None
    """Opens the journal of (call_sid, stream_sid); None: calls are not recorded."""


class Call:
    """A media socket, from its handshake to the moment when everything said on it is kept."""

    def __init__(
        self,
        services: Services,
        send: Callable[[str], Awaitable[None]],
        close: Callable[[int], Awaitable[None]],
        *,
        alone: Callable[["Call"], Awaitable[None]] | None = None,
    ) -> None:
        """`alone` ends every other stream of this call in the process, and returns when they have saved."""
        self.call_sid: str | None = None
        self._services = services
        self._close = close
        self._send = send
        self._alone = alone
        self._stream = MediaStream()
        self._talk = Talk(Turns(max_call_ms=services.max_call_ms))
        self._playout = Playout(self._stream, self._send_on_wire, self._tell)
        self._speaker = Speaker(services.replies, services.voice, self._playout, self._tell)
        self._stt: SttStream | None = None
        self._journal: Journal | None = None
        self._start: Started | None = None
        self._early: deque[tuple[Inbound, str | bytes]] | None = deque(maxlen=EARLY_MESSAGES)
        self._begun = asyncio.Event()
        self._over = asyncio.Event()
        self._stopped = False
        self._gone = False
        self._why = "the stream broke"
        self._bad = 0
        self._heard_at = time.monotonic()
        self._tasks: asyncio.TaskGroup | None = None
        self._reply: asyncio.Task[None] | None = None
        self._draft: asyncio.Task[None] | None = None
        self._keeper: Keeper | None = None

    # ── what the socket does ─────────────────────────────────────────────────────────────────────────────────────

    def receive(self, message: str | bytes) -> None:
        """Take a message of the media socket. Garbage is counted and costs the call nothing, until it is too much."""
        try:
            inbound = self._stream.receive(message)
        except RemoteProtocolError as error:
            self._bad += 1
            if self._bad > BAD_MESSAGES:
                return
            log.warning("call %s: %s", self.call_sid, error)
            if self._bad == BAD_MESSAGES:
                self._end()
            return
        if self._early is not None:
            self._wait_at_the_door(inbound, message)
        else:
            self._hear(inbound, message)

    def _wait_at_the_door(self, inbound: Inbound, message: str | bytes) -> None:
        """Until the token was checked, messages wait."""
        match inbound:
            case Started():
                self._start, self.call_sid = inbound, inbound.call_sid
                self._begun.set()
            case Stopped():
                self._stopped = True
                self._end()
        assert self._early is not None
        self._early.append((inbound, message))

    def _hear(self, inbound: Inbound, message: str | bytes) -> None:
        if isinstance(inbound, Stopped):
            self._stopped = True
            self._end()
            return
        if isinstance(inbound, Media):
            self._heard_at = time.monotonic()
        try:
            self._note("twilio", "in", message)
            self._carry_out(self._talk.hear(inbound))
        except Exception as error:
            self._break_down(error)

    def gone(self) -> None:
        """The socket is over, whoever ended it."""
        self._end()

    def drain(self) -> None:
        """The process is going away: the caller is told, and everything is kept."""
        if self._tasks:
            try:
                self._tell(Draining())
            except Exception as error:
                self._break_down(error)
        else:
            self._end()

    def _end(self) -> None:
        self._gone = True
        self._playout.close()
        self._begun.set()
        self._over.set()

    # ── the life of a call ───────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Live through the call; returns when all of it is kept."""
        if not await self._admitted():
            await self._close(POLICY)
            return
        try:
            await self._talk_it_through()
        except* StoreError as failed:
            log.error("call %s: %s", self.call_sid, failed.exceptions[0])
        except* Exception as crash:
            self._break_down(crash)
            await self._save_what_is_left()
        finally:
            if self._journal:
                self._journal.close()
                self._journal = None
            await self._close(NORMAL)
        if self._keeper:
            await self._keeper.write_what_is_left()

    async def _save_what_is_left(self) -> None:
        """After a break-down: everything that the talk still knows is kept."""
        if self._keeper is None:
            return
        try:
            self._carry_out(self._talk.hang_up())
        except Exception as error:
            self._break_down(error)
        self._keeper.finish()
        await self._keeper.run()

    def _break_down(self, error: Exception) -> None:
        """A bug of ours ends this call and no other. Its message may hold what was said, so only its place is told."""
        log.error("call %s: broke down with %s", self.call_sid, where(error))
        self._end()

    async def _admitted(self) -> bool:
        """Whether this socket is the stream of a call that rang, for the first time."""
        try:
            async with asyncio.timeout(START_S):
                await self._begun.wait()
        except TimeoutError:
            log.warning("media socket: no start within %d s", START_S)
            return False
        if (start := self._start) is None:
            return False
        try:
            if await self._services.store.claim_media_token(start.call_sid, start.parameters.get("token", "")):
                return True
        except StoreError as error:
            log.error("call %s: %s", self.call_sid, error)
            return False
        log.warning("call %s: media stream refused: its token is unknown, used, or of another call", self.call_sid)
        return False

    async def _talk_it_through(self) -> None:
        assert self._start and self.call_sid
        services = self._services
        if self._alone:
            await self._alone(self)
        arrival = await services.store.call_arrived(self.call_sid, None)
        started = await self._take_up(arrival)
        self._keeper = Keeper(services.store, services.scribe, self.call_sid, arrival)
        if services.journal:
            try:
                self._journal = services.journal(self.call_sid, self._start.stream_sid)
            except OSError as error:
                log.error("call %s: no journal: %s", self.call_sid, error.strerror)
        log.info("call %s: started, stream %d", self.call_sid, arrival.stream)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._stt = services.recogniser.stream(
                self._tell, name=f"call {self.call_sid}: recogniser", journal=partial(self._note, "rtzr")
            )
            hearing = tasks.create_task(self._stt.run())
            keeping = tasks.create_task(self._keeper.run())
            others = [tasks.create_task(self._write()), tasks.create_task(self._watch())]
            self._tell(started)
            self._let_in()
            await self._over.wait()
            self._stt.end()
            await hearing
            said_goodbye = self._talk.turns.state in (State.CLOSING, State.CLOSED)
            if self._gone:
                self._carry_out(self._talk.hang_up())
            self._stop_reply()
            if self._draft:
                self._draft.cancel()
            if self._stopped or not self._gone or said_goodbye:
                self._keeper.keep(HangUp(self._why))
            self._keeper.finish()
            await keeping
            for other in others:
                other.cancel()
        log.info("call %s: ended after %d s: %s", self.call_sid, self._talk.now_ms // 1000, self._why)

    async def _take_up(self, arrival: Arrival) -> CallStarted:
        """What the talk begins with: nothing, or what was said on the streams of this call before."""
        if arrival.stream == 1:
            return CallStarted(arrival.first_time)
        store, call_sid = self._services.store, self.call_sid or ""
        await store.reopen(call_sid)
        before = await store.turns(call_sid)
        said = tuple(turn.said for turn in before if turn.said is not None)
        return CallStarted(arrival.first_time, said, before[-1].turn + 1 if before else 0)

    def _let_in(self) -> None:
        early, self._early = self._early, None
        for inbound, message in early or ():
            self._hear(inbound, message)

    async def _watch(self) -> None:
        """End a stream that brings no media on an open socket, or whose clock stands still for ever."""
        self._heard_at = time.monotonic()
        ends_at = self._heard_at + self._services.max_call_ms / 1000 + OVERTIME_S
        while (left_s := min(self._heard_at + QUIET_S, ends_at) - time.monotonic()) > 0:  # noqa: ASYNC110 (no event a frame)
            await asyncio.sleep(left_s)
        log.warning("call %s: no media for %.0f s, or longer than any call", self.call_sid, QUIET_S)
        self._end()

    # ── events and commands ──────────────────────────────────────────────────────────────────────────────────────

    def _tell(self, event: Event) -> None:
        if self._journal:
            self._note("event", "in", encode_event(event))
        self._carry_out(self._talk.tell(event))

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Recognise(pcm):
                    if self._stt:
                        self._stt.push(pcm)
                case Finalize():
                    if self._stt:
                        self._stt.finalize()
                case Reply() | Say():
                    self._speak(command)
                case StopSpeaking(reply):
                    self._stop_reply()
                    self._playout.stop(reply)
                case WriteEntry():
                    self._draft = self._spawn(self._write_entry(command))
                case HangUp(why):
                    self._why = why
                    self._over.set()
                case ForgetDay():
                    self._forget_journal()
                    self._keep(command)
                case _:
                    self._keep(command)

    def _keep(self, command: Keepable) -> None:
        assert self._keeper
        self._keeper.keep(command)

    def _forget_journal(self) -> None:
        """What is to be forgotten is in the journal too, and so would be what is said about it."""
        if self._journal:
            self._journal.forget()
            self._journal = None

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None] | None:
        assert asyncio.iscoroutine(work)
        if self._tasks is None or self._gone:
            work.close()
            return None
        return self._tasks.create_task(work)

    def _speak(self, command: Reply | Say) -> None:
        self._stop_reply()
        self._playout.begin(command.reply)
        self._reply = self._spawn(self._speaker.speak(command))

    def _stop_reply(self) -> None:
        if self._reply:
            self._reply.cancel()
            self._reply = None

    async def _write_entry(self, command: WriteEntry) -> None:
        assert self._keeper
        if written := await self._keeper.draft(command):
            self._tell(written)

    # ── the wire ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _write(self) -> None:
        """Write to the socket until the call is over; a socket that breaks ends the call."""
        try:
            await self._playout.run()
        except (ConnectionError, RemoteProtocolError):
            self._end()

    async def _send_on_wire(self, message: str) -> None:
        self._note("twilio", "out", message)
        await self._send(message)

    def _note(self, wire: Wire, direction: Direction, message: str | bytes) -> None:
        if self._journal and isinstance(message, str):
            self._journal.keep(self._talk.now_ms, wire, direction, message)
