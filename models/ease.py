"""EASE: each item predicted from all others by one ridge regression in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from features.dataset import Dataset
from models.base import Arrays, ModelKind, Recommender, Rows, Scores
from models.degree_svd import degree_normalised
from models.item_item import GRAM_BYTES, VALUES, Values, scatter, top_products, valued
from models.parameters import check_choice, check_float, check_int
from recsys.errors import Invalid

__all__ = ["EASE", "EASEParameters"]

_BLOCK = 512
"""Rows of the Gram matrix that are computed at once."""


@dataclass(frozen=True)
class EASEParameters:
    """ridge λ; full_below: with more items, each item has only its `candidates` nearest as predictors."""

    ridge: float = 200.0
    full_below: int = 15_000
    candidates: int = 100
    values: Values = "log"

    def __post_init__(self) -> None:
        check_float(self, "ridge", 0.0, 1e9, above_low=True)
        check_int(self, "full_below", 0, 100_000)
        check_int(self, "candidates", 1, 1_000)
        check_choice(self, "values", VALUES)


class EASE(Recommender):
    """score(x) = x B, where B minimises ‖X − X B‖² + λ‖B‖² with a diagonal of zeros.

    Steck 2019, "Embarrassingly shallow autoencoders for sparse data", WWW, arXiv 1905.03375, equation 8:
    P = (XᵀX + λI)⁻¹, B_ij = −P_ij / P_jj. The inverse takes items² × 8 bytes and items³ operations, so above
    `full_below` items column j is fitted on the candidates C of j alone ("local"): the ridge regression
    (X_CᵀX_C + λI) b = X_Cᵀx_j, exact within C (Ning & Karypis 2011, SLIM, feature-selected variant, section
    4.3). `reason_` says which of the two was chosen and why.
    """

    algorithm: ClassVar[str] = "ease"
    kind: ClassVar[ModelKind] = ModelKind.COLLABORATIVE
    Parameters = EASEParameters
    parameters: EASEParameters

    weights_: npt.NDArray[np.float32] | sparse.csr_matrix
    """float32 (items, items): dense when full, csr when local; row i says what item i adds to each item."""
    reason_: str

    def _fit(self, dataset: Dataset) -> None:
        chosen = self.parameters
        x = valued(dataset.matrix, chosen.values)
        self.reason_ = self._reason(x.shape[1])
        if self._is_full(x.shape[1]):
            self.weights_ = _full(x, chosen.ridge)
        else:
            self.weights_ = _local(x, chosen.ridge, chosen.candidates)

    def _is_full(self, items: int) -> bool:
        return items <= self.parameters.full_below

    def _reason(self, items: int) -> str:
        bound, gib = self.parameters.full_below, 8 * items**2 / 2**30
        if self._is_full(items):
            return f"full: {items} items are within the bound of {bound} (the inverse takes {gib:.1f} GiB)"
        return f"local: {items} items are above the bound of {bound} (the inverse would take {gib:.1f} GiB)"

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: the inverse in double precision and B, or the local weights and candidates."""
        if self._is_full(items):
            return 16 * items**2 + 40 * _BLOCK * items + 40 * nnz
        return 40 * items * min(items, self.parameters.candidates) + 2 * GRAM_BYTES + 60 * nnz

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        given = valued(history, self.parameters.values)
        if isinstance(self.weights_, np.ndarray):
            out[:] = given @ self.weights_
        else:
            # an item that nothing of the history speaks for or against has no score
            scatter(sparse.csr_matrix(given @ self.weights_), out)

    def _score_similar(self, items: Rows, out: Scores) -> None:
        near = self.weights_[items]
        if isinstance(near, np.ndarray):
            out[:] = near
        else:
            scatter(near, out)

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        near = self.weights_[history.indices][:, items]
        dense = near if isinstance(near, np.ndarray) else near.toarray()
        value = valued(history, self.parameters.values).data
        return np.ascontiguousarray((dense * value[:, None]).T), np.zeros(items.size, dtype=np.float32)

    def _arrays(self) -> Arrays:
        if isinstance(self.weights_, np.ndarray):
            return {"weights": self.weights_}
        return {
            "weights_indptr": self.weights_.indptr.astype(np.int64),
            "weights_indices": self.weights_.indices.astype(np.int32),
            "weights_data": self.weights_.data.astype(np.float32),
        }

    def _restore(self, arrays: Arrays) -> None:
        items = len(self.items_)
        self.reason_ = self._reason(items)
        if "weights" in arrays:
            self.weights_ = arrays["weights"]
        else:
            parts = (arrays["weights_data"], arrays["weights_indices"], arrays["weights_indptr"])
            self.weights_ = sparse.csr_matrix(parts, shape=(items, items))


def _full(x: sparse.csr_matrix, ridge: float) -> npt.NDArray[np.float32]:
    """B from the inverse, in place and in blocks: 8 bytes an entry for the inverse, 4 for B."""
    n, by_item = x.shape[1], x.T.tocsr()
    gram = np.empty((n, n), dtype=np.float64)
    blocks = [slice(start, min(n, start + _BLOCK)) for start in range(0, n, _BLOCK)]
    for block in blocks:
        gram[block] = (by_item[block] @ x).toarray()
    gram[np.diag_indices_from(gram)] += ridge
    # LAPACK wants columns together; the transpose of a symmetric matrix is itself
    factor, info = linalg.lapack.dpotrf(gram.T, lower=1, clean=0, overwrite_a=1)
    if info == 0:
        factor, info = linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    if info != 0:
        raise Invalid(f"ridge is {ridge}; too small for this data to be inverted, choose a larger one")
    diagonal = np.diag(factor).copy()
    weights = np.empty((n, n), dtype=np.float32)
    for block in blocks:  # LAPACK filled the lower triangle; its transpose is the upper one
        own, below = factor[block, block], factor[block.stop :, block]
        weights[block, block] = np.tril(own) + np.tril(own, -1).T
        weights[block.stop :, block] = below
        weights[block, block.stop :] = below.T
    weights /= -diagonal.astype(np.float32)[None, :]
    np.fill_diagonal(weights, 0.0)
    return weights


def _local(x: sparse.csr_matrix, ridge: float, candidates: int) -> sparse.csr_matrix:
    """Column j from the ridge regression on the items nearest to j by degree-normalised cosine."""
    normal, _ = degree_normalised(x, 0.5, 0.5)
    near = top_products(normal.T.tocsr(), normal, candidates)
    by_item = x.T.tocsr()
    items = x.shape[1]
    pieces = np.empty(near.nnz, dtype=np.float32)
    for j in range(items):
        inside = slice(near.indptr[j], near.indptr[j + 1])
        chosen = near.indices[inside]
        if chosen.size == 0:
            continue
        columns = by_item[np.append(chosen, j)]
        gram = (columns @ columns.T).toarray().astype(np.float64)
        inner = gram[:-1, :-1]
        inner[np.diag_indices_from(inner)] += ridge
        pieces[inside] = linalg.solve(inner, gram[:-1, -1], assume_a="pos", check_finite=False)
    # row j of `near` now holds column j of B
    return sparse.csr_matrix((pieces, near.indices, near.indptr), shape=(items, items)).T.tocsr()
