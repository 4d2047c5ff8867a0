"""Single values of a sparse matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = ["values_at"]


def values_at(
    matrix: sparse.csr_matrix, rows: npt.NDArray[np.integer], columns: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """The values of `matrix` at (rows[i], columns[i]); 0 where nothing is stored.

    scipy itself returns another type for no places at all.

    Parameters
    ----------
    rows, columns : shape (n,)

    Returns
    -------
    float64, shape (n,)
    """
    if not rows.size:
        return np.zeros(0)
    found: npt.NDArray[np.float64] = np.asarray(matrix[rows, columns], dtype=np.float64).ravel()
    return found
