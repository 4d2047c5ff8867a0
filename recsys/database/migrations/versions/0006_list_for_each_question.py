"""A stored list for each question, and rows that left the lists out of the documented table."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
# earlier programs cannot read lists of the new format
oldest_program = "0006"

SQL = Path(__file__).resolve().parent.parent / "sql" / revision


def upgrade() -> None:
    """Create the tables; lists of the old format go, run `recsys serve score` for new ones."""
    for name in ("retired_rows", "old_lists"):
        op.get_bind().exec_driver_sql((SQL / f"{name}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Drop them; lists of the new format go."""
    op.get_bind().exec_driver_sql((SQL / "old_lists.sql").read_text(encoding="utf-8"))
    op.execute("DROP TABLE recommendations_db.feedback_of_retired")
    op.execute("DROP TABLE recommendations_db.retired_recommendations")
