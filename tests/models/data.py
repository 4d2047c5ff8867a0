"""Small shops with a known structure: two tastes, some guests, and things that must not be learned from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from features.dataset import Dataset, ItemFeatures, Preferences
from features.ids import IdMap
from features.interactions import MICROSECONDS_PER_DAY as DAY
from features.interactions import Events, InteractionWeights
from recsys.domains.recommendations.types import INTERACTION_TYPES

__all__ = ["ITEMS", "NEVER_TAKEN", "UNTOUCHED_USER", "USERS", "catalogue", "dataset", "two_tastes"]

USERS = 24
ITEMS = 40
NEVER_TAKEN = ITEMS
"""The last row of the catalogue: a product without any event."""
UNTOUCHED_USER = USERS
"""The last row of the users: known, but without any event."""

Row = tuple[int, int, str, float]
"""user row (-1: guest), item row, interaction type, age in days."""


def dataset(
    rows: list[Row],
    *,
    users: int,
    items: int,
    features: ItemFeatures | None = None,
    preferences: Preferences | None = None,
    weights: InteractionWeights | None = None,
) -> Dataset:
    """The given events as of day 1,000; user ids are row × 10 + 7, product ids row × 3 + 100."""
    moment = 1_000 * DAY
    ordered = sorted(rows, key=lambda row: (-row[3], row[0], row[1], row[2]))
    events = Events(
        np.array([row[0] for row in ordered], dtype=np.int32),
        np.array([row[1] for row in ordered], dtype=np.int32),
        np.array([INTERACTION_TYPES.index(row[2]) for row in ordered], dtype=np.int8),
        np.full(len(ordered), np.nan, dtype=np.float32),
        np.zeros(len(ordered), dtype=np.int64),
        np.array([moment - round(row[3] * DAY) for row in ordered], dtype=np.int64),
    )
    known = catalogue(items) if features is None else features
    nothing = Preferences.none(users, len(known.category_paths), len(known.brand_names))
    return Dataset(
        IdMap(np.arange(users) * 10 + 7),
        IdMap(np.arange(items) * 3 + 100),
        events,
        known,
        nothing if preferences is None else preferences,
        moment,
        InteractionWeights() if weights is None else weights,
    )


def catalogue(items: int) -> ItemFeatures:
    """Even rows are tea, odd rows are tools; three categories each, brands and prices of their own."""
    rows = np.arange(items)
    kinds = ["tea" if row % 2 == 0 else "tool" for row in rows]
    names = [f"{kind} number{row} flavour{row % 5}" for row, kind in zip(rows, kinds, strict=True)]
    return ItemFeatures(
        names=names,
        text=names,
        category=(rows % 6).astype(np.int32),
        category_paths=[f"{'Tea' if code % 2 == 0 else 'Tools'} > Shelf {code}" for code in range(6)],
        brand=(rows % 4).astype(np.int32),
        brand_names=["Leaf", "Iron", "Cup", "Steel"],
        price=(1.0 + rows % 7).astype(np.float32),
        created=np.zeros(items, dtype=np.int64),
        active=np.ones(items, dtype=bool),
    )


def two_tastes(seed: int = 0) -> Dataset:
    """24 users: those of even rows take tea (even items), the others tools, with a few steps aside.

    Beside them: a user and a product without events, a touch that is no liking in every history (a
    dismissal), guests, and one user with stated preferences.
    """
    chance = np.random.default_rng(seed)
    rows: list[Row] = []
    for user in range(USERS):
        own = np.arange(user % 2, ITEMS, 2)
        popular = 1.0 / np.arange(1, own.size + 1)
        taken = chance.choice(own, size=7, replace=False, p=popular / popular.sum())
        for item in taken:
            rows.append((user, int(item), "purchase", float(chance.uniform(0, 120))))
            if chance.random() < 0.4:
                rows.append((user, int(item), "view", float(chance.uniform(0, 120))))
        aside = int(chance.choice(np.arange((user + 1) % 2, ITEMS, 2)))
        rows.append((user, aside, "view", float(chance.uniform(0, 120))))
        rest = np.setdiff1d(np.arange(ITEMS), [*taken, aside])
        rows.append((user, int(chance.choice(rest)), "dismissed", float(chance.uniform(0, 120))))
    rows += [(-1, int(chance.integers(ITEMS)), "view", float(chance.uniform(0, 9))) for _ in range(20)]
    empty = dataset(rows, users=USERS + 1, items=ITEMS + 1)
    empty_preferences = Preferences.none(USERS + 1, 6, 4)
    categories = sparse.lil_matrix((USERS + 1, 6), dtype=np.float32)
    categories[3, 1] = 1.0
    price = empty_preferences.price.copy()
    price[3] = (2.0, 4.0)
    updated = empty_preferences.updated.copy()
    updated[3] = 900 * DAY
    return replace(
        empty, preferences=Preferences(categories.tocsr(), empty_preferences.brands, price, updated)
    )
