"""What people go on to: planted steps lead lists that start from a product, where views are logged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from features.dataset import Dataset, ItemFeatures
from models.algorithms.neighbourhood.complements import Complements, ComplementsParameters
from models.algorithms.neighbourhood.next_steps import in_order, looked_at, next_steps
from models.algorithms.neighbourhood.similar_items import SimilarItems, SimilarItemsParameters
from models.algorithms.shared.item_lists import ItemLists, Kept
from tests.models.data import Row, catalogue, dataset
from tests.models.shops import durables, event_log

ITEMS = 30


def weight_of(data: Dataset) -> np.ndarray:
    events = data.events
    return data.weights.weigh(events.kind, events.value, events.time, data.moment)


def walks(seed: int = 0, kind: str = "view") -> Dataset:
    """From each product people go on to the next row, now and then to any other one."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for user in range(300):
        item, age = int(rng.integers(ITEMS)), float(rng.uniform(1, 60))
        for step in range(6):
            rows.append((user, item, kind, age - step / 1_000))
            item = (item + 1) % ITEMS if rng.random() < 0.7 else int(rng.integers(ITEMS))
    return dataset(rows, users=300, items=ITEMS, features=all_alike())


def all_alike() -> ItemFeatures:
    """A catalogue that tells no product from another."""
    nothing = np.full(ITEMS, -1, dtype=np.int32)
    price = np.full(ITEMS, np.nan, dtype=np.float32)
    return replace(catalogue(ITEMS), text=[""] * ITEMS, category=nothing, brand=nothing, price=price)


@pytest.mark.parametrize("seed", range(3))
def test_the_planted_next_product_leads_the_similar_ones(seed: int) -> None:
    data = walks(seed)
    model = SimilarItems().fit(data)
    first = data.items.index(model.similar_items(data.items.ids, 1).products.ravel())
    assert np.mean(first == (np.arange(ITEMS) + 1) % ITEMS) > 0.7
    without = SimilarItems(SimilarItemsParameters(order=0.0)).fit(data)
    blind = data.items.index(without.similar_items(data.items.ids, 1).products.ravel())
    assert np.mean(blind == (np.arange(ITEMS) + 1) % ITEMS) < 0.7, "a lift knows no direction"


def test_purchases_alone_have_no_order_of_looking() -> None:
    assert looked_at(durables(users=60), weight_of(durables(users=60))) == {}
    assert looked_at(walks(kind="purchase"), weight_of(walks(kind="purchase"))) == {}
    assert looked_at(event_log(users=60), weight_of(event_log(users=60)))["purchase"] == 0.0


@pytest.mark.parametrize("algorithm", [SimilarItems, Complements])
def test_without_a_log_of_views_the_order_has_no_effect(algorithm: type[ItemLists]) -> None:
    data = durables(users=80)
    found = [algorithm(algorithm.Parameters(order=order)).fit(data).weights_ for order in (0.0, 5.0)]
    assert (found[0] != found[1]).nnz == 0


def test_the_order_fills_the_lists_of_products_of_few_baskets() -> None:
    data = event_log(users=60)
    short, full = (
        np.diff(Complements(ComplementsParameters(order=order)).fit(data).weights_.indptr)
        for order in (0.0, 1.0)
    )
    assert np.mean(short < 5) > 0.2
    assert (full >= short).all()
    assert (full >= 5).all()


def test_parts_are_added_in_units_of_their_medians() -> None:
    kept = Kept(
        np.array([0, 0, 1]), np.array([1, 2, 0]), np.array([4.0, 2.0, 1.0]), np.array([7.0, 3.0, 1.0])
    )
    steps = sparse.csr_matrix(np.array([[0, 0, 8.0], [0, 0, 4.0], [2.0, 0, 0]], dtype=np.float32))
    joined = in_order([kept], steps, 0.5, 2)
    pairs = dict(
        zip(zip(joined.row.tolist(), joined.column.tolist(), strict=True), joined.strength, strict=True)
    )
    assert pairs == pytest.approx({(0, 1): 2.0, (0, 2): 2.0, (1, 0): 0.5, (1, 2): 0.5, (2, 0): 0.25})
    assert joined.row.tolist() == [0, 0, 1, 1, 2]
    assert joined.support.tolist() == [7.0, 3.0, 1.0, 0.0, 0.0]
    alone = in_order([kept], sparse.csr_matrix((3, 3), dtype=np.float32), 0.5, 2)
    np.testing.assert_array_equal(alone.strength, kept.strength)


def test_next_steps_take_the_types_that_are_asked_for() -> None:
    data = event_log(users=60)
    views = next_steps(data, 10, looked_at(data, weight_of(data)))
    assert views.nnz != next_steps(data, 10).nnz or (views != next_steps(data, 10)).nnz
