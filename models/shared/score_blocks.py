"""Scores of one block of users in the form that a model has them: dense, sparse, or the same for all."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from models.ranking.top_k import CHUNK, LOWEST, keep_best, place_key, top_k, value_of, write_best
from models.shared.compiled import compiled

__all__ = ["DenseScores", "NarrowScores", "ScoreBlock", "SharedScores", "SparseScores"]

Float = npt.NDArray[np.float32]
Indices = npt.NDArray[np.integer]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class ScoreBlock(Protocol):
    """The scores of n users for all items; -inf (or no entry) where a model can say nothing."""

    def best(self, k: int, closed: Mask | None, seen: sparse.csr_matrix | None) -> tuple[Rows, Float]:
        """The k best items of each user; ties go to the lower row.

        Parameters
        ----------
        closed : bool, shape (items,)
            What nobody is shown; None: nothing.
        seen : csr, shape (n, items)
            What each user is not shown; None: nothing.

        Returns
        -------
        rows : int64, shape (n, k)
            Item rows, -1 where there are fewer.
        scores : float32, shape (n, k)
            Theirs, -inf in those places.
        """
        ...

    def pairs(self, owner: Rows, item: Rows) -> Float:
        """float32 (c,): the score of each pair of a row of the block (ascending) and an item."""
        ...


class DenseScores:
    """A score of every item for each user.

    Attributes
    ----------
    scores : float32, shape (n, items)
    """

    def __init__(self, scores: Float) -> None:
        self.scores = scores

    def best(self, k: int, closed: Mask | None, seen: sparse.csr_matrix | None) -> tuple[Rows, Float]:
        """See `ScoreBlock`; what is closed or seen is set to -inf for good."""
        if closed is not None:
            self.scores[:, closed] = -np.inf
        if seen is not None:
            owner = np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr))
            self.scores[owner, seen.indices] = -np.inf
        return top_k(self.scores, k)

    def pairs(self, owner: Rows, item: Rows) -> Float:
        """See `ScoreBlock`."""
        return np.asarray(self.scores[owner, item])


class NarrowScores:
    """Dense scores of some items; nothing is known of the others.

    Attributes
    ----------
    scores : float32, shape (n, m)
    columns : int64, shape (m,)
        The item row of each column, increasing.
    place : int64, shape (items,)
        The column of each item row, -1 for none.
    """

    def __init__(self, scores: Float, columns: Rows, place: Rows) -> None:
        self.scores, self.columns, self.place = scores, columns, place

    def best(self, k: int, closed: Mask | None, seen: sparse.csr_matrix | None) -> tuple[Rows, Float]:
        """See `ScoreBlock`; what is closed or seen is set to -inf for good."""
        if closed is not None:
            self.scores[:, closed[self.columns]] = -np.inf
        if seen is not None:
            owner, at = np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr)), self.place[seen.indices]
            self.scores[owner[at >= 0], at[at >= 0]] = -np.inf
        at, values = top_k(self.scores, k)
        return np.where(at >= 0, self.columns[at], -1), values

    def pairs(self, owner: Rows, item: Rows) -> Float:
        """See `ScoreBlock`."""
        at = self.place[item]
        return np.where(at >= 0, self.scores[owner, at], np.float32(-np.inf))


class SparseScores:
    """Scores of a few items for each user; no entry means that nothing is known.

    Attributes
    ----------
    scores : csr float32, shape (n, items)
        Each column of a row once.
    """

    def __init__(self, scores: sparse.csr_matrix) -> None:
        self.scores = scores

    def best(self, k: int, closed: Mask | None, seen: sparse.csr_matrix | None) -> tuple[Rows, Float]:
        """See `ScoreBlock`."""
        n, items = self.scores.shape
        columns = np.full((n, k), -1, dtype=np.int64)
        values = np.full((n, k), -np.inf, dtype=np.float32)
        barred = np.zeros(items, dtype=bool) if closed is None else closed
        own = _NOTHING if seen is None else (seen.indptr, seen.indices)
        _best_of_sparse_rows(*_parts(self.scores), barred, *own, columns, values)
        return columns, values

    def pairs(self, owner: Rows, item: Rows) -> Float:
        """See `ScoreBlock`."""
        found = np.empty(owner.size, dtype=np.float32)
        line = np.full(self.scores.shape[1], -np.inf, dtype=np.float32)
        _sparse_pairs(*_parts(self.scores), owner, item, line, found)
        return found


class SharedScores:
    """The same scores for every one of n users.

    Attributes
    ----------
    scores : float32, shape (items,)
    n
        How many users.
    """

    def __init__(self, scores: Float, n: int) -> None:
        self.scores, self.n = scores, n

    def best(self, k: int, closed: Mask | None, seen: sparse.csr_matrix | None) -> tuple[Rows, Float]:
        """See `ScoreBlock`."""
        open_ = self.scores if closed is None else np.where(closed, np.float32(-np.inf), self.scores)
        longest = 0 if seen is None else int(np.diff(seen.indptr).max(initial=0))
        head, value = top_k(open_[None, :], min(k + longest, open_.size))
        head, value = head[0][head[0] >= 0], value[0][head[0] >= 0]
        columns = np.full((self.n, k), -1, dtype=np.int64)
        values = np.full((self.n, k), -np.inf, dtype=np.float32)
        barred = np.zeros((self.n, head.size), dtype=bool)
        if seen is not None:
            place = np.full(open_.size, -1, dtype=np.int64)
            place[head] = np.arange(head.size)
            owner, at = np.repeat(np.arange(self.n), np.diff(seen.indptr)), place[seen.indices]
            barred[owner[at >= 0], at[at >= 0]] = True
        order = np.argsort(barred, axis=1, kind="stable")[:, :k]
        there = ~np.take_along_axis(barred, order, axis=1)
        columns[:, : order.shape[1]] = np.where(there, head[order], -1)
        values[:, : order.shape[1]] = np.where(there, value[order], np.float32(-np.inf))
        return columns, values

    def pairs(self, owner: Rows, item: Rows) -> Float:
        """See `ScoreBlock`."""
        return np.asarray(self.scores[item])


_NOTHING = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32)


def _parts(matrix: sparse.csr_matrix) -> tuple[Indices, Indices, Float]:
    return matrix.indptr, matrix.indices, matrix.data


@compiled
def _best_of_sparse_rows(
    indptr: Indices,
    indices: Indices,
    data: Float,
    barred: Mask,
    seen_indptr: Indices,
    seen_indices: Indices,
    columns: Rows,
    values: Float,
) -> None:
    """Fill `columns` and `values` with the best entries of each row.

    Parameters
    ----------
    indptr, indices, data
        The scores, a csr of n rows.
    barred : bool, shape (items,)
        What nobody is shown.
    seen_indptr : integer, shape (n + 1,)
        Empty where nobody's history is barred.
    seen_indices : integer
        What each user is not shown, with `seen_indptr`.
    columns : int64, shape (n, k)
        Output: items, best first.
    values : float32, shape (n, k)
        Output: their scores.
    """
    left_out = barred.copy()
    heap = np.empty(columns.shape[1], dtype=np.int64)
    for row in range(indptr.size - 1):
        if seen_indptr.size:
            for at in range(seen_indptr[row], seen_indptr[row + 1]):
                left_out[seen_indices[at]] = True
        size, floor = 0, LOWEST
        for start in range(indptr[row], indptr[row + 1], CHUNK):
            part = data[start : min(start + CHUNK, indptr[row + 1])]
            # to count what reaches the worst of the best so far costs a tenth of looking at each entry
            reach = 0
            for at in range(part.size):
                reach += part[at] >= floor
            if reach:
                for at in range(part.size):
                    column = indices[start + at]
                    if part[at] >= floor and not left_out[column]:
                        size = keep_best(heap, size, place_key(column, part[at]))
                if size == heap.size:
                    floor = value_of(heap[0])
        write_best(heap, size, columns[row], values[row])
        if seen_indptr.size:
            for at in range(seen_indptr[row], seen_indptr[row + 1]):
                left_out[seen_indices[at]] = barred[seen_indices[at]]


@compiled
def _sparse_pairs(
    indptr: Indices, indices: Indices, data: Float, owner: Rows, item: Rows, line: Float, out: Float
) -> None:
    """Fill `out` with the score of each pair of a row and an item.

    Parameters
    ----------
    indptr, indices, data
        The scores, a csr of n rows.
    owner, item : int64, shape (c,)
        The pairs; owners rise.
    line : float32, shape (items,)
        All -inf, and left so.
    out : float32, shape (c,)
        Output.
    """
    pair = 0
    for row in range(indptr.size - 1):
        for at in range(indptr[row], indptr[row + 1]):
            line[indices[at]] = data[at]
        while pair < owner.size and owner[pair] == row:
            out[pair] = line[item[pair]]
            pair += 1
        for at in range(indptr[row], indptr[row + 1]):
            line[indices[at]] = -np.inf
