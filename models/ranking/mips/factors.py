"""Scores that are products of a user's and an item's vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Factors"]

Rows = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Factors:
    """score(u, i) = users[u] · items[i] + bias[i].

    Attributes
    ----------
    users : float32, shape (n, factors)
    items : float32, shape (m, factors)
    bias : float32, shape (m,), or None
    hidden : int64, increasing
        Rows of items that the model can say nothing of.
    silent : bool, shape (n,), or None
        Users of whom it can say nothing.
    """

    users: Matrix
    items: Matrix
    bias: Matrix | None = None
    hidden: Rows | None = None
    silent: npt.NDArray[np.bool_] | None = None

    def only(self, columns: Rows) -> Factors:
        """The same users and these rows of the items, increasing."""
        hidden = None
        if self.hidden is not None:
            is_hidden = np.zeros(self.items.shape[0], dtype=bool)
            is_hidden[self.hidden] = True
            hidden = np.flatnonzero(is_hidden[columns])
        bias = None if self.bias is None else self.bias[columns]
        return Factors(self.users, self.items[columns], bias, hidden, self.silent)

    def score(self, out: Matrix) -> None:
        """Fill `out` (n, m) with all scores, -inf where the model can say nothing."""
        np.matmul(self.users, self.items.T, out=out)
        if self.bias is not None:
            out += self.bias
        if self.hidden is not None:
            out[:, self.hidden] = -np.inf
        if self.silent is not None:
            out[self.silent] = -np.inf
