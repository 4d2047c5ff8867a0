"""The trace in which an event was published."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; programs of the version before leave it empty."""
    op.execute("ALTER TABLE analytics_db.outbox ADD COLUMN traceparent varchar(55)")


def downgrade() -> None:
    """Drop the column."""
    op.execute("ALTER TABLE analytics_db.outbox DROP COLUMN traceparent")
