"""The k best columns of each row of a score matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["top_k"]


def top_k(scores: npt.NDArray[np.float32], k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Columns and scores of the k largest entries of each row, best first; ties go to the lower column.

    Parameters
    ----------
    scores : float32, shape (n, m); -inf marks what must not be returned.

    Returns
    -------
    columns : int64, shape (n, k), -1 where a row has fewer than k entries above -inf.
    values : float32, shape (n, k), -inf in those places.
    """
    n, m = scores.shape
    kept = min(k, m)
    columns = np.full((n, k), -1, dtype=np.int64)
    values = np.full((n, k), -np.inf, dtype=np.float32)
    if kept == 0:
        return columns, values
    for row in range(n):
        line = scores[row]
        if kept < m:
            # every entry equal to the k-th largest is a candidate, or ties would be broken by chance
            threshold = np.partition(line, m - kept)[m - kept]
            candidates = np.flatnonzero(line >= threshold) if threshold > -np.inf else np.flatnonzero(line > -np.inf)
        else:
            candidates = np.flatnonzero(line > -np.inf)
        order = np.lexsort((candidates, -line[candidates]))[:kept]
        best = candidates[order]
        columns[row, : best.size] = best
        values[row, : best.size] = line[best]
    return columns, values
