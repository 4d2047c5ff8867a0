"""Single values of a sparse matrix, also of none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from models.shared.pair_values import values_at


@pytest.mark.parametrize("count", [0, 1, 50])
@pytest.mark.parametrize("kind", [np.float32, np.bool_])
def test_values_are_those_of_the_dense_matrix(count: int, kind: type) -> None:
    rng = np.random.default_rng(count)
    dense = (rng.random((7, 5)) * (rng.random((7, 5)) < 0.4)).astype(kind)
    rows, columns = rng.integers(0, 7, count), rng.integers(0, 5, count)
    found = values_at(sparse.csr_matrix(dense), rows, columns)
    assert (found.shape, found.dtype) == ((count,), np.dtype(np.float64))
    np.testing.assert_allclose(found, dense[rows, columns].astype(np.float64), rtol=1e-6)
