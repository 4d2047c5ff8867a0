"""The best scores by sorting all of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def by_sorting(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    result = np.full((scores.shape[0], k), -1, dtype=np.int64)
    for row, line in enumerate(scores):
        order = np.lexsort((np.arange(line.size), -line))
        order = order[line[order] > -np.inf][:k]
        result[row, : order.size] = order
    return result
