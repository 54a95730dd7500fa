"""The first tables: keys, callers, calls, turns, entries."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "diary_keys",
        sa.Column("key_id", sa.LargeBinary, nullable=False),
        sa.Column("hashes_numbers", sa.Boolean, nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="pk_diary_keys"),
        comment="The ids of the keys that something here is written with; numbers are hashed with exactly one of them.",
    )
    op.create_table(
        "callers",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("number_hash", sa.LargeBinary, nullable=False),
        sa.Column("number_sealed", sa.LargeBinary, nullable=False),
        sa.Column("first_call_at", MOMENT, nullable=False),
        sa.Column("last_call_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_callers"),
        sa.UniqueConstraint("number_hash", name="uq_callers_number_hash"),
    )
    op.create_table(
        "calls",
        sa.Column("call_sid", sa.String(64), nullable=False),
        sa.Column("caller_id", sa.Integer, nullable=True, comment="None: an anonymous call."),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("arrived_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("why", sa.String(64), nullable=True, comment="How the call ended."),
        sa.Column("forgotten_at", MOMENT, nullable=True, comment="From then on no text of this call is kept."),
        sa.Column("stream", sa.Integer, nullable=False, comment="The media stream that the token is for, from 1."),
        sa.Column("token_expires_at", MOMENT, nullable=False),
        sa.Column("token_used_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("call_sid", name="pk_calls"),
        sa.ForeignKeyConstraint(["caller_id"], ["callers.id"], name="fk_calls_caller_id_callers"),
    )
    op.create_index("ix_calls_caller_id", "calls", ["caller_id"])
    op.create_table(
        "turns",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("call_sid", sa.String(64), nullable=False),
        sa.Column("turn", sa.Integer, nullable=False, comment="From 0; -1 is the greeting."),
        sa.Column("said_sealed", sa.LargeBinary, nullable=True),
        sa.Column("heard_sealed", sa.LargeBinary, nullable=True),
        sa.Column("from_ms", sa.Integer, nullable=True, comment="On the call clock."),
        sa.Column("to_ms", sa.Integer, nullable=True),
        sa.Column("at", MOMENT, nullable=False, comment="The last write."),
        sa.PrimaryKeyConstraint("id", name="pk_turns"),
        sa.UniqueConstraint("call_sid", "turn", name="uq_turns_call_sid_turn"),
        sa.ForeignKeyConstraint(["call_sid"], ["calls.call_sid"], name="fk_turns_call_sid_calls", ondelete="CASCADE"),
    )
    op.create_table(
        "entries",
        sa.Column("call_sid", sa.String(64), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("title_sealed", sa.LargeBinary, nullable=True),
        sa.Column("body_sealed", sa.LargeBinary, nullable=True),
        sa.Column("mood", sa.String(16), nullable=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("written_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("call_sid", name="pk_entries"),
        sa.ForeignKeyConstraint(["call_sid"], ["calls.call_sid"], name="fk_entries_call_sid_calls", ondelete="CASCADE"),
    )


def downgrade() -> None:
    """Remove the tables, with all they hold."""
    for table in ("entries", "turns", "calls", "callers", "diary_keys"):
        op.drop_table(table)
