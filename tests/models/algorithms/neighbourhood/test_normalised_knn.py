"""Normalised item-kNN against the formula on dense matrices, and its bounded, pruned products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from features.interactions import History
from models.algorithms.neighbourhood.normalised_knn import NormalisedKNN, NormalisedKNNParameters
from models.algorithms.shared import item_item
from models.algorithms.shared.item_item import top_products, valued
from recsys.errors import Invalid
from tests.models.data import two_tastes

DATA = two_tastes()


def dense_weights(alpha: float, power: float) -> np.ndarray:
    x = np.log1p(DATA.matrix.toarray().astype(np.float64))
    users, items = x.sum(axis=1), x.sum(axis=0)
    with np.errstate(divide="ignore"):
        left = np.where(users > 0, users**-alpha, 0.0)
        right = np.where(items > 0, items ** (alpha - 1.0), 0.0)
    normal = left[:, None] * x * right[None, :]
    gram = (normal.T @ normal) ** power
    np.fill_diagonal(gram, 0.0)
    return gram


def test_weights_are_those_of_the_formula() -> None:
    model = NormalisedKNN(NormalisedKNNParameters(alpha=0.6, power=0.7)).fit(DATA)
    np.testing.assert_allclose(model.weights_.toarray(), dense_weights(0.6, 0.7), atol=1e-5)


def test_fold_in_is_the_closed_form() -> None:
    model = NormalisedKNN().fit(DATA)
    columns, weights = np.array([1, 4, 9]), np.array([1.0, 5.0, 2.5])
    ranking = model.recommend_from([History.of(DATA.items.ids[columns], weights)], len(DATA.items))
    products, scores = ranking.row(0)
    expected = np.log1p(weights) @ dense_weights(0.6, 0.7)[columns]
    np.testing.assert_allclose(scores, expected[DATA.items.index(products)], atol=1e-5)
    assert products.size == np.count_nonzero(expected)


def test_only_the_nearest_are_kept() -> None:
    model = NormalisedKNN(NormalisedKNNParameters(neighbours=3)).fit(DATA)
    full = dense_weights(0.6, 0.7)
    for row in range(full.shape[0]):
        kept = model.weights_[row].toarray().ravel()
        assert np.count_nonzero(kept) == min(3, np.count_nonzero(full[row]))
        np.testing.assert_allclose(np.sort(kept)[-3:], np.sort(full[row])[-3:], atol=1e-5)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([1, 200, 10**9]))
def test_blocks_and_ties_change_nothing(seed: int, k: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    left = sparse.csr_matrix(rng.integers(0, 3, (7, 5)).astype(np.float32))
    right = sparse.csr_matrix(rng.integers(0, 3, (5, 7)).astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_item, "GRAM_BYTES", block)
        found = top_products(left, right, k).toarray()
    product = (left @ right).toarray()
    np.fill_diagonal(product, 0.0)
    for row in range(7):
        order = np.lexsort((np.arange(7), -product[row]))[:k]
        expected = np.zeros(7)
        expected[order] = product[row, order]
        np.testing.assert_array_equal(found[row], expected)


def test_values() -> None:
    matrix = sparse.csr_matrix(np.array([[0.0, 3.0], [0.5, 0.0]], dtype=np.float32))
    assert valued(matrix, "binary").toarray().tolist() == [[0.0, 1.0], [1.0, 0.0]]
    np.testing.assert_allclose(valued(matrix, "log").data, np.log1p([3.0, 0.5]), rtol=1e-6)
    assert valued(matrix, "linear").toarray().tolist() == matrix.toarray().tolist()


@pytest.mark.parametrize(
    "wrong", [{"alpha": 1.5}, {"power": 0.0}, {"neighbours": 0}, {"values": "cubed"}, {"alpha": float("nan")}]
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        NormalisedKNNParameters(**wrong)  # type: ignore[arg-type]
