"""Experiments of several arms, and the probability with which a visitor came into one."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; an arm may change something else than the model, so that a challenger is optional."""
    op.execute(
        "ALTER TABLE recommendations_db.ab_tests ADD COLUMN design jsonb, ADD COLUMN winner varchar(24), "
        "ALTER COLUMN challenger DROP NOT NULL"
    )
    op.execute("ALTER TABLE recommendations_db.exposures ADD COLUMN arm_propensity real")


def downgrade() -> None:
    """Drop them, with the experiments that the version before cannot describe."""
    op.execute("ALTER TABLE recommendations_db.exposures DROP COLUMN arm_propensity")
    op.execute("DELETE FROM recommendations_db.ab_tests WHERE challenger IS NULL")
    op.execute(
        "ALTER TABLE recommendations_db.ab_tests DROP COLUMN design, DROP COLUMN winner, "
        "ALTER COLUMN challenger SET NOT NULL"
    )
