"""Products of a sparse matrix of items with dense columns of users, written as rows of users."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = ["only_positive", "scores_of_users"]

Float = npt.NDArray[np.float32]

CELLS = 1 << 17
"""Numbers of one step's product: so many stay in a core's own cache, where transposing them costs little.
Transposed as a whole, it takes up to twice as long; in steps of a few users' numbers, cutting the rows of the
sparse matrix takes longer than the product."""
LEAST_ITEMS = 512
"""Of one step."""


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
    by_item : csr float32, shape (items, m).
    users : float32, shape (n, m).
    out : float32, shape (n, items).
    finish : changes the products of some items in place, float32 (items of the slice, n), before they are
        written.
    """
    columns = np.ascontiguousarray(users.T)
    step = max(LEAST_ITEMS, CELLS // max(1, users.shape[0]))
    for start in range(0, by_item.shape[0], step):
        part = slice(start, min(start + step, by_item.shape[0]))
        found = by_item[part] @ columns
        if finish is not None:
            finish(found, part)
        out[:, part] = found.T


def only_positive(products: Float, items: slice) -> None:
    """For `finish`: what is not above zero is unknown."""
    np.copyto(products, np.float32(-np.inf), where=products <= 0)
