"""A streaming job from the client's side: created, sent, listened to, and gone on with when the connection breaks.

It must not know files or terminals: the sound is handed in, and what happens is told to a view.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, TypeVar

import httpx2
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from bot.errors import IlgiError
from bot.protocols import jobs as wire
from bot.protocols.jobs import CHUNK_BYTES, PCM_BYTES_PER_MS, Failure, JobRequest, JobShown, TranscriptSegment

PATH = "/api/v1/stream/"
OPEN_S = HTTP_S = 15.0
CLOSE_S = 2.0
PING_S = 20.0
STUCK_S = 180.0
"""A server that takes and tells nothing for so long is taken to be gone: a summary may take two minutes."""
AGAIN_S = 75.0
"""So long a job that makes no progress is connected to again: a process that died holds it for 20 s."""
PAUSES_S = (0.2, 1.0, 2.0, 5.0)
REST_S = 300.0
"""So long the rest of a job is asked for, once its socket is over."""
POLL_S = 1.0
NEARLY_MS = 100
_JOB_FAILED = Failure("JOB_FAILED", "the job failed")
_NO_BOT = Failure("NO_BOT", "what answers there is no bot that takes streaming jobs")
_LATER = {each.code for each in (wire.JOB_OVER, wire.SUMMARY_LATER, wire.REFUSED, _JOB_FAILED, _NO_BOT)}
_AGAIN = {each.code for each in (wire.GOING_AWAY, wire.JOB_BUSY, wire.NO_STORE, wire.NO_RECOGNISER)}
_TRY_AGAIN = {429, 502, 503, 504}
_encode = msgspec.json.Encoder().encode
_END = '{"type":"end"}'
_T = TypeVar("_T")


class Refused(IlgiError):
    """The server does not do what was asked, in its words; `status` is that of HTTP, if there was an answer."""

    def __init__(self, failure: Failure, status: int | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.status = status


class Audio(Protocol):
    """What is streamed."""

    def pieces(self, from_ms: int = 0) -> Iterator[bytes]: ...


class View(Protocol):
    """Who is told what happens."""

    def created(self, job_id: str) -> None: ...
    def sent(self, ms: int) -> None: ...
    def segment(self, segment: TranscriptSegment) -> None: ...
    def failure(self, failure: Failure) -> None: ...
    def waiting(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job; `is_whole`: it is completed, and all of the sound is in it."""

    job_id: str
    state: str
    is_whole: bool
    summary: str | None
    duration_s: float
    error: str | None = None


class _Created(msgspec.Struct, frozen=True):
    job_id: str


class _How(Enum):
    """How a connection ended."""

    DONE = auto()
    LATER = auto()
    """The job is over, or goes on without us: the rest is to be asked for."""
    AGAIN = auto()


_decode_message = msgspec.json.Decoder(wire.Outbound).decode


