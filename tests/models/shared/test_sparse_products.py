"""Compiled products of sparse matrices are scipy's, and their best entries those of the dense scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse

from models.ranking.top_k import CHUNK
from models.shared import sparse_products
from models.shared.score_blocks import DenseScores, SparseScores
from models.shared.sparse_products import dense_product, only_positive, scores_of_users, sparse_product

Float = npt.NDArray[np.float32]
WIDTH = 2_000


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
    # rows of several chunks: what reaches the best so far is looked for chunk by chunk
    scores, seen = matrix(30, WIDTH, 0.3, 3), matrix(30, WIDTH, 0.1, 4)
    # many different values, and equal ones among them
    scores.data[:] = np.random.default_rng(9).normal(size=scores.nnz).round(2)
    assert np.diff(scores.indptr).min() > 5 * CHUNK
    dense = np.full(scores.shape, -np.inf, dtype=np.float32)
    owner = np.repeat(np.arange(30), np.diff(scores.indptr))
    dense[owner, scores.indices] = scores.data
    closed = np.random.default_rng(5).random(WIDTH) < 0.2
    block = SparseScores(scores)
    for bars in ((None, None), (closed, None), (None, seen), (closed, seen)):
        for k in (1, 10, 100, WIDTH):
            columns, values = block.best(k, *bars)
            expected_columns, expected_values = DenseScores(dense.copy()).best(k, *bars)
            np.testing.assert_array_equal(columns, expected_columns)
            np.testing.assert_array_equal(values, expected_values)
    pairs = np.repeat(np.arange(30), WIDTH), np.tile(np.arange(WIDTH), 30)
    np.testing.assert_array_equal(block.pairs(*pairs), dense[pairs])


@pytest.mark.parametrize("users", [1, 2, 7, 8, 9, 40])
@pytest.mark.parametrize("finish", [None, only_positive])
def test_scores_of_users_do_not_depend_on_how_many_are_scored_together(
    users: int, finish: Callable[[Float, slice], None] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparse_products, "LEAST_ITEMS", 7)
    monkeypatch.setattr(sparse_products, "CELLS", 64)
    rng = np.random.default_rng(6)
    by_item = sparse.csr_matrix(matrix(90, 50, 0.2, 7).multiply(rng.random(50, dtype=np.float32)))
    given = (rng.random((users, 50), dtype=np.float32) - np.float32(0.5)) * (rng.random((users, 50)) < 0.4)
    out = np.full((users, 90), 7, dtype=np.float32)
    scores_of_users(by_item, given.astype(np.float32), out, finish)
    expected = np.stack([by_item @ each for each in given.astype(np.float32)])
    if finish is not None:
        expected[expected <= 0] = -np.inf
        assert (expected == -np.inf).any()
    np.testing.assert_array_equal(out, expected)
