"""Filters hold before the best are taken, and say what they removed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.catalogue.catalogue import Catalogue, Row
from serving.ranking.attributes import Attributes
from serving.ranking.filters import filter_products
from serving.recommender.request import Filters

PARENTS: dict[int, int | None] = {1: None, 2: 1, 3: 2, 4: None}
rows = st.builds(
    Row,
    st.integers(1, 30),
    st.just("x"),
    st.sampled_from([1.0, 2.0, 3.0]),
    st.sampled_from([-1, 1, 2, 3, 4]),
    st.sampled_from([-1, 7, 8]),
    st.sampled_from([0.0, 100.0, 200.0]),
    st.booleans(),
    st.booleans(),
    st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True).map(tuple),
)
filters = st.builds(
    Filters,
    st.lists(st.sampled_from([1, 2, 3, 4, 99]), max_size=2).map(tuple),
    st.lists(st.sampled_from([7, 8]), max_size=2).map(tuple),
    st.sampled_from([None, 2.0]),
    st.sampled_from([None, 2.0]),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=2).map(tuple),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, 100.0]),
    st.lists(st.integers(1, 30), max_size=3).map(tuple),
)
BELOW = {1: {1, 2, 3}, 2: {2, 3}, 3: {3}, 4: {4}, 99: set[int]()}


def by_hand(row: Row, asked: Filters) -> bool:
    return (
        row.shown
        and (not asked.categories or any(row.category in BELOW[one] for one in asked.categories))
        and (not asked.brands or row.brand in asked.brands)
        and (asked.min_price is None or row.price >= asked.min_price)
        and (asked.max_price is None or row.price <= asked.max_price)
        and all(tag in row.tags for tag in asked.tags)
        and (not asked.in_stock or row.stocked)
        and (asked.created_since is None or row.created >= asked.created_since)
        and row.id not in asked.exclude
    )


@given(st.lists(rows, max_size=25, unique_by=lambda row: row.id), filters)
def test_what_qualifies_is_what_a_person_would_pick_and_the_counts_add_up(
    products: list[Row], asked: Filters
) -> None:
    catalogue = Catalogue.of(products, parents=PARENTS)
    found = filter_products(catalogue, asked, Attributes())
    expected = {row.id for row in products if by_hand(row, asked)}
    assert set(catalogue.ids[found.eligible].tolist()) == expected
    assert sum(found.filtered_out.values()) + int(found.eligible.sum()) == len(products)
    assert all(count > 0 for count in found.filtered_out.values())


def test_a_removal_is_counted_once() -> None:
    catalogue = Catalogue.of([Row(i, "x", float(i), -1, 7, 0.0, True, True, ()) for i in range(1, 5)])
    found = filter_products(catalogue, Filters(brands=(7,), max_price=3.0), Attributes())
    again = found.without("bought", np.array([True, False, False, True]))
    assert again.filtered_out == {"max_price": 1, "bought": 1}
    assert again.without("bought", np.array([False, True, False, False])).filtered_out["bought"] == 2
    assert found.filtered_out == {"max_price": 1}
