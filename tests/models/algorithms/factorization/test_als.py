"""The confidence that ALS chooses from the data, where its parameters name none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from features.interactions import InteractionWeights
from models.algorithms.factorization.als import (
    ALS,
    BALANCE,
    NOISE_SHARE,
    ALSParameters,
    effective_parameters,
)
from tests.models.data import two_tastes

DATA = two_tastes()
CHOOSING = ALSParameters()


def _matrix(users: int, items: int, share: float, weight: float = 1.0) -> sparse.csr_matrix:
    found = sparse.random(users, items, share, "csr", np.float32, np.random.default_rng(0))
    found.data[:] = weight
    return found


@pytest.mark.parametrize(("users", "items", "share"), [(400, 300, 0.01), (2_000, 150, 0.005)])
def test_what_is_taken_once_weighs_the_same_share_in_shops_of_all_sizes(
    users: int, items: int, share: float
) -> None:
    matrix = _matrix(users, items, share)
    found = effective_parameters(matrix, CHOOSING, is_repeated=False)
    active = np.count_nonzero(np.diff(matrix.indptr)), np.unique(matrix.indices).size
    total = found.alpha * float(matrix.data.sum())
    assert total == pytest.approx(BALANCE * active[0] * active[1])


@pytest.mark.parametrize("is_repeated", [False, True])
def test_an_interaction_weighs_one_at_least_on_average(is_repeated: bool) -> None:
    dense = _matrix(60, 40, 0.5, weight=0.01)
    found = effective_parameters(dense, CHOOSING, is_repeated=is_repeated)
    assert found.alpha * 0.01 == pytest.approx(1.0)


def test_sums_of_repeats_weigh_one_on_average_however_sparse() -> None:
    matrix = _matrix(400, 300, 0.01, weight=7.0)
    found = effective_parameters(matrix, CHOOSING, is_repeated=True)
    assert found.alpha == pytest.approx(1 / 7)


@pytest.mark.parametrize(("users", "items", "share"), [(400, 300, 0.05), (2_000, 60, 0.1), (60, 40, 0.2)])
def test_lambda_is_a_share_of_the_largest_singular_value_of_chance(
    users: int, items: int, share: float
) -> None:
    matrix = _matrix(users, items, share, weight=3.0)
    found = effective_parameters(matrix, CHOOSING, is_repeated=False)
    entries = found.alpha * matrix.toarray()
    largest = np.linalg.norm(entries - entries.mean(), 2)
    assert found.regularization / NOISE_SHARE == pytest.approx(largest, rel=0.15)


def test_what_is_given_is_taken() -> None:
    given = ALSParameters(alpha=2.0, regularization=3.0)
    found = effective_parameters(DATA.matrix, given, is_repeated=False)
    assert (found.alpha, found.regularization) == (2.0, 3.0)
    half = effective_parameters(DATA.matrix, ALSParameters(alpha=2.0), is_repeated=False)
    assert half.alpha == 2.0
    assert half.regularization > 0.0


def test_nothing_to_learn_from_is_no_division_by_zero() -> None:
    found = effective_parameters(sparse.csr_matrix((3, 4), dtype=np.float32), CHOOSING, is_repeated=False)
    assert found.alpha > 0.0
    assert found.regularization > 0.0


@pytest.mark.parametrize("unit", [0.01, 100.0])
def test_the_unit_of_weights_changes_no_list(unit: float) -> None:
    """Purchases that weigh 500 give the lists of purchases that weigh 5."""
    by_type = {name: weight * unit for name, weight in DATA.weights.by_type.items()}
    other = replace(DATA, weights=InteractionWeights(by_type, DATA.weights.half_life_days))
    chosen = ALSParameters(factors=4, iterations=4)
    mine, theirs = (ALS(chosen).fit(each).recommend(DATA.users.ids, 5) for each in (DATA, other))
    np.testing.assert_array_equal(mine.products, theirs.products)
    np.testing.assert_allclose(mine.scores, theirs.scores, rtol=1e-3)


def test_what_was_chosen_comes_back_with_the_artifact(tmp_path: Path) -> None:
    fitted = ALS(ALSParameters(factors=4)).fit(DATA)
    fitted.save(tmp_path / "als")
    restored = ALS.load(tmp_path / "als")
    assert restored.effective_ == fitted.effective_
    np.testing.assert_array_equal(
        restored.recommend(DATA.users.ids, 5).scores, fitted.recommend(DATA.users.ids, 5).scores
    )


def test_what_the_fit_chose_can_be_read() -> None:
    model = ALS(ALSParameters(alpha=2.0)).fit(DATA)
    assert model.chosen_parameters == {
        "factors": model.item_factors_.shape[1],
        "regularization": model.effective_.regularization,
    }
    assert model.item_factors_.shape[1] == 256
