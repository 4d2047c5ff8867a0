"""Bayesian personalised ranking: factors that put what was taken before what was not, by `implicit`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy import sparse

from features.dataset import Dataset
from models.algorithms.shared.factor_model import FactorModel
from models.base import Arrays, ModelKind, Rows, Scores
from models.ranking.mips.factors import Factors
from models.shared.validation import check_float, check_int

__all__ = ["BPR", "BPRParameters"]


@dataclass(frozen=True)
class BPRParameters:
    """Parameters of `BPR`.

    Parameters
    ----------
    factors
        Length of the vectors.
    learning_rate, regularization
        Of the stochastic descent.
    iterations
        Epochs of the stochastic descent.
    fold_ridge
        Ridge of the map from a history to a user's factors.
    seed
        Of the descent's random numbers.
    """

    factors: int = 64
    learning_rate: float = 0.05
    regularization: float = 0.01
    iterations: int = 100
    fold_ridge: float = 10.0
    seed: int = 1

    def __post_init__(self) -> None:
        check_int(self, "factors", 1, 2_048)
        check_float(self, "learning_rate", 0.0, 10.0, above_low=True)
        check_float(self, "regularization", 0.0, 1_000.0)
        check_int(self, "iterations", 1, 10_000)
        check_float(self, "fold_ridge", 0.0, 1e9, above_low=True)
        check_int(self, "seed", 0, 2**31 - 1)


class BPR(FactorModel):
    """score(u, i) = p_u · q_i + b_i, fitted so that what u took scores above what u did not.

    Rendle, Freudenthaler, Gantner & Schmidt-Thieme 2009, "BPR: Bayesian personalized ranking from implicit
    feedback", UAI, section 4.3.1; the stochastic descent is `implicit`'s, on one thread, because more of them
    write to the factors in an order that no seed repeats.

    BPR has no closed form for somebody new. Here p(x) = M · (Σ w_h q_h / Σ w_h), with M the ridge regression
    of the fitted users' factors on the mean item factors of their histories. The same map splits a known
    user's score into parts: each history entry's share of p(x) · q_i, the rest (p_u - p(x)) · q_i + b_i is
    the baseline.
    """

    algorithm: ClassVar[str] = "bpr"
    kind: ClassVar[ModelKind] = ModelKind.COLLABORATIVE
    Parameters = BPRParameters
    parameters: BPRParameters

    users_factors_: npt.NDArray[np.float32]
    """(users, factors)."""
    items_factors_: npt.NDArray[np.float32]
    """(items, factors)."""
    bias_: npt.NDArray[np.float32]
    """(items,)."""
    fold_: npt.NDArray[np.float32]
    """(factors, factors): M, transposed: mean item factors @ fold_ = user factors."""

    def _fit(self, dataset: Dataset) -> None:
        chosen = self.parameters
        model = BayesianPersonalizedRanking(
            factors=chosen.factors,
            learning_rate=chosen.learning_rate,
            regularization=chosen.regularization,
            iterations=chosen.iterations,
            num_threads=1,
            random_state=chosen.seed,
        )
        model.fit(dataset.matrix, show_progress=False)
        # implicit keeps the items' bias as the last column, against ones on the users' side
        self.users_factors_ = np.ascontiguousarray(model.user_factors[:, :-1], dtype=np.float32)
        self.items_factors_ = np.ascontiguousarray(model.item_factors[:, :-1], dtype=np.float32)
        self.bias_ = np.ascontiguousarray(model.item_factors[:, -1], dtype=np.float32)
        active = np.flatnonzero(np.diff(dataset.matrix.indptr))
        means = (_shares(dataset.matrix[active]) @ self.items_factors_).astype(np.float64)
        gram = means.T @ means + chosen.fold_ridge * np.eye(chosen.factors)
        self.fold_ = np.linalg.solve(gram, means.T @ self.users_factors_[active]).astype(np.float32)

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: both factor matrices twice, the users' means, and copies of the data."""
        return 4 * (self.parameters.factors + 1) * (5 * users + 2 * items) + 40 * nnz

    def _vectors(self, history: sparse.csr_matrix, rows: Rows) -> Factors:
        factors = _shares(history) @ self.items_factors_ @ self.fold_
        known = rows >= 0
        factors[known] = self.users_factors_[rows[known]]
        return Factors(factors, self.items_factors_, bias=self.bias_)

    def _score_similar(self, items: Rows, out: Scores) -> None:
        norms = np.linalg.norm(self.items_factors_, axis=1, keepdims=True)
        unit = self.items_factors_ / np.maximum(norms, np.float32(1e-12))
        np.matmul(unit[items], unit.T, out=out)

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        shares = _shares(history).data
        given = (shares[:, None] * self.items_factors_[history.indices]) @ self.fold_
        asked = self.items_factors_[items]
        rest = np.zeros(self.parameters.factors, np.float32)
        if row >= 0:
            rest = self.users_factors_[row] - given.sum(axis=0)
        return asked @ given.T, asked @ rest + self.bias_[items]

    def _arrays(self) -> Arrays:
        return {
            "users_factors": self.users_factors_,
            "items_factors": self.items_factors_,
            "bias": self.bias_,
            "fold": self.fold_,
        }

    def _restore(self, arrays: Arrays) -> None:
        self.users_factors_, self.items_factors_ = arrays["users_factors"], arrays["items_factors"]
        self.bias_, self.fold_ = arrays["bias"], arrays["fold"]


def _shares(history: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows divided by their sums; an empty row stays empty."""
    sums = np.asarray(history.sum(axis=1), dtype=np.float32).ravel()
    shares = sparse.csr_matrix(history, dtype=np.float32, copy=True)
    shares.data /= np.repeat(sums, np.diff(history.indptr))
    return shares
