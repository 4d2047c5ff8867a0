"""BPR: it learns the tastes, repeats itself, and folds people in by its ridge map."""

from __future__ import annotations

import numpy as np
import pytest

from features.interactions import History
from models.algorithms.factorization.bpr import BPR, BPRParameters
from recsys.errors import Invalid
from tests.models.data import two_tastes

DATA = two_tastes()
CHOSEN = BPRParameters(factors=8, iterations=60)


def test_what_was_taken_scores_above_what_was_not() -> None:
    model = BPR(CHOSEN).fit(DATA)
    scores = model.users_factors_ @ model.items_factors_.T + model.bias_
    taken = DATA.matrix.toarray() > 0
    better = [np.mean(s[t][:, None] > s[~t][None, :]) for s, t in zip(scores, taken, strict=True) if t.any()]
    assert np.mean(better) > 0.8  # chance: 0.5


def test_the_same_seed_gives_the_same_factors_and_another_does_not() -> None:
    first, again = BPR(CHOSEN).fit(DATA), BPR(CHOSEN).fit(DATA)
    np.testing.assert_array_equal(first.items_factors_, again.items_factors_)
    other = BPR(BPRParameters(factors=8, iterations=60, seed=2)).fit(DATA)
    assert not np.array_equal(first.items_factors_, other.items_factors_)


def test_fold_in_is_the_closed_form() -> None:
    model = BPR(CHOSEN).fit(DATA)
    matrix = DATA.matrix.toarray().astype(np.float64)
    active = matrix.sum(axis=1) > 0
    means = (matrix[active] / matrix[active].sum(axis=1, keepdims=True)) @ model.items_factors_
    ridge = means.T @ means + CHOSEN.fold_ridge * np.eye(8)
    fold = np.linalg.solve(ridge, means.T @ model.users_factors_[active])
    columns, given = np.array([2, 3]), np.array([1.0, 3.0])
    factors = (given / given.sum()) @ model.items_factors_[columns] @ fold
    products, scores = model.recommend_from([History.of(DATA.items.ids[columns], given)], 10).row(0)
    expected = (model.items_factors_ @ factors + model.bias_)[DATA.items.index(products)]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"factors": 0}, {"learning_rate": 0.0}, {"iterations": 0}, {"seed": -1}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        BPRParameters(**wrong)  # type: ignore[arg-type]
