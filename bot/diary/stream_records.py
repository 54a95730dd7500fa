"""What the store of streaming jobs gives out: plain values that know no tables, keys or clocks."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

RESUMABLE_FOR = timedelta(seconds=30)
"""So long after its lease a job may be claimed by another socket, and then it is over."""


class JobState(StrEnum):
    """Where a job is: streaming also while its summary is being made."""

    CREATED = "created"
    STREAMING = "streaming"
    COMPLETED = "completed"
    FAILED = "failed"


class ClaimRefused(StrEnum):
    """Why a socket may not stream a job."""

    UNKNOWN = "unknown"
    BUSY = "busy"
    OVER = "over"
    FULL = "full"
    """It may once there is room."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What was heard in one stretch of the audio; times since the first sample of the job."""

    number: int
    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as anybody reads it; `config` is the JSON that it was created with. `caller_id` None: made with a key."""

    job_id: str
    caller_id: int | None
    state: JobState
    config: str
    title: str | None
    made_at: datetime
    ended_at: datetime | None
    audio_ms: int
    summary: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to stream a job, until another is given: `audio_ms` of it and `segments` are kept already."""

    job_id: str
    owner: int
    config: str
    audio_ms: int
    segments: int
