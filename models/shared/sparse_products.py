"""Products of a sparse matrix of items with dense columns of users, written as rows of users."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = ["only_positive", "scores_of_users"]

Float = npt.NDArray[np.float32]

ITEMS = 512
"""Items of one step: the product of so many with some hundred users stays in a core's own cache, where
transposing it costs little. Transposed as a whole, it takes up to twice as long."""


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
    for start in range(0, by_item.shape[0], ITEMS):
        part = slice(start, min(start + ITEMS, by_item.shape[0]))
        found = by_item[part] @ columns
        if finish is not None:
            finish(found, part)
        out[:, part] = found.T


def only_positive(products: Float, items: slice) -> None:
    """For `finish`: what is not above zero is unknown."""
    np.copyto(products, np.float32(-np.inf), where=products <= 0)
