"""Ridge regressions of many rows, each on a few others: what local linear item-to-item models are made of."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import sparse

from models.shared.compiled import compiled
from models.shared.parallel import in_parallel

__all__ = ["GRAM_BELOW", "ridge_columns"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

GRAM_BELOW = 15_000
"""Up to so many sources a sparse matrix of all their products fits: 8 bytes × sources² at the most."""
LOCAL_BLOCK = 512
"""Regressions that one thread solves at once."""


def ridge_columns(
    near: sparse.csr_matrix,
    sources: sparse.csr_matrix,
    targets: sparse.csr_matrix,
    ridge: float,
    *,
    gram_below: int = GRAM_BELOW,
) -> sparse.csr_matrix:
    """B whose column j is the ridge regression of row j of `targets` on the rows near[j] of `sources`.

    Parameters
    ----------
    near : csr, shape (n, s)
        The pattern counts.
    sources : csr float32, shape (s, m)
    targets : csr float32, shape (n, m)
    gram_below
        Up to so many sources all their products are computed once (8 · s² bytes at most), which is faster
        where rows are long; with more of them, each column computes its own.

    Returns
    -------
    csr float32, shape (s, n)
    """
    count, size = near.shape
    pieces = np.empty(near.nnz, dtype=np.float32)
    gram = sparse.csr_matrix(sources @ sources.T) if size <= gram_below else None
    cross = sparse.csr_matrix(targets @ sources.T) if size <= gram_below else None
    of_sources, of_targets = _parts(sources), _parts(targets)
    lengths = np.diff(of_sources[0])

    def solve(part: tuple[int, int]) -> None:
        place = np.full(size, -1, dtype=np.int64)
        head = np.full(sources.shape[1], -1, dtype=np.int32)
        for j in range(*part):
            inside = slice(near.indptr[j], near.indptr[j + 1])
            chosen = near.indices[inside].astype(np.int64)
            if chosen.size == 0:
                continue
            if gram is None or cross is None:
                normal, right = np.zeros((chosen.size, chosen.size)), np.zeros(chosen.size)
                links = np.empty((2, int(lengths[chosen].sum())), dtype=np.int32)
                _normal_equations(chosen, *of_sources, j, *of_targets, head, links, normal, right)
            else:
                normal = _submatrix(gram, chosen, place).toarray().astype(np.float64)
                right = cross[j].toarray().ravel()[chosen]
            normal[np.diag_indices_from(normal)] += ridge
            # numpy's solver lets other threads run meanwhile, scipy's does not
            pieces[inside] = np.linalg.solve(normal, right)

    in_parallel(solve, list(pairwise([*range(0, count, LOCAL_BLOCK), count])))
    # row j now holds column j of B
    return sparse.csr_matrix((pieces, near.indices, near.indptr), shape=near.shape).T.tocsr()


def _parts(matrix: sparse.csr_matrix) -> tuple[Places, npt.NDArray[np.int32], Floats]:
    """Row bounds, columns and values in the types that the compiled loop takes."""
    return (
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32, copy=False),
        matrix.data.astype(np.float32, copy=False),
    )


@compiled
def _normal_equations(
    chosen: Places,
    indptr: Places,
    indices: npt.NDArray[np.int32],
    data: Floats,
    target: int,
    target_indptr: Places,
    target_indices: npt.NDArray[np.int32],
    target_data: Floats,
    head: npt.NDArray[np.int32],
    links: npt.NDArray[np.int32],
    normal: Doubles,
    right: Doubles,
) -> None:
    """Products of the chosen rows with each other and with the target row, into `normal` and `right`.

    The entries of a column are chained as their rows are met: the work is that of the pairs of entries
    which share a column, however many columns the matrix has.

    Parameters
    ----------
    head : shape (columns,)
        All -1, and left so: the last entry of each column.
    links : shape (2, entries of the chosen rows)
        The entry before in the same column, and the place of the row in `chosen`; written here.
    normal : shape (c, c)
    right : shape (c,)
        Both all 0 before.
    """
    used = 0
    values = np.empty(links.shape[1], dtype=np.float32)
    for i in range(chosen.size):
        for entry in range(indptr[chosen[i]], indptr[chosen[i] + 1]):
            column, value = indices[entry], data[entry]
            link = head[column]
            while link >= 0:
                normal[i, links[1, link]] += value * values[link]
                link = links[0, link]
            normal[i, i] += value * value
            links[0, used], links[1, used], values[used] = head[column], i, value
            head[column] = used
            used += 1
    for entry in range(target_indptr[target], target_indptr[target + 1]):
        link = head[target_indices[entry]]
        while link >= 0:
            right[links[1, link]] += target_data[entry] * values[link]
            link = links[0, link]
    for i in range(chosen.size):
        for entry in range(indptr[chosen[i]], indptr[chosen[i] + 1]):
            head[indices[entry]] = -1
        for k in range(i):
            normal[k, i] = normal[i, k]


def _submatrix(
    matrix: sparse.csr_matrix, chosen: npt.NDArray[np.integer], place: npt.NDArray[np.int64]
) -> sparse.coo_matrix:
    """matrix[chosen][:, chosen].

    Parameters
    ----------
    place : int64, shape (columns,)
        All -1, and left so.
    """
    place[chosen] = np.arange(chosen.size)
    start = matrix.indptr[chosen].astype(np.int64)
    length = matrix.indptr[chosen + 1] - start
    entry = np.repeat(start - np.cumsum(length) + length, length) + np.arange(length.sum())
    column = place[matrix.indices[entry]]
    place[chosen] = -1
    kept = column >= 0
    row = np.repeat(np.arange(chosen.size), length)[kept]
    return sparse.coo_matrix((matrix.data[entry[kept]], (row, column[kept])), shape=(chosen.size,) * 2)
