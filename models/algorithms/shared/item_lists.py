"""What models of item-to-item lists share: kept neighbours with scores between 0 and 1, and their support."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from models.algorithms.shared.item_item import ItemItem, valued
from models.algorithms.shared.lift import strengths_of, unit_scores
from models.base import Arrays
from models.shared.pair_values import values_at

__all__ = ["ItemLists", "Kept"]

Rows = npt.NDArray[np.int64]


class Kept(NamedTuple):
    """Pairs of some rows, row by row, strongest first.

    Attributes
    ----------
    row, column : int64
    strength : float64
        Positive.
    support : float64
        How often the pair occurred.
    """

    row: Rows
    column: Rows
    strength: npt.NDArray[np.float64]
    support: npt.NDArray[np.float64]


class ItemLists(ItemItem):
    """A list of products per product: `weights_` are scores in (0, 1) that compare between products.

    A user's or a cart's score is the sum of `strengths_of` over what they hold, each once: what goes strongly
    with one of its products is before what goes a little with all (a sum of the scores completed carts of The
    Complete Journey by .049 NDCG@10, that of the strengths by .071). `support` says how often a pair was
    seen, for the reason that is displayed with it; 0 where only the catalogue or the order of visits speaks.
    """

    support_: npt.NDArray[np.float32]
    """float32 (weights_.nnz,), in the order of `weights_.data`."""

    def support(self, seeds: npt.ArrayLike, products: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """On how many occasions each seed met the product at its place; 0 for a pair that is not kept.

        Parameters
        ----------
        seeds, products : int64, shape (n,)
            Product ids.

        Returns
        -------
        float32, shape (n,)
        """
        rows, columns = (self.items_.index(np.asarray(ids)) for ids in (seeds, products))
        known = (rows >= 0) & (columns >= 0)
        parts = (self.support_, self.weights_.indices, self.weights_.indptr)
        counts = sparse.csr_matrix(parts, shape=self.weights_.shape)
        found = np.zeros(rows.size, dtype=np.float32)
        found[known] = values_at(counts, rows[known], columns[known])
        return found

    def _keep(self, found: Sequence[Kept], items: int) -> None:
        """Set `weights_` and `support_` from parts in which each row occurs once at most."""
        row, column, strength, support = (np.concatenate(columns) for columns in zip(*found, strict=True))
        middle = float(np.median(strength)) if strength.size else 1.0
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=items))])
        starts = np.flatnonzero(np.append(True, row[1:] != row[:-1])[: row.size])
        rank = np.arange(row.size) - np.repeat(starts, np.diff(np.append(starts, row.size)))
        place = indptr[row] + rank
        data, indices = np.empty(row.size, np.float32), np.empty(row.size, np.int32)
        data[place], indices[place] = unit_scores(strength, middle), column
        self.support_ = np.empty(row.size, np.float32)
        self.support_[place] = support
        self.weights_ = sparse.csr_matrix((data, indices, indptr), shape=(items, items))

    def _values(self) -> str:
        return "binary"

    def _strengths(self, items: npt.NDArray[np.integer]) -> sparse.csr_matrix:
        """Some rows of `weights_` as numbers that add up, csr float32 (items.size, all items)."""
        near = self.weights_[items]
        parts = (strengths_of(near.data), near.indices, near.indptr)
        return sparse.csr_matrix(parts, shape=near.shape)

    def _summed_rows(self, history: sparse.csr_matrix) -> sparse.csr_matrix:
        items, place = np.unique(history.indices, return_inverse=True)
        given = valued(history, self._values())
        held = sparse.csr_matrix((given.data, place, given.indptr), shape=(given.shape[0], items.size))
        return sparse.csr_matrix(held @ self._strengths(items))

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        near = self._strengths(history.indices)[:, items].toarray()
        return np.ascontiguousarray(near.T, dtype=np.float32), np.zeros(items.size, dtype=np.float32)

    def _arrays(self) -> Arrays:
        return {**super()._arrays(), "support": self.support_}

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        self.support_ = arrays["support"]
