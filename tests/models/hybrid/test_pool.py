"""A large catalogue is ranked among the products that were taken most, and what each user had."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from features.dataset import Dataset
from features.interactions import History
from models import factory
from models.hybrid import strategy_selection as stages
from models.hybrid.candidate_generation import CandidatePairs, most_taken
from models.hybrid.hybrid import Hybrid, HybridParameters
from models.hybrid.ranker import SecondStage
from models.hybrid.ranking_features import FeatureSnapshot
from models.hybrid.strategy_selection import Stage
from models.shared.score_blocks import DenseScores, NarrowScores, SharedScores
from tests.models.data import dataset
from tests.models.shops import groceries

POOL = 40
MEMBERS = {
    "buy_again": {"algorithm": "buy_again"},
    "tifu_knn": {"algorithm": "tifu_knn", "parameters": {"neighbours": 40}},
    "ease": {"algorithm": "ease", "parameters": {"ridge": 50.0}},
    "als": {"algorithm": "als", "parameters": {"factors": 8, "iterations": 2}},
    "popularity": {"algorithm": "popularity"},
}


@cache
def fitted(kind: str, pool: int) -> tuple[Dataset, Hybrid]:
    data = groceries(seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "_beats", lambda *_: (True, 0.0))
        trees = 0 if kind == "blend" else 20
        model = Hybrid(HybridParameters(members=MEMBERS, candidates=30, trees=trees, pool=pool)).fit(data)
    assert {stage.kind for stage in model.stages_.values()} == {kind}
    return data, model


def test_the_products_of_the_pool_are_those_with_most_weight() -> None:
    rows = [(0, 3, "purchase", 1.0), (0, 1, "purchase", 1.0), (1, 3, "purchase", 1.0), (1, 5, "view", 1.0)]
    data = dataset(rows, users=2, items=8)
    found = most_taken(data, 3)
    assert found is not None
    assert found.tolist() == [1, 3, 5]
    assert most_taken(data, 7) is None, "hardly fewer than all"


@pytest.mark.parametrize("kind", ["blend", "ranker"])
def test_a_list_holds_products_of_the_pool_and_the_users_own(kind: str) -> None:
    data, model = fitted(kind, POOL)
    assert model.panel_.pool is not None
    ranking = model.recommend(data.users.ids, 20)
    new = model.recommend(data.users.ids, 20, exclude="seen")
    named_by_popularity = set(data.items.ids[np.argsort(-_popularity(model), kind="stable")[:30]].tolist())
    rare_own = 0
    for place, row in enumerate(data.users.index(data.users.ids)):
        own = set(data.items.ids[data.touched.indices[slice(*data.touched.indptr[row : row + 2])]].tolist())
        pool = set(data.items.ids[model.panel_.pool].tolist())
        listed = set(ranking.row(place)[0].tolist())
        assert listed <= pool | own | named_by_popularity
        rare_own += len(listed & own - pool)
        assert set(new.row(place)[0].tolist()).isdisjoint(own)
    assert rare_own > len(data.users), "habits are listed, however rare the product"


def _popularity(model: Hybrid) -> npt.NDArray[np.float32]:
    return np.asarray(model.panel_.members["popularity"]._arrays()["popularity"])


@pytest.mark.parametrize("kind", ["blend", "ranker"])
@pytest.mark.parametrize("exclude", [None, "seen"])
def test_a_list_does_not_depend_on_who_else_is_ranked(kind: str, exclude: str | None) -> None:
    data, model = fitted(kind, POOL)
    together = model.recommend(data.users.ids, 20, exclude=exclude)  # type: ignore[arg-type]
    for place, user in enumerate(data.users.ids[:40].tolist()):
        alone = model.recommend([user], 20, exclude=exclude)  # type: ignore[arg-type]
        np.testing.assert_array_equal(alone.products[0], together.products[place])


@pytest.mark.parametrize("kind", ["blend", "ranker"])
def test_a_pool_of_everything_changes_nothing(kind: str) -> None:
    data, whole = fitted(kind, 1_000)
    assert whole.panel_.pool is None
    everything = np.arange(len(data.items), dtype=np.int64)
    before = whole.recommend(data.users.ids, 20)
    plain = whole.panel_
    try:
        whole.panel_ = type(plain)(plain.members, plain.inactive, everything)
        after = whole.recommend(data.users.ids, 20)
    finally:
        whole.panel_ = plain
    np.testing.assert_array_equal(before.products, after.products)


def test_the_pool_comes_back_from_the_artifact(tmp_path: Path) -> None:
    data, model = fitted("ranker", POOL)
    model.save(tmp_path / "model")
    loaded = factory.load(tmp_path / "model")
    assert isinstance(loaded, Hybrid)
    assert model.panel_.pool is not None
    assert loaded.panel_.pool is not None
    np.testing.assert_array_equal(loaded.panel_.pool, model.panel_.pool)
    left, right = (each.recommend(data.users.ids, 20) for each in (model, loaded))
    np.testing.assert_array_equal(left.products, right.products)


def test_a_guest_is_ranked_among_the_pool_too() -> None:
    data, model = fitted("ranker", POOL)
    guests = [History.of(data.items.ids[[place, place + 40]]) for place in range(20)]
    together = model.recommend_from(guests, 20, exclude="seen")
    for place, guest in enumerate(guests):
        alone = model.recommend_from([guest], 20, exclude="seen")
        np.testing.assert_array_equal(alone.products[0], together.products[place])


def test_a_rule_of_one_member_gives_the_members_own_lists() -> None:
    data = groceries(seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "_beats", lambda *_: (False, 1.0))
        model = Hybrid(HybridParameters(members=MEMBERS, trees=0, pool=POOL)).fit(data)
    assert model.panel_.pool is None
    leader = model.panel_.members[model.stages_["any"].members[0]]
    np.testing.assert_array_equal(
        model.recommend(data.users.ids, 20).products, leader.recommend(data.users.ids, 20).products
    )


# --- blocks of scores ----------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_narrow_scores_are_dense_ones_of_which_some_columns_are_unknown(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    n, items = 5, 30
    columns = np.sort(rng.choice(items, 18, replace=False)).astype(np.int64)
    whole = np.full((n, items), -np.inf, dtype=np.float32)
    whole[:, columns] = rng.integers(0, 6, (n, columns.size))
    place = np.full(items, -1, dtype=np.int64)
    place[columns] = np.arange(columns.size)
    closed = rng.random(items) < 0.2
    seen = sparse.csr_matrix(rng.random((n, items)) < 0.2, dtype=np.float32)
    owner, item = np.divmod(np.arange(n * items), items)
    dense, narrow = DenseScores(whole.copy()), NarrowScores(whole[:, columns].copy(), columns, place)
    np.testing.assert_array_equal(dense.pairs(owner, item), narrow.pairs(owner, item))
    for left, right in zip(dense.best(k, closed, seen), narrow.best(k, closed, seen), strict=True):
        np.testing.assert_array_equal(left, right)


@given(st.integers(0, 10_000), st.integers(1, 40))
def test_scores_of_everybody_are_dense_ones_of_equal_rows(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    n, items = 4, 30
    scores = np.where(rng.random(items) < 0.2, -np.inf, rng.integers(0, 6, items)).astype(np.float32)
    closed = rng.random(items) < 0.2
    seen = sparse.csr_matrix(rng.random((n, items)) < 0.4, dtype=np.float32)
    dense = DenseScores(np.tile(scores, (n, 1))).best(k, closed, seen)
    for left, right in zip(dense, SharedScores(scores, n).best(k, closed, seen), strict=True):
        np.testing.assert_array_equal(left, right)


# --- the trees' part -----------------------------------------------------------------------------


def test_the_trees_order_the_head_and_equal_weights_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "RANKED", 3)
    scaled = np.array([[5.0], [1.0], [4.0], [3.0], [2.0], [9.0]], dtype=np.float32)
    owner, item = np.array([0, 0, 0, 0, 0, 1]), np.array([0, 1, 2, 3, 4, 0])
    rank = np.zeros_like(scaled)
    pairs = CandidatePairs(2, owner, item, scaled, scaled, rank, np.zeros((2, 1, 2), np.float32), 10)
    data = groceries(users=20, items=60)
    facts = FeatureSnapshot.learn(data, 7.0)

    class Backwards(SecondStage):
        def score(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
            return -features[:, 0].astype(np.float64)

    stage = Stage("ranker", ("one",), ranker=Backwards(np.empty(0, np.uint8), ("scaled",)))
    scores = stage.score(pairs, facts, facts.habits.take(np.array([0, 1])))
    assert np.argsort(-scores[:5]).tolist() == [3, 2, 0, 4, 1]
    assert scores[5] == -9.0
