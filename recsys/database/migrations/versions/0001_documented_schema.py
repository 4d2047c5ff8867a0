"""The seven schemas with the 39 documented tables, the indexes their queries need, and four tables of our own."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parent.parent / "sql" / revision

# A schema refers only to those before it; our own tables refer to documented ones.
STEPS = (
    "users_db",
    "products_db",
    "orders_db",
    "payments_db",
    "notifications_db",
    "analytics_db",
    "recommendations_db",
    "own",
)

TABLES = {
    "users_db": ("users", "user_profiles", "user_sessions", "user_activities", "user_social"),
    "products_db": (
        "categories",
        "brands",
        "products",
        "product_variants",
        "product_images",
        "product_reviews",
        "product_view_history",
        "inventory_logs",
    ),
    "orders_db": (
        "orders",
        "order_items",
        "order_status_history",
        "shipping_addresses",
        "order_tracking",
        "abandoned_carts",
    ),
    "payments_db": ("payment_methods", "payments", "refunds", "payment_attempts", "fraud_flags"),
    "notifications_db": (
        "notifications",
        "notification_templates",
        "notification_preferences",
        "email_logs",
        "sms_logs",
    ),
    "analytics_db": ("page_views", "user_events", "sales_metrics", "product_metrics", "user_sessions"),
    "recommendations_db": (
        "user_preferences",
        "product_recommendations",
        "user_interactions",
        "recommendation_models",
        "recommendation_feedback",
        "interaction_events",
        "recommendation_generations",
        "model_promotions",
        "category_policies",
    ),
}


def upgrade() -> None:
    """Create everything, in the order in which it refers to each other."""
    connection = op.get_bind()
    for step in STEPS:
        connection.exec_driver_sql((SQL / f"{step}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Drop our tables and schemas and nothing else: what others put there makes this fail, unharmed."""
    for schema in reversed(TABLES):
        for table in reversed(TABLES[schema]):
            op.execute(f"DROP TABLE {schema}.{table}")
        op.execute(f"DROP SCHEMA {schema}")
