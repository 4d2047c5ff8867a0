"""Generations of stored lists that belong to the arms of an experiment."""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None
# the constraint allows one more state, which programs before do not read
oldest_program = "0021"

_TABLE = "recommendations_db.recommendation_generations"
_CONSTRAINT = "recommendation_generations_status_check"


def upgrade() -> None:
    """Allow the state."""
    op.execute(
        f"ALTER TABLE {_TABLE} DROP CONSTRAINT {_CONSTRAINT}, ADD CONSTRAINT {_CONSTRAINT} "
        "CHECK (status IN ('writing', 'live', 'former', 'retired', 'failed', 'arm'))"
    )


def downgrade() -> None:
    """Retire these generations, and allow the former states."""
    op.execute("DELETE FROM recommendations_db.recommendation_generations WHERE status = 'arm'")
    op.execute(
        f"ALTER TABLE {_TABLE} DROP CONSTRAINT {_CONSTRAINT}, ADD CONSTRAINT {_CONSTRAINT} "
        "CHECK (status IN ('writing', 'live', 'former', 'retired', 'failed'))"
    )
