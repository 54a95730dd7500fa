"""One call: the media stream's messages go to the talk, and what the talk decides is carried out.

It owns one `asyncio.TaskGroup` for as long as the stream lives, and nothing of it outlives that: the recogniser's
socket, the writer, the keeper that commits turns in order, the reply that is being made. It decides nothing itself.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial

from bot.admission import Admission, take_up
from bot.conversation.commands import Command, Finalize, ForgetDay, ForgetTurn, HangUp, Recognise, WriteEntry
from bot.conversation.events import Draining, Event
from bot.conversation.floor import State
from bot.conversation.talk import Talk
from bot.conversation.turns import Turns
from bot.errors import RemoteProtocolError, StoreError, where
from bot.journal import Direction, Journal, Wire, encode_event
from bot.keeper import Keepable, Keeper
from bot.playout import Playout
from bot.process import Services
from bot.protocols.twilio import Inbound, Media, MediaStream, Started, Stopped
from bot.services.stt import SttStream
from bot.speaker import Speaker, Speech

log = logging.getLogger(__name__)

QUIET_S = 5.0
"""How long an open stream may bring no message: Twilio sends 50 a second, silence too."""

BAD_MESSAGES = 20
"""So many messages that break the protocol end the stream."""

OVERTIME_S = 120.0
"""By the wall, so much longer than a call may last, a stream ends whatever its own clock says."""

NORMAL, POLICY = 1000, 1008


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
        self._speaker = Speaker(services.replies, services.voice, self._playout, self._tell, self._spawn)
        self._stt: SttStream | None = None
        self._journal: Journal | None = None
        self._admission = Admission()
        self._over = asyncio.Event()
        self._stopped = False
        self._gone = False
        self._why = "the stream broke"
        self._bad = 0
        self._heard_at = time.monotonic()
        self._tasks: asyncio.TaskGroup | None = None
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
        if self._admission.is_over:
            self._hear(inbound, message)
            return
        match inbound:
            case Started():
                self.call_sid = inbound.call_sid
            case Stopped():
                self._stopped = True
                self._end()
        self._admission.wait(inbound, message)

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
        self._admission.give_up()
        self._over.set()

    # ── the life of a call ───────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Live through the call; returns when all of it is kept."""
        if (start := await self._admission.ask(self._services.store)) is None:
            await self._close(POLICY)
            return
        try:
            await self._talk_it_through(start)
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

    async def _talk_it_through(self, start: Started) -> None:
        call_sid, services = start.call_sid, self._services
        if self._alone:
            await self._alone(self)
        arrival = await services.store.call_arrived(call_sid, None)
        started = await take_up(services.store, call_sid, arrival)
        self._keeper = Keeper(services.store, services.scribe, call_sid, arrival, services.forget_journals)
        self._open_journal(start)
        log.info("call %s: started, stream %d", call_sid, arrival.stream)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._stt = services.recogniser.stream(
                self._tell, name=f"call {call_sid}: recogniser", journal=partial(self._note, "rtzr")
            )
            hearing = tasks.create_task(self._stt.run())
            keeping = tasks.create_task(self._keeper.run())
            others = [tasks.create_task(self._write()), tasks.create_task(self._watch())]
            self._speaker.warm()
            self._tell(started)
            for early in self._admission.open():
                self._hear(*early)
            await self._over.wait()
            self._stt.end()
            await hearing
            said_goodbye = self._talk.turns.state in (State.CLOSING, State.CLOSED)
            if self._gone:
                self._carry_out(self._talk.hang_up())
            self._speaker.close()
            if self._draft:
                self._draft.cancel()
            if self._stopped or not self._gone or said_goodbye:
                self._keeper.keep(HangUp(self._why))
            self._keeper.finish()
            await keeping
            for other in others:
                other.cancel()
        log.info("call %s: ended after %d s: %s", call_sid, self._talk.now_ms // 1000, self._why)
        log.info("call %s: the process so far: %s", call_sid, services.replies.usage.line())

    def _open_journal(self, start: Started) -> None:
        if self._services.journal:
            try:
                self._journal = self._services.journal(start.call_sid, start.stream_sid)
            except OSError as error:
                log.error("call %s: no journal: %s", start.call_sid, error.strerror)

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
                case Recognise(pcm, urgent):
                    if self._stt:
                        self._stt.push(pcm, urgent=urgent)
                case Finalize():
                    if self._stt:
                        self._stt.finalize()
                    self._speaker.warm()
                case WriteEntry():
                    self._draft = self._spawn(self._write_entry(command))
                case HangUp(why):
                    self._why = why
                    self._over.set()
                case ForgetDay() | ForgetTurn():
                    self._forget_journal()
                    self._keep(command)
                case _ if isinstance(command, Speech):
                    self._speaker.carry_out(command)
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

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None] | None:
        if self._tasks is None or self._gone:
            work.close()
            return None
        return self._tasks.create_task(work)

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
