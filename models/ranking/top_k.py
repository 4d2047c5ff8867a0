"""The k best columns of each row of a score matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["top_k"]

GROUPS_PER_K = 8
"""Enough groups that the k-th largest of their maxima lies just under the k-th largest entry."""


def top_k(scores: npt.NDArray[np.float32], k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Columns and scores of the k largest entries of each row, best first; ties go to the lower column.

    Parameters
    ----------
    scores : float32, shape (n, m), without NaN; -inf marks what must not be returned.

    Returns
    -------
    columns : int64, shape (n, k), -1 where a row has fewer than k entries above -inf.
    values : float32, shape (n, k), -inf in those places.
    """
    n = scores.shape[0]
    columns = np.full((n, k), -1, dtype=np.int64)
    values = np.full((n, k), -np.inf, dtype=np.float32)
    floors = _floors(scores, k)
    for row in range(n):
        line = scores[row]
        above = line >= floors[row] if floors[row] > -np.inf else line > -np.inf
        candidates = np.flatnonzero(above)
        found = line[candidates]
        if candidates.size > 4 * k:
            # every entry equal to the k-th largest stays, or ties would be broken by chance
            close = found >= np.partition(found, found.size - k)[found.size - k]
            candidates, found = candidates[close], found[close]
        order = np.argsort(-found, kind="stable")[:k]
        columns[row, : order.size] = candidates[order]
        values[row, : order.size] = found[order]
    return columns, values


def _floors(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.float32]:
    """For each row a value that at least k of its entries reach, float32 (n,); -inf where none was found.

    The k-th largest of the maxima of disjoint groups is such a value. Finding it reads each entry once and
    partitions a few hundred numbers, where a partition of the row itself would move all of them.
    """
    n, m = scores.shape
    groups = GROUPS_PER_K * k
    size = m // groups
    if size < 2:
        return np.full(n, -np.inf, dtype=np.float32)
    maxima = scores[:, : groups * size].reshape(n, size, groups).max(axis=1)
    floors: npt.NDArray[np.float32] = np.partition(maxima, groups - k, axis=1)[:, groups - k]
    return floors
