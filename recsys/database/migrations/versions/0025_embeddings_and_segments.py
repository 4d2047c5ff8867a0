"""The shop's own vectors of its products."""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute(
        "CREATE TABLE products_db.product_embeddings ("
        "product_id integer PRIMARY KEY REFERENCES products_db.products (id) ON DELETE CASCADE, "
        "vector bytea NOT NULL)"
    )


def downgrade() -> None:
    """Drop the table."""
    op.execute("DROP TABLE products_db.product_embeddings")
