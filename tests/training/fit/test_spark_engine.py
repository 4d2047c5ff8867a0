"""Fits on Spark: the models of one machine, and which algorithms compute there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models import factory
from models.algorithms.factorization.als import ALS, ALSParameters
from models.shared.engine import Arrays, computing_on
from recsys.errors import Invalid, Unavailable
from tests.models.data import two_tastes
from training.fit.spark_engine import COMPUTED, SparkArrayEngine

pytestmark = pytest.mark.spark
DATA = two_tastes()


@pytest.mark.parametrize("algorithm", ["co_visitation", "bought_together"])
def test_models_are_those_of_one_machine(spark_session: Any, algorithm: str) -> None:
    here = factory.create(algorithm).fit(DATA)
    engine = SparkArrayEngine(spark_session)
    with computing_on(engine):
        there = factory.create(algorithm).fit(DATA)
    assert engine.parts > 1
    for name, array in here._arrays().items():
        np.testing.assert_array_equal(array, there._arrays()[name], err_msg=name)


def test_factors_are_solved_for_on_executors(spark_session: Any) -> None:
    engine = SparkArrayEngine(spark_session)
    with computing_on(engine):
        model = ALS(ALSParameters(factors=4, iterations=1, seed=1)).fit(DATA)
    assert engine.parts > 2
    assert np.isfinite(model.item_factors_).all()
    assert model.recommend(DATA.users.ids[:3], 5).products.shape == (3, 5)


def test_a_kernel_that_fails_ends_the_fit_with_its_reason(spark_session: Any) -> None:
    def refusing(arrays: Arrays) -> Arrays:
        raise Invalid(f"part {int(arrays['number'][0])} cannot be computed")

    engine = SparkArrayEngine(spark_session)
    with pytest.raises(Unavailable, match="did not compute all blocks of a fit: part 7 cannot"):
        engine.map(refusing, [{"number": np.array([7])}])
    assert engine.map(refusing, []) == []


@pytest.mark.parametrize("algorithm", sorted(factory.algorithms()))
def test_algorithms_that_compute_on_an_engine_are_listed(algorithm: str) -> None:
    class Counting:
        parts = 0

        def map(self, kernel: Any, parts: Any) -> list[Arrays]:
            found = [kernel(part) for part in parts]
            self.parts += len(found)
            return found

    engine = Counting()
    with computing_on(engine):
        factory.create(algorithm).fit(DATA)
    assert (engine.parts > 0) == (algorithm in COMPUTED)
