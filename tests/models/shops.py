"""Three generated shops of different kinds: groceries, durable goods, and a log of views, carts and buys."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from features.dataset import Dataset
from tests.models.data import Row, dataset

__all__ = ["SHOPS", "durables", "event_log", "groceries"]

DAYS = 120.0
TASTES = 4


def groceries(users: int = 260, items: int = 120, seed: int = 0) -> Dataset:
    """Everybody has staples, bought every so many days, and now and then tries something of their taste."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for user in range(users):
        own = np.arange(user % TASTES, items, TASTES)
        for item in rng.choice(own, size=6, replace=False):
            every = rng.uniform(8, 40)
            ages = np.arange(rng.uniform(0, every), DAYS, every) + rng.uniform(0, 3)
            rows += [(user, int(item), "purchase", float(min(DAYS, age))) for age in ages]
        tried = rng.choice(own, size=8)
        rows += [(user, int(item), "purchase", float(rng.uniform(0, DAYS))) for item in tried]
    return dataset(rows, users=users, items=items)


def durables(users: int = 260, items: int = 160, seed: int = 0) -> Dataset:
    """Nobody buys the same twice; what is bought is of one's taste, popular products more often."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for user in range(users):
        liked = np.where(np.arange(items) % TASTES == user % TASTES, 10.0, 1.0) / np.sqrt(
            np.arange(items) + 1
        )
        bought = rng.choice(items, size=14, replace=False, p=liked / liked.sum())
        rows += [(user, int(item), "purchase", float(rng.uniform(0, DAYS))) for item in bought]
    return dataset(rows, users=users, items=items)


def event_log(users: int = 260, items: int = 120, seed: int = 0) -> Dataset:
    """Sessions walk from a product to its neighbours; some of it goes into the cart and is bought."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for user in range(users):
        for _ in range(6):
            age, item = float(rng.uniform(0.1, DAYS)), int(rng.integers(items))
            for step in range(5):
                now = age - step / 1_000
                rows.append((user, item, "view", now))
                if rng.random() < 0.3:
                    rows.append((user, item, "add_to_cart", now - 0.0002))
                    if rng.random() < 0.5:
                        rows.append((user, item, "purchase", now - 0.0004))
                item = int((item + rng.choice([1, 2, 5], p=[0.6, 0.3, 0.1])) % items)
    return dataset(rows, users=users, items=items)


SHOPS: dict[str, Callable[[], Dataset]] = {
    "groceries": groceries,
    "durable goods": durables,
    "event log": event_log,
}
