"""The k best of a row, against a full sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ranking.top_k import top_k
from tests.models.ranking.sorting import by_sorting


@settings(max_examples=150)
@given(
    st.integers(0, 2**31),
    st.integers(1, 4),
    st.sampled_from([0, 1, 5, 17, 40, 200, 1_000]),
    st.integers(1, 30),
    st.sampled_from([2, 5, 1_000_000]),
    st.floats(0, 1),
)
def test_top_k_is_the_start_of_a_stable_sort(
    seed: int, n: int, m: int, k: int, distinct: int, hidden: float
) -> None:
    chance = np.random.default_rng(seed)
    scores = chance.integers(-distinct, distinct, (n, m)).astype(np.float32)
    scores[chance.random((n, m)) < hidden] = -np.inf
    columns, values = top_k(scores, k)
    np.testing.assert_array_equal(columns, by_sorting(scores, k))
    filled = columns >= 0
    np.testing.assert_array_equal(values[~filled], -np.inf)
    np.testing.assert_array_equal(values[filled], scores[np.nonzero(filled)[0], columns[filled]])


@pytest.mark.parametrize("shape", ["rising", "falling", "level", "one peak"])
def test_rows_that_defeat_the_grouping(shape: str) -> None:
    line = np.zeros(5_000, dtype=np.float32)
    if shape == "rising":
        line = np.arange(5_000, dtype=np.float32)
    elif shape == "falling":
        line = np.arange(5_000, 0, -1, dtype=np.float32)
    elif shape == "one peak":
        line[4_998:] = 7.0
    scores = np.stack([line, -line])
    np.testing.assert_array_equal(top_k(scores, 10)[0], by_sorting(scores, 10))


def test_scores_are_not_changed() -> None:
    scores = np.random.default_rng(0).random((3, 500), dtype=np.float32)
    before = scores.copy()
    top_k(scores, 5)
    np.testing.assert_array_equal(scores, before)
