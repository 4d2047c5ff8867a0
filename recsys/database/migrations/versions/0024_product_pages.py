"""The addresses of products' pages in the shop."""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute(
        "CREATE TABLE products_db.product_pages ("
        "product_id integer PRIMARY KEY REFERENCES products_db.products (id) ON DELETE CASCADE, "
        "url varchar(2000) NOT NULL)"
    )


def downgrade() -> None:
    """Drop the table."""
    op.execute("DROP TABLE products_db.product_pages")
