"""One call, of a telephone or a browser: the stream's messages go to the talk, what it decides is carried out.

It owns one `asyncio.TaskGroup` until all of the stream is kept, and nothing of it outlives that: the recogniser's
socket, the writer, the keeper that commits turns in order (once more by itself after a break-down), the reply that is
being made. It decides one thing itself: whether a stream that ended from outside is the call's end (`_last_words`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial

from bot.admission import Admission, take_up
from bot.conversation.commands import (
    Command,
    Finalize,
    ForgetDay,
    ForgetTurn,
    HandOver,
    HangUp,
    Recognise,
    RecordRest,
    WriteEntry,
)
from bot.conversation.events import Draining, Event
from bot.conversation.talk import Inbound, Talk
from bot.conversation.turns import Turns
from bot.errors import RemoteProtocolError, StoreError, where
from bot.keeper import Keepable, Keeper, Leaving
from bot.line import Close, Line, PhoneLine
from bot.playout import Playout
from bot.process import Services
from bot.protocols.browser import Quiet, Sound
from bot.protocols.playing import Played
from bot.protocols.rtzr import KOREAN
from bot.protocols.twilio import Media, Started, Stopped
from bot.recorder import Recorder
from bot.services.stt import SttStream
from bot.speaker import Speaker, Speech
from bot.watchdog import Watchdog

log = logging.getLogger(__name__)

BAD_MESSAGES = 20
"""So many messages that break the protocol end the stream."""

HANDOVER_S = 8.0
"""By the wall, so long after the process was told to go away a stream is closed whatever is being said on it."""

SAVE_S = 3.0
"""So long the caller waits for what was said to be committed before another process goes on with the talk."""

SILENCE_MS = 100
"""So much silence passes at once where no sound tells the time."""


class Call:
    """A media socket, from its handshake to the moment when everything said on it is kept."""

    def __init__(
        self,
        services: Services,
        send: Callable[[str], Awaitable[None]],
        close: Callable[[int], Awaitable[None]],
        *,
        alone: Callable[["Call"], Awaitable[None]] | None = None,
        line: Line | None = None,
    ) -> None:
        """`alone` ends every other stream of this call in the process, and returns when they have saved.

        Without a `line` it is a telephone's.
        """
        self.call_sid: str | None = None
        self.stream = 0
        """The number of this stream of the call, once it was let in."""
        self._services = services
        self._close = close
        self._send = send
        self._alone = alone
        self._line = line = line or PhoneLine(services.voice)
        self._talk = Talk(Turns(max_call_ms=services.max_call_ms, line=line.kind))
        self._playout = Playout(
            line.stream,
            self._send_on_wire,
            self._tell,
            form=line.form,
            lead_ms=line.lead_ms,
            unplayed_ms=line.unplayed_ms,
        )
        self._speaker = Speaker(services.replies, line.voice, self._playout, self._tell, self._spawn)
        self._stt: SttStream | None = None
        self._recorder = Recorder(lambda: self._talk.now_ms)
        self._meter = services.metrics.call(line.door, lambda: self._talk.now_ms)
        self._watchdog = Watchdog(services.max_call_ms / 1000)
        self._admission = Admission()
        self._over = asyncio.Event()
        self._stopped = False
        self._is_ending = False
        self._has_no_socket = False
        self._draining = False
        self._leaves: Leaving | None = None
        self._bad = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._draft: asyncio.Task[None] | None = None
        self._keeper: Keeper | None = None

    # ── what the socket does ─────────────────────────────────────────────────────────────────────────────────────

    def receive(self, message: str | bytes) -> None:
        """Take a message of the media socket. Garbage is counted and costs the call nothing, until it is too much."""
        try:
            inbounds = self._line.receive(message)
        except RemoteProtocolError as error:
            self._bad += 1
            if self._bad > BAD_MESSAGES:
                return
            log.warning("call %s: %s", self.call_sid, error)
            for answer in self._line.answer(error, last=self._bad == BAD_MESSAGES):
                self._playout.note(answer)
            if self._bad == BAD_MESSAGES:
                self._end()
            return
        for inbound in inbounds:
            self.take(inbound, message)

    def take(self, inbound: Inbound, message: str | bytes = "") -> None:
        """Take what a message says."""
        if isinstance(inbound, Stopped):
            self._stopped = True
            self._end()
        elif self._admission.is_over:
            self._hear(inbound, message)
        else:
            if isinstance(inbound, Started):
                self.call_sid = inbound.call_sid
            self._admission.hold(inbound, message)

    def _hear(self, inbound: Inbound, message: str | bytes) -> None:
        behind_ms = 0
        try:
            self._recorder.note("twilio", "in", message)
            if isinstance(inbound, Media):
                behind_ms = self._watchdog.heard(inbound.at_ms)
            else:
                self._hear_but_audio(inbound)
            self._carry_out(self._talk.hear(inbound, behind_ms))
        except Exception as error:
            self._break_down(error)

    def _hear_but_audio(self, inbound: Inbound) -> None:
        """What does not come 50 times a second from each telephone."""
        if isinstance(inbound, Sound | Quiet):
            self._watchdog.heard()
        self._send_besides(inbound)
        if isinstance(inbound, Played):
            self._playout.ear_told()

    def gone(self) -> None:
        """The socket is over, whoever ended it; or another one has the talk."""
        self._has_no_socket = True
        self._end()

    def drain(self) -> None:
        """The process is going away: the talk comes to a place where another can go on, and the stream is closed."""
        self._draining = True
        if self._tasks:
            try:
                self._tell(Draining())
            except Exception as error:
                self._break_down(error)
            asyncio.get_running_loop().call_later(HANDOVER_S, self._end)
        else:
            self._end()

    def _end(self) -> None:
        self._is_ending = True
        self._playout.close()
        self._admission.give_up()
        self._over.set()

    # ── the life of a call ───────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Live through the call; returns when all of it is kept."""
        if (let_in := await self._admission.ask(self._services.store)) is None:
            try:
                for message in self._line.refusal():
                    await self._send(message)
            except ConnectionError:
                pass
            await self._close(self._line.close_code(Close.REFUSED))
            return
        try:
            await self._talk_it_through(let_in.start, let_in.stream)
        except* StoreError as failed:
            log.error("call %s: %s", self.call_sid, failed.exceptions[0])
        except* Exception as crash:
            self._break_down(crash)
            await self._save_what_is_left()
        finally:
            self._meter.over(self._leaves)
            self._recorder.close()
            await self._close(self._close_code)

    async def _save_what_is_left(self) -> None:
        """After a break-down: everything that the talk still knows is kept."""
        if self._keeper is None:
            return
        try:
            self._last_words()
        except Exception as error:
            self._break_down(error)
            self._keeper.finish()
        while True:
            try:
                await self._keeper.run()
                return
            except* Exception as error:
                self._break_down(error)

    def _break_down(self, error: Exception) -> None:
        """A bug of ours ends this call and no other. Its message may hold what was said, so only its place is told."""
        log.error("call %s: broke down with %s", self.call_sid, where(error))
        self._meter.broke_down()
        self._end()

    async def _talk_it_through(self, start: Started, stream: int) -> None:
        call_sid, services = start.call_sid, self._services
        self.stream = stream
        if self._alone:
            await self._alone(self)
        arrival = await services.store.call_arrived(call_sid, None)
        started = await take_up(services.store, call_sid, arrival)
        self._keeper = Keeper(
            services.store.owned(call_sid, stream),
            services.scribe,
            arrival,
            forget_journals=services.forget_journals,
            on_lost=self.gone,
        )
        if services.journal and self._line.is_journalled:
            self._recorder.open(services.journal, call_sid, start.stream_sid)
        self._meter.begin(call_sid, stream)
        log.info("call %s: started, stream %d", call_sid, stream)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._stt = services.recogniser.stream(
                self._tell,
                name=f"call {call_sid}: recogniser",
                journal=partial(self._recorder.note, "rtzr"),
                options=self._line.recogniser,
                tells_pace=self._line.recogniser == KOREAN,
            )
            hearing = tasks.create_task(self._stt.run())
            keeping = tasks.create_task(self._keeper.run())
            others = [tasks.create_task(work) for work in (self._write(), self._watch(), self._pass_silence())]
            self._speaker.warm()
            self._tell(started)
            for early in self._admission.open():
                self._hear(*early)
            await self._over.wait()
            self._stt.end()
            await hearing
            self._last_words()
            await asyncio.wait({keeping}, timeout=SAVE_S)
            await self._close(self._close_code)
            for other in others:
                other.cancel()
            await keeping
        log.info("call %s: ended after %d s: %s", call_sid, self._talk.now_ms // 1000, _told(self._leaves))
        log.info("call %s: the process so far: %s", call_sid, services.replies.usage.line())

    def _last_words(self) -> None:
        """No word will come any more: what the talk still knows is kept, then how the stream ended."""
        assert self._keeper
        if not isinstance(self._leaves, HangUp):
            if self._stopped or (self._leaves is None and self._talk.turns.says_goodbye):
                self._leaves = HangUp("caller gone")
            self._leaves = self._leaves or HandOver()
        if self._is_ending or isinstance(self._leaves, HandOver):
            self._carry_out(self._talk.hang_up())
        self._speaker.close()
        if self._draft:
            self._draft.cancel()
        self._keeper.keep(self._leaves)
        self._keeper.finish()

    async def _watch(self) -> None:
        """End a stream that is dead, though its socket is open."""
        log.warning("call %s: %s", self.call_sid, await self._watchdog.bark())
        self._end()

    async def _pass_silence(self) -> None:
        """Let time go by until there is sound that tells it."""
        while not self._line.has_sound:
            await asyncio.sleep(SILENCE_MS / 1000)
            for inbound in self._line.silence(SILENCE_MS):
                self.take(inbound)

    @property
    def is_left_open(self) -> bool:
        """Whether its stream is over, and the call is not: somebody may go on with it."""
        return isinstance(self._leaves, HandOver)

    @property
    def _close_code(self) -> int:
        if self._bad >= BAD_MESSAGES:
            return self._line.close_code(Close.FAULTS)
        if isinstance(self._leaves, HangUp | RecordRest):
            return self._line.close_code(Close.OVER)
        if self._draining:
            return self._line.close_code(Close.LEAVES)
        return self._line.close_code(Close.OVERTAKEN if self._has_no_socket else Close.BROKEN)

    # ── events and commands ──────────────────────────────────────────────────────────────────────────────────────

    def _tell(self, event: Event) -> None:
        self._recorder.tell(event)
        self._meter.tell(event)
        self._send_besides(event)
        self._carry_out(self._talk.tell(event))

    def _send_besides(self, what: Inbound | Event | Command) -> None:
        for message in self._line.besides(what):
            self._playout.note(message)

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            self._send_besides(command)
            match command:
                case Recognise(pcm, urgent):
                    if self._stt:
                        self._stt.push(pcm, urgent=urgent)
                case Finalize():
                    if self._stt:
                        self._stt.finalize()
                    self._speaker.warm()
                case WriteEntry():
                    self._meter.decided(command)
                    self._draft = self._spawn(self._write_entry(command))
                case HangUp() | HandOver() | RecordRest():
                    self._leaves = self._leaves or command
                    self._over.set()
                case ForgetDay() | ForgetTurn():
                    # What is to be forgotten is in the journal too, and so would be what is said about it.
                    self._recorder.forget()
                    self._keep(command)
                case _ if isinstance(command, Speech):
                    self._speaker.carry_out(command)
                case _:
                    self._keep(command)

    def _keep(self, command: Keepable) -> None:
        assert self._keeper
        self._meter.decided(command)
        self._keeper.keep(command)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None] | None:
        if self._tasks is None or self._is_ending:
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
        self._recorder.note("twilio", "out", message)
        await self._send(message)


def _told(leaves: Leaving | None) -> str:
    """How a stream ended, for the log."""
    return "handed over" if isinstance(leaves, HandOver) or leaves is None else leaves.why
