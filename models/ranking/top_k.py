"""The k best columns of each row of a score matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.shared.compiled import compiled

__all__ = ["CHUNK", "LOWEST", "keep_best", "place_key", "sink", "top_k", "value_of", "write_best"]

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
    scores : float32, shape (n, m)
        Without NaN; -inf marks what must not be returned.

    Returns
    -------
    columns : int64, shape (n, k)
        -1 where a row has fewer than k entries above -inf.
    values : float32, shape (n, k)
        -inf in those places.
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
def value_of(key: np.int64) -> np.float32:
    """The value of a `place_key`."""
    falling = key >> 32
    return np.int32(falling | ~0x7FFFFFFF if falling >= 0 else ~falling).view(np.float32)


@compiled
def keep_best(heap: Columns, size: int, key: np.int64) -> int:
    """Put a key into a heap of the best keys, the worst of them first.

    Written out, as numpy's own sorting and partitioning take seconds to compile.

    Returns
    -------
    int
        How many keys there are now.
    """
    if size < heap.size:
        place = size
        while place > 0 and heap[(place - 1) // 2] < key:
            heap[place] = heap[(place - 1) // 2]
            place = (place - 1) // 2
        heap[place] = key
        return size + 1
    if key < heap[0]:
        sink(heap, size, key)
    return size


@compiled
def sink(heap: Columns, size: int, key: np.int64) -> None:
    """Replace the first key of a heap."""
    place, child = 0, 1
    while child < size:
        if child + 1 < size and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= key:
            break
        heap[place] = heap[child]
        place, child = child, 2 * child + 1
    heap[place] = key


@compiled
def write_best(heap: Columns, size: int, columns: Columns, values: Scores) -> None:
    """Write the columns and values of a heap of `place_key`s, best first; the heap becomes their order."""
    for left in range(size - 1, 0, -1):
        worst, last = heap[0], heap[left]
        sink(heap, left, last)
        heap[left] = worst
    for place in range(size):
        columns[place] = heap[place] & 0xFFFFFFFF
        values[place] = value_of(heap[place])


@compiled
def _best_of_rows(scores: Scores, columns: Columns, values: Scores) -> None:
    n, m = scores.shape
    k = columns.shape[1]
    groups = GROUPS_PER_K * k
    steps = m // groups
    highest = np.empty(groups, dtype=np.float32)
    heap = np.empty(k, dtype=np.int64)
    for row in range(n):
        line = scores[row]
        floor = LOWEST
        if steps > 1:
            for group in range(groups):
                highest[group] = LOWEST
            for start in range(0, steps * groups, groups):
                part = line[start : start + groups]
                for group in range(groups):
                    highest[group] = part[group] if part[group] > highest[group] else highest[group]
            # the k-th largest of the maxima of disjoint groups: at least k entries reach it
            size = 0
            for group in range(groups):
                size = keep_best(heap, size, place_key(0, highest[group]))
            floor = value_of(heap[0])
        size = 0
        for start in range(0, m, CHUNK):
            part = line[start : start + CHUNK]
            reach = 0
            for at in range(part.size):
                reach += part[at] >= floor
            if reach:
                for at in range(part.size):
                    if part[at] >= floor:
                        size = keep_best(heap, size, place_key(start + at, part[at]))
        write_best(heap, size, columns[row], values[row])
