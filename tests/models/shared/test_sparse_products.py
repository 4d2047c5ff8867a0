"""Compiled products of sparse matrices are scipy's, and their best entries those of the dense scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from models.shared.score_blocks import DenseScores, SparseScores
from models.shared.sparse_products import dense_product, sparse_product


def matrix(rows: int, columns: int, density: float, seed: int) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    found = sparse.random(rows, columns, density, format="csr", dtype=np.float32, rng=rng)
    # few values: equal sums and sums of zero occur
    found.data[:] = rng.choice([-1.0, 0.5, 1.0, 2.0], found.nnz)
    return sparse.csr_matrix(found)


@pytest.mark.parametrize("shape", [(5, 40, 300), (1, 7, 9), (20, 64, 64), (3, 5, 20_000)])
@pytest.mark.parametrize("density", [0.0, 0.05, 0.6])
def test_products_are_those_of_scipy(shape: tuple[int, int, int], density: float) -> None:
    left, right = matrix(shape[0], shape[1], density, 1), matrix(shape[1], shape[2], density, 2)
    expected = (left @ right).toarray()
    found = sparse_product(left, right)
    np.testing.assert_array_equal(found.toarray(), expected)
    assert found.nnz == np.count_nonzero(expected)
    assert found.has_sorted_indices
    out = np.full(expected.shape, 7, dtype=np.float32)
    dense_product(left, right, out)
    np.testing.assert_array_equal(out, expected)


def test_the_best_of_sparse_scores_are_those_of_the_dense_ones() -> None:
    scores, seen = matrix(30, 200, 0.3, 3), matrix(30, 200, 0.1, 4)
    dense = np.full(scores.shape, -np.inf, dtype=np.float32)
    owner = np.repeat(np.arange(30), np.diff(scores.indptr))
    dense[owner, scores.indices] = scores.data
    closed = np.random.default_rng(5).random(200) < 0.2
    block = SparseScores(scores)
    for bars in ((None, None), (closed, None), (None, seen), (closed, seen)):
        for k in (1, 10, 250):
            columns, values = block.best(k, *bars)
            expected_columns, expected_values = DenseScores(dense.copy()).best(k, *bars)
            np.testing.assert_array_equal(columns, expected_columns)
            np.testing.assert_array_equal(values, expected_values)
    pairs = np.repeat(np.arange(30), 200), np.tile(np.arange(200), 30)
    np.testing.assert_array_equal(block.pairs(*pairs), dense[pairs])
