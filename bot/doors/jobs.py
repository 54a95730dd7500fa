"""The door of streaming jobs: one is created by a request, streamed over a socket, read and removed by anybody who may.

A job belongs to the person who was signed in when it was created, or to whoever holds an API key; to others it does not
exist. Recognition itself is in the socket's job, which is handed over. It must not know what is said in one.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol, cast

import msgspec
from quart import Blueprint, Response, request, websocket

from bot.close_codes import BROKEN, POLICY
from bot.diary.stream_jobs import StreamJobs
from bot.diary.stream_records import Claim, ClaimRefused, JobRecord, Segment
from bot.doors.asgi import StraightSocket
from bot.doors.door import Door
from bot.doors.identity import Identity, is_still
from bot.doors.places import Places
from bot.errors import RemoteProtocolError, StoreError
from bot.protocols import jobs as wire
from bot.settings import Settings

log = logging.getLogger(__name__)

MOST_JOBS, WITHIN_S = 120, 3600.0
MOST_AT_ONCE = 2
"""So many one person, or all who hold a key, may stream in one process: a call must still find a channel of the
recogniser."""
LOOK_EVERY_S = 60.0
"""So often it is asked whether who streams is still signed in."""
RETRY_S, RETRY_LATER_S = 5, 60
"""What `Retry-After` says."""
_JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_encode = msgspec.json.Encoder().encode


class LiveJob(Protocol):
    """One connection of one job, from accept to everything kept."""

    def signed_out(self) -> None: ...


class LiveJobs(Protocol):
    """Who owns what is live in the process."""

    draining: bool

    @property
    def is_full(self) -> bool: ...
    def start(self, job: Any, /) -> asyncio.Task[None]: ...
    def left(self, job: Any, /) -> None: ...


NewJob = Callable[[StraightSocket, Claim, wire.JobRequest], LiveJob]


@dataclass(frozen=True, slots=True)
class Running:
    """What the door works with while the process serves."""

    jobs: StreamJobs
    identity: Identity
    live: LiveJobs
    new_job: NewJob


class JobsDoor(Door[Running]):
    """The routes under /api/v1/stream."""

    def __init__(self, settings: Settings) -> None:
        self._socket_url = "ws" + settings.public_url.removeprefix("http") + "/api/v1/stream/"
        self._streamed = Places(MOST_AT_ONCE)

    def blueprint(self) -> Blueprint:
        """The routes, for the application."""
        routes = Blueprint("jobs", __name__)
        routes.post("/api/v1/stream/create")(self.create)
        routes.get("/api/v1/stream/<job_id>")(self.show)
        routes.delete("/api/v1/stream/<job_id>")(self.remove)
        routes.websocket("/api/v1/stream/<job_id>")(self.stream)
        return routes

    async def create(self) -> Response:
        """Create a job: its id, and where to stream it to."""
        return await _answered(self._create())

    async def show(self, job_id: str) -> Response:
        """Where a job is, what was heard so far, and its summary once there is one."""
        return await _answered(self._show(job_id))

    async def remove(self, job_id: str) -> Response:
        """Remove a job with all that was heard; a socket that streams it is closed."""
        return await _answered(self._remove(job_id))

    async def stream(self, job_id: str) -> Response | None:
        """Stream a job; a handshake for what is not there, or not the client's, is refused."""
        running = self.running
        if running.live.draining:
            return _refused(503, "SHUTTING_DOWN", "the server is being replaced: try again", RETRY_S)
        found = await self._found(job_id, changes=True)
        if isinstance(found, Response):
            return found
        with ExitStack() as place:
            if not place.enter_context(self._streamed.taken(found.caller_id)):
                return _refused(429, "TOO_MANY", "too many jobs are streamed at once: end one, or wait", RETRY_S)
            return await self._stream(running, job_id, found.caller_id, place)

    async def _stream(self, running: Running, job_id: str, caller_id: int | None, place: ExitStack) -> Response | None:
        try:
            claim = await running.jobs.claim(job_id, is_full=running.live.is_full)
        except StoreError as error:
            return _failed(error)
        if claim is ClaimRefused.UNKNOWN:
            return _not_found()
        if claim is ClaimRefused.FULL:
            return _refused(503, "RECOGNISER_BUSY", "too many others are heard now: try again", RETRY_S)
        socket = StraightSocket.of(websocket.scope)
        socket.hold()
        await websocket.accept()
        if isinstance(claim, ClaimRefused):
            busy = claim is ClaimRefused.BUSY
            await _say(socket, wire.JOB_BUSY if busy else wire.JOB_OVER)
            await socket.close(wire.BUSY if busy else POLICY)
            return None
        config = msgspec.json.decode(claim.config, type=wire.JobRequest)
        job = running.new_job(socket, claim, config)
        task = running.live.start(job)
        # The job outlives its socket, and so does its channel of the recogniser.
        leave = place.pop_all().close
        task.add_done_callback(lambda _: leave())
        try:
            # Ends by cancellation when the peer closes; the job's task goes on.
            while not task.done():
                await asyncio.wait({task}, timeout=LOOK_EVERY_S)
                # Who came with a key has no session that could end.
                if not (task.done() or caller_id is None or await is_still(running.identity.person, caller_id)):
                    job.signed_out()
            await socket.close(BROKEN)
        finally:
            running.live.left(job)
        return None

    async def _create(self) -> Response:
        caller_id = await self._owner(changes=True)
        if isinstance(caller_id, Response):
            return caller_id
        subject = "key" if caller_id is None else f"caller {caller_id}"
        if not await self.running.identity.allow("stream-create", subject, MOST_JOBS, WITHIN_S):
            return _refused(429, "TOO_MANY", "too many jobs were created: try again later", RETRY_LATER_S)
        try:
            wanted = wire.parse_request(cast(bytes, await request.get_data(as_text=False)))
        except RemoteProtocolError as error:
            return _refused(400, "INVALID_REQUEST", str(error))
        config = _encode(msgspec.structs.replace(wanted, title=None)).decode()
        job_id = await self.running.jobs.create(caller_id, config, wanted.title)
        return _json(201, {"job_id": job_id, "websocket_url": self._socket_url + job_id})

    async def _show(self, job_id: str) -> Response:
        found = await self._found(job_id)
        if isinstance(found, Response):
            return found
        return _json(200, _shown(found, await self.running.jobs.segments(job_id)))

    async def _remove(self, job_id: str) -> Response:
        found = await self._found(job_id, changes=True)
        if isinstance(found, Response):
            return found
        await self.running.jobs.remove(found.job_id)
        return Response(b"", status=204, headers={"Cache-Control": "no-store"})

    async def _found(self, job_id: str, *, changes: bool = False) -> JobRecord | Response:
        """A job of the client's, or why there is none for it."""
        try:
            caller_id = await self._owner(changes=changes)
            if isinstance(caller_id, Response):
                return caller_id
            known = _JOB_ID.fullmatch(job_id)
            job = await self.running.jobs.job(job_id, caller_id) if known else None
        except StoreError as error:
            return _failed(error)
        return job or _not_found()

    async def _owner(self, *, changes: bool) -> int | Response | None:
        """Whose jobs the client may see: a person's, or with None those that were made with a key.

        What `changes` something must come from a page of ours, if from any.
        """
        identity = self.running.identity
        caller_id = None
        if not identity.has_api_key():
            if (person := await identity.person()) is None:
                return _refused(401, "UNAUTHORIZED", "sign in, or bring an API key as a Bearer token")
            caller_id = person.caller_id
        if changes and not identity.is_ours():
            return _refused(403, "FOREIGN_ORIGIN", "this did not come from a page of ours")
        return caller_id


