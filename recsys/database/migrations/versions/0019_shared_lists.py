"""Lists that are the same for everybody, of the generations of users' lists."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute(
        "CREATE TABLE recommendations_db.shared_lists ("
        "generation_id integer NOT NULL "
        "REFERENCES recommendations_db.recommendation_generations (id) ON DELETE CASCADE, "
        "placement varchar(20) NOT NULL, subject varchar(40) NOT NULL, models varchar(16) NOT NULL, "
        "list bytea NOT NULL, PRIMARY KEY (generation_id, placement, subject, models))"
    )
    # compressing bytes that are packed already costs time and gains nothing
    op.execute("ALTER TABLE recommendations_db.shared_lists ALTER COLUMN list SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Drop the table."""
    op.execute("DROP TABLE recommendations_db.shared_lists")
