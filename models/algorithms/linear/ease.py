"""EASE: each item predicted from all others by one ridge regression in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from models.algorithms.factorization.degree_svd import degree_normalised
from models.algorithms.linear.ease_dual import BLOCK, ColumnPart, DualWeights, inverted
from models.algorithms.shared.item_item import (
    GRAM_BYTES,
    VALUES,
    Values,
    scatter,
    top_products,
    valued,
)
from models.algorithms.shared.ridge import ridge_columns
from models.algorithms.shared.time_decay import Faded
from models.base import Arrays, ColumnScorer, ModelKind, Reasons, Rows, Scores
from models.ranking.filters import RankRequest, positive
from models.shared.pool_part import PoolPart
from models.shared.score_blocks import ScoreBlock, SparseScores
from models.shared.validation import check_choice, check_float, check_int

__all__ = ["EASE", "EASEParameters"]


@dataclass(frozen=True)
class EASEParameters:
    """Parameters of `EASE`.

    Parameters
    ----------
    ridge
        λ.
    full_below, dual_below
        Up to so many items, or users, the exact solution is computed; with more of both, each item has only
        its `candidates` nearest as predictors.
    candidates
        Predictors of an item where the solution is not exact.
    values : {"binary", "log", "linear"}
        How strongly a weight counts: 1, log(1 + weight), or the weight itself.
    half_life_days
        Age at which an event counts half; 0: as in the dataset's weights.
    """

    ridge: float = 200.0
    full_below: int = 15_000
    dual_below: int = 12_000
    candidates: int = 100
    values: Values = "log"
    half_life_days: float = 0.0

    def __post_init__(self) -> None:
        check_float(self, "ridge", 0.0, 1e9, above_low=True)
        check_int(self, "full_below", 0, 100_000)
        check_int(self, "dual_below", 0, 100_000)
        check_int(self, "candidates", 1, 1_000)
        check_choice(self, "values", VALUES)
        check_float(self, "half_life_days", 0.0, 36_500.0)


class EASE(Faded):
    """score(x) = x B, where B minimises ‖X − X B‖² + λ‖B‖² with a diagonal of zeros.

    Steck 2019, "Embarrassingly shallow autoencoders for sparse data", WWW, arXiv 1905.03375, equation 8:
    P = (XᵀX + λI)⁻¹, B_ij = −P_ij / P_jj. The inverse takes items² × 8 bytes and items³ operations ("full").
    Where users are fewer than items, the same B comes from a users × users matrix (`DualWeights`, "dual").
    With many of both, column j is fitted on the candidates C of j alone ("local"): the ridge regression
    (X_CᵀX_C + λI) b = X_Cᵀx_j, exact within C (Ning & Karypis 2011, SLIM, feature-selected variant, section
    4.3). `reason_` says which of the three was chosen and why.
    """

    algorithm: ClassVar[str] = "ease"
    kind: ClassVar[ModelKind] = ModelKind.COLLABORATIVE
    Parameters = EASEParameters
    parameters: EASEParameters

    weights_: npt.NDArray[np.float32] | sparse.csr_matrix | DualWeights
    """(items, items): dense when full, csr when local; row i says what item i adds to each item."""
    reason_: str

    def __init__(self, parameters: EASEParameters | None = None) -> None:
        super().__init__(parameters)
        self._pool_part = PoolPart[ColumnPart]()

    def _fit(self, dataset: Dataset) -> None:
        chosen = self.parameters
        x = valued(self._learned_from(dataset), chosen.values)
        form, self.reason_ = self._form(*x.shape)
        if form == "full":
            self.weights_ = _full(x, chosen.ridge)
        elif form == "dual":
            self.weights_ = DualWeights.fit(x, chosen.ridge)
        else:
            self.weights_ = _local(x, chosen.ridge, chosen.candidates)

    def _learned_from(self, dataset: Dataset) -> sparse.csr_matrix:
        if not self.parameters.half_life_days:
            self.source_half_life_ = np.inf
            return dataset.matrix
        self._remember(dataset)
        positive = self.history_.copy()
        positive.eliminate_zeros()
        return positive

    def _own_half_life(self) -> float:
        return self.parameters.half_life_days or self.source_half_life_

    def _form(self, users: int, items: int) -> tuple[str, str]:
        """The cheapest exact form that is within its bound, else "local"; and why."""
        full, dual = self.parameters.full_below, self.parameters.dual_below
        sizes = f"{users:,} users, {items:,} items"
        if users <= dual and (users < items or items > full):
            takes = 12 * users**2 / 2**30
            return "dual", f"dual: {sizes}; users are within the bound of {dual:,} (exact, {takes:.1f} GiB)"
        takes = 8 * items**2 / 2**30
        if items <= full:
            return "full", f"full: {sizes}; items are within the bound of {full:,} (exact, {takes:.1f} GiB)"
        return "local", (
            f"local: {sizes}; users are above the bound of {dual:,} and items above that of {full:,} "
            f"(the inverse would take {takes:.1f} GiB)"
        )

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: an inverse in double precision and a copy, or local weights and candidates."""
        form, _ = self._form(users, items)
        faded = super().forecast(users, items, nnz) if self.parameters.half_life_days else 0
        if form == "full":
            return faded + 16 * items**2 + 40 * BLOCK * items + 40 * nnz
        if form == "dual":
            return faded + 16 * users**2 + 40 * BLOCK * users + 60 * nnz + 2 * GRAM_BYTES
        return faded + 40 * items * min(items, self.parameters.candidates) + 2 * GRAM_BYTES + 60 * nnz

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        given = valued(history, self.parameters.values)
        if isinstance(self.weights_, DualWeights):
            self.weights_.score(given, rows, out)
        elif isinstance(self.weights_, np.ndarray):
            out[:] = given @ self.weights_
        else:
            # an item that nothing of the history speaks for or against has no score
            scatter(sparse.csr_matrix(given @ self.weights_), out)

    def _opinions(self, request: RankRequest, out: Scores) -> ScoreBlock:
        if isinstance(self.weights_, DualWeights | np.ndarray):
            return super()._opinions(request, out)
        return SparseScores(valued(positive(request.history), self.parameters.values) @ self.weights_)

    def _column_scorer(self, request: RankRequest) -> ColumnScorer | None:
        weights = self.weights_
        if not isinstance(weights, DualWeights):
            return None
        given = valued(positive(request.history), self.parameters.values)
        users = weights.users(given, request.rows)

        def score(columns: Rows, out: Scores, *, is_pool: bool = False) -> None:
            if is_pool:
                part = self._pool_part.of(weights, columns, lambda: weights.only(columns))
            else:
                part = weights.only(columns)
            weights.score_among(given, users, out, part)

        return score

    def _score_similar(self, items: Rows, out: Scores) -> None:
        if isinstance(self.weights_, DualWeights):
            self.weights_.rows(items, out)
        elif isinstance(self.weights_, np.ndarray):
            out[:] = self.weights_[items]
        else:
            scatter(self.weights_[items], out)

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        if isinstance(self.weights_, DualWeights):
            dense = self.weights_.between(history.indices, items)
        else:
            near = self.weights_[history.indices][:, items]
            dense = near if isinstance(near, np.ndarray) else near.toarray()
        value = valued(history, self.parameters.values).data
        return np.ascontiguousarray((dense * value[:, None]).T), np.zeros(items.size, dtype=np.float32)

    def _reasons_for(self, items: Rows) -> Reasons:
        if not isinstance(self.weights_, DualWeights):
            return self._reasons
        weights = self.weights_.prepared(items)

        def reasons(
            request: RankRequest, wanted: Rows
        ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
            value = valued(positive(request.history), self.parameters.values)
            return weights.parts(value, wanted), np.zeros(wanted.size, dtype=np.float32)

        return reasons

    def _prepared_bytes(self) -> int:
        return 4 * len(self.users_) if isinstance(self.weights_, DualWeights) else 0

    def _arrays(self) -> Arrays:
        faded = {"source_half_life": np.array([self.source_half_life_])}
        own: Arrays = faded if self.parameters.half_life_days else {}
        if isinstance(self.weights_, DualWeights):
            return own | self.weights_.arrays()
        if isinstance(self.weights_, np.ndarray):
            return own | {"weights": self.weights_}
        return own | {
            "weights_indptr": self.weights_.indptr.astype(np.int64),
            "weights_indices": self.weights_.indices.astype(np.int32),
            "weights_data": self.weights_.data.astype(np.float32),
        }

    def _restore(self, arrays: Arrays) -> None:
        items = len(self.items_)
        _, self.reason_ = self._form(len(self.users_), items)
        given = arrays["source_half_life"][0] if self.parameters.half_life_days else np.inf
        self.source_half_life_ = float(given)
        if "dual_inverse" in arrays:
            self.weights_ = DualWeights.restore(arrays, self.parameters.ridge)
        elif "weights" in arrays:
            self.weights_ = arrays["weights"]
        else:
            parts = (arrays["weights_data"], arrays["weights_indices"], arrays["weights_indptr"])
            self.weights_ = sparse.csr_matrix(parts, shape=(items, items))


def _full(x: sparse.csr_matrix, ridge: float) -> npt.NDArray[np.float32]:
    """B from the inverse, in place and in blocks: 8 bytes an entry for the inverse, 4 for B."""
    n, by_item = x.shape[1], x.T.tocsr()
    gram = np.empty((n, n), dtype=np.float64)
    blocks = [slice(start, min(n, start + BLOCK)) for start in range(0, n, BLOCK)]
    for block in blocks:
        gram[block] = (by_item[block] @ x).toarray()
    factor = inverted(gram, ridge)
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
    return ridge_columns(near, by_item, by_item, ridge, gram_below=0)
