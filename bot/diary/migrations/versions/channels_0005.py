"""For which call a channel of the recogniser is kept, and how many are taken, found at once."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

GOES_ON = sa.text("ended_at IS NULL")
INDEXED = (("calls", "lease_until"), ("calls", "place_until"), ("stream_jobs", "lease_until"))


def upgrade() -> None:
    """Add the column, and what finds those that have a channel now."""
    place_until = sa.Column(
        "place_until",
        sa.DateTime(timezone=True),
        nullable=True,
        comment="So long a channel is kept for the stream that is to come.",
    )
    op.add_column("calls", place_until)
    for table, column in INDEXED:
        op.create_index(f"ix_{table}_{column}", table, [column], sqlite_where=GOES_ON, postgresql_where=GOES_ON)


def downgrade() -> None:
    """Remove the column."""
    for table, column in INDEXED:
        op.drop_index(f"ix_{table}_{column}", table)
    op.drop_column("calls", "place_until")
