"""Partial indexes: of users' interactions alone, and of the orders that may expire."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_USERS = "user_interactions_user_id_created_at_idx"


def upgrade() -> None:
    """Leave guests' interactions out of the index by user, and index pending orders by their age."""
    op.execute(f"DROP INDEX recommendations_db.{_USERS}")
    op.execute(
        f"CREATE INDEX {_USERS} ON recommendations_db.user_interactions (user_id, created_at) "
        "WHERE user_id IS NOT NULL"
    )
    op.execute("CREATE INDEX orders_pending_idx ON orders_db.orders (created_at) WHERE status = 'pending'")


def downgrade() -> None:
    """Restore the index of all interactions by user."""
    op.execute("DROP INDEX orders_db.orders_pending_idx")
    op.execute(f"DROP INDEX recommendations_db.{_USERS}")
    op.execute(f"CREATE INDEX {_USERS} ON recommendations_db.user_interactions (user_id, created_at)")
