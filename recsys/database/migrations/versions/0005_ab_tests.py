"""Tests of two models on live traffic."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parent.parent / "sql" / revision


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql((SQL / "ab_tests.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Drop it; `model_promotions` still has what was decided."""
    op.execute("DROP TABLE recommendations_db.ab_tests")
