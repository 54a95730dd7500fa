"""The jobs behind a call whose rest was recorded: its words are added to the call, and the recording is removed.

Twilio tells that a recording is there, but once, and when a process happens to be away nobody hears it: so the
recordings of such a call are also asked for.
A recording is fetched and submitted to the recogniser once; the transcription's name is kept in the job itself, so that
after a crash it is asked for and not begun again. Until its words are in the diary the recording stays where it is, and
when all tries failed it still does. It must not know telephones, or how an entry is written. Nothing said is logged.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from bot.diary.after_call import call_after
from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.ending import nothing_recorded, recording_made
from bot.diary.outbox import Job, Later, Outbox, enqueue
from bot.diary.owned import add_recorded
from bot.errors import CarrierError, CarrierNotReady, RecogniserError, RecogniserFull, TranscriptionGone

log = logging.getLogger(__name__)

ERASE = "erase"
TRANSCRIPTION, SUBMITTED_AT = "transcription", "submitted_at"
"""Arguments that the job gives itself: the name of what is being transcribed, and since when (ISO 8601)."""

POLL_S = 6.0
"""The recogniser refuses to be asked for a result every 5 s or more often."""
NOT_READY_S = 5.0
FULL_S = 20.0
NOT_READY_FOR = timedelta(hours=2)
"""A recording that is not there so long after it was made will not come."""
AWAY_S = 60.0
LONGEST_WAIT_S = 900.0
AWAY_FOR = timedelta(days=1)
"""So long a service may be away or full before that counts as failed tries; a recording is kept at Twilio meanwhile."""
TRANSCRIBED_FOR = timedelta(minutes=30)
"""A transcription takes no longer; one that does is begun again."""
EMPTY_BYTES = 1_700
"""A WAV file of 8 kHz and 16 bits that is no longer holds 0.1 s and no word; the recogniser would refuse it."""


class Finds(Protocol):
    """Who knows what recordings are kept; failures are CarrierError."""

    async def recordings_of(self, call_sid: str) -> list[str]:
        """The sids of those of a call."""


class Fetches(Protocol):
    """Who fetches recordings from where they are kept; failures are CarrierError."""

    async def recording(self, recording_sid: str) -> bytes:
        """Return one as a WAV file; CarrierNotReady while it is still being made."""


class Erases(Protocol):
    """Who removes recordings from where they are kept; failures are CarrierError."""

    async def delete_recording(self, recording_sid: str) -> None:
        """Remove one for good; one that is gone already is no error."""


class Transcriber(Protocol):
    """Who writes down what was recorded; failures are RecogniserError."""

    async def submit(self, wav: bytes) -> str:
        """Have a WAV file transcribed; returns the transcription's name. RecogniserFull: later."""

    async def result(self, transcription: str) -> list[str] | None:
        """Return what was said; None: not yet. TranscriptionGone: to be submitted again; RecogniserFull: later."""


