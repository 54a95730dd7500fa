"""Who owns a call and where its talk is, turns of each stream by themselves, and the work that outlives a process."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
UNDONE = sa.text("state IN ('ready', 'run')")


def upgrade() -> None:
    """Add columns and tables; what was said before was said on the first stream."""
    for column in (
        sa.Column(
            "forgotten_before",
            sa.Integer,
            nullable=True,
            comment="No text of a media stream before this one is kept.",
        ),
        sa.Column(
            "owner", sa.Integer, nullable=True, comment="The media stream that was let in last: the talk is its."
        ),
        sa.Column(
            "lease_until", MOMENT, nullable=True, comment="So long its process surely lives; told again and again."
        ),
        sa.Column(
            "next_step", sa.String(16), nullable=True, comment="What follows the stream; none: the talk is taken up."
        ),
        sa.Column(
            "stage_sealed", sa.LargeBinary, nullable=True, comment="JSON: where the talk is, for the next stream."
        ),
    ):
        op.add_column("calls", column)
    with op.batch_alter_table("turns") as turns:
        turns.add_column(
            sa.Column(
                "stream", sa.Integer, nullable=False, server_default="1", comment="The media stream it was said on."
            )
        )
        turns.alter_column(
            "turn",
            existing_type=sa.Integer,
            existing_nullable=False,
            comment="From 0, on through all streams of a call; -1 is the greeting.",
            existing_comment="From 0; -1 is the greeting.",
        )
        turns.drop_constraint("uq_turns_call_sid_turn", type_="unique")
        turns.create_unique_constraint("uq_turns_call_sid_stream_turn", ["call_sid", "stream", "turn"])
    provisional = sa.Column(
        "provisional",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="Better words for it are still awaited.",
    )
    op.add_column("entries", provisional)
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("key", sa.String(160), nullable=False, comment="What makes it the same job: once done, done."),
        sa.Column("args", sa.Text, nullable=False, comment="JSON: ids, and nothing said."),
        sa.Column("state", sa.String(8), nullable=False, comment="ready, run, done or dead."),
        sa.Column("run_at", MOMENT, nullable=False, comment="When it is due; while it runs, the end of its lease."),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column(
            "token", sa.Integer, nullable=False, comment="Goes up with every claim: an owner with an older one is none."
        ),
        sa.Column(
            "error", sa.String(200), nullable=True, comment="How the last try ended, without a word that was said."
        ),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("key", name="uq_jobs_key"),
        comment="What is still to be done, written in the transaction that made it necessary.",
    )
    op.create_index("ix_jobs_run_at", "jobs", ["run_at"], sqlite_where=UNDONE, postgresql_where=UNDONE)
    op.create_table(
        "schedules",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False, comment="Of the job that is made."),
        sa.Column("args", sa.Text, nullable=False, comment="JSON, as of the job."),
        sa.Column("hhmm", sa.String(5), nullable=False, comment="By the clock of `tz`."),
        sa.Column("tz", sa.String(64), nullable=False),
        sa.Column("grace_s", sa.Integer, nullable=False, comment="What is later than this is left out."),
        sa.Column("next_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_schedules"),
    )
    op.create_index("ix_schedules_next_at", "schedules", ["next_at"])


def downgrade() -> None:
    """Remove the tables and columns, with what they hold."""
    op.drop_table("schedules")
    op.drop_table("jobs")
    op.drop_column("entries", "provisional")
    with op.batch_alter_table("turns") as turns:
        turns.drop_constraint("uq_turns_call_sid_stream_turn", type_="unique")
        turns.alter_column(
            "turn",
            existing_type=sa.Integer,
            existing_nullable=False,
            comment="From 0; -1 is the greeting.",
            existing_comment="From 0, on through all streams of a call; -1 is the greeting.",
        )
        turns.drop_column("stream")
        turns.create_unique_constraint("uq_turns_call_sid_turn", ["call_sid", "turn"])
    for column in ("stage_sealed", "next_step", "lease_until", "owner", "forgotten_before"):
        op.drop_column("calls", column)
