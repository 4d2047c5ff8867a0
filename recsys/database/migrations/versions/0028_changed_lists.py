"""Up to where each generation of stored lists has read what users did."""

from __future__ import annotations

from alembic import op

revision = "0028"
down_revision = "0025"
branch_labels = None
depends_on = None

_TABLE = "recommendations_db.recommendation_generations"


def upgrade() -> None:
    """Add the columns."""
    op.execute(f"ALTER TABLE {_TABLE} ADD COLUMN read_up_to varchar(100), ADD COLUMN changed_at timestamptz")


def downgrade() -> None:
    """Drop the columns."""
    op.execute(f"ALTER TABLE {_TABLE} DROP COLUMN read_up_to, DROP COLUMN changed_at")
