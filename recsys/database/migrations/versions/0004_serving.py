"""What serving, keys and search need beyond the document: a file of SQL for each, with its tables."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
# replaces a constraint and drops indexes that the program before relied on
oldest_program = "0004"

SQL = Path(__file__).resolve().parent.parent / "sql" / revision

# a step that needs nothing has no file
STEPS = ("lists", "rules", "exposures", "keys", "search", "core")

# in the order of their making; dropped the other way round
TABLES: tuple[str, ...] = (
    "recommendations_db.generation_periods",
    "recommendations_db.stored_lists",
    "recommendations_db.business_rules",
    "recommendations_db.business_rule_changes",
    "users_db.api_keys",
    "products_db.product_search",
    "products_db.search_words",
    "users_db.user_search",
    "analytics_db.search_counts",
    "analytics_db.search_clicks",
    "recommendations_db.exposures",
    "recommendations_db.feedback_exposures",
)
INDEXES: tuple[str, ...] = ("recommendations_db.guest_logins_logged_in_at_idx",)


def upgrade() -> None:
    """Create what each of them needs."""
    connection = op.get_bind()
    for step in STEPS:
        path = SQL / f"{step}.sql"
        if path.is_file():
            connection.exec_driver_sql(path.read_text(encoding="utf-8"))


def downgrade() -> None:
    """Drop it again."""
    op.get_bind().exec_driver_sql((SQL / "lists_down.sql").read_text(encoding="utf-8"))
    for index in reversed(INDEXES):
        op.execute(f"DROP INDEX {index}")
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {table}")
    # those that were there before the upgrade stay
    for name in ("earthdistance", "cube", "pg_trgm"):
        made = (
            "SELECT FROM pg_extension WHERE extname = :name "
            "AND obj_description(oid, 'pg_extension') = 'made by recsys'"
        )
        if op.get_bind().execute(text(made), {"name": name}).first() is not None:
            op.execute(f"DROP EXTENSION {name}")
