"""A small generated shop with a known structure: two groups of users, each with its own groceries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import insert

from features.dataset import Dataset, ItemFeatures, Preferences
from features.ids import IdMap
from features.interactions import MICROSECONDS_PER_DAY, Events, InteractionWeights
from recsys.database.session import unit_of_work
from recsys.domains.products.tables import Product
from recsys.domains.recommendations.tables import UserInteraction
from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.domains.users.tables import User

START = datetime(2020, 1, 1, tzinfo=UTC)
USERS, ITEMS, DAYS, EVENTS = 60, 40, 60, 40
HOSTILE = '<script src="http://evil.example/x.js">alert(1)</script>'


def purchases(seed: int = 0, *, days: int = DAYS) -> list[tuple[int, int, float]]:
    """(user, product, day): user u buys, nine times of ten, products of its own half (parity of the ids)."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(1, USERS + 1):
        own = rng.random(EVENTS) < 0.9
        product = 2 * rng.integers(0, ITEMS // 2, EVENTS) + np.where(own, user % 2, 1 - user % 2) + 1
        # the shop's own bestsellers, so that popularity knows something, too
        product = np.where(rng.random(EVENTS) < 0.2, rng.integers(1, 5, EVENTS), product)
        day = np.sort(rng.random(EVENTS) * days)
        rows += [(user, int(p), float(d)) for p, d in zip(product, day, strict=True)]
    return rows


def fill_shop(
    seed: int = 0,
    *,
    days: int = DAYS,
    name: str = HOSTILE,
    rows: list[tuple[int, int, float]] | None = None,
) -> None:
    """Users, products and purchases in the shop's tables; product 3 bears a hostile name."""
    with unit_of_work() as session:
        session.execute(
            insert(User),
            [
                {
                    "id": i,
                    "email": f"u{i}@example.org",
                    "username": f"u{i}",
                    "full_name": f"User {i}",
                    "password_hash": "!",
                    "created_at": START,
                }
                for i in range(1, USERS + 1)
            ],
        )
        session.execute(
            insert(Product),
            [
                {
                    "id": i,
                    "name": name if i == 3 else f"Product {i}",
                    "slug": f"product-{i}",
                    "sku": f"p{i}",
                    "price": i,
                    "created_at": START,
                }
                for i in range(1, ITEMS + 1)
            ],
        )
    bought = purchases(seed, days=days) if rows is None else rows
    if bought:
        add_purchases(bought)


def add_purchases(rows: list[tuple[int, int, float]]) -> None:
    """Store (user, product, day) as purchases."""
    with unit_of_work() as session:
        session.execute(
            insert(UserInteraction),
            [
                {
                    "user_id": user,
                    "product_id": product,
                    "interaction_type": "purchase",
                    "interaction_value": 1,
                    "created_at": START + timedelta(days=day),
                }
                for user, product, day in rows
            ],
        )


def dataset_of(
    rows: list[tuple[int, int, float, str]], *, created: dict[int, float] | None = None
) -> Dataset:
    """A dataset of (user, product, day, type), user -1 for a guest; `created`: product → day (default 0)."""
    users = IdMap.of([user for user, *_ in rows if user >= 0])
    items = IdMap.of([*(row[1] for row in rows), *(created or {})])
    order = sorted(range(len(rows)), key=lambda i: (rows[i][2], rows[i][0], rows[i][1]))
    kept = [rows[i] for i in order]
    begin = int(START.timestamp() * 1e6)
    events = Events(
        users.index([user for user, *_ in kept]).astype(np.int32),
        items.index([product for _, product, *_ in kept]).astype(np.int32),
        np.array([INTERACTION_TYPES.index(word) for *_, word in kept], dtype=np.int8),
        np.full(len(kept), np.nan, dtype=np.float32),
        np.zeros(len(kept), dtype=np.int64),
        np.array([begin + round(day * MICROSECONDS_PER_DAY) for _, _, day, _ in kept], dtype=np.int64),
    )
    n = len(items)
    ages = [(created or {}).get(int(item), 0.0) for item in items.ids]
    features = ItemFeatures(
        [f"Product {item}" for item in items.ids],
        [f"product {item}" for item in items.ids],
        np.full(n, -1, np.int32),
        [],
        np.full(n, -1, np.int32),
        [],
        np.full(n, np.nan, np.float32),
        np.array([begin + round(age * MICROSECONDS_PER_DAY) for age in ages], dtype=np.int64),
        np.ones(n, dtype=bool),
    )
    moment = int(events.time.max())
    return Dataset(
        users, items, events, features, Preferences.none(len(users), 0, 0), moment, InteractionWeights()
    )
