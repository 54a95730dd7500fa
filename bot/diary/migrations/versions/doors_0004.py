"""Who is signed in, what is streamed to be written down, and what is asked about the diary."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the tables; nothing that was there before changes."""
    op.create_table(
        "sign_in_codes",
        sa.Column(
            "browser_hash",
            sa.LargeBinary,
            nullable=False,
            comment="Who asked: the newest code there is the only one.",
        ),
        sa.Column("number_hash", sa.LargeBinary, nullable=False),
        sa.Column("number_sealed", sa.LargeBinary, nullable=False),
        sa.Column("code_sealed", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False, comment="How often one was given."),
        sa.PrimaryKeyConstraint("browser_hash", name="pk_sign_in_codes"),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.LargeBinary, nullable=False, comment="The token itself is in a cookie alone."),
        sa.Column(
            "caller_id",
            sa.Integer,
            sa.ForeignKey("callers.id", name="fk_sessions_caller_id_callers", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_sessions"),
        comment="Who is signed in, and where.",
    )
    op.create_table(
        "limits",
        sa.Column("key", sa.LargeBinary, nullable=False, comment="The hash of what is counted, and of whom."),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("until", MOMENT, nullable=False, comment="Then the count begins anew."),
        sa.PrimaryKeyConstraint("key", name="pk_limits"),
        comment="How often somebody did what may not be done often.",
    )
    op.create_table(
        "stream_jobs",
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column(
            "caller_id",
            sa.Integer,
            sa.ForeignKey("callers.id", name="fk_stream_jobs_caller_id_callers", ondelete="CASCADE"),
            nullable=True,
        ),
        sa.Column("state", sa.String(12), nullable=False, comment="created, streaming, completed or failed."),
        sa.Column("config", sa.Text, nullable=False, comment="JSON: as it was asked for, without the title."),
        sa.Column("title_sealed", sa.LargeBinary, nullable=True),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column(
            "owner", sa.Integer, nullable=False, comment="Goes up with every socket: an older one writes nothing."
        ),
        sa.Column("lease_until", MOMENT, nullable=True, comment="So long the process that streams it surely lives."),
        sa.Column("audio_ms", sa.Integer, nullable=False),
        sa.Column("summary_sealed", sa.LargeBinary, nullable=True),
        sa.Column("error", sa.String(200), nullable=True, comment="Why it failed, without a word that was said."),
        sa.PrimaryKeyConstraint("job_id", name="pk_stream_jobs"),
    )
    op.create_table(
        "segments",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column(
            "job_id",
            sa.String(36),
            sa.ForeignKey("stream_jobs.job_id", name="fk_segments_job_id_stream_jobs", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("number", sa.Integer, nullable=False, comment="From 0."),
        sa.Column("start_ms", sa.Integer, nullable=False),
        sa.Column("end_ms", sa.Integer, nullable=False),
        sa.Column("text_sealed", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("job_id", "number", name="uq_segments_job_id_number"),
        sa.PrimaryKeyConstraint("id", name="pk_segments"),
    )
    op.create_table(
        "chat_sessions",
        sa.Column("session_id", sa.String(64), nullable=False),
        sa.Column(
            "caller_id",
            sa.Integer,
            sa.ForeignKey("callers.id", name="fk_chat_sessions_caller_id_callers", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="pk_chat_sessions"),
    )
    op.create_table(
        "chat_messages",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column(
            "session_id",
            sa.String(64),
            sa.ForeignKey(
                "chat_sessions.session_id", name="fk_chat_messages_session_id_chat_sessions", ondelete="CASCADE"
            ),
            nullable=False,
        ),
        sa.Column("message_id", sa.String(64), nullable=False, comment="Of the question; the answer has the same."),
        sa.Column("role", sa.String(9), nullable=False, comment="user or assistant."),
        sa.Column("content_sealed", sa.LargeBinary, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column(
            "place", sa.Integer, nullable=False, comment="In the session's line; goes up when it is taken up again."
        ),
        sa.Column("lease_until", MOMENT, nullable=True, comment="So long the process that answers it surely lives."),
        sa.UniqueConstraint("session_id", "message_id", "role", name="uq_chat_messages_session_id_message_id_role"),
        sa.PrimaryKeyConstraint("id", name="pk_chat_messages"),
    )
    op.create_index("ix_sessions_caller_id", "sessions", ["caller_id"])
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_index("ix_limits_until", "limits", ["until"])
    op.create_index("ix_stream_jobs_caller_id", "stream_jobs", ["caller_id"])
    op.create_index("ix_chat_sessions_caller_id", "chat_sessions", ["caller_id"])
    op.create_index("ix_chat_sessions_used_at", "chat_sessions", ["used_at"])


def downgrade() -> None:
    """Remove the tables, and what is in them."""
    for table in (
        "chat_messages",
        "chat_sessions",
        "segments",
        "stream_jobs",
        "limits",
        "sessions",
        "sign_in_codes",
    ):
        op.drop_table(table)
