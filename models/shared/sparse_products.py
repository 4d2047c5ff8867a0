"""Products of a sparse matrix of items with dense columns of users, written as rows of users."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import sparse

from models.shared.compiled import compiled

__all__ = ["dense_product", "only_positive", "scores_of_users", "sparse_product"]

Float = npt.NDArray[np.float32]
Indices = npt.NDArray[np.integer]

CELLS = 1 << 17
"""Numbers of one step's product: so many stay in a core's own cache, where transposing them costs little.
Transposed as a whole, it takes up to twice as long."""
LEAST_ITEMS = 512
"""Of one step."""
FEWEST_COLUMNS = 8
"""With fewer users scipy is the faster one: a loop over so few numbers of each entry gains nothing."""
CHUNK = 64
"""Columns that are compared with zero together."""
FIRST_ENTRIES = 8_192
"""Of a row of a sparse product there is room for so many, before there is room for all."""


def scores_of_users(
    by_item: sparse.csr_matrix,
    users: Float,
    out: Float,
    finish: Callable[[Float, slice], None] | None = None,
) -> None:
    """Fill `out` with (by_item @ users.T).T.

    Each stored number of `by_item` is read once for all users; users @ by_item.T reads it once for each.

    Parameters
    ----------
    by_item : csr float32, shape (items, m)
    users : float32, shape (n, m)
    out : float32, shape (n, items)
    finish
        Changes the products of some items in place, float32 (items of the slice, n), before they are written.
    """
    if users.shape[0] < FEWEST_COLUMNS:
        out[:] = (by_item @ users.T).T
        if finish is not None:
            finish(out.T, slice(0, by_item.shape[0]))
        return
    columns = np.ascontiguousarray(users.T)
    step = max(LEAST_ITEMS, CELLS // max(1, users.shape[0]))
    room = np.empty((min(step, by_item.shape[0]), users.shape[0]), dtype=np.float32)
    for start in range(0, by_item.shape[0], step):
        part = slice(start, min(start + step, by_item.shape[0]))
        found = room[: part.stop - part.start]
        _times_columns(by_item.indptr[part.start : part.stop + 1], *_parts(by_item)[1:], columns, found)
        if finish is not None:
            finish(found, part)
        out[:, part] = found.T


def only_positive(products: Float, items: slice) -> None:
    """For `finish`: what is not above zero is unknown."""
    np.copyto(products, np.float32(-np.inf), where=products <= 0)


def sparse_product(left: sparse.csr_matrix, right: sparse.csr_matrix) -> sparse.csr_matrix:
    """left @ right, both csr float32, with increasing columns and without zeros.

    Scipy's product reads both once more to count the entries, and lets no other thread run meanwhile.
    """
    n = left.shape[0]
    bound = int(np.diff(right.indptr).max(initial=0)) * int(np.diff(left.indptr).max(initial=0))
    room = n * min(bound, right.shape[1], FIRST_ENTRIES)
    indptr, indices, data = _product_of_rows(*_parts(left), *_parts(right), right.shape[1], room)
    return sparse.csr_matrix((data, indices, indptr), shape=(n, right.shape[1]))


def dense_product(left: sparse.csr_matrix, right: sparse.csr_matrix, out: Float) -> None:
    """Fill `out` (n, m) with left @ right, both csr float32; other threads run meanwhile."""
    out.fill(0)
    _add_rows(*_parts(left), *_parts(right), out)


def _parts(matrix: sparse.csr_matrix) -> tuple[Indices, Indices, Float]:
    return matrix.indptr, matrix.indices, matrix.data


@compiled
def _times_columns(indptr: Indices, indices: Indices, data: Float, columns: Float, out: Float) -> None:
    """Fill `out` (rows, n) with the rows of a csr times `columns` (m, n), as scipy does, entry by entry.

    Scipy is compiled for any processor, this for the processor at hand, and no part of the matrix is copied.
    """
    for row in range(indptr.size - 1):
        line = out[row]
        for at in range(line.size):
            line[at] = 0
        for entry in range(indptr[row], indptr[row + 1]):
            factor, column = data[entry], columns[indices[entry]]
            for at in range(line.size):
                line[at] += factor * column[at]


@compiled
def _product_of_rows(
    left_indptr: Indices,
    left_indices: Indices,
    left_data: Float,
    indptr: Indices,
    indices: Indices,
    data: Float,
    width: int,
    room: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], Float]:
    n = left_indptr.size - 1
    starts = np.zeros(n + 1, dtype=np.int64)
    columns, values = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.float32)
    line = np.zeros(width, dtype=np.float32)
    used = 0
    for row in range(n):
        if used + width > columns.size:
            more = 2 * columns.size + width
            wider, longer = np.empty(more, dtype=np.int32), np.empty(more, dtype=np.float32)
            wider[:used], longer[:used] = columns[:used], values[:used]
            columns, values = wider, longer
        for entry in range(left_indptr[row], left_indptr[row + 1]):
            factor, middle = left_data[entry], left_indices[entry]
            for at in range(indptr[middle], indptr[middle + 1]):
                line[indices[at]] += factor * data[at]
        # to look for what is not zero costs less than to ask at each addition whether it is the first one
        for start in range(0, width, CHUNK):
            part = line[start : start + CHUNK]
            filled = 0
            for at in range(part.size):
                filled += part[at] != 0
            if filled:
                for at in range(part.size):
                    if part[at] != 0:
                        columns[used], values[used] = start + at, part[at]
                        used += 1
                        part[at] = 0
        starts[row + 1] = used
    return starts, columns[:used], values[:used]


@compiled
def _add_rows(
    left_indptr: Indices,
    left_indices: Indices,
    left_data: Float,
    indptr: Indices,
    indices: Indices,
    data: Float,
    out: Float,
) -> None:
    for row in range(left_indptr.size - 1):
        line = out[row]
        for entry in range(left_indptr[row], left_indptr[row + 1]):
            factor, middle = left_data[entry], left_indices[entry]
            for at in range(indptr[middle], indptr[middle + 1]):
                line[indices[at]] += factor * data[at]
