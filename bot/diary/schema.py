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
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
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
    Column("stream", Integer, nullable=False, comment="The media stream that the token is for, from 1."),
    Column("token_expires_at", UtcTime, nullable=False),
    Column("token_used_at", UtcTime, nullable=True),
)

turns = Table(
    "turns",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("call_sid", ForeignKey("calls.call_sid", ondelete="CASCADE"), nullable=False),
    Column("turn", Integer, nullable=False, comment="From 0; -1 is the greeting."),
    Column("said_sealed", LargeBinary, nullable=True),
    Column("heard_sealed", LargeBinary, nullable=True),
    Column("from_ms", Integer, nullable=True, comment="On the call clock."),
    Column("to_ms", Integer, nullable=True),
    Column("at", UtcTime, nullable=False, comment="The last write."),
    Column("waterfall", Text, nullable=True, comment="JSON: times, and nothing said."),
    Column("forgotten_at", UtcTime, nullable=True, comment="From then on nothing of it is kept."),
    UniqueConstraint("call_sid", "turn"),
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
)

SEALED = (
    (callers, callers.c.id, (callers.c.number_sealed,)),
    (turns, turns.c.id, (turns.c.said_sealed, turns.c.heard_sealed)),
    (entries, entries.c.call_sid, (entries.c.title_sealed, entries.c.body_sealed)),
)
"""Every encrypted column, beside its table and the column that orders its rows."""
