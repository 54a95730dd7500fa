"""Streaming jobs on the wire, from the server's side: what is asked for, audio and text in, messages out.

Must not know sockets, clocks, databases, or who may ask.

The rules of this file
----------------------
A job is made by a request (`parse_request`), and then streamed over one socket:

    binary frame         16 kHz PCM, 16 bit little-endian, mono; 960 bytes (30 ms) as a rule, any other size will do,
                         but for less than 200 that come faster than they are spoken.
                         It is cut into frames of 20 ms; what is left over, half a sample too, waits for the next one.
                         The server closes at one over 128 KiB (1009), and the job goes on with the next connection
    {"type": "end"}      no more audio will come; the client stays for what is still to be told

Anything else is a RemoteProtocolError that says what is wrong, has no effect, and the stream goes on. What goes out is
built here and nowhere else: `connection_success` first, `transcript_segment` in the order of `index`, `final_summary`
last, and `error` whenever there is one. Who reads the job by a request gets a `JobShown`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from bot.audio.frames import PCM_FRAME_BYTES, Framer
from bot.errors import RemoteProtocolError

PCM_BYTES_PER_MS = 32
CHUNK_BYTES = 960
SILENCE_FRAME_MS = 30
LONGEST_TITLE = 200

BUSY = 4409
"""The close code for a socket whose job is another one's."""


class JobRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a job is asked to be.

    `max_silence_frames` of 30 ms end a segment; less than 200 ms of silence counts as 200 ms.
    """

    language: Annotated[str, msgspec.Meta(pattern=r"\A(auto|[a-z]{2,3})\Z")] = "auto"
    max_silence_frames: Annotated[int, msgspec.Meta(ge=1, le=200)] = 20
    sample_rate: Literal[16000] = 16000
    summary: bool = True
    title: Annotated[str, msgspec.Meta(max_length=LONGEST_TITLE)] | None = None

    @property
    def max_silence_ms(self) -> int:
        """How much silence ends a segment."""
        return self.max_silence_frames * SILENCE_FRAME_MS


class ConnectionSuccess(msgspec.Struct, tag="connection_success", frozen=True):
    """The stream may begin, or go on: `audio_ms` and `segments` say what the server has of it."""

    job_id: str
    audio_ms: int
    segments: int
    sample_rate: int = 16000
    chunk_bytes: int = CHUNK_BYTES


class TranscriptSegment(msgspec.Struct, tag="transcript_segment", frozen=True):
    """One segment; times are seconds since the first sample of the job."""

    index: int
    text: str
    start_time: float
    end_time: float
    is_final: bool = True


class FinalSummary(msgspec.Struct, tag="final_summary", frozen=True):
    """The job is done. `summary` None: none was asked for; `duration` is in seconds of audio."""

    job_id: str
    summary: str | None
    segments: int
    duration: float


class Failure(msgspec.Struct, tag="error", frozen=True):
    """Something is wrong; `message` is for a person."""

    code: str
    message: str


class HeardSegment(msgspec.Struct, frozen=True):
    """A segment as a `JobShown` has it; times are seconds since the first sample of the job."""

    index: int
    text: str
    start_time: float
    end_time: float


class JobShown(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job is, and what was heard so far; `duration` is in seconds of audio."""

    job_id: str
    state: Literal["created", "streaming", "completed", "failed"]
    title: str | None
    created_at: datetime
    ended_at: datetime | None
    duration: float
    segments: list[HeardSegment]
    summary: str | None
    error: str | None


Outbound = ConnectionSuccess | TranscriptSegment | FinalSummary | Failure

BAD_MESSAGE = "INVALID_MESSAGE"
TOO_LATE = Failure("AFTER_END", "the job has been ended: no more audio is taken")
JOB_BUSY = Failure("JOB_BUSY", "this job is streamed over another connection, or was removed")
JOB_OVER = Failure("JOB_OVER", "this job is over: create another one")
NO_RECOGNISER = Failure(
    "RECOGNISER_UNAVAILABLE", "the recogniser cannot be had now: connect again and go on from audio_ms"
)
REFUSED = Failure("RECOGNISER_REFUSED", "the recogniser refuses: the job ends with what it has")
NO_STORE = Failure("STORE_UNAVAILABLE", "what was heard cannot be kept now: connect again and go on from audio_ms")
GOING_AWAY = Failure("SHUTTING_DOWN", "the server is being replaced: connect again and go on from audio_ms")
SIGNED_OUT = Failure("SIGNED_OUT", "you are not signed in any more: sign in, connect again and go on from audio_ms")
NO_AUDIO = Failure("IDLE", "no audio has come for too long: the job ends with what it has")
TOO_LONG = Failure("TOO_LONG", "this is the longest recording that is taken: the job ends with what it has")
SUMMARY_LATER = Failure("SUMMARY_LATER", "the summary takes longer: ask for the job later")


@dataclass(frozen=True, slots=True)
class Audio:
    """Frames of 20 ms, 640 bytes each; maybe none yet."""

    frames: list[bytes]


@dataclass(frozen=True, slots=True)
class Ended:
    """The client has sent all of it."""


Inbound = Audio | Ended


class _Message(msgspec.Struct):
    type: str


_decode_request = msgspec.json.Decoder(JobRequest).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_encode = msgspec.json.Encoder().encode
_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)


def parse_request(body: bytes) -> JobRequest:
    """Read the body of a request, which may be empty; RemoteProtocolError says what is wrong with it."""
    if not body.strip():
        return JobRequest()
    try:
        return _decode_request(body)
    except msgspec.ValidationError as error:
        raise RemoteProtocolError(str(error)) from error
    except _UNREADABLE as error:
        raise RemoteProtocolError("the body is not JSON") from error


def encode(message: Outbound) -> str:
    """The text frame of a message."""
    return _encode(message).decode("utf-8")


class JobStream:
    """The messages of one connection, as they come in."""

    def __init__(self) -> None:
        self._framer = Framer(PCM_FRAME_BYTES, b"\0")

    def receive(self, message: str | bytes) -> Inbound:
        """Read one message; RemoteProtocolError, without any effect, for what is none of this protocol."""
        if isinstance(message, bytes):
            return Audio(_cut(self._framer.push(message)))
        try:
            kind = _decode_message(message).type
        except _UNREADABLE as error:
            raise RemoteProtocolError('a text message is {"type": "end"}, and nothing else') from error
        if kind != "end":
            raise RemoteProtocolError('the only type of a text message is "end"')
        return Ended()

    def flush(self) -> list[bytes]:
        """What waited for more, filled up with silence: one frame or none."""
        return _cut(self._framer.flush())


def _cut(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + PCM_FRAME_BYTES] for at in range(0, len(pcm), PCM_FRAME_BYTES)]
