"""The k best columns of each row of a score matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.shared.compiled import compiled

__all__ = ["best_first", "place_key", "top_k"]

Columns = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]

GROUPS_PER_K = 8
"""Enough groups that the k-th largest of their maxima lies just under the k-th largest entry."""
CHUNK = 64
"""Columns that are compared with the floor together."""
LOWEST = np.finfo(np.float32).min
"""Of what may be returned."""


def top_k(scores: Scores, k: int) -> tuple[Columns, Scores]:
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
    if n and k and scores.shape[1]:
        _best_of_rows(np.ascontiguousarray(scores), columns, values)
    return columns, values


@compiled
def place_key(column: int, value: float) -> np.int64:
    """An int64 that is the smaller, the better: falling by value, then rising by column (below 2^32)."""
    bits = np.int64(np.float32(value + np.float32(0)).view(np.int32))  # -0 becomes 0
    falling = bits & 0x7FFFFFFF if bits < 0 else ~bits
    return (falling << 32) | column


@compiled
def best_first(keys: Columns, columns: Columns, values: Scores) -> None:
    """Write the columns and values of the best `place_key`s, in order; `keys` is changed."""
    k = min(columns.size, keys.size)
    if not k:
        return
    if keys.size > k:
        keys = np.partition(keys, k - 1)[:k]
    keys.sort()
    for place in range(k):
        falling = keys[place] >> 32
        columns[place] = keys[place] & 0xFFFFFFFF
        values[place] = np.int32(falling | ~0x7FFFFFFF if falling >= 0 else ~falling).view(np.float32)


@compiled
def _best_of_rows(scores: Scores, columns: Columns, values: Scores) -> None:
    n, m = scores.shape
    k = columns.shape[1]
    groups = GROUPS_PER_K * k
    size = m // groups
    highest = np.empty(groups, dtype=np.float32)
    keys = np.empty(m, dtype=np.int64)
    for row in range(n):
        line = scores[row]
        floor = np.float32(-np.inf)
        if size > 1:
            # the k-th largest of the maxima of disjoint groups: at least k entries reach it
            highest[:] = line[:groups]
            for start in range(groups, size * groups, groups):
                part = line[start : start + groups]
                for group in range(groups):
                    highest[group] = part[group] if part[group] > highest[group] else highest[group]
            floor = np.partition(highest, groups - k)[groups - k]
        if floor == -np.inf:
            floor = LOWEST
        count = 0
        for start in range(0, m, CHUNK):
            part = line[start : start + CHUNK]
            reach = 0
            for at in range(part.size):
                reach += part[at] >= floor
            if reach:
                for at in range(part.size):
                    if part[at] >= floor:
                        keys[count] = place_key(start + at, part[at])
                        count += 1
        best_first(keys[:count], columns[row], values[row])
