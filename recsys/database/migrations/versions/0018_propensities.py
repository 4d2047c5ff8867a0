"""The propensities of lists that were drawn at random, and the products that they were drawn from."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; programs of the version before leave them empty."""
    op.execute(
        "ALTER TABLE recommendations_db.exposures ADD COLUMN propensities real[], ADD COLUMN candidates integer[]"
    )


def downgrade() -> None:
    """Drop the columns."""
    op.execute("ALTER TABLE recommendations_db.exposures DROP COLUMN candidates, DROP COLUMN propensities")
