"""RP3beta: three random steps on the user-item graph, popular ends turned down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from models.algorithms.shared.item_item import GRAM_BYTES, VALUES, ItemItem, Values, top_products, valued
from models.shared.validation import check_choice, check_float, check_int

__all__ = ["RP3Beta", "RP3BetaParameters"]


@dataclass(frozen=True)
class RP3BetaParameters:
    """Parameters of `RP3Beta`.

    Parameters
    ----------
    alpha
        Power of a step's probability.
    beta
        Power of the end's popularity.
    neighbours
        So many are kept per item.
    values : {"binary", "log", "linear"}
        How strongly a weight counts: 1, log(1 + weight), or the weight itself.
    """

    alpha: float = 1.0
    beta: float = 0.3
    neighbours: int = 200
    values: Values = "log"

    def __post_init__(self) -> None:
        check_float(self, "alpha", 0.0, 10.0, above_low=True)
        check_float(self, "beta", 0.0, 10.0)
        check_int(self, "neighbours", 1, 5_000)
        check_choice(self, "values", VALUES)


class RP3Beta(ItemItem):
    """W = the top entries of (P_iu^∘α P_ui^∘α) · Di^-β; score(x) = x W.

    Paudel, Christoffel, Newell & Bernstein 2016, "Updatable, accurate, diverse, and scalable recommendations
    for interactive applications", ACM TiiS 7(1), section 4: P_ui are the chances of stepping from a user to
    an item (a row of X divided by its sum), P_iu back. The first of the three steps, from the user, is the
    history itself: it is left unnormalised, which changes no user's order.
    """

    algorithm: ClassVar[str] = "rp3beta"
    Parameters = RP3BetaParameters
    parameters: RP3BetaParameters

    def _fit(self, dataset: Dataset) -> None:
        chosen = self.parameters
        x = valued(dataset.matrix, chosen.values)
        popularity = np.asarray(x.sum(axis=0), dtype=np.float64).ravel()
        turned_down = np.where(popularity > 0, np.power(np.maximum(popularity, 1e-300), -chosen.beta), 0.0)
        back = _steps(x.T.tocsr(), chosen.alpha)
        forth = _steps(x, chosen.alpha)
        forth.data *= turned_down[forth.indices].astype(np.float32)
        self.weights_ = top_products(back, forth, chosen.neighbours)

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: the kept entries twice, one block, three copies of the data."""
        return 16 * items * min(items, self.parameters.neighbours) + 2 * GRAM_BYTES + 40 * nnz


def _steps(x: sparse.csr_matrix, alpha: float) -> sparse.csr_matrix:
    """Rows divided by their sums, each entry to the power alpha."""
    sums: npt.NDArray[np.float64] = np.asarray(x.sum(axis=1), dtype=np.float64).ravel()
    result = sparse.csr_matrix(x, dtype=np.float32, copy=True)
    chance = x.data / np.repeat(sums, np.diff(x.indptr))
    result.data = np.power(chance, alpha).astype(np.float32)
    return result
