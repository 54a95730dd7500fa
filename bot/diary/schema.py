"""The diary's tables, in types that SQLite and PostgreSQL both have.

Columns that end in `_sealed` hold what `crypto.Keys.encrypt` gives. Moods and statuses are kept as their text, so that
a new one needs no migration. This module must not know keys, engines or queries; migrations/ says the same in steps.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class UtcTime(TypeDecorator[datetime]):
    """A moment: aware in Python, UTC in the database, also where the database forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware moment to UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back to what was stored without one."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

diary_keys = Table(
    "diary_keys",
    metadata,
    Column("key_id", LargeBinary, primary_key=True),
    Column("hashes_numbers", Boolean, nullable=False),
    Column("since", UtcTime, nullable=False),
    comment="The ids of the keys that something here is written with; numbers are hashed with exactly one of them.",
)

callers = Table(
    "callers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("number_hash", LargeBinary, nullable=False, unique=True),
    Column("number_sealed", LargeBinary, nullable=False),
    Column("first_call_at", UtcTime, nullable=False),
    Column("last_call_at", UtcTime, nullable=False),
    Column("pause_habit", Text, nullable=True, comment="JSON: numbers alone."),
)

calls = Table(
    "calls",
    metadata,
    Column("call_sid", String(64), primary_key=True),
    Column("caller_id", ForeignKey("callers.id"), nullable=True, index=True, comment="None: an anonymous call."),
    Column("day", Date, nullable=False),
    Column("arrived_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime, nullable=True),
    Column("why", String(64), nullable=True, comment="How the call ended."),
    Column("forgotten_at", UtcTime, nullable=True, comment="From then on no text of this call is kept."),
    Column("forgotten_before", Integer, nullable=True, comment="No text of a media stream before this one is kept."),
    Column("stream", Integer, nullable=False, comment="The media stream that the token is for, from 1."),
    Column("token_expires_at", UtcTime, nullable=False),
    Column("token_used_at", UtcTime, nullable=True),
    Column("owner", Integer, nullable=True, comment="The media stream that was let in last: the talk is its."),
    Column("lease_until", UtcTime, nullable=True, comment="So long its process surely lives; told again and again."),
    Column("next_step", String(16), nullable=True, comment="What follows the stream; none: the talk is taken up."),
    Column("stage_sealed", LargeBinary, nullable=True, comment="JSON: where the talk is, for the next stream."),
    Column("place_until", UtcTime, nullable=True, comment="So long a channel is kept for the stream that is to come."),
)

# How many channels are taken is asked whenever somebody phones.
for _until in (calls.c.lease_until, calls.c.place_until):
    Index(
        f"ix_calls_{_until.name}",
        _until,
        sqlite_where=calls.c.ended_at.is_(None),
        postgresql_where=calls.c.ended_at.is_(None),
    )

turns = Table(
    "turns",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("call_sid", ForeignKey("calls.call_sid", ondelete="CASCADE"), nullable=False),
    Column("stream", Integer, nullable=False, server_default="1", comment="The media stream it was said on."),
    Column("turn", Integer, nullable=False, comment="From 0, on through all streams of a call; -1 is the greeting."),
    Column("said_sealed", LargeBinary, nullable=True),
    Column("heard_sealed", LargeBinary, nullable=True),
    Column("from_ms", Integer, nullable=True, comment="On the call clock."),
    Column("to_ms", Integer, nullable=True),
    Column("at", UtcTime, nullable=False, comment="The last write."),
    Column("waterfall", Text, nullable=True, comment="JSON: times, and nothing said."),
    Column("forgotten_at", UtcTime, nullable=True, comment="From then on nothing of it is kept."),
    UniqueConstraint("call_sid", "stream", "turn"),
)

entries = Table(
    "entries",
    metadata,
    Column("call_sid", ForeignKey("calls.call_sid", ondelete="CASCADE"), primary_key=True),
    Column("day", Date, nullable=False),
    Column("title_sealed", LargeBinary, nullable=True),
    Column("body_sealed", LargeBinary, nullable=True),
    Column("mood", String(16), nullable=True),
    Column("status", String(16), nullable=False),
    Column("written_at", UtcTime, nullable=False),
    Column(
        "provisional", Boolean, nullable=False, server_default=false(), comment="Better words for it are still awaited."
    ),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("key", String(160), nullable=False, unique=True, comment="What makes it the same job: once done, done."),
    Column("args", Text, nullable=False, comment="JSON: ids, and nothing said."),
    Column("state", String(8), nullable=False, comment="ready, run, done or dead."),
    Column("run_at", UtcTime, nullable=False, comment="When it is due; while it runs, the end of its lease."),
    Column("attempt", Integer, nullable=False),
    Column("token", Integer, nullable=False, comment="Goes up with every claim: an owner with an older one is none."),
    Column("error", String(200), nullable=True, comment="How the last try ended, without a word that was said."),
    Column("made_at", UtcTime, nullable=False),
    comment="What is still to be done, written in the transaction that made it necessary.",
)

Index(
    "ix_jobs_run_at",
    jobs.c.run_at,
    sqlite_where=jobs.c.state.in_(["ready", "run"]),
    postgresql_where=jobs.c.state.in_(["ready", "run"]),
)

schedules = Table(
    "schedules",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("kind", String(32), nullable=False, comment="Of the job that is made."),
    Column("args", Text, nullable=False, comment="JSON, as of the job."),
    Column("hhmm", String(5), nullable=False, comment="By the clock of `tz`."),
    Column("tz", String(64), nullable=False),
    Column("grace_s", Integer, nullable=False, comment="What is later than this is left out."),
    Column("next_at", UtcTime, nullable=False, index=True),
)

sign_in_codes = Table(
    "sign_in_codes",
    metadata,
    Column("browser_hash", LargeBinary, primary_key=True, comment="Who asked: the newest code there is the only one."),
    Column("number_hash", LargeBinary, nullable=False),
    Column("number_sealed", LargeBinary, nullable=False),
    Column("code_sealed", LargeBinary, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("tries", Integer, nullable=False, comment="How often one was given."),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True, comment="The token itself is in a cookie alone."),
    Column("caller_id", ForeignKey("callers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("made_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False, index=True),
    comment="Who is signed in, and where.",
)

limits = Table(
    "limits",
    metadata,
    Column("key", LargeBinary, primary_key=True, comment="The hash of what is counted, and of whom."),
    Column("count", Integer, nullable=False),
    Column("until", UtcTime, nullable=False, index=True, comment="Then the count begins anew."),
    comment="How often somebody did what may not be done often.",
)

stream_jobs = Table(
    "stream_jobs",
    metadata,
    Column("job_id", String(36), primary_key=True),
    Column("caller_id", ForeignKey("callers.id", ondelete="CASCADE"), nullable=True, index=True),
    Column("state", String(12), nullable=False, comment="created, streaming, completed or failed."),
    Column("config", Text, nullable=False, comment="JSON: as it was asked for, without the title."),
    Column("title_sealed", LargeBinary, nullable=True),
    Column("made_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime, nullable=True),
    Column("owner", Integer, nullable=False, comment="Goes up with every socket: an older one writes nothing."),
    Column("lease_until", UtcTime, nullable=True, comment="So long the process that streams it surely lives."),
    Column("audio_ms", Integer, nullable=False),
    Column("summary_sealed", LargeBinary, nullable=True),
    Column("error", String(200), nullable=True, comment="Why it failed, without a word that was said."),
)

Index(
    "ix_stream_jobs_lease_until",
    stream_jobs.c.lease_until,
    sqlite_where=stream_jobs.c.ended_at.is_(None),
    postgresql_where=stream_jobs.c.ended_at.is_(None),
)

segments = Table(
    "segments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey("stream_jobs.job_id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False, comment="From 0."),
    Column("start_ms", Integer, nullable=False),
    Column("end_ms", Integer, nullable=False),
    Column("text_sealed", LargeBinary, nullable=False),
    UniqueConstraint("job_id", "number"),
)

chat_sessions = Table(
    "chat_sessions",
    metadata,
    Column("session_id", String(64), primary_key=True),
    Column("caller_id", ForeignKey("callers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("made_at", UtcTime, nullable=False),
    Column("used_at", UtcTime, nullable=False, index=True),
)

chat_messages = Table(
    "chat_messages",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session_id", ForeignKey("chat_sessions.session_id", ondelete="CASCADE"), nullable=False),
    Column("message_id", String(64), nullable=False, comment="Of the question; the answer has the same."),
    Column("role", String(9), nullable=False, comment="user or assistant."),
    Column("content_sealed", LargeBinary, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("place", Integer, nullable=False, comment="In the session's line; goes up when it is taken up again."),
    Column("lease_until", UtcTime, nullable=True, comment="So long the process that answers it surely lives."),
    UniqueConstraint("session_id", "message_id", "role"),
)

SEALED = (
    (callers, callers.c.id, (callers.c.number_sealed,)),
    (calls, calls.c.call_sid, (calls.c.stage_sealed,)),
    (turns, turns.c.id, (turns.c.said_sealed, turns.c.heard_sealed)),
    (entries, entries.c.call_sid, (entries.c.title_sealed, entries.c.body_sealed)),
    (sign_in_codes, sign_in_codes.c.browser_hash, (sign_in_codes.c.number_sealed, sign_in_codes.c.code_sealed)),
    (stream_jobs, stream_jobs.c.job_id, (stream_jobs.c.title_sealed, stream_jobs.c.summary_sealed)),
    (segments, segments.c.id, (segments.c.text_sealed,)),
    (chat_messages, chat_messages.c.id, (chat_messages.c.content_sealed,)),
)
"""Every encrypted column, beside its table and the column that orders its rows."""
