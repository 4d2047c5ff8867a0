"""What users and guests allow by purpose."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute(
        "CREATE TABLE users_db.consents (owner varchar(300) PRIMARY KEY, personalisation boolean NOT NULL, "
        "analytics boolean NOT NULL, changed_at timestamptz NOT NULL)"
    )


def downgrade() -> None:
    """Drop the table."""
    op.execute("DROP TABLE users_db.consents")
