"""Item-kNN on a matrix whose busy users and popular items are turned down first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from features.dataset import Dataset
from models.algorithms.factorization.degree_svd import degree_normalised
from models.algorithms.shared.item_item import GRAM_BYTES, VALUES, ItemItem, Values, top_products, valued
from models.shared.validation import check_choice, check_float, check_int

__all__ = ["NormalisedKNN", "NormalisedKNNParameters"]


@dataclass(frozen=True)
class NormalisedKNNParameters:
    """Parameters of `NormalisedKNN`.

    Parameters
    ----------
    alpha
        α of the paper; items get 1 − α.
    power
        s, the power of the gram's entries.
    neighbours
        So many are kept per item.
    values : {"binary", "log", "linear"}
        How strongly a weight counts: 1, log(1 + weight), or the weight itself.
    """

    alpha: float = 0.6
    power: float = 0.7
    neighbours: int = 1000
    values: Values = "log"

    def __post_init__(self) -> None:
        check_float(self, "alpha", 0.0, 1.0)
        check_float(self, "power", 0.0, 10.0, above_low=True)
        check_int(self, "neighbours", 1, 5_000)
        check_choice(self, "values", VALUES)


class NormalisedKNN(ItemItem):
    """W = the top entries of (X̃ᵀX̃)^∘s, X̃ = Du^-α X Di^(α-1); score(x) = x W.

    Park, Kim & Shin 2024, "Turbo-CF", arXiv 2404.14243, equations 4 to 6 with the first-order filter; ∘s is
    the power of each entry, which lets strong neighbours not drown the rest. Keeping `neighbours` of each
    row bounds the matrix to items × neighbours entries; an item is not its own neighbour.
    """

    algorithm: ClassVar[str] = "normalised_knn"
    Parameters = NormalisedKNNParameters
    parameters: NormalisedKNNParameters

    def _fit(self, dataset: Dataset) -> None:
        chosen = self.parameters
        x = valued(dataset.matrix, chosen.values)
        normal, _ = degree_normalised(x, chosen.alpha, 1.0 - chosen.alpha)
        self.weights_ = top_products(normal.T.tocsr(), normal, chosen.neighbours, power=chosen.power)

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: the kept entries twice (pieces, then whole), one block, copies of the data."""
        return 16 * items * min(items, self.parameters.neighbours) + 2 * GRAM_BYTES + 40 * nnz
