"""EASE where users are few: everything through a users × users matrix, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from models.shared.parallel import in_parallel
from models.shared.sparse_products import scores_of_users
from recsys.errors import Invalid

__all__ = ["BLOCK", "ColumnPart", "DualWeights", "inverted"]

BLOCK = 512
"""Rows of a Gram matrix that are computed at once."""


@dataclass(frozen=True, eq=False)
class ColumnPart:
    """What scores of m items need.

    Attributes
    ----------
    by_item : csr float32, shape (m, users)
        Rows of Xᵀ.
    free : float32, shape (m,)
        Of d.
    place : int64, shape (items,)
        Which of the m each item is, -1 for none.
    """

    by_item: sparse.csr_matrix
    free: npt.NDArray[np.float32]
    place: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DualWeights:
    """B of EASE in its dual form, as a linear operator that is never written out.

    With K = XXᵀ and G = (K + λI)⁻¹ the Woodbury identity gives
    P = (XᵀX + λI)⁻¹ = (I − XᵀGX) / λ (Henderson & Searle 1981, "On deriving the inverse of a sum of
    matrices"), hence with d_j = λ P_jj = 1 − X_jᵀ G X_j

        B_ij = X_iᵀ G X_j / d_j for i ≠ j, and x B = x (1 − 1/d) + (x Xᵀ G) X / d.

    Attributes
    ----------
    by_item : csr float32, shape (items, users)
        Xᵀ.
    inverse : float32, shape (users, users)
        G.
    free : float32, shape (items,)
        d, in (0, 1]; what of an item the others cannot tell at this λ.
    ridge
        λ.
    """

    by_item: sparse.csr_matrix
    inverse: npt.NDArray[np.float32]
    free: npt.NDArray[np.float32]
    ridge: float

    @classmethod
    def fit(cls, x: sparse.csr_matrix, ridge: float) -> Self:
        """Solve for the data X.

        Takes 12 × users² bytes and users³ + nnz × users operations.

        Parameters
        ----------
        x : csr float32, shape (users, items)
            X.
        ridge
            λ.
        """
        by_item = x.T.tocsr()
        # LAPACK leaves columns together, an artifact rows: one order, so that both add up alike
        inverse = _symmetric(inverted(_gram(x), ridge)).astype(np.float32, order="C")
        free = np.ones(x.shape[1], dtype=np.float64)
        size = max(1, BLOCK * BLOCK * 16 // max(1, x.shape[0]))

        def leave_out_explained(start: int) -> None:
            block = by_item[start : start + size]
            owner = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
            # of the product only what the items' own users say is needed
            explained = (block @ inverse)[owner, block.indices] * block.data
            free[start : start + size] -= np.bincount(owner, weights=explained, minlength=block.shape[0])

        in_parallel(leave_out_explained, range(0, x.shape[1], size))
        return cls(by_item, inverse, free.astype(np.float32), ridge)

    def score(
        self,
        given: sparse.csr_matrix,
        rows: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32],
    ) -> None:
        """Fill `out` with given @ B.

        Parameters
        ----------
        given : csr float32, shape (n, items)
        rows : int64, shape (n,)
            Which row of X each of `given` is, -1 for none.
        out : float32, shape (n, items)
        """
        every = ColumnPart(self.by_item, self.free, np.arange(self.free.size))
        self.score_among(given, self.users(given, rows), out, every)

    def only(self, columns: npt.NDArray[np.int64]) -> ColumnPart:
        """The part for these columns of B, int64 (m,), increasing."""
        place = np.full(self.free.size, -1, dtype=np.int64)
        place[columns] = np.arange(columns.size)
        return ColumnPart(self.by_item[columns], self.free[columns], place)

    def score_among(
        self,
        given: sparse.csr_matrix,
        users: npt.NDArray[np.float32],
        out: npt.NDArray[np.float32],
        part: ColumnPart,
    ) -> None:
        """Fill `out` (n, m) with the columns of given @ B that `part` is for; `users` as of `users`."""

        def divide(products: npt.NDArray[np.float32], items: slice) -> None:
            products /= part.free[items, None]

        scores_of_users(part.by_item, users, out, divide)
        owner = np.repeat(np.arange(given.shape[0]), np.diff(given.indptr))
        own = given.data * (1.0 - 1.0 / self.free[given.indices])
        at = part.place[given.indices]
        out[owner[at >= 0], at[at >= 0]] += own[at >= 0]

    def users(self, given: sparse.csr_matrix, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """x Xᵀ G, float32 (n, users): of a row of X it is a row of KG = I − λG."""
        users = np.empty((given.shape[0], self.inverse.shape[0]), dtype=np.float32)
        known, new = np.flatnonzero(rows >= 0), np.flatnonzero(rows < 0)
        users[known] = np.float32(-self.ridge) * self.inverse[rows[known]]
        users[known, rows[known]] += 1.0
        if new.size:
            users[new] = (given[new] @ self.by_item).toarray() @ self.inverse
        return users

    def rows(self, items: npt.NDArray[np.int64], out: npt.NDArray[np.float32]) -> None:
        """Fill `out` (n, items) with the rows `items` of B."""
        scores_of_users(self.by_item, self.by_item[items] @ self.inverse, out, self._divide)
        out[np.arange(items.size), items] = 0.0

    def _divide(self, products: npt.NDArray[np.float32], items: slice) -> None:
        products /= self.free[items, None]

    def between(
        self, sources: npt.NDArray[np.integer], targets: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.float32]:
        """B[sources][:, targets], float32 (sources, targets)."""
        users = self.by_item[targets] @ self.inverse
        found = np.asarray(self.by_item[sources] @ users.T) / self.free[targets]
        found[np.asarray(sources)[:, None] == np.asarray(targets)[None, :]] = 0.0
        return np.asarray(found, dtype=np.float32)

    def prepared(self, targets: npt.NDArray[np.int64]) -> Prepared:
        """What `parts` of many histories need of the items `targets` (increasing, each once)."""
        users = np.empty((targets.size, self.inverse.shape[0]), dtype=np.float32)

        def fill(start: int) -> None:
            part = targets[start : start + BLOCK]
            users[start : start + BLOCK] = (self.by_item[part] @ self.inverse) / self.free[part, None]

        in_parallel(fill, range(0, targets.size, BLOCK))
        return Prepared(self.by_item, targets, users)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """For the artifact."""
        return {
            "dual_indptr": self.by_item.indptr.astype(np.int64),
            "dual_indices": self.by_item.indices.astype(np.int32),
            "dual_data": self.by_item.data,
            "dual_inverse": self.inverse,
            "dual_free": self.free,
        }

    @classmethod
    def restore(cls, arrays: dict[str, npt.NDArray[Any]], ridge: float) -> Self:
        """Take back what `arrays` gave."""
        parts = (arrays["dual_data"], arrays["dual_indices"], arrays["dual_indptr"])
        shape = arrays["dual_free"].size, arrays["dual_inverse"].shape[0]
        by_item = sparse.csr_matrix(parts, shape=shape)
        return cls(by_item, arrays["dual_inverse"], arrays["dual_free"], ridge)


@dataclass(frozen=True, eq=False)
class Prepared:
    """G X_j / d_j of some items j, so that columns of B cost one sparse product more.

    Attributes
    ----------
    by_item : csr float32, shape (items, users)
        Xᵀ.
    targets : int64, shape (m,)
        The items, increasing.
    users : float32, shape (m, users)
        G X_j / d_j of each.
    """

    by_item: sparse.csr_matrix
    targets: npt.NDArray[np.int64]
    users: npt.NDArray[np.float32]

    def parts(self, given: sparse.csr_matrix, wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """What each entry of one history adds to the scores of `wanted`.

        Parameters
        ----------
        given : csr float32, shape (1, items)
            The history.
        wanted : int64, shape (n,)
            Items among `targets`.

        Returns
        -------
        float32, shape (n, given.nnz)
        """
        columns = np.ascontiguousarray(self.users[np.searchsorted(self.targets, wanted)].T)
        found = np.asarray(self.by_item[given.indices] @ columns) * given.data[:, None]
        found[np.asarray(given.indices)[:, None] == wanted[None, :]] = 0.0
        return np.ascontiguousarray(found.T)


def inverted(gram: npt.NDArray[np.float64], ridge: float) -> npt.NDArray[np.float64]:
    """(gram + ridge · I)⁻¹ in the place of `gram`, symmetric; only its lower triangle is filled.

    Raises
    ------
    Invalid
        When the ridge is too small.
    """
    gram[np.diag_indices_from(gram)] += ridge
    # LAPACK wants columns together; the transpose of a symmetric matrix is itself
    factor, info = linalg.lapack.dpotrf(gram.T, lower=1, clean=0, overwrite_a=1)
    if info == 0:
        factor, info = linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    if info != 0:
        raise Invalid(f"ridge is {ridge}; too small for this data to be inverted, choose a larger one")
    return np.asarray(factor)


def _gram(x: sparse.csr_matrix) -> npt.NDArray[np.float64]:
    """x xᵀ, float64 (users, users)."""
    n, transposed = x.shape[0], x.T.tocsr()
    gram = np.empty((n, n), dtype=np.float64)
    for start in range(0, n, BLOCK):
        gram[start : start + BLOCK] = (x[start : start + BLOCK] @ transposed).toarray()
    return gram


def _symmetric(lower: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The upper triangle filled from the lower one, in place."""
    n = lower.shape[0]
    for start in range(0, n, BLOCK):
        stop = min(n, start + BLOCK)
        own = lower[start:stop, start:stop]
        own[:] = np.tril(own) + np.tril(own, -1).T
        lower[start:stop, stop:] = lower[stop:, start:stop].T
    return lower
