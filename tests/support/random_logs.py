"""Random shops for property tests, on the level of what was read from the tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from features.build.builder import assemble
from features.build.column_reader import NO_ID
from features.build.interaction_reader import RawInteractions
from features.build.preference_reader import RawPreferences
from features.build.product_reader import ProductColumns, Taxonomy
from features.dataset import Dataset
from features.interactions import InteractionWeights

CATEGORIES = Taxonomy.of({1: "A", 2: "A > B", 3: "C"}, {1: ("A",), 2: ("B",), 3: ("C",)})
BRANDS = Taxonomy.of({1: "x", 2: "y"}, {1: ("x",), 2: ("y",)})
CAPPED = InteractionWeights(max_repeats_per_day=1, max_events_per_day=2)
"""So low that random shops have something to cut."""
MOMENTS = st.integers(-4, 6).map(lambda day: day * 86_400_000_000)
USERS = st.sampled_from([NO_ID, 1, 2, 3, 7])
WORDS = st.sampled_from(["", "{}", '{"1": 1, "3": 0.5}', '{"B": -1}', '["A > B"]', "null", "7"])


@dataclass(frozen=True)
class Shop:
    """Rows as the tables hold them."""

    events: list[tuple[int, int, int, float, int, int]]
    products: dict[int, tuple[int, int, int]]
    preferences: dict[int, tuple[int, str, str]]

    def dataset(
        self,
        until: int | None = None,
        order: list[int] | None = None,
        weights: InteractionWeights = CAPPED,
    ) -> Dataset:
        """What a build makes of it: the database filters events and preferences, the build does the rest."""
        rows = self.events if order is None else [self.events[i] for i in order]
        if until is not None:
            rows = [row for row in rows if row[5] <= until]
        stated = {
            user: row for user, row in sorted(self.preferences.items()) if until is None or row[0] <= until
        }
        return assemble(_raw(rows), self._catalogue(), _preferences(stated), weights, until).dataset

    def _catalogue(self) -> ProductColumns:
        ids = sorted(self.products)
        columns: dict[str, Any] = {
            "id": np.array(ids, np.int32),
            "created": np.array([self.products[i][0] for i in ids], np.int64),
            "category": np.array([self.products[i][1] for i in ids], np.int32),
            "brand": np.array([self.products[i][2] for i in ids], np.int32),
            "price": np.array([i / 2 for i in ids], np.float32),
            "active": np.ones(len(ids), np.int16),
            "counted": np.array([i % 3 > 0 for i in ids], np.int16),
            "tags": ["\x1f".join(["Soft", f"t{i % 3}"][: i % 4]) for i in ids],
            "name": [f"name {i}" for i in ids],
            "text": [f"text {i}" for i in ids],
        }
        variants: dict[str, Any] = {
            "product": np.array(ids, np.int32),
            "stock": np.array([i / 2 for i in ids], np.float32),
            "option1": [["Red", "dark blue", ""][i % 3] for i in ids],
            "option2": [["XL", "12 oz"][i % 2] for i in ids],
            "option3": [""] * len(ids),
        }
        return ProductColumns(columns, CATEGORIES, BRANDS, variants)


def _raw(rows: list[tuple[int, int, int, float, int, int]]) -> RawInteractions:
    kinds = {"user": np.int32, "item": np.int32, "kind": np.int8, "value": np.float32, "session": np.int64}
    columns: dict[str, Any] = {
        name: np.array([row[i] for row in rows], dtype) for i, (name, dtype) in enumerate(kinds.items())
    }
    columns["time"] = np.array([row[5] for row in rows], np.int64)
    return RawInteractions(columns, 0)


def _preferences(stated: dict[int, tuple[int, str, str]]) -> RawPreferences:
    return RawPreferences(
        np.array(list(stated), np.int32),
        np.array([row[0] for row in stated.values()], np.int64),
        [row[1] for row in stated.values()],
        [row[2] for row in stated.values()],
        ['{"min": 1, "max": 2}'] * len(stated),
        [row[2] for row in stated.values()],
        ["[12]"] * len(stated),
        [row[1] for row in stated.values()],
    )


EVENTS = st.tuples(
    USERS,
    st.integers(1, 6),
    st.integers(-1, 5),
    st.sampled_from([float("nan"), 1.0, 4.0, 5.0]),
    st.integers(0, 2),
    MOMENTS,
)
SHOPS = st.builds(
    Shop,
    st.lists(EVENTS, min_size=1, max_size=30),
    st.dictionaries(
        st.integers(1, 8),
        st.tuples(MOMENTS, st.sampled_from([NO_ID, 1, 2, 3]), st.sampled_from([NO_ID, 1, 2])),
    ),
    st.dictionaries(st.sampled_from([1, 2, 9]), st.tuples(MOMENTS.filter(bool), WORDS, WORDS)),
)