def _shown(job: JobRecord, segments: list[Segment]) -> wire.JobShown:
    return wire.JobShown(
        job_id=job.job_id,
        state=job.state.value,
        title=job.title,
        created_at=job.made_at,
        ended_at=job.ended_at,
        duration=job.audio_ms / 1000,
        segments=[
            wire.HeardSegment(each.number, each.text, each.start_ms / 1000, each.end_ms / 1000) for each in segments
        ],
        summary=job.summary,
        error=job.error,
    )


async def _answered(answer: Awaitable[Response]) -> Response:
    try:
        return await answer
    except StoreError as error:
        return _failed(error)


async def _say(socket: StraightSocket, message: wire.Outbound) -> None:
    try:
        await socket.send(wire.encode(message))
    except ConnectionError:
        pass


def _failed(error: StoreError) -> Response:
    log.error("streaming jobs: %s", error)
    return _refused(503, "STORE_UNAVAILABLE", "the store cannot be reached: try again", RETRY_S)


def _not_found() -> Response:
    return _refused(404, "JOB_NOT_FOUND", "there is no such job")


def _refused(status: int, code: str, message: str, again_s: int | None = None) -> Response:
    response = _json(status, {"code": code, "message": message})
    if again_s is not None:
        response.headers["Retry-After"] = str(again_s)
    return response


def _json(status: int, content: object) -> Response:
    return Response(
        _encode(content), status=status, content_type="application/json", headers={"Cache-Control": "no-store"}
    )
