"""Filters apply to the whole catalogue and count what they removed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.catalogue.catalogue import Catalogue, CatalogueRow
from serving.merchandising.compiled_rules import CompiledRules
from serving.ranking.eligibility import SeenProducts
from serving.ranking.filters import CatalogueFilters, FilterResult, eligible_products
from serving.recommender.request import Filters, RecommendationRequest
from tests.serving.rule_shop import NOW

PARENTS: dict[int, int | None] = {1: None, 2: 1, 3: 2, 4: None}
rows = st.builds(
    CatalogueRow,
    st.one_of(st.integers(1, 30), st.just(1_000)),
    st.just("x"),
    st.sampled_from([1.0, 2.0, 3.0]),
    st.sampled_from([-1, 1, 2, 3, 4]),
    st.sampled_from([-1, 7, 8]),
    st.sampled_from([0.0, 100.0, 200.0]),
    st.booleans(),
    st.booleans(),
    st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True).map(tuple),
)
any_filters = st.builds(
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


def passes(row: CatalogueRow, filters: Filters) -> bool:
    return (
        row.shown
        and (
            not filters.categories or any(row.category in BELOW[category] for category in filters.categories)
        )
        and (not filters.brands or row.brand in filters.brands)
        and (filters.min_price is None or row.price >= filters.min_price)
        and (filters.max_price is None or row.price <= filters.max_price)
        and all(tag in row.tags for tag in filters.tags)
        and (not filters.in_stock or row.stocked)
        and (filters.created_since is None or row.created >= filters.created_since)
        and row.id not in filters.exclude
    )


def filter_products(catalogue: Catalogue, filters: Filters) -> FilterResult:
    """The products that pass the filters, for a guest without history and without rules."""
    rules = CompiledRules.compile(catalogue, [], NOW)
    return eligible_products(
        RecommendationRequest(filters=filters), SeenProducts(), rules, CatalogueFilters()
    )


@given(st.lists(rows, max_size=25, unique_by=lambda row: row.id), any_filters)
def test_filters_equal_a_direct_check_and_the_counts_add_up(
    products: list[CatalogueRow], filters: Filters
) -> None:
    catalogue = Catalogue.of(products, parents=PARENTS)
    result = filter_products(catalogue, filters)
    expected = {row.id for row in products if passes(row, filters)}
    assert set(catalogue.ids[result.eligible].tolist()) == expected
    assert sum(result.filtered_out.values()) + int(result.eligible.sum()) == len(products)
    assert all(count > 0 for count in result.filtered_out.values())
    # ids as a stored list has them, of which some are unknown
    asked = np.array([*range(40), 1_000, 2**31, 2**32 - 1], dtype=np.uint32)
    assert set(asked[result.passes(asked)].tolist()) == expected


def test_a_removal_is_counted_once() -> None:
    catalogue = Catalogue.of(
        [CatalogueRow(i, "x", float(i), -1, 7, 0.0, True, True, ()) for i in range(1, 5)]
    )
    result = filter_products(catalogue, Filters(brands=(7,), max_price=3.0))
    without_bought = result.without("bought", np.array([True, False, False, True]))
    assert without_bought.filtered_out == {"max_price": 1, "bought": 1}
    assert without_bought.without("bought", np.array([False, True, False, False])).filtered_out["bought"] == 2
    assert result.filtered_out == {"max_price": 1}


def test_a_cached_result_is_that_of_its_catalogue() -> None:
    filters, cached = Filters(brands=(7,)), CatalogueFilters()
    for brand in (7, 8):
        catalogue = Catalogue.of([CatalogueRow(1, "x", 1.0, -1, brand, 0.0, True, True, ())], parents={})
        assert cached.cached(catalogue, filters) is None
        result = cached.of(catalogue, filters)
        assert result.eligible.tolist() == [brand == 7]
        assert cached.cached(catalogue, filters) is result
        assert cached.of(catalogue, Filters(brands=(8,))).eligible.tolist() == [brand == 8]
