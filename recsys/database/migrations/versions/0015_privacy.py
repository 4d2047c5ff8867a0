"""Tombstones of erased people, and models that learned from them."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        "CREATE TABLE users_db.erased_identifiers ("
        "hash varchar(32) PRIMARY KEY, erased_at timestamptz NOT NULL)"
    )
    op.execute("CREATE INDEX erased_identifiers_erased_at_idx ON users_db.erased_identifiers (erased_at)")
    op.execute(
        "CREATE TABLE recommendations_db.models_to_retrain ("
        "name varchar(100) PRIMARY KEY, erased_at timestamptz NOT NULL, retrain_by timestamptz NOT NULL)"
    )


def downgrade() -> None:
    """Drop the tables."""
    op.execute("DROP TABLE recommendations_db.models_to_retrain")
    op.execute("DROP TABLE users_db.erased_identifiers")