@dataclass(frozen=True, slots=True)
class RecordingJob:
    """The handler of `recording` jobs, whose arguments are `call_sid` and `recording_sid`."""

    database: Database
    keys: Keys
    recordings: Fetches
    transcriber: Transcriber
    clock: Callable[[], datetime]

    async def __call__(self, job: Job, outbox: Outbox) -> None:
        """Add the words to the call; Later while they are not there or a service is away or full; else a failed try."""
        call_sid, recording_sid = job.args["call_sid"], job.args["recording_sid"]
        async with outbox.fenced(job) as connection:
            call = await call_after(connection, self.keys, call_sid)
        said: list[str] = []
        if call is not None and not call.forgotten:
            with _put_off(self.clock() - job.made_at):
                said = await self._said(job, outbox)
        async with outbox.finish(job) as connection:
            now = self.clock()
            if said:
                await add_recorded(self.database, self.keys, connection, call_sid, " ".join(said), now)
            args = {"call_sid": call_sid, "recording_sid": recording_sid}
            await enqueue(self.database, connection, ERASE, f"{ERASE}:{recording_sid}", args, now=now)
        log.info("call %s: a recording is written down, %d utterances", call_sid, len(said))

    async def _said(self, job: Job, outbox: Outbox) -> list[str]:
        try:
            if (transcription := job.args.get(TRANSCRIPTION)) is not None:
                return await self._result(job, outbox, transcription)
            # Both the download and the upload may take long, and the second costs money.
            await outbox.renew(job)
            wav = await self.recordings.recording(job.args["recording_sid"])
            if len(wav) <= EMPTY_BYTES:
                return []
            await outbox.renew(job)
            transcription = await self.transcriber.submit(wav)
        except CarrierNotReady as error:
            if self.clock() - job.made_at < NOT_READY_FOR:
                raise Later(NOT_READY_S) from error
            raise
        submitted = {TRANSCRIPTION: transcription, SUBMITTED_AT: self.clock().isoformat()}
        await outbox.keep_args(job, {**job.args, **submitted})
        raise Later(POLL_S)

    async def _result(self, job: Job, outbox: Outbox, transcription: str) -> list[str]:
        try:
            said = await self.transcriber.result(transcription)
        except TranscriptionGone:
            await self._begin_again(job, outbox)
            raise
        if said is not None:
            return said
        if self.clock() - datetime.fromisoformat(job.args[SUBMITTED_AT]) >= TRANSCRIBED_FOR:
            await self._begin_again(job, outbox)
            raise TranscriptionGone("a transcription that does not end")
        raise Later(POLL_S)

    async def _begin_again(self, job: Job, outbox: Outbox) -> None:
        """The next try submits the recording once more."""
        own = (TRANSCRIPTION, SUBMITTED_AT)
        await outbox.keep_args(job, {name: value for name, value in job.args.items() if name not in own})


@dataclass(frozen=True, slots=True)
class EraseJob:
    """The handler of `erase` jobs, with the same arguments: the recording is not needed any more."""

    recordings: Erases
    clock: Callable[[], datetime]

    async def __call__(self, job: Job, outbox: Outbox) -> None:
        """Remove the recording; Later while Twilio is away, else CarrierError is a failed try."""
        await outbox.renew(job)
        with _put_off(self.clock() - job.made_at):
            await self.recordings.delete_recording(job.args["recording_sid"])
        async with outbox.finish(job):
            pass


@dataclass(frozen=True, slots=True)
class SearchJob:
    """The handler of `search` jobs, whose argument is `call_sid`: every recording of it is to be written down."""

    database: Database
    recordings: Finds
    clock: Callable[[], datetime]

    async def __call__(self, job: Job, outbox: Outbox) -> None:
        """Ask for what nobody was told of; Later while Twilio is away, else CarrierError is a failed try."""
        call_sid = job.args["call_sid"]
        await outbox.renew(job)
        with _put_off(self.clock() - job.made_at):
            found = await self.recordings.recordings_of(call_sid)
        async with outbox.finish(job) as connection:
            now = self.clock()
            for recording_sid in found:
                await recording_made(self.database, connection, call_sid, recording_sid, now)
            if not found:
                await nothing_recorded(self.database, connection, call_sid, now)


@contextmanager
def _put_off(age: timedelta) -> Iterator[None]:
    """Let a job of that age ask a service again which is full or away; any other failure is a failed try.

    The waits grow with its age: a recording is fetched anew every time.
    """
    try:
        yield
    except (CarrierError, RecogniserError) as error:
        is_full = isinstance(error, RecogniserFull)
        if age >= AWAY_FOR or not (is_full or _is_away(error)):
            raise
        waited_s = max(FULL_S if is_full else AWAY_S, age.total_seconds() / 2)
        raise Later(min(waited_s, LONGEST_WAIT_S)) from error


def _is_away(error: CarrierError | RecogniserError) -> bool:
    """Whether to ask again is all there is to do: the service was not reached, or failed by itself."""
    if isinstance(error, CarrierError):
        return error.status is None or error.status >= 500
    return type(error) is RecogniserError  # the others say more
