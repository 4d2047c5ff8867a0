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
    """Parameters of `GraphFilter`: those of `DegreeSVDParameters`, and of the linear filter.

    Parameters
    ----------
    linear
        Weight of the linear filter beside the low-pass one. The paper's own setting is user_power .5,
        item_power .5, ridge 0 (an ideal filter), linear 1 / .3.
    linear_power
        q of the formula, the power of items' degrees around the linear filter. 0 is the paper's, `item_power`
        treats both filters alike.
    popularity_power
        pp of the formula, by which popular items are turned down in all scores.
    """

    linear: float = 0.3
    linear_power: float = 0.0
    popularity_power: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_float(self, "linear", 0.0, 1_000.0)
        check_float(self, "linear_power", 0.0, 1.0)
        check_float(self, "popularity_power", 0.0, 1.0)


class GraphFilter(DegreeSVD):
    """A low-pass filter and a linear one, which sees the direct neighbours that a low rank smooths away.

    With degrees Du, Di as in `DegreeSVD` and X̃ = Du^-pu X Di^-pi ≈ U S Vᵀ,

        score(x) = x · (Di^-pi V diag(s² / (s² + λ)) Vᵀ Di^pi + linear · Di^-q X̃ᵀX̃ Di^q) · Di^-pp.

    Shen et al. 2021, "How powerful is graph convolution for recommendation?", arXiv 2108.07567, equation 11
    (GF-CF), there with an ideal low-pass filter (λ = 0), powers of .5 and q = pp = 0. The degrees around
    both filters are those of ChebyCF (arXiv 2505.00552). The items × items matrix of the linear filter is
    nearly dense and never built: scores take x X̃ᵀ first, then X̃.
    """

    algorithm: ClassVar[str] = "graph_filter"
    Parameters = GraphFilterParameters
    parameters: GraphFilterParameters
    in_tiles = False

    normal_: sparse.csr_matrix
    """csr float32 (users, items): X̃."""
    degrees_: npt.NDArray[np.float32]
    """(items,): Di."""

    def _fit(self, dataset: Dataset) -> None:
        super()._fit(dataset)
        degrees = valued(dataset.matrix, self.parameters.values).sum(axis=0)
        self._take(self._normalised(dataset.matrix)[0], np.asarray(degrees, dtype=np.float32).ravel())
        turned_down = self._power_of_degrees(-self.parameters.popularity_power)
        self.decoder_ *= turned_down[:, None]
        self.item_weight_ /= turned_down

    def _take(self, normal: sparse.csr_matrix, degrees: npt.NDArray[np.float32]) -> None:
        chosen = self.parameters
        self.normal_, self.degrees_ = normal, degrees
        self._in = normal.T.tocsr()
        self._out = normal
        if chosen.linear_power:
            self._in = _rows_scaled(self._in, self._power_of_degrees(-chosen.linear_power))
        if chosen.linear_power or chosen.popularity_power:
            power = chosen.linear_power - chosen.popularity_power
            self._out = normal.copy()
            self._out.data *= self._power_of_degrees(power)[normal.indices]

    def _power_of_degrees(self, power: float) -> npt.NDArray[np.float32]:
        return np.power(np.maximum(self.degrees_, np.finfo(np.float32).tiny), power, dtype=np.float32)

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: that of the factors, and X̃ both ways."""
        return super().forecast(users, items, nnz) + 32 * nnz

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        super()._score(history, rows, out)
        direct = (valued(history, self.parameters.values) @ self._in) @ self._out
        self._add_linear(direct, out)

    def _add_linear(self, direct: sparse.csr_matrix, out: Scores) -> None:
        owner = np.repeat(np.arange(direct.shape[0]), np.diff(direct.indptr))
        out[owner, direct.indices] += np.float32(self.parameters.linear) * direct.data

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        parts, baseline = super()._contributions(history, row, items)
        direct = (self._out[:, items].T @ self._in[history.indices].T).toarray()
        value = valued(history, self.parameters.values).data
        return parts + np.float32(self.parameters.linear) * direct * value[None, :], baseline

    def _arrays(self) -> Arrays:
        return super()._arrays() | {
            "normal_indptr": self.normal_.indptr.astype(np.int64),
            "normal_indices": self.normal_.indices.astype(np.int32),
            "normal_data": self.normal_.data.astype(np.float32),
            "degrees": self.degrees_,
        }

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        parts = (arrays["normal_data"], arrays["normal_indices"], arrays["normal_indptr"])
        normal = sparse.csr_matrix(parts, shape=(len(self.users_), len(self.items_)))
        # an artifact of an earlier version has no power that needs it
        self._take(normal, arrays.get("degrees", np.ones(len(self.items_), dtype=np.float32)))


def _rows_scaled(matrix: sparse.csr_matrix, by: npt.NDArray[np.float32]) -> sparse.csr_matrix:
    scaled = matrix.copy()
    scaled.data *= np.repeat(by, np.diff(matrix.indptr))
    return scaled
