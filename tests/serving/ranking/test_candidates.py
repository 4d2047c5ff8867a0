"""Lists that start from products are ranked as the models are judged."""

from __future__ import annotations

import threading
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.dataset import Dataset
from features.interactions import History
from models import factory
from models.base import Recommender
from models.ranking.filters import RankRequest, Selection
from recsys.domains.recommendations.reasons import ReasonCode
from serving.ranking.candidates import Neighbours, _nearest, similar
from tests.models.data import Row, dataset
from tests.models.shops import groceries

BREAD, JAM, TEA, BISCUITS, MILK = range(5)


@cache
def fitted(algorithm: str) -> tuple[Dataset, Recommender]:
    data = groceries()
    return data, factory.create(algorithm).fit(data)


def loaded(model: Recommender) -> Any:
    registered = SimpleNamespace(algorithm=model.algorithm)
    return SimpleNamespace(registered=registered, model=model, lock=threading.Lock())


@pytest.mark.parametrize("algorithm", ["complements", "similar_items"])
@pytest.mark.parametrize("size", [2, 3, 7])
def test_a_cart_gets_the_list_that_is_judged(algorithm: str, size: int) -> None:
    data, model = fitted(algorithm)
    shown = data.items.ids[::2]
    rng = np.random.default_rng(size)
    compared = 0
    for _ in range(30):
        cart = rng.choice(data.items.ids, size, replace=False).tolist()
        judged = model.recommend_from([History.of(np.array(cart))], 10, exclude="seen", only=shown)
        served = similar(loaded(model), cart, 10, shown, ReasonCode.BOUGHT_TOGETHER)
        assert [entry.product for entry in served] == judged.row(0)[0].tolist()
        assert all(entry.evidence in cart for entry in served)
        scores = [entry.score for entry in served]
        assert scores == sorted(set(scores), reverse=True)
        compared += len(served)
    assert compared > 30


def test_what_goes_strongly_with_one_is_before_what_goes_a_little_with_all() -> None:
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    for user in range(120):
        basket = {int(item) for item in rng.choice(np.arange(5, 40), 4, replace=False)}
        basket |= {BREAD, JAM} if user % 6 == 0 else set()
        basket |= {int(rng.choice([BREAD, TEA, BISCUITS]))} | ({MILK} if user % 3 else set())
        rows += [(user, item, "purchase", 5.0) for item in sorted(basket)]
    data = dataset(rows, users=120, items=40)
    model = factory.create("complements").fit(data)
    cart = data.items.ids[[BREAD, TEA, BISCUITS]].tolist()
    served = similar(loaded(model), cart, 5, data.items.ids, ReasonCode.BOUGHT_TOGETHER)
    assert served[0].product == int(data.items.ids[JAM])
    assert served[0].evidence == int(data.items.ids[BREAD])


def test_one_product_keeps_its_scores() -> None:
    data, model = fitted("complements")
    seed = int(data.items.ids[3])
    ranking = model.similar_items([seed], 10)
    served = similar(loaded(model), [seed], 10, data.items.ids)
    assert [entry.product for entry in served] == ranking.row(0)[0].tolist()
    np.testing.assert_allclose([one.score for one in served], ranking.row(0)[1] * 10_000, atol=10)


def test_a_cart_of_unknown_products_has_no_list() -> None:
    _, model = fitted("complements")
    assert similar(loaded(model), [1, 2], 10, model.items_.ids) == []


def test_scores_of_many_carts_are_those_of_each_alone() -> None:
    data, model = fitted("complements")
    history = model.history_[:20]
    strangers = np.full(20, -1, dtype=np.int64)
    together = np.empty((20, len(data.items)), dtype=np.float32)
    model._answer(RankRequest(history, strangers, Selection.all()), together)
    for row in range(20):
        alone = np.empty((1, len(data.items)), dtype=np.float32)
        model._answer(RankRequest(history[[row]], strangers[:1], Selection.all()), alone)
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-6)


@pytest.mark.parametrize("algorithm", ["item_knn", "popularity"])
@given(data=st.data())
def test_taking_from_a_longer_list_gives_what_ranking_among_the_eligible_gives(
    algorithm: str, data: st.DataObject
) -> None:
    _, model = fitted(algorithm)
    ids = model.items_.ids.tolist()
    products = data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3, unique=True))
    hidden = data.draw(st.sets(st.sampled_from(ids)))
    only = np.array(sorted(set(ids) - hidden), dtype=np.int64)
    k = data.draw(st.integers(1, len(ids)))
    expected = model.similar_items(products, k, only=only)
    found = _nearest(model, products, k, only, None)
    for row in range(len(products)):
        listed, listed_now = expected.products[row] >= 0, found.products[row] >= 0
        np.testing.assert_array_equal(found.products[row][listed_now], expected.products[row][listed])
        np.testing.assert_array_equal(found.scores[row][listed_now], expected.scores[row][listed])


@pytest.mark.parametrize("algorithm", ["complements", "similar_items", "als"])
def test_lists_of_what_was_ranked_ahead_are_the_same(algorithm: str) -> None:
    data, model = fitted(algorithm)
    shown, neighbours = data.items.ids[::2], Neighbours()
    served = loaded(model)
    seeds = [int(data.items.ids[row]) for row in (0, 3, 4, 8)]
    neighbours.prepare(served, [*seeds[:3], -1], 5)
    assert [neighbours.of(model, [seed], 12) is not None for seed in seeds] == [True, True, True, False]
    assert neighbours.of(model, seeds[:2], 12) is None, "of several products at once"
    assert neighbours.of(fitted("content")[1], seeds[:1], 12) is None, "of another model"
    for seed in seeds:
        for k in (5, 4):
            ahead = similar(served, [seed], k, shown, neighbours=neighbours)
            assert ahead == similar(served, [seed], k, shown)
    # with fewer products on sale than are looked for
    few = shown[:3]
    assert similar(served, seeds[:1], 5, few, neighbours=neighbours) == similar(served, seeds[:1], 5, few)
