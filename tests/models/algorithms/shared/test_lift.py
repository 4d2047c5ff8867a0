"""The heaviest pairs of each row are those of a full sort."""

from __future__ import annotations

import numpy as np
import pytest

from models.algorithms.shared.lift import nearest


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 7, 1_000])
def test_nearest_are_the_first_of_a_full_sort(k: int, kind: type[np.floating]) -> None:
    rng = np.random.default_rng(k)
    pairs = rng.permutation(40 * 60)[:900]
    row, column = np.divmod(pairs, 60)
    row[row == 3] = 4  # a row without pairs; row 4 has columns twice
    weight = rng.choice([0.5, 1.0, 2.0, 2.5], 900).astype(kind)  # few values: ties
    order = np.lexsort((np.arange(900), column, -weight, row))
    expected = [entry for line in np.unique(row) for entry in order[row[order] == line][:k]]
    assert nearest(row, column, weight, k).tolist() == expected


def test_nearest_of_nothing() -> None:
    nothing = np.empty(0, dtype=np.int64)
    assert nearest(nothing, nothing, np.empty(0), 3).size == 0
