"""One streaming job, from the socket that claimed it to the moment when all that was heard is kept.

Audio is taken from the socket only as fast as the recogniser takes it, so a client that sends faster than real time
waits, and nothing here grows with the length of a recording. Every final is committed before it is told. The job
outlives its socket: what was received is still recognised, and the summary is made by durable work. Where it cannot go
on, but another connection may, it is released from its last word on. It must not know who may stream a job, or how a
summary is made.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Protocol

from bot.audio import second_opinion
from bot.audio.frames import FRAME_MS
from bot.audio.segments import Segments
from bot.audio.vad import Vad
from bot.close_codes import BROKEN, GOING_AWAY, NORMAL, POLICY, TRY_LATER
from bot.conversation.events import Event, Final, SttLost
from bot.diary.stream_jobs import RENEW_S, StreamJobs
from bot.diary.stream_records import Claim, JobRecord, JobState, Segment
from bot.errors import LeaseLost, RemoteProtocolError, StoreError
from bot.protocols import jobs as wire
from bot.protocols.jobs import JobRequest, JobStream
from bot.protocols.rtzr import options_for
from bot.services.stt import Recogniser
from bot.summary_wait import NotOver, waited_for

log = logging.getLogger(__name__)

IDLE_S = 60.0
"""Without any audio for so long, a socket holds a channel of the recogniser for nothing."""
LONGEST_AUDIO_MS = 6 * 3_600_000
FRAMES_AT_ONCE = 5
"""So many frames are listened to before others in the process have their turn."""
MOST_FINALS = 50
"""So many wait for the store before audio does."""
SEND_S = 10.0
"""A client that takes nothing for so long is taken to be gone."""
STORE_S = 60.0
STORE_PAUSES_S = (0.2, 0.5, 1.0, 2.0)
EPD_S, BEHIND_S = 0.8, 0.2
DRAIN_S = 30.0
"""So long a recogniser that is behind may take for its last finals."""
REFUSED = "the recogniser refuses"


class Socket(Protocol):
    """What a job needs of its socket; `pull` gives None when it is over."""

    @property
    def is_faulty(self) -> bool: ...
    async def pull(self) -> str | bytes | None: ...
    async def send(self, text: str) -> None: ...
    async def close(self, code: int) -> None: ...


class Why(Enum):
    """Why no more audio is taken."""

    ENDED = auto()
    """The client has sent all of it, or is gone."""
    FAULTY = auto()
    """The client has sent what no socket takes, such as a message that is too big."""
    LOST = auto()
    """The recogniser cannot be had."""
    DRAINED = auto()
    """The process goes away."""
    SIGNED_OUT = auto()
    """Who streams the job may do so no longer."""
    OVERTAKEN = auto()
    """Another socket streams the job, or it was removed."""
    UNKEPT = auto()
    """The store does not take what is heard."""


_RELEASED: dict[Why | None, tuple[wire.Outbound | None, int]] = {
    Why.FAULTY: (None, POLICY),
    Why.LOST: (wire.NO_RECOGNISER, TRY_LATER),
    Why.DRAINED: (wire.GOING_AWAY, GOING_AWAY),
    Why.SIGNED_OUT: (wire.SIGNED_OUT, POLICY),
}
"""Where another connection may go on, and what this one is told, if it is still there."""


class StreamedJob:
    """One connection of one job; `run` returns when everything is kept."""

    def __init__(
        self,
        socket: Socket,
        claim: Claim,
        config: JobRequest,
        *,
        jobs: StreamJobs,
        recogniser: Recogniser,
        work_came: Callable[[], None],
    ) -> None:
        """`work_came` is called when durable work was asked for."""
        self.call_sid: str | None = claim.job_id  # among the live calls
        self._socket = socket
        self._claim = claim
        self._jobs = jobs
        self._work_came = work_came
        self._name = f"job {claim.job_id}"
        self._wants_summary = config.summary
        self._wire = JobStream()
        self._patience: asyncio.Timeout | None = None
        self._heard_ms = 0
        self._segments = Segments(Vad(second_opinion.for_call()), max_silence_ms=config.max_silence_ms)
        self._stt = recogniser.stream(
            self._told,
            name=f"{self._name}: recogniser",
            # The segment is ended by us; the recogniser does so only when it must hear a silence that we do not.
            options=options_for(config.language, epd_time_s=max(EPD_S, config.max_silence_ms / 1000 + BEHIND_S)),
            drain_s=DRAIN_S,
            tells_pace=False,
        )
        self._hearing: asyncio.Task[None] | None = None
        self._finals: asyncio.Queue[Segment | None] = asyncio.Queue()
        self._number = claim.segments
        self._kept_ms = claim.audio_ms
        self._is_deaf = False
        self._gone = False
        self._why: Why | None = None
        self._stopped = asyncio.Event()
        self._leaving = asyncio.Event()
        self._caught_up = asyncio.Event()

    # ── what others do ───────────────────────────────────────────────────────────────────────────────────────────

    def gone(self) -> None:
        """The socket is over."""
        self._gone = True
        self._stop(Why.FAULTY if self._socket.is_faulty else Why.ENDED)

    def drain(self) -> None:
        """The process is going away: what was received is kept, and another one goes on."""
        self._leaving.set()
        self._stop(Why.DRAINED)

    def signed_out(self) -> None:
        """Who streams the job may do so no longer; may be said more than once."""
        self._leaving.set()
        self._stop(Why.SIGNED_OUT)

    def _stop(self, why: Why) -> None:
        if self._why is None or why in (Why.OVERTAKEN, Why.UNKEPT):
            self._why = why
        self._stopped.set()
        if self._patience and not self._patience.expired():
            self._patience.reschedule(0.0)

    def _told(self, event: Event) -> None:
        """Take an event of the recogniser."""
        if isinstance(event, Final):
            if event.text:
                start_ms, end_ms = (at + self._claim.audio_ms for at in self._stt.final_ms)
                start_ms = max(start_ms, self._kept_ms)
                self._kept_ms = max(start_ms, end_ms)
                self._finals.put_nowait(Segment(self._number, start_ms, self._kept_ms, event.text))
                self._number += 1
        elif isinstance(event, SttLost):
            self._is_deaf = True
            if not self._stt.heard_all:
                self._stop(Why.LOST)

    # ── the life of a connection ─────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Stream the job; returns when all that was heard is kept, and told to whoever is still there."""
        claim = self._claim
        await self._tell(wire.ConnectionSuccess(claim.job_id, claim.audio_ms, claim.segments))
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(self._listen(tasks))
            keeping = tasks.create_task(self._keep())
            renewing = tasks.create_task(self._renew())
            await listening
            await self._hear_the_rest()
            self._finals.put_nowait(None)
            await keeping
            renewing.cancel()
        await self._finish()

    async def _finish(self) -> None:
        claim, audio_ms, why = self._claim, self._claim.audio_ms + self._heard_ms, self._why
        if why is Why.ENDED and not self._stt.heard_all:
            why = Why.LOST
        told: tuple[wire.Outbound | None, int] = (wire.NO_STORE, TRY_LATER)
        if why is Why.ENDED:
            if await self._kept(lambda: self._jobs.ended(claim, audio_ms)):
                self._work_came()
                told = await self._summary(audio_ms)
        elif why is Why.LOST and self._stt.refused:
            if await self._kept(lambda: self._jobs.failed(claim, audio_ms, REFUSED)):
                told = (wire.REFUSED, BROKEN)
        elif why in _RELEASED:
            # What has no text yet is asked for again.
            heard_all = why is not Why.LOST and self._stt.heard_all
            from_ms = audio_ms if heard_all else self._kept_ms
            if await self._kept(lambda: self._jobs.released(claim, from_ms)):
                told = _RELEASED[why]
        if self._why is Why.OVERTAKEN:
            told = (wire.JOB_BUSY, wire.BUSY)
        log.info("%s: %s after %d s of audio, %d segments", self._name, why, audio_ms // 1000, self._number)
        message, code = told
        if message is not None:
            await self._tell(message)
        await self._socket.close(code)

    # ── audio in ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _listen(self, tasks: asyncio.TaskGroup) -> None:
        """Take what comes, until there is a reason to stop; a message is heard to its end."""
        now = asyncio.get_running_loop().time
        idle_at_s = now() + IDLE_S
        while not self._stopped.is_set():
            message: str | bytes | None = ""
            try:
                async with asyncio.timeout_at(idle_at_s) as self._patience:
                    message = await self._socket.pull()
            except TimeoutError:
                if not self._stopped.is_set():
                    await self._tell(wire.NO_AUDIO)
                    self._stop(Why.ENDED)
                return
            finally:
                self._patience = None
            if message is None:
                self.gone()
                return
            try:
                inbound = self._wire.receive(message)
            except RemoteProtocolError as error:
                await self._tell(wire.Failure(wire.BAD_MESSAGE, str(error)))
                continue
            if isinstance(inbound, wire.Ended):
                self._stop(Why.ENDED)
                return
            if self._hearing is None and inbound.frames:
                self._hearing = tasks.create_task(self._stt.run())
            await self._hear(inbound.frames)
            if inbound.frames:
                idle_at_s = now() + IDLE_S
            if self._claim.audio_ms + self._heard_ms >= LONGEST_AUDIO_MS:
                await self._tell(wire.TOO_LONG)
                self._stop(Why.ENDED)

    async def _hear(self, frames: list[bytes]) -> None:
        """Listen to frames, as fast as the recogniser takes them."""
        for begin in range(0, len(frames), FRAMES_AT_ONCE):
            for frame in frames[begin : begin + FRAMES_AT_ONCE]:
                heard = self._segments.push(frame)
                self._stt.push(frame, urgent=heard.voiced)
                if heard.ends_segment:
                    self._stt.finalize()
                if self._is_deaf and heard.voiced:
                    self._stop(Why.LOST)
                    return
                self._heard_ms += FRAME_MS
            await self._stt.room()
            while self._finals.qsize() > MOST_FINALS:
                self._caught_up.clear()
                await self._caught_up.wait()
            await asyncio.sleep(0)

    async def _hear_the_rest(self) -> None:
        """Have what was received recognised to its end."""
        if self._hearing is None:
            return
        # Where another connection may go on, what is no whole frame is asked for again: with silence behind it, all
        # that it sends would be late.
        for frame in self._wire.flush() if self._why is Why.ENDED else ():
            self._stt.push(frame, urgent=self._segments.push(frame).voiced)
            self._heard_ms += FRAME_MS
        self._stt.end()
        await self._hearing

    # ── what was heard, out ──────────────────────────────────────────────────────────────────────────────────────

    async def _keep(self) -> None:
        claim = self._claim
        while (segment := await self._finals.get()) is not None:
            kept = segment
            if await self._kept(lambda kept=kept: self._jobs.add_segment(claim, kept)):  # type: ignore[misc]
                start_s, end_s = kept.start_ms / 1000, kept.end_ms / 1000
                await self._tell(wire.TranscriptSegment(kept.number, kept.text, start_s, end_s))
            self._caught_up.set()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self._jobs.renew(self._claim)
            except LeaseLost:
                self._stop(Why.OVERTAKEN)
                return
            except StoreError as error:
                log.warning("%s: its lease is not renewed: %s", self._name, error)

    async def _kept(self, write: Callable[[], Awaitable[None]]) -> bool:
        """Write to the store, as soon as it takes it; False when it does not, and from then on nothing is written."""
        if self._why in (Why.OVERTAKEN, Why.UNKEPT):
            return False
        now = asyncio.get_running_loop().time
        give_up_s, tries = now() + STORE_S, 0
        while True:
            try:
                await write()
                return True
            except LeaseLost:
                self._stop(Why.OVERTAKEN)
                return False
            except StoreError as error:
                if now() >= give_up_s:
                    log.error("%s: not kept: %s", self._name, error)
                    self._stop(Why.UNKEPT)
                    return False
            await asyncio.sleep(STORE_PAUSES_S[min(tries, len(STORE_PAUSES_S) - 1)])
            tries += 1

    # ── the summary ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _summary(self, audio_ms: int) -> tuple[wire.Outbound, int]:
        """The last message for a client that waits, and the code to close with."""
        job: JobRecord | NotOver = NotOver.LATER
        if not self._gone:
            job = await waited_for(self._jobs, self._claim, self._refuse_more, self._leaving)
        if job is NotOver.LATER:
            return wire.SUMMARY_LATER, NORMAL
        if job is NotOver.REMOVED:
            return wire.JOB_BUSY, wire.BUSY
        if job.state is JobState.FAILED:
            return wire.Failure("JOB_FAILED", job.error or "the job failed"), BROKEN
        nothing = "" if self._wants_summary else None
        text = nothing if job.summary is None else job.summary
        return wire.FinalSummary(job.job_id, text, self._number, audio_ms / 1000), NORMAL

    async def _refuse_more(self) -> None:
        """Tell once that it is too late for what still comes; returns when the client is gone."""
        told = False
        while await self._socket.pull() is not None:
            if not told:
                told = True
                await self._tell(wire.TOO_LATE)
        self._gone = True

    # ── the wire ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _tell(self, message: wire.Outbound) -> None:
        """Send a message, if anybody takes it; what still comes from there is heard all the same."""
        if self._gone:
            return
        try:
            async with asyncio.timeout(SEND_S):
                await self._socket.send(wire.encode(message))
        except (ConnectionError, TimeoutError):
            self._gone = True
