"""The outbox and the inbox of events, with the indexes that relay, replay and sweeping need."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parent.parent / "sql" / revision


def upgrade() -> None:
    """Create both tables."""
    op.get_bind().exec_driver_sql((SQL / "own.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Drop them; events that were not sent yet are lost with them."""
    op.execute("DROP TABLE analytics_db.inbox")
    op.execute("DROP TABLE analytics_db.outbox")
