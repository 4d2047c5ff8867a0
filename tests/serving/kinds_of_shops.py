"""The three generated shops of `tests.models.shops`, put into PostgreSQL with what must not be shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from features.dataset import Dataset
from recsys.domains.recommendations.types import INTERACTION_TYPES
from tests.models.shops import SHOPS
from tests.support.hosts.routed_connection import connected

__all__ = ["DISMISSED", "HIDDEN", "open_shop"]

START = datetime(2024, 1, 1, tzinfo=UTC)
HIDDEN = 9
"""Every so many products are not sold."""
DISMISSED = 3
"""Every so many users dismiss the product that they touched last, after the training."""
USERS = 60
ONCE = "durable goods"
"""The kind of shop whose products are bought once."""


def open_shop(database_url: str, kind: str) -> None:
    """Fill the tables with the generated shop; the same each time."""
    data = SHOPS[kind](users=USERS)  # type: ignore[call-arg]
    with connected(database_url) as connection:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO products_db.categories (id, name, slug) VALUES (1, 'All', 'all')")
        cursor.execute("INSERT INTO recommendations_db.category_policies VALUES (1, %s)", [kind != ONCE])
        cursor.executemany(
            "INSERT INTO products_db.products (id, name, slug, sku, price, category_id, status, created_at) "
            "VALUES (%s, %s, %s, %s, 1, 1, %s, %s)",
            [
                (i, f"P{i}", f"p{i}", f"s{i}", "draft" if row % HIDDEN == 4 else "active", START)
                for row, i in enumerate(data.items.ids.tolist())
            ],
        )
        cursor.executemany(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash) "
            "VALUES (%s, %s, %s, 'U', 'x')",
            [(i, f"u{i}@example.org", f"u{i}") for i in data.users.ids.tolist()],
        )
        cursor.executemany(
            "INSERT INTO recommendations_db.user_interactions "
            "(user_id, product_id, interaction_type, created_at) VALUES (%s, %s, %s, %s)",
            _events(data),
        )


def _events(data: Dataset) -> list[tuple[int, int, str, datetime]]:
    events = data.events
    return [
        (user, item, INTERACTION_TYPES[kind], START + timedelta(microseconds=time))
        for user, item, kind, time in zip(
            data.users.ids[events.user].tolist(),
            data.items.ids[events.item].tolist(),
            events.kind.tolist(),
            (events.time - events.time.min()).tolist(),
            strict=True,
        )
    ]
