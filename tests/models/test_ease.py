"""EASE against the inverse taken densely, and the local form against the full one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from features.interactions import History
from models.ease import EASE, EASEParameters
from recsys.errors import Invalid
from tests.models.data import dataset, two_tastes

DATA = two_tastes()


def dense_weights(ridge: float) -> np.ndarray:
    x = np.log1p(DATA.matrix.toarray().astype(np.float64))
    inverse = np.linalg.inv(x.T @ x + ridge * np.eye(x.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def test_two_products_by_hand() -> None:
    # both took both: G = [[2, 2], [2, 2]] + 1·I, so each predicts the other by 2 / (2 + 1)
    rows = [(user, item, "purchase", 1.0) for user in (0, 1) for item in (0, 1)]
    model = EASE(EASEParameters(ridge=1.0, values="binary")).fit(dataset(rows, users=2, items=2))
    assert isinstance(model.weights_, np.ndarray)
    np.testing.assert_allclose(model.weights_, [[0.0, 2 / 3], [2 / 3, 0.0]], atol=1e-6)


def test_fold_in_is_the_closed_form() -> None:
    model = EASE(EASEParameters(ridge=5.0)).fit(DATA)
    columns, given = np.array([0, 2, 11]), np.array([1.0, 4.0, 0.3])
    products, scores = model.recommend_from(
        [History.of(DATA.items.ids[columns], given)], len(DATA.items)
    ).row(0)
    expected = np.log1p(given) @ dense_weights(5.0)[columns]
    np.testing.assert_allclose(scores, expected[DATA.items.index(products)], atol=1e-5)


def test_local_with_every_candidate_is_the_ridge_regression_on_them() -> None:
    local = EASE(EASEParameters(ridge=5.0, full_below=0, candidates=1000)).fit(DATA)
    assert sparse.issparse(local.weights_)
    # items that share no user with an item are no candidates of it: there the full solution differs
    gram = (DATA.matrix.T @ DATA.matrix).toarray()
    x = np.log1p(DATA.matrix.toarray().astype(np.float64))
    for j in range(len(DATA.items)):
        near = np.flatnonzero((gram[:, j] > 0) & (np.arange(len(DATA.items)) != j))
        expected = np.zeros(len(DATA.items))
        if near.size:
            part = x[:, near]
            expected[near] = np.linalg.solve(part.T @ part + 5.0 * np.eye(near.size), part.T @ x[:, j])
        np.testing.assert_allclose(local.weights_[:, [j]].toarray().ravel(), expected, atol=1e-5)


def test_the_form_is_chosen_by_size_and_says_why(tmp_path: Path) -> None:
    items = len(DATA.items)
    full = EASE(EASEParameters(full_below=items)).fit(DATA)
    local = EASE(EASEParameters(full_below=items - 1)).fit(DATA)
    assert full.reason_.startswith("full")
    assert str(items) in full.reason_
    assert local.reason_.startswith("local")
    assert str(items - 1) in local.reason_
    local.save(tmp_path / "local")
    assert EASE.load(tmp_path / "local").reason_ == local.reason_


@pytest.mark.parametrize("wrong", [{"ridge": 0.0}, {"full_below": -1}, {"candidates": 0}, {"values": "x"}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        EASEParameters(**wrong)  # type: ignore[arg-type]
