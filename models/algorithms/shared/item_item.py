"""What all sparse item-to-item models share: a score is the weighted history times one matrix."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from models.base import Arrays, ModelKind, Recommender, Rows, Scores
from models.ranking.filters import RankRequest, positive
from models.shared.engine import compact_product, current_engine, packed, unpacked
from models.shared.parallel import WORKERS, in_parallel
from models.shared.score_blocks import ScoreBlock, SparseScores
from models.shared.sparse_products import sparse_product

__all__ = [
    "VALUES",
    "ItemItem",
    "Values",
    "best_of_part",
    "finer_bounds",
    "scatter",
    "top_products",
    "valued",
]

Values = Literal["binary", "log", "linear"]
VALUES: tuple[str, ...] = ("binary", "log", "linear")
"""How strongly a history entry counts: 1 each; log(1 + weight); the weight itself."""

GRAM_BYTES = 96 * 2**20
"""Products of sparse matrices are taken in blocks of rows that need about this much at most."""
PARTS_OF_ENGINE = 32
"""An engine gets about so many blocks, where there are as many rows."""


def valued(matrix: sparse.csr_matrix, values: str) -> sparse.csr_matrix:
    """`matrix` (csr, positive weights) with each entry as `values` says; same pattern, float32."""
    result = sparse.csr_matrix(matrix, dtype=np.float32, copy=True)
    if values == "binary":
        result.data[:] = 1.0
    elif values == "log":
        np.log1p(result.data, out=result.data)
    return result


def top_products(
    left: sparse.csr_matrix,
    right: sparse.csr_matrix,
    k: int,
    *,
    power: float = 1.0,
    off_diagonal: npt.NDArray[np.float32] | None = None,
) -> sparse.csr_matrix:
    """The k largest positive entries of each row of `left @ right`, in bounded memory.

    Parameters
    ----------
    left : csr float32, shape (n, m)
    right : csr float32, shape (m, c)
        c is n where (i, i) means anything.
    power
        Each kept entry is raised to it.
    off_diagonal : float32, shape (n,)
        Taken off each entry (i, i) first; without it, no entry (i, i) is kept.

    Returns
    -------
    csr float32, shape (n, c)
        Columns of a row increasing; ties at the k-th place go to the lower column.
    """
    n = left.shape[0]
    # the products of row i meet sum of right's row lengths over the entries of i: an upper bound of its
    # entries
    width = np.minimum(left.astype(bool).astype(np.float64) @ np.diff(right.indptr), right.shape[1])
    bounds = _blocks_of(width * (right.data.itemsize + right.indices.itemsize))

    def best(part: tuple[int, int]) -> sparse.csr_matrix:
        start, end = part
        own = None if off_diagonal is None else off_diagonal[start:end]
        return _best_of_rows(left[start:end], right, start, k, own)

    engine = current_engine()
    if engine is None:
        blocks = in_parallel(best, list(pairwise(bounds)))
    else:
        bounds = finer_bounds(width, bounds)
        asked = (_part_of(left, right, part, k, off_diagonal) for part in pairwise(bounds))
        blocks = [unpacked("best", found) for found in engine.map(best_of_part, asked)]
    columns: list[npt.NDArray[np.int32]] = [np.empty(0, np.int32)]
    entries: list[npt.NDArray[np.float32]] = [np.empty(0, np.float32)]
    lengths = np.zeros(n, dtype=np.int64)
    for (start, end), kept in zip(pairwise(bounds), blocks, strict=True):
        columns.append(kept.indices)
        entries.append(kept.data)
        lengths[start:end] = np.diff(kept.indptr)
    data = np.concatenate(entries)
    if power != 1.0:
        data = np.power(data, np.float32(power))
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return sparse.csr_matrix((data, np.concatenate(columns), indptr), shape=(n, right.shape[1]))


def finer_bounds(width: npt.NDArray[np.float64], bounds: list[int]) -> list[int]:
    """More bounds, so that blocks of about the same work are enough for the processes of an engine."""
    work = np.cumsum(width)
    shares = np.linspace(0.0, work[-1] if work.size else 0.0, PARTS_OF_ENGINE + 1)[1:-1]
    return sorted({*bounds, *np.searchsorted(work, shares).tolist()})


def _part_of(
    left: sparse.csr_matrix,
    right: sparse.csr_matrix,
    part: tuple[int, int],
    k: int,
    off_diagonal: npt.NDArray[np.float32] | None,
) -> Arrays:
    """The arrays of `best_of_part` for the rows from part[0] to part[1]."""
    start, end = part
    block, used = compact_product(left[start:end])
    arrays = packed("left", block) | packed("right", right[used]) | {"start_and_k": np.array([start, k])}
    return arrays if off_diagonal is None else arrays | {"off_diagonal": off_diagonal[start:end]}


def best_of_part(arrays: Arrays) -> Arrays:
    """A kernel (`models.shared.engine`): `top_products` of some rows."""
    start, k = arrays["start_and_k"].tolist()
    best = _best_of_rows(
        unpacked("left", arrays), unpacked("right", arrays), start, k, arrays.get("off_diagonal")
    )
    return packed("best", best)


def _best_of_rows(
    left: sparse.csr_matrix,
    right: sparse.csr_matrix,
    start: int,
    k: int,
    off_diagonal: npt.NDArray[np.float32] | None,
) -> sparse.csr_matrix:
    """See `top_products`, of some rows, the first of which is row `start` of all."""
    block = sparse.csr_matrix(left @ right)
    end = start + left.shape[0]
    value, column = block.data, block.indices
    owner = np.repeat(np.arange(end - start), np.diff(block.indptr))
    itself = np.flatnonzero(column == start + owner)
    value[itself] -= value[itself] if off_diagonal is None else off_diagonal[owner[itself]]
    kept = value > 0
    counts = np.bincount(owner[kept], minlength=end - start)
    for row in np.flatnonzero(counts > k).tolist():  # only what is too long is looked at by itself
        inside = slice(block.indptr[row], block.indptr[row + 1])
        kept[inside] &= _largest(value[inside], column[inside], k)
        counts[row] = k
    # what is kept is a small part: sorting it afterwards costs a fraction of sorting the whole product
    best = sparse.csr_matrix(
        (
            value[kept].astype(np.float32),
            column[kept].astype(np.int32),
            np.concatenate([[0], np.cumsum(counts)]),
        ),
        shape=block.shape,
    )
    best.sort_indices()
    return best


def _blocks_of(sizes: npt.NDArray[np.float64]) -> list[int]:
    """Row bounds of blocks that take at most GRAM_BYTES on all cores together (one row each at least)."""
    bounds, filled = [0], 0.0
    for row, size in enumerate(sizes):
        if filled + size > GRAM_BYTES / WORKERS and row > bounds[-1]:
            bounds.append(row)
            filled = 0.0
        filled += float(size)
    bounds.append(int(sizes.size))
    return bounds


def _largest(
    values: npt.NDArray[np.float32], columns: npt.NDArray[np.integer], k: int
) -> npt.NDArray[np.bool_]:
    """Which k of more than k values are the largest; ties at the k-th place go to the lower column."""
    threshold = np.partition(values, values.size - k)[values.size - k]
    chosen: npt.NDArray[np.bool_] = values > threshold
    ties = np.flatnonzero(values == threshold)
    if ties.size > 1:
        ties = ties[np.argsort(columns[ties])]
    chosen[ties[: k - int(chosen.sum())]] = True
    return chosen


def scatter(found: sparse.csr_matrix, out: Scores) -> None:
    """Fill `out` with the entries of `found` (same shape), -inf where it has none: nothing is known there."""
    out.fill(-np.inf)
    owner = np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
    out[owner, found.indices] = found.data


class ItemItem(Recommender):
    """A model whose score is `valued(history) @ weights_`.

    A user's score of item j is the sum over the items i of the history of value(i) × weights_[i, j]: folding
    in a guest is the very same sum, and each term is a part of the explanation.
    """

    kind: ClassVar[ModelKind] = ModelKind.COLLABORATIVE
    weights_: sparse.csr_matrix
    """csr float32 (items, items): what one unit of row item says about the column item."""

    def _values(self) -> str:
        return str(getattr(self.parameters, "values", "linear"))

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        scatter(self._summed_rows(history), out)

    def _opinions(self, request: RankRequest, out: Scores) -> ScoreBlock:
        return SparseScores(self._summed_rows(positive(request.history)))

    def _summed_rows(self, history: sparse.csr_matrix) -> sparse.csr_matrix:
        return sparse_product(valued(history, self._values()), self.weights_)

    def _score_similar(self, items: Rows, out: Scores) -> None:
        scatter(self.weights_[items], out)

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        value = valued(history, self._values()).data
        near = self.weights_[history.indices][:, items].toarray()
        parts = (near * value[:, None]).T
        return np.ascontiguousarray(parts, dtype=np.float32), np.zeros(items.size, dtype=np.float32)

    def _arrays(self) -> Arrays:
        return {
            "weights_indptr": self.weights_.indptr.astype(np.int64),
            "weights_indices": self.weights_.indices.astype(np.int32),
            "weights_data": self.weights_.data.astype(np.float32),
        }

    def _restore(self, arrays: Arrays) -> None:
        parts = (arrays["weights_data"], arrays["weights_indices"], arrays["weights_indptr"])
        self.weights_ = sparse.csr_matrix(parts, shape=(len(self.items_), len(self.items_)))
