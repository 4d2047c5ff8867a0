"""Synonyms of search."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parent.parent / "sql" / revision


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql((SQL / "synonyms.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Drop them, and the synonyms with them."""
    op.execute("DROP TABLE products_db.search_synonym_changes")
    op.execute("DROP TABLE products_db.search_synonyms")
