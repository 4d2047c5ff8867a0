"""Graph filter: a user's history smoothed by a linear and a low-pass filter on the item graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from models.algorithms.factorization.degree_svd import DegreeSVD, DegreeSVDParameters
from models.algorithms.shared.item_item import valued
from models.base import Arrays, Rows, Scores
from models.shared.validation import check_float

__all__ = ["GraphFilter", "GraphFilterParameters"]


@dataclass(frozen=True)
class GraphFilterParameters(DegreeSVDParameters):
    """Parameters of `GraphFilter`.

    linear: weight of the linear filter beside the low-pass one. The paper's own setting is
    user_power .5, item_power .5, ridge 0 (an ideal filter), linear 1 / .3.
    """

    linear: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_float(self, "linear", 0.0, 1_000.0)


class GraphFilter(DegreeSVD):
    """score(x) = x · (Di^-pi V diag(s²/(s²+λ)) Vᵀ Di^pi + linear · X̃ᵀX̃), X̃ = Du^-pu X Di^-pi ≈ U S Vᵀ.

    Shen et al. 2021, "How powerful is graph convolution for recommendation?", arXiv 2108.07567, equation 11
    (GF-CF), there with an ideal low-pass filter (λ = 0) and powers of .5. The linear filter sees the direct
    neighbours that a low rank smooths away. Its items × items matrix is nearly dense and never built: scores
    take x X̃ᵀ first, then X̃.
    """

    algorithm: ClassVar[str] = "graph_filter"
    Parameters = GraphFilterParameters
    parameters: GraphFilterParameters
    in_tiles = False

    normal_: sparse.csr_matrix
    """csr float32 (users, items): X̃."""

    def _fit(self, dataset: Dataset) -> None:
        super()._fit(dataset)
        self._take_normal(self._normalised(dataset.matrix)[0])

    def _take_normal(self, normal: sparse.csr_matrix) -> None:
        self.normal_ = normal
        self._by_item = normal.T.tocsr()

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: that of the factors, and X̃ both ways."""
        return super().forecast(users, items, nnz) + 16 * nnz

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        super()._score(history, rows, out)
        direct = (valued(history, self.parameters.values) @ self._by_item) @ self.normal_
        self._add_linear(direct, out)

    def _add_linear(self, direct: sparse.csr_matrix, out: Scores) -> None:
        owner = np.repeat(np.arange(direct.shape[0]), np.diff(direct.indptr))
        out[owner, direct.indices] += np.float32(self.parameters.linear) * direct.data

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        parts, baseline = super()._contributions(history, row, items)
        direct = (self._by_item[items] @ self._by_item[history.indices].T).toarray()
        value = valued(history, self.parameters.values).data
        return parts + np.float32(self.parameters.linear) * direct * value[None, :], baseline

    def _arrays(self) -> Arrays:
        return super()._arrays() | {
            "normal_indptr": self.normal_.indptr.astype(np.int64),
            "normal_indices": self.normal_.indices.astype(np.int32),
            "normal_data": self.normal_.data.astype(np.float32),
        }

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        parts = (arrays["normal_data"], arrays["normal_indices"], arrays["normal_indptr"])
        self._take_normal(sparse.csr_matrix(parts, shape=(len(self.users_), len(self.items_))))
