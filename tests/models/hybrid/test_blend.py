"""Blending: scaling by hand, unions without repeats, and weights that find the model that knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from models.hybrid import blend as module
from models.hybrid.blend import Blend, Pool, pool, scaled
from models.results import Ranking

INF = -np.inf


def test_scaling_by_hand() -> None:
    scores = np.array([[5.0, 3.0, 1.0], [2.0, 2.0, 2.0], [4.0, 1.0, INF], [INF, INF, INF]], dtype=np.float32)
    found = scaled(scores)
    np.testing.assert_allclose(found[0], [2.0, 1.0, 0.0])  # 4, 2, 0 with mean 2
    np.testing.assert_allclose(found[1], [0.0, 0.0, 0.0])
    np.testing.assert_allclose(found[2], [2.0, 0.0, 0.0])
    np.testing.assert_allclose(found[3], [0.0, 0.0, 0.0])


def lists() -> tuple[Ranking, Ranking]:
    queries = np.array([1, 2])
    left = Ranking(
        queries, np.array([[7, 3, 5], [9, -1, -1]]), np.array([[3, 2, 1], [1, INF, INF]], np.float32)
    )
    right = Ranking(
        queries, np.array([[5, 8, 7], [-1, -1, -1]]), np.array([[9, 8, 0], [INF] * 3], np.float32)
    )
    return left, right


def test_the_union_holds_each_product_once() -> None:
    found = pool(lists())
    assert found.products.tolist() == [[3, 5, 7, 8], [9, -1, -1, -1]]
    np.testing.assert_allclose(found.features[0, :, 0], [1.0, 0.0, 2.0, 0.0])
    np.testing.assert_allclose(found.features[0, :, 1], [0.0, 27 / 17, 0.0, 24 / 17], rtol=1e-6)


def test_a_blend_of_one_keeps_that_models_order() -> None:
    ranking = Blend({"left": 1.0, "right": 0.0}).rank(pool(lists()), 2)
    assert ranking.products.tolist() == [[7, 3], [9, -1]]
    assert ranking.scores[1, 1] == INF


def test_lists_of_other_queries_are_refused() -> None:
    left, right = lists()
    with pytest.raises(ValueError, match="same queries"):
        pool([left, Ranking(right.queries[::-1], right.products, right.scores)])


def test_the_model_that_knows_wins_the_weight() -> None:
    rng = np.random.default_rng(0)
    n, k = 200, 30
    queries = np.arange(n)
    chosen = np.stack([rng.permutation(100)[:k] for _ in range(n)])
    falling = np.sort(rng.random((n, k)).astype(np.float32), axis=1)[:, ::-1]
    knows = Ranking(queries, chosen, falling)
    guesses = Ranking(queries, np.stack([rng.permutation(row) for row in chosen]), falling)
    candidates = pool([guesses, knows])
    relevant = (candidates.products[:, :, None] == chosen[:, None, :5]).any(axis=2)
    blend = Blend.learn(["guesses", "knows"], candidates, relevant, np.full(n, 5), k=5)
    assert blend.weights["knows"] > 0.9
    assert sum(blend.weights.values()) == pytest.approx(1.0, abs=1e-3)


def test_a_model_that_was_left_out_too_early_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first product is right in all four queries; the search drops the best model first."""
    features = [
        [[0, 1, 1], [0, 1, 2], [1, 2, 0]],
        [[3, 0, 0], [2, 3, 2], [1, 3, 1]],
        [[2, 1, 2], [0, 0, 0], [3, 2, 2]],
        [[2, 1, 1], [0, 2, 0], [1, 1, 1]],
    ]
    candidates = Pool(np.arange(4), np.tile(np.arange(3), (4, 1)), np.array(features, np.float32))
    relevant = np.tile([True, False, False], (4, 1))
    tried: list[tuple[float, float]] = []
    judge = module._mean_ndcg

    def noted(pool: Pool, weights: npt.NDArray[np.float64], *rest: Any) -> float:
        value = judge(pool, weights, *rest)
        tried.append((value, float(weights[0])))
        return value

    monkeypatch.setattr(module, "_mean_ndcg", noted)
    blend = Blend.learn(["best", "worse", "other"], candidates, relevant, np.ones(4, np.int64), k=2)
    best, stood = tried[0]
    standing = [stood]
    for value, weight in tried[1:]:
        if value > best + 1e-6:
            best, stood = value, weight
            standing.append(stood)
    assert 0.0 in standing, "the data must lead the search to leave it out"
    assert blend.weights == {"best": 1.0, "worse": 0.0, "other": 0.0}
    # right at the first place in two queries, at the second in two: (2 + 2 / log2 3) / 4
    assert best == pytest.approx((2 + 2 / np.log2(3)) / 4)
