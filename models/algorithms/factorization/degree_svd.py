"""Degree-normalised SVD: factors of the matrix after popular items and busy users are turned down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from models.algorithms.shared.factor_model import FactorModel, affordable_factors
from models.algorithms.shared.item_item import VALUES, Values, valued
from models.algorithms.shared.truncated_svd import ROWS_AT_ONCE, right_singular
from models.base import Arrays, ModelKind, Rows, Scores
from models.ranking.mips.factors import Factors
from models.shared.computed_once import computed_once
from models.shared.parallel import one_blas_thread
from models.shared.validation import check_choice, check_float, check_int

__all__ = ["DegreeSVD", "DegreeSVDParameters"]

FEWEST_FACTORS = 4
MOST_FACTORS = 512
"""The length that is chosen where memory allows it, see `affordable_factors`."""


@dataclass(frozen=True)
class DegreeSVDParameters:
    """Parameters of `DegreeSVD`.

    Parameters
    ----------
    factors
        k; 0: as many as are affordable, 512 at most.
    users_per_factor
        k is at most the number of users / this, but 4 at least; 0: no such bound.
    user_power, item_power
        pu and pi of the formula.
    ridge
        λ is ridge × s²[k/8].
    values : {"binary", "log", "linear"}
        How strongly a weight counts: 1, log(1 + weight), or the weight itself.
    seed
        Of the random block that the SVD starts from.
    """

    factors: int = 0
    users_per_factor: int = 0
    user_power: float = 0.35
    item_power: float = 0.4
    ridge: float = 1.0
    values: Values = "log"
    seed: int = 1

    def __post_init__(self) -> None:
        check_int(self, "factors", 0, 4_096)
        check_int(self, "users_per_factor", 0, 1_000_000)
        check_float(self, "user_power", 0.0, 1.0)
        check_float(self, "item_power", 0.0, 1.0)
        check_float(self, "ridge", 0.0, 1_000.0)
        check_choice(self, "values", VALUES)
        check_int(self, "seed", 0, 2**32 - 1)


class DegreeSVD(FactorModel):
    """Truncated SVD of the degree-normalised user-item matrix, with shrunken singular values.

    With degrees Du, Di (sums of a user's, of an item's values): Du^-pu X Di^-pi ≈ U S Vᵀ, and

        score(x) = x · (Di^-pi V) · diag(s² / (s² + λ)) · (Vᵀ Di^pi).

    The normalisation is that of graph filters (Shen et al. 2021, arXiv 2108.07567, section 3); the shrinkage
    s²/(s²+λ) is what ridge regression of X̃ on itself gives along each singular direction. A user or guest is
    the sum of the vectors of the items: folding in is exact.
    """

    algorithm: ClassVar[str] = "degree_svd"
    kind: ClassVar[ModelKind] = ModelKind.COLLABORATIVE
    Parameters = DegreeSVDParameters
    parameters: DegreeSVDParameters

    decoder_: npt.NDArray[np.float32]
    """(items, factors): Di^pi V."""
    item_weight_: npt.NDArray[np.float32]
    """(items,): Di^-2pi."""
    factor_weight_: npt.NDArray[np.float32]
    """(factors,): s² / (s² + λ)."""
    own_encoder_: npt.NDArray[np.float32] | None = None
    """(items, factors): by what users are summed up where the two weights do not make it of the decoder."""

    def _fit(self, dataset: Dataset) -> None:
        chosen = self.parameters
        normal, item_scale = self._normalised(dataset.matrix)
        # where anything else wants the cores, BLAS threads that wait for each other cost several times more
        with one_blas_thread():
            values, vectors = right_singular(normal, self._factors(normal.shape), seed=chosen.seed)
        energy = values.astype(np.float64) ** 2
        shrink = energy / (energy + chosen.ridge * energy[energy.size // 8] + np.finfo(np.float32).tiny)
        self.factor_weight_, self.item_weight_ = shrink.astype(np.float32), item_scale**2
        self.own_encoder_ = None
        vectors *= np.divide(1.0, item_scale, out=np.zeros_like(item_scale), where=item_scale > 0)[:, None]
        self.decoder_ = vectors

    @property
    def chosen_parameters(self) -> dict[str, float]:
        """The length of the vectors, where it was not given."""
        return {} if self.parameters.factors else {"factors": self.decoder_.shape[1]}

    def _factors(self, shape: tuple[int, int]) -> int:
        chosen = self.parameters
        factors = chosen.factors or affordable_factors(MOST_FACTORS, shape)
        if not chosen.users_per_factor:
            return factors
        return min(factors, max(FEWEST_FACTORS, shape[0] // chosen.users_per_factor))

    def _normalised(self, matrix: sparse.csr_matrix) -> tuple[sparse.csr_matrix, npt.NDArray[np.float32]]:
        chosen = self.parameters
        return degree_normalised(valued(matrix, chosen.values), chosen.user_power, chosen.item_power)

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: the Krylov basis, a block and its image, and two item matrices."""
        short, long = sorted((users, items))
        factors = self._factors((users, items))
        width = min(short, int(1.7 * factors) + 128)
        basis = 4 * width * (2 * short + min(long, ROWS_AT_ONCE)) + 24 * width**2
        return basis + 1_024 * long + 8 * factors * items + 40 * nnz

    def encoder_of(self, items: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """What each of these item rows (m,) adds to a user who has it, float32 (m, factors).

        Di^-pi V diag(s² / (s² + λ)), made of the decoder: kept beside it, it would double every artifact.
        """
        if self.own_encoder_ is None:
            found = self.decoder_[items] * self.item_weight_[items, None] * self.factor_weight_
        else:
            found = self.own_encoder_[items]
        return np.asarray(found, dtype=np.float32)

    def _vectors(self, history: sparse.csr_matrix, rows: Rows) -> Factors:
        given = valued(history, self.parameters.values)
        if self.own_encoder_ is not None:
            user = given @ self.own_encoder_
        else:
            weights = given.data * self.item_weight_[given.indices]
            weighted = sparse.csr_matrix((weights, given.indices, given.indptr), shape=given.shape)
            user = (weighted @ self.decoder_) * self.factor_weight_
        return Factors(np.asarray(user, dtype=np.float32), self.decoder_)

    def _score_similar(self, items: Rows, out: Scores) -> None:
        unit = self._unit_decoder
        np.matmul(unit[items], unit.T, out=out)

    @property
    def _unit_decoder(self) -> npt.NDArray[np.float32]:
        """The item vectors of length one."""

        def compute() -> npt.NDArray[np.float32]:
            lengths = np.linalg.norm(self.decoder_, axis=1, keepdims=True)
            unit: npt.NDArray[np.float32] = self.decoder_ / np.maximum(lengths, 1e-12)
            return unit

        return computed_once(self, "unit_decoder", self.decoder_, compute)

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        given = valued(history, self.parameters.values).data[:, None] * self.encoder_of(history.indices)
        return self.decoder_[items] @ given.T, np.zeros(items.size, dtype=np.float32)

    def _arrays(self) -> Arrays:
        if self.own_encoder_ is not None:
            return {"encoder": self.own_encoder_, "decoder": self.decoder_}
        weights = {"item_weight": self.item_weight_, "factor_weight": self.factor_weight_}
        return {"decoder": self.decoder_, **weights}

    def _restore(self, arrays: Arrays) -> None:
        self.decoder_ = arrays["decoder"]
        # an artifact of an earlier version has an encoder and no weights
        self.own_encoder_ = arrays.get("encoder")
        if self.own_encoder_ is None:
            self.item_weight_, self.factor_weight_ = arrays["item_weight"], arrays["factor_weight"]


def degree_normalised(
    x: sparse.csr_matrix, user_power: float, item_power: float
) -> tuple[sparse.csr_matrix, npt.NDArray[np.float32]]:
    """Du^-user_power · x · Di^-item_power, and the diagonal of the latter (0 for an item without degree)."""
    user_scale = _inverse_power(np.asarray(x.sum(axis=1)).ravel(), user_power)
    item_scale = _inverse_power(np.asarray(x.sum(axis=0)).ravel(), item_power)
    normal = x.copy()
    normal.data *= np.repeat(user_scale, np.diff(x.indptr)) * item_scale[x.indices]
    return normal, item_scale


def _inverse_power(degree: npt.NDArray[Any], power: float) -> npt.NDArray[np.float32]:
    degree = degree.astype(np.float64)
    return np.where(degree > 0, np.power(np.maximum(degree, 1e-300), -power), 0.0).astype(np.float32)
