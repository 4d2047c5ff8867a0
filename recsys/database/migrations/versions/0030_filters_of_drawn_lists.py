"""What a drawn list was narrowed by, so that other models can be evaluated on it."""

from __future__ import annotations

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE recommendations_db.exposures ADD COLUMN filters jsonb")


def downgrade() -> None:
    """Drop the column."""
    op.execute("ALTER TABLE recommendations_db.exposures DROP COLUMN filters")
