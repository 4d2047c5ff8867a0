"""What the shop's domains need beyond the document: a file of SQL for each, with its tables and indexes."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parent.parent / "sql" / revision

# from the lowest domain upwards; a domain that needs nothing has no file
STEPS = ("users", "products", "orders", "payments", "notifications", "analytics", "recommendations")

TABLES = (
    "products_db.review_votes",
    "orders_db.checkouts",
    "payments_db.payment_keys",
    "payments_db.payment_tokens",
    "payments_db.webhook_events",
    "notifications_db.outgoing_messages",
    "notifications_db.sent_notices",
    "recommendations_db.guest_logins",
    "recommendations_db.feedback_events",
    "analytics_db.collected_events",
    "analytics_db.bot_hits",
)
INDEXES: tuple[str, ...] = (
    "products_db.product_view_history_session_id_idx",
    "users_db.users_lower_email_idx",
    "users_db.users_lower_username_idx",
    "users_db.users_last_seen_idx",
    "recommendations_db.user_interactions_session_id_idx",
    "analytics_db.page_views_session_id_timestamp_idx",
    "analytics_db.page_views_timestamp_idx",
    "analytics_db.user_events_session_id_timestamp_idx",
    "analytics_db.user_events_timestamp_idx",
    "analytics_db.user_sessions_visitor_idx",
    "analytics_db.user_sessions_start_time_idx",
    "analytics_db.product_metrics_date_product_id_idx",
)


def upgrade() -> None:
    """Create what each domain needs."""
    connection = op.get_bind()
    for step in STEPS:
        path = SQL / f"{step}.sql"
        if path.is_file():
            connection.exec_driver_sql(path.read_text(encoding="utf-8"))


def downgrade() -> None:
    """Drop it again, the highest domain first."""
    for index in reversed(INDEXES):
        op.execute(f"DROP INDEX {index}")
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {table}")
