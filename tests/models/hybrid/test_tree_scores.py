"""The compiled trees give LightGBM's own scores, bit by bit."""

from __future__ import annotations

from collections.abc import Sequence

import lightgbm
import numpy as np
import pytest

from models.hybrid.tree_scores import CompiledTrees


def booster(leaves: int, categories: Sequence[int] = (), **parameters: object) -> lightgbm.Booster:
    rng = np.random.default_rng(3)
    features = np.round(rng.normal(size=(3_000, 6)), 1)
    features[rng.random(features.shape) < 0.2] = np.nan
    features[:, 5] = rng.integers(0, 3, 3_000)  # without unknown ones
    target = np.nan_to_num(features[:, 0]) * (features[:, 1] > 0) + np.isnan(features[:, 2]) + features[:, 5]
    chosen = {"num_leaves": leaves, "num_threads": 1, "verbose": -1, "seed": 1, **parameters}
    data = lightgbm.Dataset(features, target, categorical_feature=categories)
    return lightgbm.train(chosen, data, num_boost_round=12)


@pytest.mark.parametrize("leaves", [2, 8, 31])
@pytest.mark.parametrize("rows", [1, 255, 256, 1_000])
def test_scores_are_those_of_lightgbm(leaves: int, rows: int) -> None:
    model = booster(leaves)
    trees = CompiledTrees.of(model.model_to_string())
    rng = np.random.default_rng(rows)
    features = rng.normal(size=(rows, 6)).astype(np.float32)
    # values that are bounds themselves, zeros and unknown ones, in every column
    bound = rng.integers(0, trees.feature.size, rows)
    features[np.arange(rows), trees.feature[bound]] = trees.threshold[bound]
    features[rng.random(features.shape) < 0.1] = 0
    features[rng.random(features.shape) < 0.2] = np.nan
    # LightGBM takes what is as near to zero as its bounds about zero for zero
    features[np.abs(features) < 1e-30] = 0
    expected = model.predict(features, num_threads=1)
    np.testing.assert_array_equal(trees.score(features), expected)
    assert np.unique(expected).size > 1 or rows == 1


def test_trees_that_learned_nothing_and_no_trees() -> None:
    model = booster(8, min_data_in_leaf=2_000)
    features = np.zeros((3, 6), dtype=np.float32)
    np.testing.assert_array_equal(
        CompiledTrees.of(model.model_to_string()).score(features), model.predict(features)
    )
    assert CompiledTrees.of("tree\n").score(features).tolist() == [0, 0, 0]


def test_trees_that_cannot_be_scored_are_refused() -> None:
    refused = {
        "leaves": booster(40),
        "zeros": booster(8, zero_as_missing=True),
        "categories": booster(8, [5], min_data_per_group=1, cat_smooth=0.0),
    }
    for message, model in refused.items():
        with pytest.raises(ValueError, match=message):
            CompiledTrees.of(model.model_to_string())
