"""What a turn's answer waited for, how a caller pauses, and turns that are off the record."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the columns; what is there already has nothing in them."""
    op.add_column("callers", sa.Column("pause_habit", sa.Text, nullable=True, comment="JSON: numbers alone."))
    op.add_column("turns", sa.Column("waterfall", sa.Text, nullable=True, comment="JSON: times, and nothing said."))
    forgotten_at = sa.Column("forgotten_at", MOMENT, nullable=True, comment="From then on nothing of it is kept.")
    op.add_column("turns", forgotten_at)


def downgrade() -> None:
    """Remove the columns, with what they hold."""
    for table, column in (("turns", "forgotten_at"), ("turns", "waterfall"), ("callers", "pause_habit")):
        op.drop_column(table, column)
