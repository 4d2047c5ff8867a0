"""A fit whose blocks are computed elsewhere gives the same model."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
import pytest
from scipy import sparse

from features.dataset import Dataset
from models import factory
from models.algorithms.factorization.als import ALS, ALSParameters
from models.shared.engine import ArrayEngine, Arrays, Kernel, compact_product, computing_on, current_engine
from tests.models.data import two_tastes

SAME = ("bought_together", "co_visitation", "co_visitation_by_type", "normalised_knn", "rp3beta", "tale")


class Elsewhere:
    """Computes the parts here, from copies of their arrays, in another order than they were given."""

    def __init__(self) -> None:
        self.parts = 0

    def map(self, kernel: Kernel, parts: Iterable[Arrays]) -> list[Arrays]:
        given = [{name: array.copy() for name, array in part.items()} for part in parts]
        self.parts += len(given)
        found = {number: kernel(given[number]) for number in reversed(range(len(given)))}
        return [found[number] for number in range(len(given))]


@cache
def shop() -> Dataset:
    return two_tastes()


@pytest.mark.parametrize("algorithm", SAME)
def test_item_to_item_models_are_the_same_to_the_bit(algorithm: str) -> None:
    here = factory.create(algorithm).fit(shop())
    engine = Elsewhere()
    with computing_on(engine):
        there = factory.create(algorithm).fit(shop())
    assert engine.parts > 1
    assert here._arrays().keys() == there._arrays().keys()
    for name, array in here._arrays().items():
        np.testing.assert_array_equal(array, there._arrays()[name], err_msg=name)


def objective(model: ALS, dataset: Dataset) -> float:
    """What alternating least squares minimises (Hu, Koren & Volinsky 2008, equation 3), of exact users."""
    users, items, chosen = model.user_factors_, model.item_factors_, model.parameters
    predicted = users @ items.T
    weights = np.ones_like(predicted)
    liked = dataset.matrix.tocoo()
    weights[liked.row, liked.col] = chosen.alpha * liked.data
    wanted = np.zeros_like(predicted)
    wanted[liked.row, liked.col] = 1.0
    penalty = chosen.regularization * float((users**2).sum() + (items**2).sum())
    return float((weights * (wanted - predicted) ** 2).sum()) + penalty


@pytest.mark.parametrize("iterations", [5, 15])
def test_factors_are_at_least_as_good_as_those_of_one_machine(iterations: int) -> None:
    parameters = ALSParameters(factors=8, alpha=0.5, regularization=2.0, iterations=iterations, seed=3)
    here = ALS(parameters).fit(shop())
    with computing_on(Elsewhere()):
        there = ALS(parameters).fit(shop())
        again = ALS(parameters).fit(shop())
    np.testing.assert_array_equal(there.item_factors_, again.item_factors_)
    np.testing.assert_array_equal(here.cold_, there.cold_)
    assert objective(there, shop()) <= objective(here, shop()) * 1.001


def test_the_engine_is_that_of_the_block_only() -> None:
    engine: ArrayEngine = Elsewhere()
    assert current_engine() is None
    with computing_on(engine):
        assert current_engine() is engine
    assert current_engine() is None
    with pytest.raises(RuntimeError), computing_on(engine):
        raise RuntimeError
    assert current_engine() is None


def test_a_product_with_the_used_rows_is_the_product() -> None:
    chance = np.random.default_rng(3)
    left, right = (
        sparse.random_array(shape, density=0.05, format="csr", dtype=np.float32, rng=chance)
        for shape in ((30, 200), (200, 40))
    )
    block, used = compact_product(sparse.csr_matrix(left[:7]))
    assert used.size < 200
    here, there = sparse.csr_matrix(left[:7] @ right), block @ sparse.csr_matrix(right)[used]
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(here, name), getattr(there, name))
