"""Puts users, products and what happened into a database of a test, and reads a log back as tuples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from features.dataset import Dataset
from recsys.domains.recommendations.types import INTERACTION_TYPES
from tests.support.hosts.routed_connection import connected

NOON = datetime(2017, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Event:
    """One row of user_interactions."""

    user: int | None
    product: int
    kind: str
    at: datetime | str | None = NOON
    value: float | str | None = None
    session: str | None = None


class Rows:
    """Inserts rows of known ids and commits at once."""

    def __init__(self, url: str) -> None:
        self.url = url

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        with connected(self.url) as connection:
            connection.execute(statement, parameters)

    def many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        with connected(self.url) as connection, connection.cursor() as cursor:
            cursor.executemany(statement, rows)

    def users(self, *ids: int) -> None:
        self.many(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash) "
            "VALUES (%s, %s, %s, '', '')",
            [(i, f"{i}@example.org", f"user {i}") for i in ids],
        )

    def categories(self, *rows: tuple[int, str, int | None]) -> None:
        self.many(
            "INSERT INTO products_db.categories (id, name, slug) VALUES (%s, %s, %s)",
            [(i, name, name.lower().replace(" ", "-")) for i, name, _ in rows],
        )
        self.many(
            "UPDATE products_db.categories SET parent_id = %s WHERE id = %s",
            [(parent, i) for i, _, parent in rows],
        )

    def brands(self, *rows: tuple[int, str]) -> None:
        self.many(
            "INSERT INTO products_db.brands (id, name, slug) VALUES (%s, %s, %s)",
            [(i, name, name.lower().replace(" ", "-")) for i, name in rows],
        )

    def product(self, product: int, name: str = "", **columns: Any) -> None:
        given = {
            "id": product,
            "name": name or f"thing {product}",
            "slug": f"p{product}",
            "price": 1,
        } | columns
        names = ", ".join(given)
        places = ", ".join(["%s"] * len(given))
        self.execute(f"INSERT INTO products_db.products ({names}) VALUES ({places})", list(given.values()))  # noqa: S608

    def events(self, *events: Event) -> None:
        self.many(
            "INSERT INTO recommendations_db.user_interactions "
            "(user_id, product_id, interaction_type, created_at, interaction_value, session_id) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            [(e.user, e.product, e.kind, e.at, e.value, e.session) for e in events],
        )

    def preferences(
        self,
        user: int | None,
        categories: Any = None,
        brands: Any = None,
        price: Any = None,
        updated: datetime | None = NOON,
        created: datetime | None = NOON - DAY,
        colours: Any = None,
        sizes: Any = None,
        styles: Any = None,
    ) -> None:
        given = (categories, brands, price, colours, sizes, styles)
        self.execute(
            "INSERT INTO recommendations_db.user_preferences (user_id, category_preferences, "
            "brand_preferences, price_range, color_preferences, size_preferences, style_preferences, "
            "updated_at, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (user, *(None if part is None else json.dumps(part) for part in given), updated, created),
        )


def log_of(dataset: Dataset) -> list[tuple[int | None, int, str | None, float | None, int]]:
    """(user id or None, product id, type or None, value or None, microseconds) of each event, in order."""
    events = dataset.events
    found = []
    for i in range(len(events)):
        user, kind, value = int(events.user[i]), int(events.kind[i]), float(events.value[i])
        found.append(
            (
                None if user < 0 else int(dataset.users.ids[user]),
                int(dataset.items.ids[events.item[i]]),
                None if kind < 0 else INTERACTION_TYPES[kind],
                None if value != value else value,
                int(events.time[i]),
            )
        )
    return found


def cell(dataset: Dataset, user: int, product: int) -> float:
    """The entry of the matrix of one user and one product."""
    return float(dataset.matrix[dataset.users.index([user])[0], dataset.items.index([product])[0]])