class StreamedFile:
    """One job; `job_id` is there once it was created."""

    def __init__(self, http: httpx2.AsyncClient, url: str, key: str | None, audio: Audio, view: View) -> None:
        """`url` is the server's, without a slash at its end."""
        self._http = http
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._audio = audio
        self._view = view
        self._is_fast = False
        self._told = 0
        self._all_ms: int | None = None
        self._final: wire.FinalSummary | None = None
        self._broken: IlgiError | None = None
        self.job_id = ""

    @property
    def job_url(self) -> str:
        """Where the job is to be read."""
        return f"{self._url}{PATH}{self.job_id}"

    async def run(self, request: JobRequest, *, fast: bool) -> Outcome:
        """Create the job and stream it; Refused when the server refuses, or cannot be had for too long.

        Cancelled, it closes the connection: what was sent is still recognised, and kept. What makes the sound end
        before its time is raised when all before it was kept.
        """
        self._is_fast = fast
        answer = await self._ask("POST", PATH + "create", 201, _encode(request))
        self.job_id = _read(answer, _Created).job_id
        self._view.created(self.job_id)
        outcome = await self._streamed()
        if self._broken:
            raise self._broken
        return outcome

    async def _streamed(self) -> Outcome:
        now = asyncio.get_running_loop().time
        give_up_s, tries, reached_ms = now() + AGAIN_S, 0, -1
        while True:
            try:
                how, from_ms = await self._one_connection()
            except Refused as error:
                if error.status not in (None, *_TRY_AGAIN) or now() >= give_up_s:
                    raise
                how, from_ms = _How.AGAIN, -1
                self._view.failure(error.failure)
            if how is _How.LATER:
                return await self._rest()
            if self._final:
                return self._outcome("completed", self._final.summary, self._final.duration, None)
            if from_ms > reached_ms:
                give_up_s, tries, reached_ms = now() + AGAIN_S, 0, from_ms
            if now() >= give_up_s:
                raise Refused(Failure("CONNECTION_LOST", "the connection broke again and again"))
            await asyncio.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
            tries += 1

    def _outcome(self, state: str, summary: str | None, duration_s: float, error: str | None) -> Outcome:
        has_all = self._all_ms is not None and duration_s * 1000 >= self._all_ms - NEARLY_MS
        return Outcome(self.job_id, state, state == "completed" and has_all, summary, duration_s, error)

    # ── one connection ───────────────────────────────────────────────────────────────────────────────────────────

    async def _one_connection(self) -> tuple[_How, int]:
        """How it ended, and from where the sound was sent; -1 when the server took none."""
        try:
            async with connect(
                f"ws{self._url.removeprefix('http')}{PATH}{self.job_id}",
                additional_headers=self._headers,
                compression=None,
                open_timeout=OPEN_S,
                close_timeout=CLOSE_S,
                ping_interval=PING_S,
                # A server that is sent sound faster than it takes it answers late.
                ping_timeout=None if self._is_fast else PING_S,
            ) as socket:
                try:
                    return await self._converse(socket)
                finally:
                    await socket.close()  # in order, though we were cancelled
        except InvalidStatus as error:
            raise _refused(error.response.status_code, bytes(error.response.body or b""), "") from error
        except (OSError, WebSocketException) as error:
            raise Refused(Failure("CONNECTION_LOST", f"the connection failed: {_words(error)}")) from error

    async def _converse(self, socket: ClientConnection) -> tuple[_How, int]:
        welcome = await self._next(socket)
        if not isinstance(welcome, wire.ConnectionSuccess):
            return self._heard(welcome) or _How.AGAIN, -1
        if welcome.segments > self._told:
            self._show_segments(await self._job())  # kept, but not told before the connection broke
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(self._send(socket, welcome.audio_ms))
            try:
                while (how := self._heard(await self._next(socket))) is None:
                    pass
            finally:
                sending.cancel()
        return how, welcome.audio_ms

    async def _next(self, socket: ClientConnection) -> wire.Outbound | None:
        """The next message; None when the connection is over."""
        try:
            async with asyncio.timeout(STUCK_S if self._all_ms is not None else None):
                message: wire.Outbound = _decode_message(await socket.recv())
                return message
        except (ConnectionClosed, TimeoutError):
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return _NO_BOT

    def _heard(self, message: wire.Outbound | None) -> _How | None:
        """Take a message; None: the connection goes on."""
        match message:
            case TranscriptSegment():
                self._show(message)
            case wire.FinalSummary():
                self._final = message
                return _How.DONE
            case Failure():
                self._view.failure(message)
                if message.code in _LATER:
                    return _How.LATER
                if message.code in _AGAIN:
                    return _How.AGAIN
            case None:
                self._view.failure(Failure("CONNECTION_LOST", "the connection broke: connecting again"))
                return _How.AGAIN
        return None

    async def _send(self, socket: ClientConnection, from_ms: int) -> None:
        """Send the sound from there on, and that it has ended; a connection that is over is noticed by who listens."""
        now = asyncio.get_running_loop().time
        began_s, sent_bytes = now(), 0
        try:
            try:
                for chunk in _chunks(self._audio.pieces(from_ms)):
                    if not self._is_fast:
                        # Each chunk has its own moment, so that no delay is carried over.
                        await asyncio.sleep(max(0.0, began_s + sent_bytes / PCM_BYTES_PER_MS / 1000 - now()))
                    async with asyncio.timeout(STUCK_S):
                        await socket.send(chunk)
                    sent_bytes += len(chunk)
                    self._view.sent(from_ms + sent_bytes // PCM_BYTES_PER_MS)
                    await asyncio.sleep(0)
            except IlgiError as error:
                self._broken = error
            self._all_ms = from_ms + sent_bytes // PCM_BYTES_PER_MS
            self._view.waiting()
            await socket.send(_END)
        except ConnectionClosed:
            pass
        except TimeoutError:
            socket.transport.abort()

    # ── what is asked for ────────────────────────────────────────────────────────────────────────────────────────

    async def _rest(self) -> Outcome:
        """Ask for the job until it is over, for so long as makes sense."""
        now = asyncio.get_running_loop().time
        give_up_s = now() + REST_S
        while True:
            job = await self._job()
            self._show_segments(job)
            if job.state in ("completed", "failed") or now() >= give_up_s:
                return self._outcome(job.state, job.summary, job.duration, job.error)
            await asyncio.sleep(POLL_S)

    async def _job(self) -> JobShown:
        now = asyncio.get_running_loop().time
        give_up_s = now() + AGAIN_S
        while True:
            try:
                return _read(await self._ask("GET", PATH + self.job_id, 200), JobShown)
            except Refused as error:
                if error.status not in (None, *_TRY_AGAIN) or now() >= give_up_s:
                    raise
            await asyncio.sleep(POLL_S)

    def _show_segments(self, job: JobShown) -> None:
        for each in job.segments:
            self._show(TranscriptSegment(each.index, each.text, each.start_time, each.end_time))

    def _show(self, segment: TranscriptSegment) -> None:
        if segment.index >= self._told:
            self._told = segment.index + 1
            self._view.segment(segment)

    async def _ask(self, method: str, path: str, status: int, body: bytes | None = None) -> httpx2.Response:
        try:
            answer = await self._http.request(method, self._url + path, content=body, headers=self._headers)
        except httpx2.HTTPError as error:
            raise Refused(Failure("UNREACHABLE", f"{self._url} cannot be reached: {_words(error)}")) from error
        if answer.status_code != status:
            raise _refused(answer.status_code, answer.content, answer.headers.get("location", ""))
        return answer


def _chunks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in chunks of 30 ms; the last may be shorter."""
    held = b""
    for piece in pieces:
        held += piece
        whole = len(held) - len(held) % CHUNK_BYTES
        for at in range(0, whole, CHUNK_BYTES):
            yield held[at : at + CHUNK_BYTES]
        held = held[whole:]
    if held:
        yield held


class _Told(msgspec.Struct, frozen=True):
    code: str
    message: str


def _refused(status: int, body: bytes, location: str) -> Refused:
    """What an answer says that is not the one that was hoped for."""
    try:
        told = msgspec.json.decode(body, type=_Told)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        moved = f", moved to {location}" if location else ""
        return Refused(Failure(f"HTTP_{status}", f"the server answers with HTTP {status}{moved}"), status)
    return Refused(Failure(told.code, told.message), status)


def _read(answer: httpx2.Response, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused(_NO_BOT, answer.status_code) from error


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
