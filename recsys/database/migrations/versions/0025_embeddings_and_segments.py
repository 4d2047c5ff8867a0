"""The shop's own vectors of its products; stored segments, and business rules for their members.

Programs of the version before apply a rule for a segment to everybody: write such rules when all programs are
upgraded.
"""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and the column."""
    op.execute(
        "CREATE TABLE products_db.product_embeddings ("
        "product_id integer PRIMARY KEY REFERENCES products_db.products (id) ON DELETE CASCADE, "
        "vector bytea NOT NULL)"
    )
    op.execute(
        "CREATE TABLE recommendations_db.segments ("
        "name varchar(50) PRIMARY KEY, "
        "definition jsonb NOT NULL, "
        "version integer DEFAULT 1 NOT NULL, "
        "created_by varchar(100) NOT NULL, "
        "created_at timestamptz NOT NULL, "
        "refreshed_at timestamptz, "
        "problem text)"
    )
    op.execute(
        "CREATE TABLE recommendations_db.segment_members ("
        "segment varchar(50) REFERENCES recommendations_db.segments (name) ON DELETE CASCADE, "
        "user_id integer, "
        "PRIMARY KEY (segment, user_id))"
    )
    op.execute("CREATE INDEX segment_members_user_id_idx ON recommendations_db.segment_members (user_id)")
    op.execute("ALTER TABLE recommendations_db.business_rules ADD COLUMN segment varchar(50)")


def downgrade() -> None:
    """Drop them; rules for a segment are disabled, since the version before would apply them to everybody."""
    op.execute("UPDATE recommendations_db.business_rules SET enabled = false WHERE segment IS NOT NULL")
    op.execute("ALTER TABLE recommendations_db.business_rules DROP COLUMN segment")
    op.execute("DROP TABLE recommendations_db.segment_members")
    op.execute("DROP TABLE recommendations_db.segments")
    op.execute("DROP TABLE products_db.product_embeddings")
