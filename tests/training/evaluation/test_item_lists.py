"""Lists that start from a product: which held-out pairs are asked for, and the figures by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY as DAY
from models.algorithms.neighbourhood.complements import Complements
from models.algorithms.neighbourhood.item_knn import ItemKNN
from recsys.errors import Invalid
from tests.models.data import Row, catalogue, dataset
from training.evaluation.item_lists import (
    FLOORS,
    METRICS,
    ItemQuestion,
    ask,
    figures_of,
    floor_lists,
    judge_lists,
    model_lists,
    per_person,
)

ITEMS = 12
PAST: list[Row] = [(user, item, "purchase", 40.0 - user) for user in range(3) for item in range(ITEMS)]


def cutoff_of(data: Dataset) -> int:
    """Ten days before the end."""
    return data.moment - 10 * DAY


def shop(later: list[Row], hidden: int | None = None) -> Dataset:
    """Everything was bought before the cutoff; `later` lies after it."""
    data = dataset(PAST + later, users=4, items=ITEMS, features=catalogue(ITEMS))
    if hidden is None:
        return data
    active = np.arange(ITEMS) != hidden
    return replace(data, item_features=replace(data.item_features, active=active))


def pairs(question: ItemQuestion) -> set[tuple[int, frozenset[int]]]:
    """Seeds with their right products, as item rows."""
    rows = question.relevant
    return {
        (int(seed), frozenset(rows.indices[rows.indptr[i] : rows.indptr[i + 1]].tolist()))
        for i, seed in enumerate(question.seeds)
    }


def test_complements_ask_for_the_rest_of_a_basket() -> None:
    data = shop(
        [(0, 1, "purchase", 3.0), (0, 2, "purchase", 3.0), (0, 3, "purchase", 3.0), (1, 4, "purchase", 2.0)]
    )
    question = ask(data, cutoff_of(data), "complements")
    assert len(question) == 1, "a basket of one product asks for nothing"
    (seed, right) = next(iter(pairs(question)))
    assert right | {seed} == {1, 2, 3}
    assert seed not in right


def test_similar_asks_for_the_next_step_of_a_visit() -> None:
    minute = 1 / 1440
    walked: list[Row] = [(0, item, "view", 3.0 - step * minute) for step, item in enumerate((1, 1, 5, 2))]
    elsewhere: list[Row] = [(0, 7, "view", 3.0 - 60 * minute), (1, 8, "view", 2.0), (2, 9, "view", 2.0)]
    question = ask(shop(walked + elsewhere), cutoff_of(shop(walked)), "similar")
    assert pairs(question) == {(1, frozenset({5})), (5, frozenset({2}))}


def test_without_visits_similar_asks_for_the_next_purchase_in_the_category() -> None:
    # rows 0 and 6 share a category, as do 1 and 7; 2 stands alone in its own after the cutoff
    later: list[Row] = [(0, 6, "purchase", 3.0), (1, 7, "purchase", 2.0), (1, 1, "purchase", 1.0)]
    question = ask(shop(later), cutoff_of(shop(later)), "similar")
    found = pairs(question)
    assert (7, frozenset({1})) in found
    for seed, right in found:
        assert all(seed % 6 == other % 6 and seed != other for other in right)


def test_a_cart_asks_for_the_product_that_is_missing_from_it() -> None:
    data = shop([(0, item, "purchase", 3.0) for item in (1, 2, 3, 4)] + [(1, 5, "purchase", 2.0)] * 2)
    question = ask(data, cutoff_of(data), "cart")
    assert question.carts is not None
    assert len(question) == 1, "a basket of one product is no cart"
    cart, missing = set(question.carts[0].indices), set(question.relevant[0].indices)
    assert len(missing) == 1
    assert cart | missing == {1, 2, 3, 4}
    assert not cart & missing
    assert set(question.seeds.tolist()) <= cart


@pytest.mark.parametrize("seed", range(5))
def test_lists_of_carts_hold_nothing_of_the_cart_and_find_planted_companions(seed: int) -> None:
    together: list[Row] = [
        (user, item, "purchase", 15.0 + day) for user in range(3) for day in range(9) for item in (1, 2, 3)
    ]
    others: list[Row] = [
        (user, item, "purchase", 25.0 + day) for user in range(3) for day in range(9) for item in (7, 8)
    ]
    data = shop([*together, *others, *((0, item, "purchase", 3.0) for item in (1, 2, 3))])
    question = ask(data, cutoff_of(data), "cart", seed=seed)
    assert question.carts is not None
    model = Complements().fit(question.train)
    for lists in (model_lists(model, question, 5), *(floor_lists(question, each, 5) for each in FLOORS)):
        assert lists.shape == (1, 5)
        assert not set(lists[0]) & set(question.carts[0].indices)
    assert model_lists(model, question, 5)[0, 0] == question.relevant[0].indices[0]


def test_what_is_hidden_is_neither_asked_for_nor_from() -> None:
    data = shop([(0, item, "purchase", 3.0) for item in (1, 2, 3)], hidden=2)
    question = ask(data, cutoff_of(data), "complements")
    (seed, right) = next(iter(pairs(question)))
    assert right | {seed} == {1, 3}


def test_nothing_to_ask_is_refused() -> None:
    data = shop([(0, 1, "purchase", 3.0)])
    with pytest.raises(Invalid, match="complements"):
        ask(data, cutoff_of(data), "complements")


def test_figures_by_hand() -> None:
    data = shop([(0, 1, "purchase", 3.0), (0, 2, "purchase", 3.0)])
    question = ask(data, cutoff_of(data), "complements")
    # three queries of two people; products 0 and 5 were bought three times before, so their worth is equal
    relevant = sparse.csr_matrix(np.eye(ITEMS, dtype=bool)[[0, 5, 0]] | np.eye(ITEMS, dtype=bool)[[0, 5, 5]])
    relevant.sort_indices()
    question = replace(question, seeds=np.array([1, 2, 3]), relevant=relevant, person=np.array([4, 4, 9]))
    lists = np.array([[0, 7, 8], [7, 5, 8], [7, 8, -1]])
    values = judge_lists(lists, question)
    second = 1 / np.log2(3)
    np.testing.assert_allclose(values["ndcg"], [1.0, second, 0.0])
    np.testing.assert_allclose(values["stratified_ndcg"], [1.0, second, 0.0])
    np.testing.assert_allclose(values["hit_rate"], [1.0, 1.0, 0.0])
    np.testing.assert_allclose(values["precision"], [1 / 3, 1 / 3, 0.0])
    np.testing.assert_allclose(values["recall"], [1.0, 1.0, 0.0])
    np.testing.assert_allclose(per_person(values["ndcg"], question), [(1 + second) / 2, 0.0])
    found = figures_of("by hand", lists, question, draws=200)
    assert found.figures["ndcg"][0] == pytest.approx((1 + second) / 4)
    assert (found.queries, found.people, found.empty_share) == (3, 2, 0.0)
    assert found.coverage == pytest.approx(4 / ITEMS)
    assert set(found.figures) == set(METRICS)


def test_a_rare_right_product_counts_more_than_a_popular_one() -> None:
    popular: list[Row] = [(3, 5, "purchase", 20.0 + 0.1 * day) for day in range(96)]
    data = shop([*popular, (0, 1, "purchase", 3.0), (0, 2, "purchase", 3.0)])
    question = ask(data, cutoff_of(data), "complements")
    right = sparse.csr_matrix(np.isin(np.arange(ITEMS), [5, 6])[None, :])
    question = replace(question, seeds=np.array([0]), relevant=right, person=np.array([0]))
    rare, often = (judge_lists(np.array([[item, 9]]), question) for item in (6, 5))
    assert rare["ndcg"][0] == often["ndcg"][0]
    # 3 and 99 purchases before the cutoff: worth 1/2 and 1/10
    assert rare["stratified_ndcg"][0] == pytest.approx(5 * often["stratified_ndcg"][0])


def test_floors_and_models_never_list_the_seed_and_only_what_may_be_shown() -> None:
    later: list[Row] = [(user, item, "purchase", 3.0) for user in range(3) for item in range(ITEMS)]
    data = shop(later, hidden=4)
    question = ask(data, cutoff_of(data), "complements")
    lists = {floor: floor_lists(question, floor, 5) for floor in FLOORS}
    lists |= {
        model.algorithm: model_lists(model.fit(question.train), question, 5)
        for model in (Complements(), ItemKNN())
    }
    for name, ranked in lists.items():
        assert ranked.shape == (len(question), 5)
        assert not (ranked == question.seeds[:, None]).any(), name
        assert not (ranked == 4).any(), name
        for row in ranked:
            assert len(set(row[row >= 0].tolist())) == (row >= 0).sum()
    assert (lists["popularity"] >= 0).all()
    category = np.asarray(data.item_features.category)
    own = lists["popularity_in_category"]
    assert (
        category[own][own >= 0] == np.repeat(category[question.seeds][:, None], 5, axis=1)[own >= 0]
    ).all()
